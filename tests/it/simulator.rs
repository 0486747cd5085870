//! The simulator keeps the rules of the real service.

use jiff::SignedDuration;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::ingest::jwt::{Algorithm, Caller, CallerClaim, Issuer, Jwt, KeyAddress, KeySet};
use quarantine_bridge::simulator::{
    Credentials, DuplicateAnswer, DuplicateKey, KnownFile, Machine, Sighting, Simulator, WindowKind, World,
    new_state,
};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{CLIENT, MACHINE, SECRET, SHA1, TENANT, start_of_time};

struct Rig {
    clock: Clock,
    simulator: Simulator,
    client: Client,
    token: String,
    _tasks: JoinSet<()>,
}

impl Rig {
    async fn start() -> Self {
        let clock = Clock::manual(start_of_time());
        let machine = Machine {
            id: MACHINE.to_owned(),
            dns_name: "o'hara.corp.example".to_owned(),
            files: vec![SHA1.to_owned(), "c".repeat(39) + "1"],
            signed_files: vec!["d".repeat(39) + "1"],
            ..Machine::default()
        };
        let linux = Machine {
            id: "b".repeat(39) + "1",
            os_platform: "Linux".to_owned(),
            is_offline: true,
            ..Machine::default()
        };
        let credentials = Credentials::new(TENANT, CLIENT, SecretString::from(SECRET));
        let world = World { machines: vec![machine, linux], ..World::default() };
        let (simulator, server) = Simulator::bind(0, new_state(clock.clone(), credentials, world)).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        let client = Client::builder().no_proxy().build().unwrap();
        let mut rig = Self { clock, simulator, client, token: String::new(), _tasks: tasks };
        let (status, body) = rig.ask_for_token(&form(&[])).await;
        assert_eq!(status, 200);
        body["access_token"].as_str().unwrap().clone_into(&mut rig.token);
        rig
    }

    async fn ask_for_token(&self, form: &str) -> (u16, Value) {
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.simulator.url());
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        read(request.body(form.to_owned())).await
    }

    async fn quarantine(&self, machine: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/machines/{machine}/StopAndQuarantineFile", self.simulator.url());
        let request =
            self.client.post(url).bearer_auth(&self.token).header("content-type", "application/json");
        read(request.body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.client.get(format!("{}{path}", self.simulator.url())).bearer_auth(&self.token)).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

/// A form for a token, with some of its fields replaced.
fn form(replaced: &[(&str, &str)]) -> String {
    let usual = [
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("scope", "https://api.securitycenter.microsoft.com/.default"),
        ("grant_type", "client_credentials"),
    ];
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in usual {
        let value = replaced.iter().find(|(other, _)| *other == name).map_or(value, |(_, value)| value);
        form.append_pair(name, value);
    }
    form.finish()
}

fn good() -> Value {
    json!({"Comment": "c", "Sha1": SHA1})
}

#[tokio::test]
async fn entra_id_refuses_what_the_real_one_refuses() {
    let rig = Rig::start().await;
    for (name, value, status, error, number) in [
        ("client_secret", "wrong", 401, "invalid_client", 7_000_215),
        ("client_id", "wrong", 400, "unauthorized_client", 700_016),
        ("scope", "https://api.securitycenter.microsoft.com", 400, "invalid_scope", 70_011),
        ("scope", "https://management.azure.com/.default", 400, "invalid_scope", 70_011),
        ("grant_type", "password", 400, "unsupported_grant_type", 70_003),
    ] {
        let (had, body) = rig.ask_for_token(&form(&[(name, value)])).await;
        assert_eq!(
            (had, &body["error"], &body["error_codes"][0]),
            (status, &json!(error), &json!(number)),
            "{name}"
        );
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}: ")));
    }
}

#[tokio::test]
async fn a_call_is_checked_in_the_order_of_the_real_service() {
    let rig = Rig::start().await;
    let unknown = "e".repeat(39) + "1";
    let linux = "b".repeat(39) + "1";
    let table = [
        (MACHINE, json!("text"), 400, "InvalidRequestBody"),
        (MACHINE, json!({"Sha1": SHA1}), 400, "MissingRequiredParameter"),
        (MACHINE, json!({"Comment": "c"}), 400, "MissingRequiredParameter"),
        (MACHINE, json!({"comment": "c", "sha1": SHA1}), 400, "MissingRequiredParameter"),
        (MACHINE, json!({"Comment": "", "Sha1": SHA1}), 400, "MissingRequiredParameter"),
        (MACHINE, json!({"Comment": "c", "Sha1": "abc"}), 400, "InvalidHashValue"),
        (MACHINE, json!({"Comment": "c", "Sha1": "a".repeat(64)}), 400, "InvalidHashValue"),
        (&unknown, good(), 404, "ResourceNotFound"),
        (&linux, good(), 400, "OsPlatformNotSupported"),
        (MACHINE, json!({"Comment": "c", "Sha1": "f".repeat(39) + "1"}), 404, "ResourceNotFound"),
        (MACHINE, json!({"Comment": "c", "Sha1": "d".repeat(39) + "1"}), 403, "DisallowedOperation"),
    ];
    for (machine, body, status, code) in table {
        let (had, answer) = rig.quarantine(machine, body.clone()).await;
        assert_eq!((had, &answer["error"]["code"]), (status, &json!(code)), "{body}");
        assert!(answer["error"]["target"].is_string());
    }
    assert!(rig.simulator.machine_actions().is_empty());
}

#[tokio::test]
async fn an_action_goes_from_pending_to_its_end() {
    let rig = Rig::start().await;
    let (status, made) = rig.quarantine(MACHINE, good()).await;
    assert_eq!((status, &made["status"]), (201, &json!("Pending")));
    assert_eq!(made["relatedFileInfo"], json!({"fileIdentifier": SHA1, "fileIdentifierType": "Sha1"}));
    let path = format!("/api/machineactions/{}", made["id"].as_str().unwrap());

    for (after, expected) in [(3, "Pending"), (2, "InProgress"), (20, "InProgress"), (1, "Succeeded")] {
        rig.clock.advance(SignedDuration::from_secs(after));
        assert_eq!(rig.get(&path).await.1["status"], expected);
    }
}

#[tokio::test]
async fn an_open_action_can_be_cancelled_once() {
    let rig = Rig::start().await;
    let (_, made) = rig.quarantine(MACHINE, good()).await;
    let url = format!("{}/api/machineactions/{}/cancel", rig.simulator.url(), made["id"].as_str().unwrap());
    let cancel = || read(rig.client.post(&url).bearer_auth(&rig.token).body("{\"Comment\":\"c\"}"));
    assert_eq!(cancel().await.1["status"], "Cancelled");
    assert_eq!(cancel().await.0, 400);
}

#[tokio::test]
async fn a_second_call_while_one_is_open_is_answered_by_the_switches() {
    let rig = Rig::start().await;
    let other_file = json!({"Comment": "c", "Sha1": "c".repeat(39) + "1"});
    let (_, made) = rig.quarantine(MACHINE, good()).await;

    let (status, refused) = rig.quarantine(MACHINE, good()).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("ActiveRequestAlreadyExists")));
    rig.simulator.with(|state| state.switches.duplicate = DuplicateAnswer::OpenAction);
    assert_eq!(rig.quarantine(MACHINE, good()).await.1["id"], made["id"]);
    rig.simulator.with(|state| state.switches.duplicate_key = DuplicateKey::Machine);
    assert_eq!(rig.quarantine(MACHINE, other_file.clone()).await.1["id"], made["id"]);
    rig.simulator.with(|state| state.switches.duplicate_key = DuplicateKey::MachineAndFile);
    assert_ne!(rig.quarantine(MACHINE, other_file).await.1["id"], made["id"]);

    rig.clock.advance(SignedDuration::from_mins(1));
    assert_ne!(rig.quarantine(MACHINE, good()).await.1["id"], made["id"], "it is over, so this is a new one");
}

#[tokio::test]
async fn tokens_are_checked_for_signature_time_and_roles() {
    let mut rig = Rig::start().await;
    let good_token = rig.token.clone();
    for bad in ["", "x", "a.b.c", &good_token[1..], &format!("{good_token}x")] {
        bad.clone_into(&mut rig.token);
        assert_eq!(rig.quarantine(MACHINE, good()).await.0, 401, "{bad}");
    }
    rig.token = good_token;
    rig.clock.advance(SignedDuration::from_secs(3_599));
    assert_eq!(rig.get("/api/machines").await.0, 401, "it has expired");

    for (roles, read, act) in [
        (vec![], 403, 403),
        (vec!["Machine.Read.All"], 200, 403),
        (vec!["Machine.StopAndQuarantine"], 403, 403),
        (vec!["Machine.ReadWrite.All", "Machine.StopAndQuarantine"], 200, 201),
    ] {
        let roles: Vec<String> = roles.into_iter().map(ToOwned::to_owned).collect();
        rig.simulator.with(|state| state.switches.roles.clone_from(&roles));
        rig.token = rig.ask_for_token(&form(&[])).await.1["access_token"].as_str().unwrap().to_owned();
        assert_eq!(rig.get("/api/machineactions").await.0, read, "{roles:?}");
        assert_eq!(rig.quarantine(MACHINE, good()).await.0, act, "{roles:?}");
    }
}

#[tokio::test]
async fn both_windows_hold_whichever_way_they_move() {
    for window in [WindowKind::Sliding, WindowKind::Fixed] {
        let rig = Rig::start().await;
        rig.simulator.with(|state| {
            state.switches.window = window;
            state.switches.per_minute = 3;
            state.switches.per_hour = 4;
        });
        for status in [404, 404, 404, 429] {
            assert_eq!(rig.quarantine(&"e".repeat(40), good()).await.0, status, "{window:?}");
        }
        rig.clock.advance(SignedDuration::from_mins(1));
        for status in [404, 429] {
            assert_eq!(rig.quarantine(&"e".repeat(40), good()).await.0, status, "{window:?}");
        }
        assert_eq!(rig.get("/api/machines").await.0, 200, "each API has windows of its own");
    }
}

#[tokio::test]
async fn lists_speak_the_odata_that_is_documented() {
    let rig = Rig::start().await;
    rig.quarantine(MACHINE, good()).await;
    rig.clock.advance(SignedDuration::from_mins(1));
    rig.quarantine(MACHINE, json!({"Comment": "second", "Sha1": SHA1})).await;
    let actions = [
        ("", 2),
        ("?$filter=status eq 'Succeeded'", 1),
        ("?$filter=Status+eq+'Pending'", 1),
        ("?$filter=status%20ne%20'Pending'", 1),
        ("?$filter=type eq 'StopAndQuarantineFile' and creationDateTimeUtc ge 2026-03-01T12:00:30Z", 1),
        ("?$filter=creationDateTimeUtc lt 2026-03-01T12:00:30Z", 1),
        ("?$filter=(status eq 'Pending' or status eq 'Succeeded') and machineId eq 'x'", 0),
        ("?$top=1", 1),
        ("?$skip=1", 1),
        ("?$orderby=creationDateTimeUtc desc", 2),
    ];
    for (query, count) in actions {
        let (status, body) = rig.get(&format!("/api/machineactions{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(body["value"].as_array().unwrap().len(), count, "{query}");
    }
    let machines = [
        ("?$filter=computerDnsName eq 'o''hara.corp.example'", 1),
        ("?$filter=startswith(computerDnsName,'host')", 1),
        ("?$filter=machineTags/any(t: t eq 'VIP')", 0),
        ("?$filter=rbacGroupId eq 0", 2),
        ("?$filter=aadDeviceId eq null", 2),
    ];
    for (query, count) in machines {
        let (status, body) = rig.get(&format!("/api/machines{query}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(body["value"].as_array().unwrap().len(), count, "{query}");
    }
    for query in [
        "?$stop=1",
        "?$filter=requestorComment eq 'x'",
        "?$filter=status eq",
        "?$filter=status eq 'x",
        "?$filter=(status eq 'x'",
        "?$top=x",
    ] {
        let (status, body) = rig.get(&format!("/api/machineactions{query}")).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("")), "{query}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_with_a_link_to_the_next() {
    let rig = Rig::start().await;
    rig.quarantine(MACHINE, good()).await;
    rig.clock.advance(SignedDuration::from_mins(1));
    rig.quarantine(MACHINE, good()).await;
    rig.simulator.with(|state| state.switches.page_size = 1);

    let (_, first) = rig.get("/api/machineactions?$filter=type eq 'StopAndQuarantineFile'").await;
    let next = first["@odata.nextLink"].as_str().unwrap().to_owned();
    let (_, second) = rig.get(next.strip_prefix(&rig.simulator.url()).unwrap()).await;

    assert_ne!(first["value"][0]["id"], second["value"][0]["id"]);
    assert!(second.get("@odata.nextLink").is_none());
}

#[tokio::test]
async fn the_log_keeps_every_call_and_no_secret() {
    let rig = Rig::start().await;
    rig.quarantine(MACHINE, good()).await;
    let (_, log) = rig.get("/simulator/calls").await;
    let calls = log["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1]["body"], good());
    assert!(!log.to_string().contains(SECRET));
}

#[tokio::test]
async fn faults_and_switches_are_set_from_outside() {
    let rig = Rig::start().await;
    let url = format!("{}/simulator/faults", rig.simulator.url());
    let fault =
        r#"{"place":"quarantine","kind":"throttled","retry_after":"7","code":"TooManyRequests","times":1}"#;
    let (status, _) = read(rig.client.post(url).header("content-type", "application/json").body(fault)).await;
    assert_eq!(status, 204);
    assert_eq!(rig.quarantine(MACHINE, good()).await.0, 429);
    assert_eq!(rig.quarantine(MACHINE, good()).await.0, 201);
    let (_, switches) = rig.get("/simulator/switches").await;
    assert_eq!(switches["per_hour"], 1_500);
}

#[tokio::test]
async fn tokens_for_other_services_are_signed_with_a_key_that_the_simulator_publishes() {
    let rig = Rig::start().await;
    let (_, body) = rig.ask_for_token(&form(&[("scope", "api://quarantine-bridge/.default")])).await;
    let name = format!("{}/{TENANT}/v2.0", rig.simulator.url());
    let (_, document) = rig.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    assert_eq!(document["issuer"], name);
    assert_eq!(document["token_endpoint"], format!("{}/{TENANT}/oauth2/v2.0/token", rig.simulator.url()));
    let address = document["jwks_uri"].as_str().unwrap();
    let (_, keys) = rig.get(address.strip_prefix(&rig.simulator.url()).unwrap()).await;
    let keys = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    let rules = Jwt {
        issuer: Issuer { keys: KeyAddress::discovered(&name).unwrap(), name },
        audiences: vec!["api://quarantine-bridge".to_owned()],
        algorithms: vec![Algorithm::Rs256],
        callers: vec![Caller { claim: CallerClaim::Azp, value: CLIENT.to_owned() }],
        roles: vec!["Alerts.Send".to_owned()],
        max_age: None,
    };
    let authorization = format!("Bearer {}", body["access_token"].as_str().unwrap());

    let proven = rules.check(&authorization, &keys, start_of_time());

    assert_eq!(proven.unwrap().value, CLIENT);
    // Defender takes its own tokens only.
    let list = rig.client.get(format!("{}/api/machineactions", rig.simulator.url()));
    assert_eq!(read(list.header("authorization", authorization)).await.0, 401);
}

#[tokio::test]
async fn devices_and_files_are_looked_up_as_the_real_service_lets_them() {
    let rig = Rig::start().await;
    let sha256 = "ab".repeat(32);
    rig.simulator.with(|state| {
        state.world.machines[0].aad_device_id = Some("0b5c8d1e-1111-4222-8333-444455556666".to_owned());
        state.world.machines[0].exclusion_reason = Some("Duplicate".to_owned());
        state.world.machines[0].sightings =
            vec![Sighting { ip: "10.0.0.7".to_owned(), at: "2026-03-01T11:00:00Z".to_owned() }];
        let file =
            KnownFile { sha1: Some(SHA1.to_owned()), sha256: Some(sha256.clone()), ..KnownFile::default() };
        state.world.files = vec![file];
    });
    let find = |ip: &str, at: &str| format!("/api/machines/findbyip(ip='{ip}',timestamp={at})");
    for (path, count) in [
        ("/api/machines?$filter=aadDeviceId eq '0b5c8d1e-1111-4222-8333-444455556666'".to_owned(), 1),
        (find("10.0.0.7", "2026-03-01T11:15:00Z"), 1),
        (find("10.0.0.7", "2026-03-01T11:16:00Z"), 0),
        (find("198.51.100.7", "2026-03-01T11:00:00Z"), 0),
    ] {
        let (status, body) = rig.get(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(body["value"].as_array().unwrap().len(), count, "{path}");
    }
    let (_, machine) = rig.get(&format!("/api/machines/{MACHINE}")).await;
    assert_eq!((&machine["isExcluded"], &machine["isAadJoined"]), (&json!(true), &json!(true)));
    for (path, status, code) in [
        ("/api/machines?$filter=aadDeviceId eq 0b5c8d1e-1111-4222-8333-444455556666".to_owned(), 400, ""),
        (find("10.0.0.7", "2026-01-01T11:00:00Z"), 400, "InvalidInput"),
        (find("10.0.0.7", "2026-03-02T11:00:00Z"), 400, "InvalidInput"),
        (find("ws1", "2026-03-01T11:00:00Z"), 400, "InvalidIpAddress"),
        ("/api/machines/findbyip(ip='x')".to_owned(), 400, "InvalidInput"),
        (format!("/api/files/{}", "cd".repeat(32)), 404, "ResourceNotFound"),
        ("/api/files/x".to_owned(), 400, "InvalidHashValue"),
    ] {
        let (had, body) = rig.get(&path).await;
        assert_eq!((had, &body["error"]["code"]), (status, &json!(code)), "{path}");
    }
    for hash in [&sha256, SHA1, &sha256.to_uppercase()] {
        let (status, body) = rig.get(&format!("/api/files/{hash}")).await;
        assert_eq!((status, &body["sha1"], &body["sha256"]), (200, &json!(SHA1), &json!(sha256)));
    }
}

#[tokio::test]
async fn files_need_a_role_of_their_own_and_have_limits_of_their_own() {
    let mut rig = Rig::start().await;
    rig.simulator.with(|state| {
        state.switches.roles.retain(|role| role != "File.Read.All");
        state.switches.per_minute = 2;
        state.world.any_machine = false;
    });
    let (_, body) = rig.ask_for_token(&form(&[])).await;
    body["access_token"].as_str().unwrap().clone_into(&mut rig.token);
    let (status, body) = rig.get(&format!("/api/files/{SHA1}")).await;
    assert_eq!(status, 403);
    assert!(body["error"]["message"].as_str().unwrap().contains("API required roles: File.Read.All"));
    rig.simulator.with(|state| state.switches.roles = vec!["File.Read.All".to_owned()]);
    let (_, body) = rig.ask_for_token(&form(&[])).await;
    body["access_token"].as_str().unwrap().clone_into(&mut rig.token);
    for expected in [404, 404, 429] {
        assert_eq!(rig.get(&format!("/api/files/{}", "7".repeat(40))).await.0, expected);
    }
    assert_eq!(rig.get("/api/machines").await.0, 403, "files are not machines");
}

/// What a cancel call is answered by the state of the machine action, the body and the token's roles.
#[tokio::test]
async fn a_cancel_is_checked_as_defender_does() {
    let rig = Rig::start().await;
    let (_, made) = rig.quarantine(MACHINE, good()).await;
    let path = |id: &str| format!("{}/api/machineactions/{id}/cancel", rig.simulator.url());
    let cancel = |id: &str, body: &'static str| {
        read(rig.client.post(path(id)).bearer_auth(&rig.token).body(body.to_owned()))
    };
    let id = made["id"].as_str().unwrap();
    let code = |answer: &Value| answer["error"]["code"].as_str().map(ToOwned::to_owned);

    for (body, expected) in [("", "InvalidRequestBody"), ("{\"comment\":\"c\"}", "MissingRequiredParameter")]
    {
        let (status, answer) = cancel(id, body).await;
        assert_eq!((status, code(&answer).as_deref()), (400, Some(expected)), "{body}");
    }
    assert_eq!(cancel("00000000-0000-0000-0000-000000000000", "{\"Comment\":\"c\"}").await.0, 404);
    rig.simulator.with(|state| state.switches.cancel_roles = vec!["Machine.CollectForensic".to_owned()]);
    let (status, answer) = cancel(id, "{\"Comment\":\"c\"}").await;
    assert_eq!(status, 403);
    assert!(answer.to_string().contains("API required roles: Machine.CollectForensic,"), "{answer}");
    rig.simulator.with(|state| state.switches.cancel_roles.push("Machine.StopAndQuarantine".to_owned()));
    rig.clock.advance(SignedDuration::from_secs(10));

    let (status, answer) = cancel(id, "{\"Comment\":\"false alarm\"}").await;

    assert_eq!((status, &answer["status"]), (200, &json!("Cancelled")), "also while it is in progress");
    assert_eq!(answer["cancellationComment"], "false alarm");
    assert_eq!(answer["cancellationRequestor"], answer["requestor"]);
    assert_eq!(answer["cancellationDateTimeUtc"], answer["lastUpdateDateTimeUtc"]);
    let call = rig.simulator.calls().pop().unwrap();
    assert_eq!((call.status, &call.body["Comment"]), (200, &json!("false alarm")));
}

#[tokio::test]
async fn a_cancel_is_counted_by_itself_and_may_do_nothing() {
    let rig = Rig::start().await;
    let (_, made) = rig.quarantine(MACHINE, good()).await;
    rig.simulator.with(|state| {
        state.switches.cancel_is_idle = true;
        state.switches.per_minute = 2;
    });
    let url = format!("{}/api/machineactions/{}/cancel", rig.simulator.url(), made["id"].as_str().unwrap());
    let cancel = || read(rig.client.post(&url).bearer_auth(&rig.token).body("{\"Comment\":\"c\"}"));
    assert_eq!(cancel().await.1["status"], "Pending");
    assert_eq!((cancel().await.0, cancel().await.0), (200, 429));
}
