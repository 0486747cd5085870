//! One bridge under fire: the real binary, the simulator, the proxy between them, and what was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use quarantine_bridge::alert::{SignedId, after};
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::sign;
use quarantine_bridge::simulator::Simulator;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{interval, timeout};

use crate::audit;
use crate::harness::binary::{Installation, Serving};
use crate::harness::{key, simulate};
use crate::proxy::Proxy;
use crate::report::Row;

/// The file that every alert is about.
const SHA1: &str = "2222222222bbbbbbbbbb2222222222bbbbbbbbbb";

/// Fast enough that minutes are enough for thousands of alerts; limits are out of the way, and nothing is asked about
/// devices and files.
pub(crate) const FAST: &str = "[budget]\ncalls_per_minute = 1000000\ncalls_per_hour = 1000000\n\
    reads_per_minute = 1000000\nreads_per_hour = 1000000\n\
    [retention]\nafter = \"3660d\"\n\
    [dispatch]\nsettle = \"1s\"\nlook_every = \"50ms\"\n[log]\nlevel = \"warn\"\n\
    [sources.soc.quota]\ndeliveries_per_minute = 1000000\nburst = 1000000\n\
    [sources.soc.policy.guards]\nos = \"off\"\ndevice_state = \"off\"\nprotected_device = \"off\"\n\
    microsoft_signed = \"off\"\ntrusted_publisher = \"off\"\ndetermination = \"off\"\nprevalence = \"off\"\n\
    seen_on_device = \"off\"\n";

/// How many deliveries are under way at once.
const AT_ONCE: usize = 16;

/// Every state that is no end.
const UNFINISHED: [&str; 8] =
    ["accepted", "resolving", "decided", "queued", "sending", "uncertain", "submitted", "held"];

/// What a delivery was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// 503 with `Retry-After`.
    PutOff,
    /// None: refused, or broken off.
    Nothing,
    /// Anything else: never right.
    Wrong(u16),
}

pub(crate) struct Site {
    pub(crate) simulator: Simulator,
    pub(crate) proxy: Proxy,
    pub(crate) installation: Installation,
    pub(crate) client: Client,
    pub(crate) accepted: BTreeSet<usize>,
    pub(crate) wrong: Vec<(usize, u16)>,
    /// How far the bridge's clock is ahead of this one.
    pub(crate) ahead: SignedDuration,
    /// When alerts happened that are sent from now on.
    pub(crate) occurred_at: Timestamp,
    token: String,
    listening: AbortHandle,
    tasks: JoinSet<()>,
}

impl Site {
    /// Makes an installation whose Defender is the simulator behind the proxy; nothing is started yet.
    pub(crate) async fn new(more: &str) -> Self {
        let (simulator, mut tasks) = simulate(Clock::system());
        simulator.with(|state| {
            state.switches.in_progress_after_ms = 20;
            state.switches.done_after_ms = 60;
        });
        let port = simulator.url().rsplit(':').next().unwrap().parse().unwrap();
        let (proxy, listening) = Proxy::start(port, &mut tasks).await;
        let installation = Installation::new(&proxy.url(), more);
        proxy.watch(&installation.path("bridge.db"));
        let mut site = Self {
            simulator,
            proxy,
            client: Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap(),
            accepted: BTreeSet::new(),
            wrong: Vec::new(),
            ahead: SignedDuration::ZERO,
            occurred_at: Clock::system().now(),
            token: String::new(),
            installation,
            listening,
            tasks,
        };
        site.renew_token();
        site
    }

    /// Makes a token in the database that is configured now.
    pub(crate) fn renew_token(&mut self) {
        let make = ["token", "create", "--name", "campaign", "--scope", "actions:read", "--scope", "metrics"];
        let output = self.installation.run(&make);
        String::from_utf8(output.stdout).unwrap().trim().clone_into(&mut self.token);
    }

    /// The metrics.
    pub(crate) async fn metrics(&self) -> String {
        let request = self.client.get(self.installation.url("/metrics")).bearer_auth(&self.token);
        let Ok(response) = request.send().await else {
            return String::new();
        };
        response.text().await.unwrap_or_default()
    }

    /// The sum of all values of a metric that have this label; 0 if there is none.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> usize {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }

    /// Starts the service and waits until it accepts deliveries.
    pub(crate) async fn serve(&self) -> Serving {
        let serving = self.installation.serve();
        self.installation.wait_until_ready().await;
        serving
    }

    /// Nobody listens any more where Defender was.
    pub(crate) fn refuse_connections(&self) {
        self.listening.abort();
    }

    pub(crate) async fn take_connections(&mut self) {
        self.listening = self.proxy.listen_again(&mut self.tasks).await;
    }

    fn body(&self, number: usize) -> String {
        // The same bytes every time, or sending again would be a conflict.
        let target = json!({"machine": format!("{number:040x}"), "file": SHA1});
        json!({"alert_id": format!("alert-{number}"), "severity": "high", "targets": [target],
               "occurred_at": self.occurred_at.to_string()})
        .to_string()
    }

    /// Sends an alert as a sender does.
    pub(crate) async fn ask(&self, number: usize) -> Answer {
        let now = after(Clock::system().now(), self.ahead);
        let body = self.body(number);
        let id: SignedId = format!("msg_{number}").parse().unwrap();
        let request = self
            .client
            .post(self.installation.url("/v1/hooks/soc"))
            .header("content-type", "application/json")
            .header("webhook-id", id.as_str())
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", sign(&key(), &id, now, body.as_bytes()))
            .timeout(Duration::from_secs(20))
            .body(body);
        let Ok(response) = request.send().await else {
            return Answer::Nothing;
        };
        match response.status().as_u16() {
            200 | 202 => Answer::Accepted,
            503 if response.headers().contains_key("retry-after") => Answer::PutOff,
            status => Answer::Wrong(status),
        }
    }

    pub(crate) fn note(&mut self, number: usize, answer: Answer) {
        match answer {
            Answer::Accepted => drop(self.accepted.insert(number)),
            Answer::Wrong(status) => self.wrong.push((number, status)),
            Answer::PutOff | Answer::Nothing => {}
        }
    }

    /// Sends one alert and notes the answer.
    pub(crate) async fn send(&mut self, number: usize) -> Answer {
        let answer = self.ask(number).await;
        self.note(number, answer);
        answer
    }

    /// Sends alerts until a moment, whatever is under way then.
    pub(crate) async fn send_for(&mut self, numbers: &[usize], moment: Duration) {
        let mut answers = Vec::new();
        let this = &*self;
        let mut sends: FuturesUnordered<_> =
            numbers.iter().map(|number| async move { (*number, this.ask(*number).await) }).collect();
        drop(
            timeout(moment, async {
                while let Some(answer) = sends.next().await {
                    answers.push(answer);
                }
                pending::<()>().await;
            })
            .await,
        );
        drop(sends);
        for (number, answer) in answers {
            self.note(number, answer);
        }
    }

    /// Sends alerts until each is accepted.
    pub(crate) async fn send_all(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let mut left: Vec<usize> = numbers.into_iter().filter(|it| !self.accepted.contains(it)).collect();
        for _ in 0..100 {
            let this = &*self;
            let sends = left.iter().map(|number| async move { (*number, this.ask(*number).await) });
            let answers: Vec<_> = stream::iter(sends).buffer_unordered(AT_ONCE).collect().await;
            for (number, answer) in answers {
                self.note(number, answer);
            }
            left.retain(|number| !self.accepted.contains(number));
            if left.is_empty() {
                return;
            }
            wait(Duration::from_millis(100)).await;
        }
        panic!("{} alerts are not accepted: {:?}\n{}", left.len(), self.wrong, self.last_lines());
    }

    /// The end of its log.
    fn last_lines(&self) -> String {
        let log = self.installation.log();
        let lines: Vec<_> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// One read of the API; `None` if there is no answer.
    pub(crate) async fn read(&self, path: &str) -> Option<Value> {
        let url = self.installation.url(path);
        let request = self.client.get(url).bearer_auth(&self.token).timeout(Duration::from_secs(20));
        let text = request.send().await.ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The same, again until there is an answer: a connection may be cut off when clocks are set.
    async fn read_again(&self, path: &str) -> Value {
        for _ in 0..50 {
            if let Some(page) = self.read(path).await {
                return page;
            }
            wait(Duration::from_millis(100)).await;
        }
        panic!("the API does not answer\n{}", self.last_lines());
    }

    async fn has_unfinished(&self) -> bool {
        for state in UNFINISHED {
            let page = self.read(&format!("/v1/actions?limit=1&state={state}")).await;
            if page.is_none_or(|page| page["actions"].as_array().is_none_or(|them| !them.is_empty())) {
                return true;
            }
        }
        false
    }

    /// Waits until every action is over or patience ends; returns the records of all, by alert.
    pub(crate) async fn settled(&self, patience: Duration) -> BTreeMap<String, Value> {
        let over = async {
            let mut ticks = interval(Duration::from_millis(100));
            while self.has_unfinished().await {
                ticks.tick().await;
            }
        };
        drop(timeout(patience, over).await);
        self.records().await
    }

    /// The records of all actions, by alert.
    pub(crate) async fn records(&self) -> BTreeMap<String, Value> {
        let mut records = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = self.read_again(&format!("/v1/actions?limit=200{cursor}")).await;
            for action in page["actions"].as_array().expect("a page of actions") {
                records.insert(action["alert"]["id"].as_str().unwrap().to_owned(), action.clone());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return records,
            }
        }
    }

    /// Waits for the end of all, and writes into the row what the promises say.
    pub(crate) async fn audit(&self, row: &mut Row) -> BTreeMap<String, Value> {
        let records = self.settled(Duration::from_mins(3)).await;
        audit::check(self, &records, row);
        self.verify_record(row);
        records
    }

    /// The audit record must be a chain, whatever has happened.
    pub(crate) fn verify_record(&self, row: &mut Row) {
        let verified = self.installation.run(&["audit", "verify"]);
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        row.require(verified.status.success(), format!("the audit record is broken: {said}"));
    }

    /// The quarantine calls that the simulator saw: device and time.
    pub(crate) fn calls(&self) -> Vec<(String, Timestamp, u16)> {
        let calls = self.simulator.calls();
        let quarantines = calls.iter().filter(|call| call.path.ends_with("/StopAndQuarantineFile"));
        quarantines
            .map(|call| {
                let machine = call.path.split("/machines/").nth(1).unwrap().split('/').next().unwrap();
                (machine.to_owned(), call.at.parse().unwrap(), call.status)
            })
            .collect()
    }
}

/// Lets time pass.
pub(crate) async fn wait(time: Duration) {
    drop(timeout(time, pending::<()>()).await);
}
