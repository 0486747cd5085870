//! `formats test DIR`: golden files, payloads beside what they must become.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::mapping::{Body, BuiltIn, Cancel, Format, Mapped, golden, map, on_mapping_thread};

use super::exit::{FAILURE, Failure, say};
use super::formats::{Reading, load};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// A folder with one folder a case, which holds payload.json (or payload.ndjson) and expected.json; or a folder of such
    /// folders, one a format.
    dir: PathBuf,
    /// The format, by name or .jq file. Otherwise DIR/format.jq, or the built-in format that is called like DIR.
    #[arg(long)]
    format: Option<OsString>,
    #[command(flatten)]
    reading: Reading,
    /// Write what payloads become now as what is expected; look at the difference before you keep it.
    #[arg(long)]
    update: bool,
    /// Write one JSON object a case.
    #[arg(long)]
    json: bool,
}

/// How a case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Updated,
    Differs,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    for (folder, cases) in format_folders(&arguments.dir)? {
        let format = format_of(arguments, &folder)?;
        let (one, concatenated) = (arguments.reading.apply(format.0), format.1.with_body(Body::Concatenated));
        for case in cases {
            let is_lines = case.join("payload.ndjson").is_file();
            outcomes.push(run_case(arguments, &case, if is_lines { &concatenated } else { &one })?);
        }
    }
    if outcomes.is_empty() {
        let text = format!("{} holds no case: no folder with a payload.json", arguments.dir.display());
        return Err(Failure { code: FAILURE, text }.into());
    }
    let wrong = outcomes.iter().filter(|outcome| **outcome == Outcome::Differs).count();
    if wrong > 0 {
        let text = format!("{wrong} of {} cases differ from what is expected", outcomes.len());
        return Err(Failure { code: FAILURE, text }.into());
    }
    Ok(())
}

/// The folders that hold cases: the folder itself, or those in it.
fn format_folders(dir: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<PathBuf>)>> {
    let own = cases(dir)?;
    if !own.is_empty() {
        return Ok(vec![(dir.to_owned(), own)]);
    }
    let mut folders = Vec::new();
    for folder in subfolders(dir)? {
        let cases = cases(&folder)?;
        if !cases.is_empty() {
            folders.push((folder, cases));
        }
    }
    Ok(folders)
}

fn cases(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let holds = |case: &PathBuf| case.join("payload.json").is_file() || case.join("payload.ndjson").is_file();
    Ok(subfolders(dir)?.into_iter().filter(holds).collect())
}

fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The format of a folder, twice: for each kind of body.
fn format_of(arguments: &Arguments, folder: &Path) -> anyhow::Result<(Format, Format)> {
    let own = folder.join("format.jq").into_os_string();
    let name = match &arguments.format {
        Some(name) => name.clone(),
        None if Path::new(&own).is_file() => own,
        None => {
            let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
            let name = absolute.file_name().unwrap_or_default().to_owned();
            if BuiltIn::named(&name.to_string_lossy()).is_none() {
                let text = format!(
                    "{} has no format.jq and is not called like a built-in format; name one with --format",
                    folder.display()
                );
                return Err(Failure { code: FAILURE, text }.into());
            }
            name
        }
    };
    Ok((load(&name)?, load(&name)?))
}

fn run_case(arguments: &Arguments, case: &Path, format: &Format) -> anyhow::Result<Outcome> {
    let lines = case.join("payload.ndjson");
    let payload = if lines.is_file() { lines } else { case.join("payload.json") };
    let payload = fs::read(&payload).with_context(|| payload.display().to_string())?;
    let mapped = on_mapping_thread(|| map(format, &payload, &Cancel::default()));
    let mapped = mapped.context("the thread for payloads cannot be started")?;
    let found = golden(&mapped.unwrap_or_else(Mapped::from));
    let path = case.join("expected.json");
    let expected: Value = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| path.display().to_string())?,
        Err(_) => Value::Null,
    };
    let outcome = match (found == expected, arguments.update) {
        (true, _) => Outcome::Same,
        (false, true) => {
            fs::write(&path, format!("{found:#}\n")).with_context(|| path.display().to_string())?;
            Outcome::Updated
        }
        (false, false) => Outcome::Differs,
    };
    tell(arguments, case, outcome, &expected, &found);
    Ok(outcome)
}

fn tell(arguments: &Arguments, case: &Path, outcome: Outcome, expected: &Value, found: &Value) {
    let word = match outcome {
        Outcome::Same => "ok",
        Outcome::Updated => "updated",
        Outcome::Differs => "differs",
    };
    if arguments.json {
        let mut line = json!({"case": case.to_string_lossy(), "outcome": word});
        if outcome == Outcome::Differs {
            line = json!({"case": case.to_string_lossy(), "outcome": word, "expected": expected, "found": found});
        }
        say(&line.to_string());
        return;
    }
    say(&format!("{word:8} {}", case.display()));
    if outcome == Outcome::Differs {
        say(&format!("expected {expected:#}\nfound    {found:#}"));
    }
}
