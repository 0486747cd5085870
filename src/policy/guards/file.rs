//! What Defender says of the file: who signed it, what it is held for, how widely it is spread.

use super::{Case, No, Said, Says, known};

/// Whom certificates of Microsoft's own files name (reference, defender-api 4). Others that it uses begin with its name.
const SIGNERS: [&str; 2] = ["Microsoft ", "Windows Publisher"];

/// The file is not signed by Microsoft.
pub(super) fn microsoft_signed(case: &Case<'_>) -> Says {
    let file = &case.facts.file;
    let signer = known(&file.signer, "who signed the file")?;
    let issuer = known(&file.issuer, "who issued the file's certificate")?;
    if signer.is_none() && issuer.is_none() {
        return Ok(Said::Pass("the file is not signed".to_owned()));
    }
    let is_valid = *known(&file.is_certificate_valid, "whether the file's certificate is valid")?;
    let (signer, issuer) = (signer.as_deref().unwrap_or("nobody"), issuer.as_deref().unwrap_or("nobody"));
    let validity = if is_valid { "valid" } else { "not valid" };
    let evidence = format!("signed by {signer}, certificate of {issuer}, {validity}");
    let is_microsoft = is_microsofts(signer) || is_microsofts(issuer);
    Ok(if is_valid && is_microsoft { Said::No(evidence) } else { Said::Pass(evidence) })
}

fn is_microsofts(name: &str) -> bool {
    SIGNERS.iter().any(|known| super::device::begins(name, known))
}

/// The file is not signed by a publisher that is trusted.
pub(super) fn trusted_publisher(case: &Case<'_>) -> Says {
    let trusted = &case.guards().trusted_publishers;
    if trusted.is_empty() {
        return Ok(Said::Pass("no publisher is trusted".to_owned()));
    }
    let file = &case.facts.file;
    let Some(signer) = known(&file.signer, "who signed the file")? else {
        return Ok(Said::Pass("the file is not signed".to_owned()));
    };
    if !trusted.iter().any(|name| name.eq_ignore_ascii_case(signer)) {
        return Ok(Said::Pass(format!("{signer} is not a trusted publisher")));
    }
    let is_valid = *known(&file.is_certificate_valid, "whether the file's certificate is valid")?;
    Ok(if is_valid {
        Said::No(format!("{signer} is a trusted publisher, and the certificate is valid"))
    } else {
        Said::Pass(format!("it names {signer}, but the certificate is not valid"))
    })
}

/// Defender does not hold the file for a clean one.
pub(super) fn determination(case: &Case<'_>) -> Says {
    let word = known(&case.facts.file.determination, "what Defender holds the file for")?;
    let is_clean = case.guards().clean_determinations.iter().any(|clean| clean.eq_ignore_ascii_case(word));
    let evidence = format!("Defender holds the file for: {word}");
    Ok(if is_clean { Said::No(evidence) } else { Said::Pass(evidence) })
}

/// The file is not widely spread.
pub(super) fn prevalence(case: &Case<'_>) -> Says {
    let (file, rule) = (&case.facts.file, case.guards().prevalence);
    let organisation =
        known(&file.organisation_prevalence, "how many devices of the organisation have the file");
    let global = known(&file.global_prevalence, "how many devices of the world have the file");
    // What is known and enough to deny denies, whatever else is missing.
    let denies = |have: &Result<&u64, Said>, from: Option<u64>| {
        have.as_ref().is_ok_and(|have| from.is_some_and(|from| **have >= from))
    };
    let too_many = denies(&organisation, Some(rule.organisation_deny)) || denies(&global, rule.global_deny);
    let told =
        |have: &Result<&u64, Said>| have.as_ref().map_or_else(|_| "unknown".to_owned(), ToString::to_string);
    let evidence = format!(
        "seen on {} devices of the organisation (held from {}, denied from {}), {} of the world (held from {}, denied \
         from {})",
        told(&organisation),
        rule.organisation_hold,
        rule.organisation_deny,
        told(&global),
        rule.global_hold,
        rule.global_deny.map_or("no number".to_owned(), |from| from.to_string()),
    );
    if too_many {
        return Ok(Said::As(No::Deny, evidence));
    }
    let is_spread = *organisation? >= rule.organisation_hold || *global? >= rule.global_hold;
    Ok(if is_spread { Said::No(evidence) } else { Said::Pass(evidence) })
}
