//! `completions` and `man`: what a shell and `man` know of the commands, made of the commands themselves.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

const NAME: &str = "quarantine-bridge";

#[derive(Debug, ClapArgs)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Man {
    /// The folder that gets a page for each command; it is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the completions to standard output. A reader who has left is no failure.
pub(super) fn completions(arguments: &Completions, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, NAME, &mut script);
    drop(io::stdout().write_all(&script));
}

pub(super) fn man(arguments: &Man, command: Command) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("{}: cannot be written; name a folder that can", folder.display()))
}
