//! `audit export`: writes the audit to standard output, for a collector, a spreadsheet or a safe place.

use clap::{Args as ClapArgs, ValueEnum};

use crate::audit::{CSV_HEAD, Entry, csv_line, ocsf_line, record_line};
use crate::store::{AuditRow, read_audit};

use super::ConfigFile;
use super::exit::say;

/// How many entries are read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, ClapArgs)]
pub(super) struct Export {
    #[command(flatten)]
    file: ConfigFile,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Form::Ocsf)]
    format: Form,
    /// Only entries after this one: what was exported before.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

/// How the audit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON lines, each an event of OCSF, for a SIEM.
    Ocsf,
    /// CSV that a spreadsheet takes for text.
    Csv,
    /// JSON lines with every byte of the entries: what `audit verify --record` reads.
    Record,
}

pub(super) fn run(export: &Export) -> anyhow::Result<()> {
    let options = export.file.store()?;
    let mut after = export.after;
    if export.format == Form::Csv {
        say(CSV_HEAD);
    }
    loop {
        let page = read_audit(&options, after, PAGE)?;
        let Some(last) = page.last().map(|row| row.seq) else {
            return Ok(());
        };
        for row in &page {
            say(&written(row, export.format)?);
        }
        after = last;
    }
}

fn written(row: &AuditRow, form: Form) -> anyhow::Result<String> {
    let entry = || Entry::read(row.text.as_bytes());
    Ok(match form {
        Form::Record => record_line(&row.text, row.digest),
        Form::Ocsf => ocsf_line(&entry()?, &row.text, row.digest),
        Form::Csv => csv_line(&entry()?, row.digest),
    })
}
