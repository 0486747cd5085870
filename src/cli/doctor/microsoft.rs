//! The token, its roles against what the configuration uses, and a read of Defender's list. Nothing is changed there.

use crate::clock::Clock;
use crate::config::Config;
use crate::defender::{Defender, ListFilter, ReadError, Token, TokenError};
use crate::dispatch::resolve::By;
use crate::graph::Graph;
use crate::policy::{Need, Policy};
use crate::telemetry::Metrics;

use super::finding::{Check, Finding, note, well, wrong};

/// Roles that this program has a use for.
const USED: [&str; 5] = [
    "Machine.StopAndQuarantine",
    "Machine.Read.All",
    "Machine.ReadWrite.All",
    "File.Read.All",
    "Alert.Read.All",
];

/// Asks Entra ID for a token, looks at what it allows, and reads Defender's list.
pub(super) async fn look(config: &Config, clock: &Clock) -> Vec<Finding> {
    let metrics = Metrics::new();
    let mut findings = match Defender::new(&config.defender, clock.clone(), metrics.clone()) {
        Ok(defender) => defender_findings(config, &defender, clock).await,
        Err(error) => vec![wrong(Check::Token, error.to_string(), "install the package ca-certificates")],
    };
    if let Some(graph) = &config.graph {
        findings.push(match Graph::new(graph, clock.clone(), metrics) {
            Ok(graph) => match graph.token().await {
                Ok(_) => well(
                    Check::Token,
                    "Entra ID gave a token for Microsoft Graph, with the role that it needs",
                ),
                Err(error) => no_token("Microsoft Graph", &error),
            },
            Err(error) => wrong(Check::Token, error.to_string(), "install the package ca-certificates"),
        });
    }
    findings
}

async fn defender_findings(config: &Config, defender: &Defender, clock: &Clock) -> Vec<Finding> {
    let token = match defender.token().await {
        Ok(token) => token,
        Err(error) => return vec![no_token("Defender", &error)],
    };
    let mut findings = vec![well(Check::Token, "Entra ID gave a token for Defender")];
    findings.extend(roles(config, &token));
    // No machine action was made in the future: the answer is short, and asks for nothing but the right to read.
    let listed = defender.machine_actions(&token, &ListFilter::Since(clock.now())).await;
    findings.push(match listed {
        Ok(_) => well(Check::List, "Defender's list of machine actions can be read"),
        Err(error) => wrong(Check::List, error.to_string(), remedy(&error)),
    });
    findings
}

fn no_token(what_for: &str, error: &TokenError) -> Finding {
    if matches!(error, TokenError::RoleMissing(_)) {
        return wrong(
            Check::Roles,
            format!("{what_for}: {error}"),
            "add the application permission to the app registration, grant admin consent, and wait some minutes: README.md has \
             the steps",
        );
    }
    let next = "do what is said there; if Entra ID was not reached, see what is said of the network";
    wrong(Check::Token, format!("{what_for}: {error}"), next)
}

fn remedy(error: &ReadError) -> &'static str {
    match error {
        ReadError::Forbidden(_) | ReadError::Unauthorized(_) => {
            "grant Machine.Read.All with admin consent, check that api_url is of the tenant's cloud, and that Defender for \
             Endpoint is licensed"
        }
        ReadError::Throttled { .. } => {
            "wait a minute, and see whether another program uses the same app registration"
        }
        ReadError::NoAnswer(_) => "see what is said of the network",
        _ => "look at https://status.cloud.microsoft, and try again",
    }
}

fn roles(config: &Config, token: &Token) -> Vec<Finding> {
    let Some(have) = token.roles() else {
        let next = "nothing: the probe below tells whether Defender takes it";
        return vec![note(Check::Roles, "the token cannot be read, so its roles are not known", next)];
    };
    let mut findings = vec![well(Check::Roles, format!("the token has {}", have.join(", ")))];
    let reads_files = have.iter().any(|role| role == "File.Read.All");
    let asking: Vec<&str> = config
        .dispatch
        .policies
        .iter()
        .filter(|(_, policy)| asks_about_files(policy))
        .map(|(source, _)| source.as_str())
        .collect();
    if !reads_files && !asking.is_empty() {
        let what =
            format!("the token lacks File.Read.All, and guards about files are on for {}", asking.join(", "));
        let next = "grant it with admin consent, or switch microsoft_signed, trusted_publisher, determination, prevalence and \
                    seen_on_device off: else every action is held";
        findings.push(wrong(Check::Roles, what, next));
    }
    let by_hash: Vec<&str> = config
        .dispatch
        .rules
        .iter()
        .filter(|(_, rules)| rules.allow(By::Sha256) || rules.allow(By::Md5))
        .map(|(source, _)| source.as_str())
        .collect();
    if !reads_files && !by_hash.is_empty() {
        let what = format!(
            "without File.Read.All no file is found by SHA256 or MD5, which {} may",
            by_hash.join(", ")
        );
        findings.push(note(
            Check::Roles,
            what,
            "grant it, or say sha256 = false and md5 = false in their [resolve]",
        ));
    }
    let more: Vec<&str> = have.iter().map(String::as_str).filter(|role| !USED.contains(role)).collect();
    if !more.is_empty() {
        let what = format!("the token allows more than is used: {}", more.join(", "));
        let next = "take these permissions away, or give the bridge an app registration of its own: whoever has its secret \
                    may do all that";
        findings.push(note(Check::Roles, what, next));
    }
    findings
}

fn asks_about_files(policy: &Policy) -> bool {
    [Need::File, Need::Prevalence, Need::Sightings].into_iter().any(|need| policy.guards.needs(need))
}
