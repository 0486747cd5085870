//! `policy test DIR`: golden cases, an alert and facts beside what must be decided.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::alert::{MachineId, Severity, Sha1, SourceName, Target};
use crate::config::{self, Config, Secrets};
use crate::policy::{
    Answer, Approval, Approvals, Candidate, Decision, Facts, Finding, Guard, Verdict, decide,
};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// A folder with one JSON file a case: the members source, now, alert, facts, approvals and expected.
    dir: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// Write what is decided now as what is expected; look at the difference before you keep it.
    #[arg(long)]
    update: bool,
    /// Write one JSON object a case.
    #[arg(long)]
    json: bool,
}

/// One case. What is expected is compared as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Whose policy is asked.
    source: String,
    /// When it is asked.
    now: Timestamp,
    alert: Alert,
    #[serde(default)]
    facts: Facts,
    #[serde(default)]
    approvals: Vec<Approved>,
    #[serde(default)]
    expected: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    severity: Option<String>,
    occurred_at: Option<Timestamp>,
    machine_id: MachineId,
    sha1: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approved {
    by: String,
    guards: Vec<String>,
    at: Timestamp,
}

/// Reads facts alone, as they stand in a case.
pub(super) fn read_facts(path: &Path) -> anyhow::Result<Facts> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no facts", path.display()))
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.file.config, Secrets::Skip)?;
    let (mut cases, mut wrong) = (0_usize, 0_usize);
    for path in files(&arguments.dir)? {
        cases = cases.saturating_add(1);
        let is_right = run_case(arguments, &config, &path).with_context(|| path.display().to_string())?;
        wrong = wrong.saturating_add(usize::from(!is_right));
    }
    let dir = arguments.dir.display();
    let text = match (cases, wrong) {
        (0, _) => format!("{dir} holds no case: no file that ends in .json"),
        (_, 0) => return Ok(()),
        _ => format!("{wrong} of {cases} cases differ from what is expected"),
    };
    Err(Failure { code: FAILURE, text }.into())
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs one case; returns whether it is as expected.
fn run_case(arguments: &Arguments, config: &Config, path: &Path) -> anyhow::Result<bool> {
    let mut written: Value = serde_json::from_slice(&fs::read(path)?)?;
    let case: Case = serde_json::from_value(written.clone())?;
    let found = outcome(&decided(&case, config)?);
    let is_same = found == case.expected;
    if arguments.update && !is_same {
        if let Some(members) = written.as_object_mut() {
            members.insert("expected".to_owned(), found.clone());
        }
        fs::write(path, format!("{written:#}\n"))?;
    }
    let word = match (is_same, arguments.update) {
        (true, _) => "ok",
        (false, true) => "updated",
        (false, false) => "differs",
    };
    if arguments.json {
        let line = json!({"case": path.to_string_lossy(), "outcome": word, "expected": case.expected, "found": found});
        say(&line.to_string());
    } else {
        say(&format!("{word:8} {}", path.display()));
        if word == "differs" {
            say(&format!("expected {:#}\nfound    {found:#}", case.expected));
        }
    }
    Ok(is_same || arguments.update)
}

fn decided(case: &Case, config: &Config) -> anyhow::Result<Verdict> {
    let source: SourceName = case.source.parse()?;
    let policy = config.dispatch.policies.get(&source);
    let policy = policy.with_context(|| format!("the configuration has no source {source}"))?;
    let severity: Option<Severity> = case.alert.severity.as_deref().map(str::parse).transpose()?;
    let sha1: Sha1 = case.alert.sha1.parse()?;
    let candidate = Candidate {
        severity,
        occurred_at: case.alert.occurred_at,
        completed_at: None,
        mode_max: None,
        target: Ok(Target { machine_id: case.alert.machine_id, sha1 }),
    };
    let mut approvals = Approvals::default();
    for approved in &case.approvals {
        let guards: Result<Vec<Guard>, _> = approved.guards.iter().map(|word| word.parse()).collect();
        approvals.0.push(Approval { by: approved.by.clone(), guards: guards?, at: approved.at });
    }
    Ok(decide(&candidate, &case.facts, &approvals, policy, case.now))
}

/// What is compared: the decision, what it would be without shadow mode, its reason, and each guard that did not pass.
fn outcome(verdict: &Verdict) -> Value {
    let would = match verdict.decision {
        Decision::Shadow(answer) => Some(answer.as_str()),
        Decision::Send | Decision::Hold | Decision::Deny | Decision::Expire => None,
    };
    let against = |finding: &&Finding| finding.answer != Answer::Pass;
    let guards: serde_json::Map<String, Value> = verdict
        .trace
        .iter()
        .filter(against)
        .map(|finding| (finding.guard.as_str().to_owned(), json!(finding.answer.as_str())))
        .collect();
    json!({"decision": verdict.decision.as_str(), "would": would, "reason": verdict.reason, "guards": guards})
}
