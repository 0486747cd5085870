//! `formats list`, `show`, `test` and `try`.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::mapping::{BUILT_IN, Body, BuiltIn, Format, Pairing};

use super::exit::{FAILURE, Failure, say};
use super::{formats_test, formats_try};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the built-in formats.
    List {
        /// Write them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a built-in format: a jq program to run, or to copy and change.
    Show {
        /// Its name.
        name: String,
        /// Put the shared definitions in front, so that any jq can run it.
        #[arg(long)]
        standalone: bool,
    },
    /// Compare what payloads become with what is expected: for your own formats, in CI.
    Test(formats_test::Arguments),
    /// Read a payload from standard input: show what a format answers, and the alerts in it.
    Try(formats_try::Arguments),
}

/// How a payload is read, beside its format; the keys of a source have the same names.
#[derive(Debug, ClapArgs)]
pub(super) struct Reading {
    /// Take a body of JSON objects run together, or one a line (a source's body = "concatenated").
    #[arg(long)]
    concatenated: bool,
    /// Pair every file with every device that come without a stated pairing, up to so many pairs (a source's pair = "cross").
    #[arg(long, value_name = "PAIRS")]
    cross_max: Option<NonZeroUsize>,
}

impl Reading {
    pub(super) fn apply(&self, format: Format) -> Format {
        let body = if self.concatenated { Body::Concatenated } else { Body::One };
        format.with_body(body).with_pairing(self.cross_max.map_or(Pairing::Stated, Pairing::Cross))
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::List { json } => list(*json),
        What::Show { name, standalone } => {
            let format = BuiltIn::named(name).ok_or_else(|| unknown(name))?;
            let code = if *standalone { format.standalone() } else { format.code.to_owned() };
            say(code.trim_end());
        }
        What::Test(arguments) => formats_test::run(arguments)?,
        What::Try(arguments) => formats_try::run(arguments)?,
    }
    Ok(())
}

fn list(as_json: bool) {
    if as_json {
        let one = |it: &BuiltIn| json!({"name": it.name, "product": it.product, "about": it.about});
        say(&json!(BUILT_IN.iter().map(one).collect::<Vec<_>>()).to_string());
        return;
    }
    let width = |text: fn(&BuiltIn) -> &str| BUILT_IN.iter().map(|it| text(it).len()).max().unwrap_or(0);
    let (name, product) = (width(|it| it.name), width(|it| it.product));
    for it in BUILT_IN {
        say(&format!("{:name$}  {:product$}  {}", it.name, it.product, it.about));
    }
}

/// Loads a format: a built-in one by name, or a user's own, whose name ends in `.jq`.
pub(super) fn load(name: &OsStr) -> anyhow::Result<Format> {
    let text = name.to_string_lossy();
    if Path::new(name).extension().is_some_and(|ending| ending == "jq") {
        let code = fs::read_to_string(name).with_context(|| format!("{text} cannot be read"))?;
        return Format::load(&text, &code).with_context(|| text.into_owned());
    }
    let built_in = BuiltIn::named(&text).ok_or_else(|| unknown(&text))?;
    Ok(Format::load(built_in.name, built_in.code)?)
}

fn unknown(name: &str) -> Failure {
    let text =
        format!("there is no format {name:?}; see `quarantine-bridge formats list`, or name a .jq file");
    Failure { code: FAILURE, text }
}
