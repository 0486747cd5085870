//! `promote SOURCE`: what a source in shadow mode would have done, to decide whether it may do more.

use anyhow::Context as _;
use clap::Args as ClapArgs;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::alert::{SourceName, before};
use crate::clock::Clock;
use crate::config::{self, Secrets, parse_duration};
use crate::policy::{Against, Answer, Guard, Limit, Policy, Promotion, promotion};
use crate::store::{ShadowFilter, shadowed};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, say};

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    /// The source.
    source: SourceName,
    /// How far back to look: s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    since: SignedDuration,
    #[command(flatten)]
    file: ConfigFile,
    /// Write the report as JSON.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no duration; write a number with s, m, h or d"))
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.file.config, Secrets::Skip)?;
    let source = &arguments.source;
    let policy = config.dispatch.policies.get(source).ok_or_else(|| Failure {
        code: FAILURE,
        text: format!("{} has no source {source}", arguments.file.config.display()),
    })?;
    let since = before(Clock::system().now(), arguments.since);
    let actions = shadowed(&config.store, &ShadowFilter { source: source.clone(), since })
        .with_context(|| format!("{} cannot be read", config.store.path.display()))?;
    let report = promotion(&actions, &policy.guards.limits);
    if arguments.json {
        say(&as_json(source, policy, since, &report).to_string());
    } else {
        tell(source, policy, since, &report);
    }
    Ok(())
}

/// What would have been done, as a word for a person.
fn told(answer: Answer) -> &'static str {
    match answer {
        Answer::Pass => "sent",
        Answer::Hold => "held",
        Answer::Deny => "denied",
        Answer::Expire => "expired",
    }
}

fn counts(report: &Promotion) -> impl Iterator<Item = (Answer, u64)> {
    Answer::ALL.into_iter().map(|answer| (answer, report.answers.get(&answer).copied().unwrap_or(0)))
}

fn key_words(limit: &Limit) -> Vec<&'static str> {
    limit.keys.iter().map(|key| key.as_str()).collect()
}

fn as_json(source: &SourceName, policy: &Policy, since: Timestamp, report: &Promotion) -> Value {
    let answers: serde_json::Map<String, Value> =
        counts(report).map(|(answer, count)| (told(answer).to_owned(), json!(count))).collect();
    let reasons = report.reasons.iter().map(|((answer, guard), reason)| {
        json!({"would_be": told(*answer), "guard": guard.map(Guard::as_str), "count": reason.count, "example": reason.example})
    });
    let guards = report.guards.iter().map(|(guard, answers)| {
        let of = |answer| answers.get(&answer).copied().unwrap_or(0);
        json!({"guard": guard.as_str(), "held": of(Answer::Hold), "denied": of(Answer::Deny), "expired": of(Answer::Expire)})
    });
    let limits = report.limits.iter().map(|against| {
        json!({"keys": key_words(&against.limit), "period_s": against.limit.period.as_secs(), "max": against.limit.max,
               "peak": against.peak, "peak_at": against.at.map(|at| format!("{at:.3}"))})
    });
    json!({
        "source": source.as_str(), "mode": policy.mode().as_str(), "since": format!("{since:.3}"), "would_be": answers,
        "reasons": reasons.collect::<Vec<_>>(), "guards": guards.collect::<Vec<_>>(), "devices": report.devices,
        "files": report.files, "limits": limits.collect::<Vec<_>>(),
    })
}

fn tell(source: &SourceName, policy: &Policy, since: Timestamp, report: &Promotion) {
    say(&format!("source     {source}: {}, since {since:.0}", policy.told_mode()));
    if report.answers.is_empty() {
        say("nothing    no alert of it was decided in shadow mode since then");
        return;
    }
    for (answer, count) in counts(report) {
        say(&format!("would be   {:<8}{count:>8}", told(answer)));
    }
    say(&format!("touched    {} devices, {} files, by what would be sent", report.devices, report.files));
    for ((answer, guard), reason) in &report.reasons {
        let guard = guard.map_or("-", Guard::as_str);
        say(&format!(
            "reason     {:<8}{:>8}  {guard:<18}such as: {}",
            told(*answer),
            reason.count,
            reason.example
        ));
    }
    for (guard, answers) in &report.guards {
        let of = |answer| answers.get(&answer).copied().unwrap_or(0);
        let (held, denied, expired) = (of(Answer::Hold), of(Answer::Deny), of(Answer::Expire));
        say(&format!("guard      {:<18}held {held}, denied {denied}, expired {expired}", guard.as_str()));
    }
    report.limits.iter().for_each(tell_limit);
}

fn tell_limit(against: &Against) {
    let Against { limit, peak, .. } = against;
    let word = if *peak > u64::from(limit.max) { "above" } else { "within" };
    say(&format!("limit      {word:<8}at most {peak} of {} ({})", limit.max, limit.label()));
}
