//! Finds the file's SHA1. Pure.

use crate::alert::{FileRecord, Found, HeldReason, Question, Sha1};

use super::steps::{Step, plan};
use super::{Given, Known, Stop, ask};

/// The file's SHA1 and how it was found.
type FileFound = (Sha1, String);

/// Takes the SHA1 that is given, or the one of Defender's record of the file.
pub(super) fn find(given: &Given<'_>, known: &Known<'_>) -> Result<FileFound, Stop> {
    let plan = plan(given);
    match plan.file.first() {
        Some(Step::FileAsGiven(sha1)) => Ok((*sha1, format!("file: SHA1 {sha1} as the alert gives it"))),
        Some(Step::ChosenFile(sha1)) => chosen(*sha1, given, known),
        Some(step) => looked_up(step, given, known),
        None => {
            let why = if plan.left_out.is_empty() {
                "no hash names it".to_owned()
            } else {
                plan.left_out.join("; ")
            };
            Err(Stop::hold(HeldReason::FileNotNamed, format!("the file cannot be looked for: {why}")))
        }
    }
}

fn looked_up(step: &Step, given: &Given<'_>, known: &Known<'_>) -> Result<FileFound, Stop> {
    let Some(question) = step.question() else {
        return Err(Stop::hold(HeldReason::FileNotNamed, "no hash names the file"));
    };
    let text = question.to_string();
    let record = match ask(question, known)? {
        Found::File(Some(record)) => record,
        Found::File(None) => {
            return Err(Stop::hold(HeldReason::FileUnknown, format!("Defender does not know {text}")));
        }
        Found::Forbidden(why) => return Err(forbidden(&text, &why)),
        Found::Machines(_) | Found::Stats(_) | Found::SeenOn(_) | Found::Refused(_) => {
            return Err(Stop::hold(HeldReason::LookupRefused, format!("no file was answered for {text}")));
        }
    };
    let echoes = match step {
        Step::Sha256(sha256) => record.sha256 == Some(*sha256),
        Step::Md5(md5) => record.md5 == Some(*md5),
        _ => false,
    };
    if !echoes {
        let evidence = format!("Defender's answer about {text} does not have that hash");
        return Err(Stop::hold(HeldReason::FileHashMismatch, evidence));
    }
    agrees(&record, given, &text)?;
    let Some(sha1) = record.sha1 else {
        let evidence = format!("Defender's record of {text} has no SHA1 of a file");
        return Err(Stop::hold(HeldReason::FileHashMismatch, evidence));
    };
    Ok((sha1, format!("file: SHA1 {sha1} by Defender's record of {text}")))
}

/// A person's word is taken, unless Defender knows that file under other hashes than the alert's.
fn chosen(sha1: Sha1, given: &Given<'_>, known: &Known<'_>) -> Result<FileFound, Stop> {
    let by = given.completion.map_or_else(String::new, |completion| completion.by.to_string());
    let file = &given.pair.file;
    if file.sha256.is_none() && file.md5.is_none() {
        return Ok((sha1, format!("file: SHA1 {sha1}, given by {by}")));
    }
    let question = Question::FileBySha1(sha1);
    let text = question.to_string();
    let checked = match ask(question, known)? {
        Found::File(Some(record)) => {
            agrees(&record, given, &text)?;
            "Defender's record of it does not speak against it"
        }
        Found::File(None) => "Defender has no record of it to compare",
        Found::Forbidden(_) | Found::Refused(_) | Found::Machines(_) | Found::Stats(_) | Found::SeenOn(_) => {
            "Defender's record of it may not be read"
        }
    };
    Ok((sha1, format!("file: SHA1 {sha1}, given by {by}; {checked}")))
}

/// Holds every hash of the alert against the record, as far as both speak.
fn agrees(record: &FileRecord, given: &Given<'_>, text: &str) -> Result<(), Stop> {
    let file = &given.pair.file;
    let sha256_differs = file.sha256.zip(record.sha256).is_some_and(|(ours, theirs)| ours != theirs);
    let md5_differs = file.md5.zip(record.md5).is_some_and(|(ours, theirs)| ours != theirs);
    if sha256_differs || md5_differs {
        let evidence = format!("Defender's record of {text} has other hashes than the alert");
        return Err(Stop::hold(HeldReason::FileHashMismatch, evidence));
    }
    Ok(())
}

fn forbidden(text: &str, why: &str) -> Stop {
    let evidence = format!(
        "{text} may not be looked up: give the app registration the role File.Read.All, or have the sender give the \
         SHA1 ({why})"
    );
    Stop::hold(HeldReason::FileLookupForbidden, evidence)
}
