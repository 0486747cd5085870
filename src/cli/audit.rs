//! `audit`: makes the key, signs, verifies and hands out the audit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use secrecy::ExposeSecret as _;

use crate::audit::{Broken, Checkpoint, Fault, SignedCheckpoint, Verified};
use crate::audit::{PublicKey, SigningKey, Verifier, Wrong, read_line};
use crate::clock::Clock;
use crate::config::{self, Secrets};
use crate::store::{sign_audit, verify_audit};

use super::ConfigFile;
use super::audit_export::{self, Export};
use super::exit::{FAILURE, Failure, say, say_error};

/// What stands before a checkpoint in a log line, whose other parts are the log's.
const CHECKPOINT_BEGINS: &str = "{\"checkpoint\":{";

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key that signs checkpoints; its public half is shown.
    Key {
        /// The file to write. Nothing may be there yet.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Sign the audit as it stands and show the checkpoint, to be kept elsewhere.
    Checkpoint {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Follow the audit from its first entry and tell whether it is as it was written.
    Verify(Verify),
    /// Write the audit to standard output.
    Export(Export),
}

#[derive(Debug, ClapArgs)]
struct Verify {
    #[command(flatten)]
    file: ConfigFile,
    /// A file that `audit export --format record` wrote, instead of the database.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere, one a line.
    #[arg(long = "checkpoints", value_name = "FILE", requires = "keys")]
    checkpoints: Vec<PathBuf>,
    /// The public half of a key that signed checkpoints; may be given more than once.
    #[arg(long = "public-key", value_name = "KEY")]
    keys: Vec<PublicKey>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.what {
        What::Key { to } => make_key(to),
        What::Checkpoint { file } => checkpoint(file),
        What::Verify(verify) => run_verify(verify),
        What::Export(export) => audit_export::run(export),
    }
}

/// Writes the secret half so that only its owner may read it. A file that is there is left alone.
fn make_key(to: &Path) -> anyhow::Result<()> {
    let key = SigningKey::generate()?;
    let text = key.reveal()?;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(|| format!("{} cannot be made", to.display()))?;
    file.write_all(text.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    say_error("the public half; whoever has it can verify, so keep it where the checkpoints are kept");
    say(&key.public().to_string());
    Ok(())
}

fn checkpoint(file: &ConfigFile) -> anyhow::Result<()> {
    let config = config::load(&file.config, Secrets::Read)?;
    let Some(options) = &config.checkpoints else {
        let text = "the audit is not signed: name a key in [audit] signing_key".to_owned();
        return Err(Failure { code: FAILURE, text }.into());
    };
    say(&sign_audit(&config.store, &options.key, Clock::system().now())?);
    Ok(())
}

fn run_verify(verify: &Verify) -> anyhow::Result<()> {
    let mut checkpoints = Vec::new();
    for path in &verify.checkpoints {
        read_checkpoints(path, &verify.keys, &mut checkpoints)?;
    }
    let verifier = Verifier::new(verify.keys.clone(), &checkpoints);
    let found = match &verify.record {
        Some(path) => verify_file(path, verifier)?,
        None => verify_audit(&verify.file.store()?, verifier)?,
    };
    match found {
        Ok(whole) => tell(&whole),
        Err(wrong) => return Err(Failure { code: FAILURE, text: wrong.to_string() }.into()),
    }
    Ok(())
}

/// Reads every checkpoint in a file, each of which must be signed by one of the keys.
fn read_checkpoints(path: &Path, keys: &[PublicKey], all: &mut Vec<Checkpoint>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    for (number, line) in (1_u64..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let place = || format!("{}:{number}", path.display());
        if !line.starts_with(CHECKPOINT_BEGINS) {
            let text = format!("{}: is no checkpoint; put each on a line of its own", place());
            return Err(Failure { code: FAILURE, text }.into());
        }
        all.push(SignedCheckpoint::read(line, keys).with_context(place)?);
    }
    Ok(())
}

fn verify_file(path: &Path, mut verifier: Verifier) -> anyhow::Result<Result<Verified, Wrong>> {
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line)? {
        let seq = verifier.next_seq();
        let followed = match line.strip_suffix(b"\n").and_then(read_line) {
            Some((text, digest)) => verifier.follow(text, digest).map(|_| ()),
            None => {
                Err(Broken { seq, fault: Fault::Unreadable("the line is not as it is written".to_owned()) }
                    .into())
            }
        };
        if let Err(wrong) = followed {
            return Ok(Err(wrong));
        }
    }
    Ok(verifier.finish())
}

fn next_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.read_until(b'\n', line)? > 0)
}

fn tell(verified: &Verified) {
    let Verified { entries, head, checkpoints, signed_to, restores } = verified;
    say(&format!("{entries} entries, none changed; the last has {head}"));
    say(&format!("{checkpoints} checkpoints fit, the last of them signs entry {signed_to}"));
    if *restores > 0 {
        say_error(&format!(
            "the database was restored from a backup {restores} times: see the entries of kind restore"
        ));
    }
    if signed_to < entries {
        say_error(&format!(
            "whether entries after {entries} were cut off cannot be known without a later checkpoint"
        ));
    }
}
