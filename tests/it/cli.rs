//! The commands as a person types them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output, Stdio};

use quarantine_bridge::clock::Clock;
use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::binary::{Installation, command, set_mode};
use crate::harness::{MACHINE, SECRET, SHA1, WHSEC, poll, simulate};

/// Where nobody listens; commands that do not call need no more.
const NOWHERE: &str = "http://127.0.0.1:9";

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn alert(severity: &str) -> String {
    let target =
        json!({"machine": {"id": MACHINE, "dns_name": "ws1"}, "file": {"sha1": SHA1, "name": "evil.dll"}});
    let now = Clock::system().now().to_string();
    json!({"alert_id": "a1", "severity": severity, "title": "t", "occurred_at": now, "targets": [target]})
        .to_string()
}

#[test]
fn without_a_command_the_commands_are_shown() {
    let output = command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    for word in [
        "serve", "demo", "check", "explain", "sign", "send", "relay", "spool", "simulate", "formats",
        "policy", "promote", "approve", "deny", "token",
    ] {
        assert!(err(&output).contains(&format!("\n  {word}")), "{word}");
    }
    assert_eq!(command(&["--help"]).output().unwrap().status.code(), Some(0));
    assert_eq!(command(&["--version"]).output().unwrap().status.code(), Some(0));
    assert_eq!(command(&["nonsense"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn check_is_content_with_a_good_configuration() {
    let installation = Installation::new(NOWHERE, "");
    let output = installation.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("source soc: format bridge, mode enforce"));

    let output = installation.run(&["check", "--json"]);
    let verdict: Value = serde_json::from_str(&out(&output)).unwrap();
    let source = json!({"source": "soc", "mode": "enforce", "source_mode": "enforce", "mode_max": "enforce"});
    let identity = "application client with a client secret";
    let good =
        json!({"valid": true, "warnings": [], "complaints": [], "sources": [source], "identity": identity});
    assert_eq!(verdict, good);
}

/// An edit of a good configuration, the key that is complained about, and words of problem and remedy.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("listen = \"127.0.0.1:", "listen = \"0.0.0.0:", "server.listen", "behind_proxy = true"),
    ("listen = \"127.0.0.1:", "listen = \"localhost:", "server.listen", "such as \"127.0.0.1:8420\""),
    ("listen = \"127.0.0.1:", "listen = \"0.0.0.0:", "server.listen", "add [server.tls]"),
    (
        "[store]",
        "behind_proxy = true\ntrusted_proxies = []\n[store]",
        "server.trusted_proxies",
        "names no proxy",
    ),
    (
        "[store]",
        "behind_proxy = true\ntrusted_proxies = [\"proxy\"]\n[store]",
        "server.trusted_proxies",
        "no network",
    ),
    (
        "listen = \"127.0.0.1:",
        "behind_proxy = true\nlisten = \"0.0.0.0:",
        "server.trusted_proxies",
        "is missing",
    ),
    (
        "[store]",
        "trusted_proxies = [\"10.0.0.0/8\"]\n[store]",
        "server.trusted_proxies",
        "say behind_proxy = true",
    ),
    ("[store]", "client_cert_header = true\n[store]", "server.client_cert_header", "say behind_proxy = true"),
    (
        "[store]",
        "forwarded_header = \"forwarded\"\n[store]",
        "server.forwarded_header",
        "say behind_proxy = true",
    ),
    (
        "[store]",
        "behind_proxy = true\nforwarded_header = \"x-real-ip\"\n[store]",
        "server.forwarded_header",
        "the one that the proxy sets",
    ),
    (
        "[store]",
        "connections_per_address = 0\n[store]",
        "server.connections_per_address",
        "between 1 and 1500",
    ),
    (
        "[store]",
        "connections_per_address = 4000\n[store]",
        "server.connections_per_address",
        "between 1 and 1500",
    ),
    (
        "[store]",
        "public_url = \"http://bridge.example.com\"\n[store]",
        "server.public_url",
        "must begin with https://",
    ),
    ("[store]", "public_url = \"bridge.example.com\"\n[store]", "server.public_url", "it is no URL"),
    (
        "[store]",
        "public_url = \"https://bridge.example.com/?to=1\"\n[store]",
        "server.public_url",
        "neither user, query nor fragment",
    ),
    ("path = \"bridge.db\"", "", "store.path", "is missing"),
    ("[store]", "[stor]", "stor", "do you mean store?"),
    ("mode = \"enforce\"", "", "sources.soc.mode", "\"shadow\" (decide and record, never call)"),
    ("mode = \"enforce\"", "mode = \"on\"", "sources.soc.mode", "mode must be shadow, approve or enforce"),
    ("mode = \"enforce\"", "mode = true", "sources.soc.mode", "boolean found"),
    ("min_severity = \"low\"", "min_severity = \"Low\"", "sources.soc.min_severity", "must be informational"),
    ("min_severity = \"low\"", "max_age = \"1 hour\"", "sources.soc.max_age", "such as \"60m\""),
    ("min_severity = \"low\"", "pending_max = \"4m\"", "sources.soc.pending_max", "write \"24h\""),
    ("min_severity = \"low\"", "pending_max = \"31d\"", "sources.soc.pending_max", "write \"24h\""),
    ("min_severity = \"low\"", "max_age = \"0s\"", "sources.soc.max_age", "every alert is older"),
    (
        "min_severity = \"low\"",
        "min_severtiy = \"low\"",
        "sources.soc.min_severtiy",
        "do you mean min_severity?",
    ),
    ("format = \"bridge\"", "format = \"splunk\"", "sources.soc.format", "one of [\"bridge\""),
    (
        "format = \"bridge\"",
        "format = \"bridge\"\nformat_file = \"x.jq\"",
        "sources.soc.format_file",
        "keep one of the two",
    ),
    ("format = \"bridge\"", "format_file = \"missing.jq\"", "sources.soc.format_file", "No such file"),
    (
        "format = \"bridge\"",
        "format_file = \"bad.jq\"",
        "sources.soc.format_file",
        "line 2: a definition may not call itself",
    ),
    ("[sources.soc]", "[sources.SOC]", "sources.SOC", "rename the source"),
    ("standard-webhooks", "twilio", "sources.soc.auth.scheme", "there is no scheme"),
    ("secrets = [{ file = \"soc-secret\" }]", "secrets = []", "sources.soc.auth.secrets", "names no secret"),
    ("secrets = [{ file = \"soc-secret\" }]", "", "sources.soc.auth.secrets", "is missing"),
    (
        "secrets = [{ file = \"soc-secret\" }]",
        "secrets = [\"whsec_AAAA\"]",
        "sources.soc.auth.secrets",
        "no table",
    ),
    ("\"soc-secret\" }", "\"missing\" }", "sources.soc.auth.secrets[0].file", "cannot be read"),
    ("\"soc-secret\" }", "\"empty\" }", "sources.soc.auth.secrets[0].file", "is empty"),
    ("\"soc-secret\" }", "\"short\" }", "sources.soc.auth.secrets[0].file", "has 3 bytes"),
    ("\"soc-secret\" }", "\"text\" }", "sources.soc.auth.secrets[0].file", "standard base64"),
    ("\"soc-secret\" }", "\"open\" }", "sources.soc.auth.secrets[0].file", "chmod o-rwx"),
    ("\"soc-secret\" }", "\".\" }", "sources.soc.auth.secrets[0].file", "regular file"),
    (
        "\"soc-secret\" }",
        "\"soc-secret\", not_after = \"soon\" }",
        "sources.soc.auth.secrets[0].not_after",
        "no time",
    ),
    ("[store]", "unfinished_max = 0\n[store]", "server.unfinished_max", "is not between 1 and"),
    (
        "min_severity = \"low\"",
        "quota = { deliveries_per_minute = 0 }",
        "sources.soc.quota.deliveries_per_minute",
        "is not between 1 and",
    ),
    ("min_severity = \"low\"", "quota = { burst = -1 }", "sources.soc.quota.burst", "is not between 1 and"),
    ("min_severity = \"low\"", "quota = { per_hour = 1 }", "sources.soc.quota.per_hour", "the keys here are"),
    ("min_severity = \"low\"", "retries_429 = 1", "sources.soc.retries_429", "write true or false"),
    ("client_secret = { file = \"defender-secret\" }", "", "defender.client_secret", "is missing"),
    (
        "client_secret = { file = \"defender-secret\" }",
        "client_secret = \"x\"",
        "defender.client_secret",
        "string found",
    ),
    (
        "client_secret = { file = \"defender-secret\" }",
        "client_secret = { file = \"open\" }",
        "defender.client_secret.file",
        "mode 0644",
    ),
    ("tenant_id = \"tenant\"", "tenant_id = \"a/b\"", "defender.tenant_id", "is no id"),
    ("allow_custom_endpoint = true", "", "defender.api_url", "not one of Microsoft's hosts"),
    (
        "api_url = \"http://127.0.0.1:9\"",
        "api_url = \"http://api.security.microsoft.com\"",
        "defender.api_url",
        "Microsoft's hosts",
    ),
    (
        "api_url = \"http://127.0.0.1:9\"",
        "api_url = \"https://api.security.microsoft.com.example.test/?a\"",
        "defender.api_url",
        "Microsoft's hosts",
    ),
    ("[server]", "[budget]\ncalls_per_minute = 0\n[server]", "budget.calls_per_minute", "not between 1 and"),
    ("[server]", "[dispatch]\nsettle = \"10ms\"\n[server]", "dispatch.settle", "too short"),
    ("[server]", "[log]\nformat = \"xml\"\n[server]", "log.format", "json"),
    ("[server]", "[log]\nlevel = \"loud\"\n[server]", "log.level", "error, warn"),
    ("[server]", "[budget]\nlookups_per_hour = 0\n[server]", "budget.lookups_per_hour", "not between 1 and"),
    (
        "[sources.soc.auth]",
        "[sources.soc.resolve]\nip = \"yes\"\n[sources.soc.auth]",
        "sources.soc.resolve.ip",
        "true or false",
    ),
    (
        "[sources.soc.auth]",
        "[sources.soc.resolve]\nhostname = true\n[sources.soc.auth]",
        "sources.soc.resolve.hostname",
        "do you mean host_name?",
    ),
    ("min_severity", "resolve = true\nmin_severity", "sources.soc.resolve", "boolean found"),
    ("[server]", "[server", "", ""),
];

#[test]
fn every_mistake_is_told_with_file_line_key_and_remedy() {
    for (from, to, key, words) in MISTAKES {
        let installation = Installation::new(NOWHERE, "");
        installation.write("bad.jq", "# mine\ndef f: f; f");
        installation.write_secret("empty", "\n");
        installation.write_secret("short", "whsec_AAAA");
        installation.write_secret("text", "correct horse battery staple");
        installation.write("open", WHSEC);
        set_mode(&installation.path("open"), 0o644);
        installation.edit(from, to);

        let output = installation.run(&["check"]);

        assert_eq!(output.status.code(), Some(78), "{to}: {}", out(&output));
        let text = err(&output);
        let complaint = text.lines().find(|line| line.contains(&format!(": {key}"))).unwrap_or_default();
        let line = complaint.strip_prefix("quarantine-bridge.toml:").and_then(|rest| rest.split(':').next());
        assert!(line.is_some_and(|line| line.parse::<usize>().is_ok()), "{to}: {text}");
        assert!(text.contains(words), "{to}: {text}");
    }
}

#[test]
fn all_complaints_are_made_at_once_and_as_json_too() {
    let installation = Installation::new(NOWHERE, "[sources.two]\nmode = \"x\"\n");
    installation.edit("tenant_id = \"tenant\"", "");
    let output = installation.run(&["check", "--json"]);
    let verdict: Value = serde_json::from_str(&out(&output)).unwrap();
    let keys: Vec<_> =
        verdict["complaints"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["defender.tenant_id", "sources.two.format", "sources.two.auth", "sources.two.mode"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_secret_that_is_not_there_yet_is_the_only_complaint() {
    let more = r#"
[sources.graylog]
format = "graylog"
mode = "enforce"
accept_unsigned = true
enforce_unsigned = "I accept the risk"
[sources.graylog.auth]
scheme = "bearer"
secrets = [{ file = "graylog-token" }]
"#;
    let installation = Installation::new(NOWHERE, more);
    let told: Value = serde_json::from_str(&out(&installation.run(&["check", "--json"]))).unwrap();
    let keys: Vec<_> =
        told["complaints"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["sources.graylog.auth.secrets[0].file"]);
}

#[test]
fn limits_of_microsoft_cannot_be_raised() {
    let installation =
        Installation::new(NOWHERE, "[budget]\ncalls_per_minute = 101\n[dispatch]\nsettle = \"29s\"\n");
    installation.edit("api_url = \"http://127.0.0.1:9\"", "");
    installation.edit("login_url = \"http://127.0.0.1:9\"", "");
    let text = err(&installation.run(&["check"]));
    assert!(text.contains("101 is not between 1 and 100") && text.contains("dispatch.settle"), "{text}");
}

#[test]
fn a_missing_configuration_is_told() {
    let output = command(&["check", "--config", "/nonexistent/x.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(err(&output).contains("/nonexistent/x.toml: cannot be read"));
}

#[tokio::test]
async fn serve_refuses_what_check_refuses_and_a_second_instance() {
    let installation = Installation::new(NOWHERE, "");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    let second = installation.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("another instance is using"), "{}", err(&second));
    assert_eq!(serving.terminate().await, Some(0));

    installation.edit("mode = \"enforce\"", "");
    let output = installation.run(&["serve"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(err(&output).contains("sources.soc.mode: is missing"));
}

#[test]
fn explain_shows_every_step_and_does_nothing() {
    let installation = Installation::new(NOWHERE, "");
    installation.write("alert.json", &alert("high"));
    // Whoever explains need not be allowed to read the secrets.
    fs::remove_file(installation.path("soc-secret")).unwrap();

    let output = installation.run(&["explain", "alert.json", "--source", "soc"]);

    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    for words in [
        "source     soc: format bridge, mode enforce",
        "alert      a1: severity high",
        &format!("machine  id:{MACHINE} (ws1), from $.targets[0].machine"),
        &format!("file     sha1:{SHA1} (evil.dll), from $.targets[0].file"),
        "severity          pass   severity high, floor low",
        "decision look_up: the guards first ask Defender about device and file",
        &format!("call     POST {NOWHERE}/api/machines/{MACHINE}/StopAndQuarantineFile"),
        &format!("\"Sha1\":\"{SHA1}\""),
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!installation.path("bridge.db").exists());

    let case = include_str!("../data/policy/a-fresh-alert-about-an-unsigned-file-is-sent.json");
    let mut case: Value = serde_json::from_str(case).unwrap();
    let now = Clock::system().now().to_string();
    case["facts"]["learned_at"] = now.clone().into();
    case["facts"]["device"]["last_seen"] = now.into();
    installation.write("facts.json", &case["facts"].to_string());
    let output = installation.run(&["explain", "alert.json", "--source", "soc", "--facts", "facts.json"]);
    assert!(out(&output).contains("decision send: every guard passes"), "{}{}", out(&output), err(&output));
}

#[test]
fn explain_shows_what_defender_would_be_asked_without_asking() {
    let installation = Installation::new(NOWHERE, "[sources.soc.resolve]\nhost_name = false\n");
    let named =
        alert("high").replace(&format!(",\"id\":\"{MACHINE}\""), "").replace("ws1", "WS1.corp.example");
    let sha256 = "ab".repeat(31) + "cd";
    let named = named.replace(&format!("\"sha1\":\"{SHA1}\""), &format!("\"sha256\":\"{sha256}\""));
    installation.write("alert.json", &named);

    let text = out(&installation.run(&["explain", "alert.json", "--source", "soc"]));
    for words in [
        "device   1. ask Defender for devices named ws1.corp.example",
        &format!("file     1. ask Defender for the file with SHA256 {sha256}"),
        "left out 1. the host name ws1 is not used for this source (host_name is off in its resolve section)",
        "decision look_up: Defender is asked first for devices named ws1.corp.example",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("POST"), "{text}");

    installation.write("alert.json", &named.replace("high", "informational"));
    let json = out(&installation.run(&["explain", "alert.json", "--source", "soc", "--json"]));
    let steps: Value = serde_json::from_str(&json).unwrap();
    let target = &steps["alerts"][0]["targets"][0];
    assert_eq!((&target["decision"], &target["state"]), (&"deny".into(), &"denied".into()));
    assert_eq!(target["resolution"]["machine"][0], "ask Defender for devices named ws1.corp.example");
}

#[test]
fn explain_speaks_json_and_tells_what_is_refused() {
    let installation = Installation::new(NOWHERE, "");
    installation.write("alert.json", &alert("high").replace(SHA1, "111"));
    let output = installation.run(&["explain", "alert.json", "--source", "soc", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let steps: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(steps["refused"][0]["problems"][0]["reason"], "file");

    let output = installation.run(&["explain", "alert.json", "--source", "other"]);
    assert!(err(&output).contains("has no source other"));
    installation.write("alert.json", "{");
    let output = installation.run(&["explain", "alert.json", "--source", "soc"]);
    assert!(out(&output).contains("json"), "{}", out(&output));
}

#[tokio::test]
async fn a_signed_alert_is_sent_by_hand_and_goes_all_the_way() {
    let (simulator, _tasks) = simulate(Clock::system());
    let installation = Installation::new(&simulator.url(), "");
    let serving = installation.serve();
    installation.wait_until_ready().await;
    installation.write("alert.json", &alert("high"));
    let hook = installation.url("/v1/hooks/soc");
    let send = |id: &str| {
        installation.run(&["send", "alert.json", "--secret-file", "soc-secret", "--url", &hook, "--id", id])
    };

    let first = send("msg_1");
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    assert!(err(&first).contains("HTTP 202"));
    assert!(err(&send("msg_1")).contains("HTTP 200"));

    let signed = installation.run(&["sign", "alert.json", "--secret-file", "soc-secret", "--json"]);
    let headers: Value = serde_json::from_str(&out(&signed)).unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(&hook).header("content-type", "application/json");
    for (name, value) in headers.as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let body = fs::read(installation.path("alert.json")).unwrap();
    assert_eq!(request.body(body).send().await.unwrap().status(), 200, "the same alert under another id");

    installation.write_secret("other-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let forged = installation.run(&["send", "alert.json", "--secret-file", "other-secret", "--url", &hook]);
    assert_eq!(forged.status.code(), Some(69));
    assert!(err(&forged).contains("HTTP 401"));

    poll("the call to Defender", || !simulator.machine_actions().is_empty()).await;
    assert_eq!(serving.terminate().await, Some(0));
    let log = installation.log();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    for secret in [SECRET, WHSEC, &WHSEC[6..]] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[test]
fn sign_prints_headers_or_a_curl_line() {
    let installation = Installation::new(NOWHERE, "");
    installation.write("it's.json", "{}");
    let output = installation.run(&["sign", "it's.json", "--secret-file", "soc-secret", "--id", "msg_1"]);
    let text = out(&output);
    let names: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, ["webhook-id", "webhook-timestamp", "webhook-signature"]);

    let curl = ["sign", "it's.json", "--secret-file", "soc-secret", "--curl", "http://127.0.0.1:1/x"];
    let line = out(&installation.run(&curl));
    assert!(
        line.starts_with("curl -sS -X POST 'http://127.0.0.1:1/x' -H 'content-type: application/json'"),
        "{line}"
    );
    assert!(line.contains(r"--data-binary @'it'\''s.json'"), "{line}");

    let output = installation.run(&["sign", "it's.json", "--secret-file", "soc-secret", "--id", "a.b"]);
    assert_eq!(output.status.code(), Some(2));
    let output = installation.run(&["sign", "missing", "--secret-file", "soc-secret"]);
    assert_eq!(output.status.code(), Some(1));
    set_mode(&installation.path("soc-secret"), 0o644);
    let output = installation.run(&["sign", "it's.json", "--secret-file", "soc-secret"]);
    assert!(err(&output).contains("chmod"), "{}", err(&output));
}

#[test]
fn formats_are_listed_and_shown() {
    let output = command(&["formats", "list"]).output().unwrap();
    for name in ["bridge", "defender-alert", "graph-alert-v2"] {
        assert!(out(&output).lines().any(|line| line.starts_with(name)), "{name}");
        let shown = out(&command(&["formats", "show", name]).output().unwrap());
        assert!(shown.starts_with(&format!("# {name}:")), "{shown}");
    }
    let json: Value =
        serde_json::from_str(&out(&command(&["formats", "list", "--json"]).output().unwrap())).unwrap();
    assert!(json.as_array().unwrap().len() > 20);
    assert!(json[0]["product"].is_string());
    let standalone = out(&command(&["formats", "show", "bridge", "--standalone"]).output().unwrap());
    assert!(standalone.contains("def one_or_many:"));
    assert_eq!(command(&["formats", "show", "x"]).output().unwrap().status.code(), Some(1));
}

#[test]
fn a_command_that_looks_makes_no_database_and_one_that_is_made_is_private() {
    let installation = Installation::new(NOWHERE, "");
    let looks = [
        &["kill-switch", "status"][..],
        &["kill-switch", "on", "--reason", "r"],
        &["blast-breaker", "status"],
        &["token", "list"],
        &["audit", "verify"],
        &["check", "--database"],
    ];
    for arguments in looks {
        let (code, out, error) = installation.told(arguments);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(!out.contains("kill switch is") && error.contains("there is no database"), "{out}{error}");
    }
    assert!(!installation.path("bridge.db").exists());

    let mut open = Command::new("sh");
    let create = "umask 0; exec \"$0\" token create --name t --scope metrics --config \"$1\"";
    open.args(["-c", create]).arg(command(&[]).get_program()).arg(installation.config());
    assert!(open.stdout(Stdio::null()).status().unwrap().success());
    for name in ["bridge.db", "bridge.db.lock"] {
        let mode = fs::metadata(installation.path(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn what_is_asked_wrongly_ends_with_2_and_what_is_set_up_wrongly_with_78() {
    let installation = Installation::new(NOWHERE, "");
    let wrong = [
        &["kill-switch", "on", "--reason", ""][..],
        &["token", "create", "--name", "t", "--scope", "actions:write"],
        &["token", "create", "--name", "t", "--scope", "metrics", "--source", "soc"],
    ];
    for arguments in wrong {
        assert_eq!(installation.told(arguments).0, 2, "{arguments:?}");
    }
    let relay = |to: &str, key: &str| {
        let run = ["relay", "--to", to, "--spool", "spool", "--secret-file", key];
        let output = command(&run).current_dir(installation.path("")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(relay("ftp://x", "soc-secret").0, Some(78));
    assert_eq!(relay("https://bridge.example/v1/hooks/soc", "none").0, Some(78));
    assert!(!installation.path("spool").exists(), "the spool is for no address yet");
}

#[test]
fn a_token_has_a_name_that_can_be_seen() {
    let installation = Installation::new("http://127.0.0.1:9", "");
    let create = |name: &str| {
        installation.told(&["token", "create", "--name", name, "--scope", "actions:read", "--json"])
    };
    let long = "a".repeat(101);
    for name in ["", " ", "a\nb", "\u{202e}evil", "ali\u{200b}ce", &long] {
        let (code, out, error) = create(name);
        assert_eq!((code, out.as_str()), (2, ""), "{name:?}");
        assert!(error.contains("1 to 100 characters of one line"), "{error}");
    }
    let (_, out, _) = create(" Zoë of the SOC ");
    assert!(out.contains("\"name\":\"Zoë of the SOC\""), "{out}");
}

#[test]
fn a_token_is_shown_once_with_its_scopes() {
    let installation = Installation::new(NOWHERE, "");
    let create =
        ["token", "create", "--name", "grafana", "--scope", "metrics", "--scope", "actions:read", "--json"];
    let facts: Value = serde_json::from_str(&out(&installation.run(&create))).unwrap();
    assert_eq!(facts["scopes"], json!(["metrics", "actions:read"]));
    assert!(facts["token"].as_str().unwrap().starts_with("qb_"));
    for wrong in
        [&["token", "create", "--name", "x"][..], &["token", "create", "--name", "x", "--scope", "all"]]
    {
        assert_eq!(installation.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_demo_shows_the_whole_way_with_nothing_to_configure() {
    let output = command(&["demo"]).output().unwrap();
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", err(&output));
    let steps: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let way = [
        "accepted",
        "resolving",
        "decided",
        "queued",
        "sending",
        "submitted",
        "succeeded",
        "seen",
        "counted",
    ];
    let mut steps = steps.into_iter();
    for step in way {
        assert!(steps.any(|have| have == step), "{step} is not shown in its place:\n{text}");
    }
    assert!(text.contains("StopAndQuarantineFile"));
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let help = out(&command(&["--help"]).output().unwrap());
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed = listed.lines().map_while(|line| line.split_whitespace().next());
    let commands: Vec<_> = listed.filter(|name| *name != "help").collect();
    assert!(commands.len() > 20, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&command(&["completions", shell]).output().unwrap());
        for name in &commands {
            assert!(script.contains(name), "{shell} does not know {name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let made = command(&["man", pages.to_str().unwrap()]).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    for name in &commands {
        let page = fs::read_to_string(pages.join(format!("quarantine-bridge-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    assert!(pages.join("quarantine-bridge-token-create.1").exists());
    let taken = command(&["man", "/dev/null/man"]).output().unwrap();
    assert_eq!(taken.status.code(), Some(1), "{}", err(&taken));
}
