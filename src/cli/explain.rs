//! `explain`: what an alert would do, step by step, without doing it.

use std::iter;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::alert::{
    Alert, EntityPair, GraphAlertId, HeldReason, RefusedAlert, Severity, SourceName, Unresolved, comment,
};
use crate::clock::Clock;
use crate::config::{self, Config, Secrets};
use crate::dispatch::resolve::{Given, Plan, Resolution, Rules, Step, plan, resolve};
use crate::mapping::{self, Cancel, Format, LeftOut, Mapped, Role};
use crate::policy::{Answer, Approvals, Candidate, Decision, Fact, Facts, OwnFacts, Policy, decide};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say};
use super::policy_test;
use super::sign::read_payload;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The payload; - for standard input.
    payload: PathBuf,
    /// The source that would send it.
    #[arg(long)]
    source: SourceName,
    #[command(flatten)]
    file: ConfigFile,
    /// A JSON file with what Defender and the bridge's own records would say, as `policy test` takes it.
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Write the steps as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.file.config, Secrets::Skip)?;
    let source = config.http.sources.iter().find(|source| source.name == arguments.source);
    let policy = config.dispatch.policies.get(&arguments.source);
    let (source, policy) = source.zip(policy).ok_or_else(|| Failure {
        code: FAILURE,
        text: format!("{} has no source {}", arguments.file.config.display(), arguments.source),
    })?;
    let payload = read_payload(&arguments.payload)?;
    let (answers, mapped) = read(&source.format, &payload)?;
    let left_out: Vec<Value> = mapped.evidence.iter().flat_map(mapping::left_out).collect();
    let references: Vec<&str> = mapped.references.iter().map(GraphAlertId::as_str).collect();
    let notices: Vec<&str> = mapped.notices.iter().map(|notice| notice.lifecycle.as_str()).collect();
    let rules = config.dispatch.rules.get(&arguments.source).copied().unwrap_or_default();
    let facts = arguments.facts.as_deref().map(policy_test::read_facts).transpose()?;
    let steps = explained(&mapped, &Rulebook { policy, rules: &rules, facts: facts.as_ref() }, &config);
    if arguments.json {
        let head = json!({"source": arguments.source.as_str(), "format": source.format.name(),
            "mode": policy.mode().as_str(), "source_mode": policy.source_mode.as_str(),
            "mode_max": policy.mode_max.as_str()});
        let all = json!({"source": head, "answers": answers, "alerts": steps, "refused": mapped.refused,
            "left_out": left_out, "references": references, "notices": notices});
        say(&all.to_string());
    } else {
        say(&format!(
            "source     {}: format {}, {}",
            arguments.source,
            source.format.name(),
            policy.told_mode()
        ));
        for answer in &answers {
            say(&format!("answer     {answer}"));
        }
        steps.iter().for_each(say_alert);
        for id in &references {
            say(&format!("reference  {id}: fetched from Microsoft Graph, and read as graph-alert-v2"));
        }
        for notice in &notices {
            say(&format!("notice     {notice}: logged and counted; it makes no action"));
        }
        mapped.refused.iter().for_each(say_refused);
        mapped.evidence.iter().flat_map(|it| &it.left_out).for_each(say_left_out);
    }
    if mapped.alerts.is_empty() && references.is_empty() && notices.is_empty() {
        let text =
            "nothing in it can become an action; the bridge would keep it and answer 400 or 422".to_owned();
        return Err(Failure { code: FAILURE, text }.into());
    }
    Ok(())
}

/// Reads the payload as the service does; returns what the format answers too.
fn read(format: &Format, payload: &[u8]) -> anyhow::Result<(Vec<Value>, Mapped)> {
    let both = mapping::on_mapping_thread(|| {
        let cancel = Cancel::default();
        (mapping::answers(format, payload, &cancel), mapping::map(format, payload, &cancel))
    });
    let (answers, mapped) = both.context("the thread for payloads cannot be started")?;
    let answers = answers.iter().flatten().map(|answer| serde_json::from_str(answer).unwrap_or_default());
    Ok((answers.collect(), mapped.unwrap_or_else(Into::into)))
}

/// What the configuration says of the source.
struct Rulebook<'a> {
    policy: &'a Policy,
    rules: &'a Rules,
    /// What is known, if somebody says so.
    facts: Option<&'a Facts>,
}

/// What is said where the guards would ask.
const FACTS_FIRST: &str = "the guards first ask Defender about device and file, and look at the bridge's own records; \
                           --facts FILE shows what they make of the answers";

/// What an alert says by itself.
fn facts_of(alert: &Alert) -> Facts {
    let named = u64::try_from(alert.targets.len()).unwrap_or(u64::MAX);
    let own = OwnFacts { targets_of_alert: Fact::Known(named), ..OwnFacts::default() };
    Facts::unknown("explain asks nothing", own)
}

fn explained(mapped: &Mapped, rulebook: &Rulebook<'_>, config: &Config) -> Vec<Value> {
    let alert = |alert: &Alert| {
        let roles = mapped.evidence.iter().find(|it| {
            it.alert_id.as_deref() == Some(alert.alert_id.as_str()) && it.roles.len() == alert.targets.len()
        });
        let roles =
            roles.map_or(&[][..], |evidence| &evidence.roles).iter().copied().chain(iter::repeat(None));
        let pairs = alert.targets.iter().zip(roles);
        let targets: Vec<Value> =
            pairs.map(|(pair, role)| target(alert, (pair, role), rulebook, config)).collect();
        json!({
            "alert_id": alert.alert_id.as_str(), "severity": alert.severity.map(Severity::as_str),
            "title": alert.title, "occurred_at": alert.occurred_at.map(|at| format!("{at:.3}")), "targets": targets,
        })
    };
    mapped.alerts.iter().map(alert).collect()
}

fn target(
    alert: &Alert,
    (pair, role): (&EntityPair, Option<Role>),
    rulebook: &Rulebook<'_>,
    config: &Config,
) -> Value {
    let now = Clock::system().now();
    let (occurred_at, rules) = (alert.occurred_at, rulebook.rules);
    let given = Given { pair, occurred_at, completion: None, rules, now };
    // Nothing is asked: what Defender would have to say first is told instead.
    let resolution = resolve(&given, &|_| None);
    let asks = matches!(resolution, Resolution::Ask(_));
    let target = match resolution {
        Resolution::Resolved(target, _) => Ok(target),
        Resolution::Unresolved(unresolved) => Err(unresolved),
        Resolution::Ask(question) => {
            Err(Unresolved::new(HeldReason::NotLookedUp, format!("Defender is asked first for {question}")))
        }
    };
    let severity = alert.severity;
    let candidate =
        Candidate { severity, occurred_at, completed_at: None, mode_max: None, target: target.clone() };
    let facts = rulebook.facts.cloned().unwrap_or_else(|| facts_of(alert));
    let verdict = decide(&candidate, &facts, &Approvals::default(), rulebook.policy, now);
    // Denied or too late is what it is, whatever Defender would say.
    let is_open = matches!(verdict.decision, Decision::Hold | Decision::Shadow(Answer::Hold));
    let (decision, reason, state) = match &target {
        Err(unresolved) if is_open && asks => ("look_up", unresolved.evidence.clone(), "resolving"),
        Ok(_) if is_open && rulebook.facts.is_none() => ("look_up", FACTS_FIRST.to_owned(), "resolving"),
        _ => (verdict.decision.as_str(), verdict.reason.clone(), verdict.state().as_str()),
    };
    let call = target.ok().map(|target| {
        let base = config.defender.api_url.as_str().trim_end_matches('/');
        json!({
            "method": "POST",
            "url": format!("{base}/api/machines/{}/StopAndQuarantineFile", target.machine_id),
            "body": {"Comment": comment(&alert.alert_id, None), "Sha1": target.sha1.to_string()},
        })
    });
    let guards: Vec<Value> = verdict
        .trace
        .iter()
        .map(|it| json!({"guard": it.guard.as_str(), "answer": it.answer.as_str(), "evidence": it.evidence}))
        .collect();
    json!({
        "role": role,
        "machine": {"entity": pair.machine.key(), "dns_name": pair.machine.dns_name, "found_at": pair.found_at.machine,
                    "candidates": pair.candidates.iter().map(mapping::machine).collect::<Vec<_>>()},
        "file": {"entity": pair.file.key(), "name": pair.file.name, "found_at": pair.found_at.file},
        "resolution": resolution_json(&plan(&given)), "guards": guards, "decision": decision,
        "reason": reason, "state": state, "call": call,
    })
}

/// How device and file would be found, in order.
fn resolution_json(plan: &Plan) -> Value {
    let steps = |steps: &[Step]| steps.iter().map(Step::explained).collect::<Vec<_>>();
    json!({"machine": steps(&plan.machine), "file": steps(&plan.file), "left_out": plan.left_out})
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn say_alert(alert: &Value) {
    say(&format!(
        "alert      {}: severity {}, occurred {}, {:?}",
        word(alert, "alert_id"),
        word(alert, "severity"),
        word(alert, "occurred_at"),
        word(alert, "title")
    ));
    for target in alert.get("targets").and_then(Value::as_array).into_iter().flatten() {
        say_target(target);
    }
}

fn say_target(target: &Value) {
    if let Some(role) = target.get("role").and_then(Value::as_str) {
        say(&format!("  role     {role}"));
    }
    let candidates = target.pointer("/machine/candidates").and_then(Value::as_array);
    if let Some(candidates) = candidates.filter(|candidates| !candidates.is_empty()) {
        let all: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        say(&format!("  machine  one of {}; the alert does not say which", all.join(", ")));
    }
    for (label, name) in [("machine", "dns_name"), ("file", "name")] {
        let entity = target.get(label).unwrap_or(&Value::Null);
        say(&format!(
            "  {label:<9}{} ({}), from {}",
            word(entity, "entity"),
            word(entity, name),
            word(entity, "found_at")
        ));
    }
    for (label, name) in [("device", "machine"), ("file", "file"), ("left out", "left_out")] {
        let steps = target.pointer(&format!("/resolution/{name}")).and_then(Value::as_array);
        for (n, step) in (1..).zip(steps.into_iter().flatten()) {
            say(&format!("  {:<9}{n}. {}", label, step.as_str().unwrap_or_default()));
        }
    }
    for guard in target.get("guards").and_then(Value::as_array).into_iter().flatten() {
        say(&format!(
            "    {:<18}{:<7}{}",
            word(guard, "guard"),
            word(guard, "answer"),
            word(guard, "evidence")
        ));
    }
    say(&format!("  decision {}: {}", word(target, "decision"), word(target, "reason")));
    if let Some(call) = target.get("call").filter(|call| !call.is_null()) {
        let body = call.get("body").unwrap_or(&Value::Null);
        say(&format!("  call     {} {}\n           {body}", word(call, "method"), word(call, "url")));
    }
}

fn say_refused(refused: &RefusedAlert) {
    say(&format!("refused    {}", refused.alert_id.as_deref().unwrap_or("(no id)")));
    for problem in &refused.problems {
        say(&format!("  {:<17}{}: {}", problem.reason.as_str(), problem.path, problem.detail));
    }
}

fn say_left_out(left_out: &LeftOut) {
    let place = left_out.found_at.as_deref().unwrap_or("-");
    let role = left_out.role.map_or("-", Role::as_str);
    say(&format!("left out   {:<17}{role:<13}{left_out} ({place})", left_out.why.as_str()));
}
