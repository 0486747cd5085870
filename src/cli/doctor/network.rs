//! Whether the others are reached, and what time it is there. Nobody is shown a secret.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use reqwest::Response;
use reqwest::header::DATE;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::Principals;
use crate::outgoing::{Outgoing, causes};

use super::finding::{Check, Finding, note, well, wrong};

/// How long one of the others may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far this machine's clock may be from theirs.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Somebody whom the service asks.
struct Other {
    name: &'static str,
    url: Url,
    /// Whether only 200 will do; else any answer says that they are there.
    must_know: bool,
    /// Whether their clock is looked at.
    has_clock: bool,
}

/// Asks everybody whom the service asks.
pub(super) async fn look(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    for other in others(config) {
        match ask(&other, clock).await {
            Ok(told) => findings.extend(told),
            Err(error) => findings.push(unreached(&other, &error)),
        }
    }
    findings
}

fn others(config: &Config) -> Vec<Other> {
    let under = |base: &Url, segments: &[&str]| {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    };
    let app = &config.defender.app;
    let discovery = [app.tenant_id.as_str(), "v2.0", ".well-known", "openid-configuration"];
    let mut others = vec![
        Other { name: "Entra ID", url: under(&app.login_url, &discovery), must_know: true, has_clock: true },
        Other {
            name: "Defender",
            url: under(&config.defender.api_url, &["api", "machineactions"]),
            must_know: false,
            has_clock: true,
        },
    ];
    others.extend(config.graph.as_ref().map(|graph| Other {
        name: "Microsoft Graph",
        url: under(&graph.api_url, &["v1.0"]),
        must_know: false,
        has_clock: false,
    }));
    let of_sources = config.http.sources.iter().filter_map(|source| source.gate.issuer());
    let of_callers = config.http.principals.iter().map(Principals::issuer);
    let mut keys: Vec<&Url> = of_sources.chain(of_callers).map(|issuer| issuer.keys.url()).collect();
    keys.sort_unstable();
    keys.dedup();
    others.extend(keys.into_iter().map(|url| Other {
        name: "the issuer of tokens",
        url: url.clone(),
        must_know: true,
        has_clock: false,
    }));
    others
}

/// Asks one of them; tells that they are there, and how their clock is.
async fn ask(other: &Other, clock: &Clock) -> Result<Vec<Finding>, String> {
    let client = Outgoing { total_timeout: PATIENCE, ..Outgoing::new(&other.url) }.client();
    let client = client.map_err(|error| error.to_string())?;
    let asked_at = clock.now();
    let response = client.get(other.url.clone()).send().await.map_err(causes)?;
    let answered_at = clock.now();
    let host = other.url.host_str().unwrap_or_default();
    let status = response.status().as_u16();
    let what = format!("{} answers at {host} (HTTP {status})", other.name);
    let reached = if other.must_know && status != 200 {
        let next = "check the tenant's or issuer's id in the configuration; a proxy on the way may have answered in their place";
        wrong(Check::Network, what, next)
    } else {
        well(Check::Network, what)
    };
    let skew = if other.has_clock { skew(&response, (asked_at, answered_at)) } else { None };
    Ok(vec![reached].into_iter().chain(skew.map(|skew| told_skew(other.name, skew))).collect())
}

/// How far our clock is ahead of theirs: they wrote their time between our question and their answer.
fn skew(response: &Response, (asked_at, answered_at): (Timestamp, Timestamp)) -> Option<SignedDuration> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let theirs = rfc2822::parse(date).ok()?.timestamp();
    if theirs < asked_at {
        // Theirs has whole seconds only.
        return Some(
            asked_at
                .duration_since(theirs)
                .saturating_sub(SignedDuration::from_secs(1))
                .max(SignedDuration::ZERO),
        );
    }
    Some(answered_at.duration_since(theirs).min(SignedDuration::ZERO))
}

fn told_skew(name: &str, skew: SignedDuration) -> Finding {
    let (seconds, word) = (skew.abs().as_secs(), if skew.is_negative() { "behind" } else { "ahead of" });
    let what = format!("this clock is {seconds} s {word} that of {name}");
    if skew.abs() > SKEW_MAX {
        let next = "set the clock by NTP, such as with chrony or systemd-timesyncd; `timedatectl` shows whether it is";
        return wrong(Check::Clock, what, next);
    }
    well(Check::Clock, what)
}

fn unreached(other: &Other, error: &str) -> Finding {
    let host = other.url.host_str().unwrap_or_default();
    let what = format!("{} is not reached at {host}: {error}", other.name);
    let lower = error.to_ascii_lowercase();
    let next = if lower.contains("dns") {
        "the name is not found: check the resolver of this machine (/etc/resolv.conf), or HTTPS_PROXY if a proxy looks names up"
    } else if lower.contains("certificate") || lower.contains("tls") {
        "the certificate is not trusted: a proxy that opens TLS is in between, the authorities of this machine are missing \
         (package ca-certificates), or its clock is wrong"
    } else {
        "let this machine connect to that host on its port, through the firewall, or name the proxy in HTTPS_PROXY where the \
         service starts"
    };
    wrong(Check::Network, what, next)
}

/// Asks the service on this machine whether it takes deliveries.
pub(super) async fn service(config: &Config) -> Finding {
    let mut listen = config.http.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
    }
    let is_there = matches!(timeout(PATIENCE, TcpStream::connect(listen)).await, Ok(Ok(_)));
    if !is_there {
        let next = "start it when all else is well: systemctl start quarantine-bridge";
        return note(Check::Service, format!("nobody listens on {listen}"), next);
    }
    if config.http.tls.is_some() {
        return well(Check::Service, format!("the service listens on {listen}, with TLS"));
    }
    match ready(listen).await {
        Ok((200, text)) if says(&text, "ready") == Some(Value::Bool(true)) => {
            well(Check::Service, format!("the service on {listen} takes deliveries"))
        }
        Ok((status, text)) => {
            let what = format!("what listens on {listen} is not ready (HTTP {status}): {}", detail(&text));
            wrong(
                Check::Service,
                what,
                "see what is said of the disk, and the service's log; or another program has the port",
            )
        }
        Err(error) => {
            let what = format!("what listens on {listen} does not answer: {error}");
            wrong(
                Check::Service,
                what,
                "another program has the port, or the service hangs: look at its log, and restart it",
            )
        }
    }
}

async fn ready(listen: SocketAddr) -> Result<(u16, String), String> {
    let url: Url = format!("http://{listen}/readyz").parse().map_err(|error| format!("{error}"))?;
    let client = Outgoing { total_timeout: PATIENCE, ..Outgoing::new(&url) }.client();
    let client = client.map_err(|error| error.to_string())?;
    let response = client.get(url).send().await.map_err(causes)?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.map_err(causes)?))
}

/// What a problem says.
fn detail(text: &str) -> String {
    let detail = says(text, "detail").and_then(|detail| detail.as_str().map(ToOwned::to_owned));
    detail.unwrap_or_else(|| "no answer of ours".to_owned()).chars().take(200).collect()
}

fn says(text: &str, member: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok()?.get(member).cloned()
}
