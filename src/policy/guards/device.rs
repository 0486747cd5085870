//! What Defender says of the device: its system, its state, whether the file was seen there.

use super::{Case, Said, Says, known, span};

/// Windows 10 version 1703, the first on which files can be quarantined (reference, defender-api 0.8).
const FIRST_VERSION: u32 = 1703;

/// Its build.
const FIRST_BUILD: u64 = 15_063;

/// The device's system is one on which Defender quarantines files.
pub(super) fn os(case: &Case<'_>) -> Says {
    let platform = known(&case.facts.device.os_platform, "the device's system")?;
    let rule = case.guards().os;
    if begins(platform, "WindowsServer") {
        let why = format!("{platform} is a Windows Server");
        return Ok(rule.server.map_or_else(|| Said::Pass(why.clone()), |no| Said::As(no, why.clone())));
    }
    if begins(platform, "Windows11") {
        return Ok(Said::Pass(platform.clone()));
    }
    if !begins(platform, "Windows10") {
        let why = format!("files are not quarantined on {platform}: only on Windows 10 from 1703 on and 11");
        return Ok(Said::As(rule.other, why));
    }
    let device = &case.facts.device;
    let version = device.os_version.known().map(String::as_str);
    let is_new = match version.and_then(version_number) {
        Some(number) => number >= FIRST_VERSION,
        None => *known(&device.os_build, "the version of Windows 10, and its build,")? >= FIRST_BUILD,
    };
    let version = version.unwrap_or("(by its build)");
    Ok(if is_new {
        Said::Pass(format!("{platform} {version}"))
    } else {
        Said::As(rule.other, format!("{platform} {version} is older than 1703"))
    })
}

/// Reads `1709` as it is and `21H1` as 2101: the numbers grow with the versions.
fn version_number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return (1_500..10_000).contains(&number).then_some(number);
    }
    let (year, half) = text.split_once(['H', 'h'])?;
    let (year, half): (u32, u32) = (year.parse().ok()?, half.parse().ok()?);
    ((20..100).contains(&year) && (1..=2).contains(&half))
        .then(|| year.saturating_mul(100).saturating_add(half))
}

/// The device is onboarded, well, and was seen lately.
pub(super) fn state(case: &Case<'_>) -> Says {
    let device = &case.facts.device;
    let onboarding = known(&device.onboarding, "whether the device is onboarded")?;
    let health = known(&device.health, "the device's health")?;
    let age = case.now.duration_since(*known(&device.last_seen, "when the device was last seen")?);
    let max = case.guards().last_seen_max;
    let evidence = format!("{onboarding}, {health}, last seen {} ago, limit {}", span(age), span(max));
    let is_well = onboarding.eq_ignore_ascii_case("Onboarded") && health.eq_ignore_ascii_case("Active");
    Ok(if is_well && age <= max { Said::Pass(evidence) } else { Said::No(evidence) })
}

/// Defender has seen the file on the device.
pub(super) fn seen(case: &Case<'_>) -> Says {
    Ok(if *known(&case.facts.seen_on_device, "whether the file was seen on the device")? {
        Said::Pass("Defender has seen the file on the device".to_owned())
    } else {
        Said::No("Defender has not seen the file on the device".to_owned())
    })
}

/// Says whether a word begins like another, without regard to case.
pub(super) fn begins(word: &str, beginning: &str) -> bool {
    word.get(..beginning.len()).is_some_and(|head| head.eq_ignore_ascii_case(beginning))
}
