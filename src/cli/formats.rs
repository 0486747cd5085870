//! `formats list` and `formats show NAME`.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::mapping::{BUILT_IN, BuiltIn};

use super::exit::{FAILURE, Failure, say};

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
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::List { json: true } => {
            let all: Vec<_> = BUILT_IN.iter().map(|it| json!({"name": it.name, "about": it.about})).collect();
            say(&json!(all).to_string());
        }
        What::List { json: false } => {
            for format in BUILT_IN {
                say(&format!("{:16} {}", format.name, format.about));
            }
        }
        What::Show { name, standalone } => {
            let format = BuiltIn::named(name).ok_or_else(|| Failure {
                code: FAILURE,
                text: format!("there is no format {name:?}; see `quarantine-bridge formats list`"),
            })?;
            let code = if *standalone { format.standalone() } else { format.code.to_owned() };
            say(code.trim_end());
        }
    }
    Ok(())
}
