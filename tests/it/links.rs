//! One-time links: what their page shows and takes, and that a link which is wrong, over, used or stale does nothing.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use quarantine_bridge::alert::{Alert, EntityPair, FileEntity, FoundAt, MachineEntity, Mode, Severity, Who};
use quarantine_bridge::http::{Limits, Rate};
use quarantine_bridge::simulator::Machine;
use quarantine_bridge::store::{RevokeToken, Scope};
use reqwest::{Client, Method};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::join;
use url::form_urlencoded;

use crate::approvals::{approve, code, four_eyes, held, held_with, person, server};
use crate::harness::binary::{command, set_mode};
use crate::harness::{Answer, Bridge, MACHINE, SHA1, Setup};
use crate::tokens::token_id;

pub(crate) const LINK_KEY: &str = "a key of more than thirty-two characters";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// Asks for a link as what sends the messages.
pub(crate) async fn make_link(bridge: &Bridge, id: &str, approver: &str) -> Answer {
    let mailer = bridge.token_of("mailer", &[Scope::LinksCreate]);
    let said = json!({"approver": approver});
    bridge.post_as(&format!("/v1/actions/{id}/links"), &mailer, &said).await
}

/// The path of a link that was made.
pub(crate) fn path_of(made: &Answer) -> Option<String> {
    let url = made.body["url"].as_str()?;
    Some(url.strip_prefix("https://bridge.example.com").unwrap().to_owned())
}

/// Makes a link for alice, who may approve.
async fn link(bridge: &Bridge, id: &str) -> String {
    person(bridge, "alice");
    path_of(&make_link(bridge, id, "alice").await).unwrap()
}

async fn send(bridge: &Bridge, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut request = client
        .post(bridge.url(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    bridge.send(request).await
}

/// What the page of a link has put into its form.
async fn once(bridge: &Bridge, path: &str) -> String {
    let page = bridge.get_openly(path).await;
    let page = page.body.as_str().unwrap();
    let rest = page.split("name=\"once\" value=\"").nth(1).unwrap_or_default();
    rest.split('"').next().unwrap().to_owned()
}

/// Opens a link's page and presses a button, as a browser does it.
pub(crate) async fn press(bridge: &Bridge, path: &str, choice: &str, reason: &str) -> Answer {
    let once = once(bridge, path).await;
    let form = [("once", once.as_str()), ("reason", reason), ("choice", choice)];
    send(bridge, path, &form, &[("origin", "null"), ("sec-fetch-site", "same-origin")]).await
}

async fn nothing_was_said(bridge: &Bridge, id: &str) {
    let action = bridge.action(id).await;
    assert_eq!((&action["state"], &action["approvals"]), (&json!("held"), &json!([])));
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap()
}

#[tokio::test]
async fn looking_at_a_link_does_nothing_and_its_page_can_do_nothing_but_show() {
    let (bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    let client = Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let page = bridge.get_openly(&path).await;
        assert_eq!(page.status, 200);
        let head = client.request(Method::HEAD, bridge.url(&path)).send().await.unwrap();
        assert!(!head.status().is_success());
        nothing_was_said(&bridge, &id).await;
    }

    let page = bridge.get_openly(&path).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let html = text(&page);
    for word in ["<script", "javascript:", "http:", "https:", "src=", "href=", " style=", "@import", "url("] {
        assert!(!html.contains(word), "{word} is in {html}");
    }
    let buttons: Vec<&str> = html.split("<button ").skip(1).map(|it| it.split('>').next().unwrap()).collect();
    assert_eq!(buttons[0], "disabled hidden", "the enter key decides nothing");
    assert_eq!(buttons.len(), 3);
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let digest = STANDARD.encode(Sha256::digest(style));
    assert!(page.headers["content-security-policy"].contains(&format!("style-src 'sha256-{digest}'")));
    for shown in
        [MACHINE, SHA1, "token:alice", "a1 from soc", "<li>os<small>", "WindowsServer2022", "in 60 min"]
    {
        assert!(html.contains(shown), "{shown} is not in {html}");
    }
}

#[tokio::test]
async fn what_a_sender_writes_is_shown_as_text() {
    let hostile = "</title><script>alert(1)</script><img src=x onerror=\"x\" '\u{202e}&amp;";
    let mut bridge = Bridge::with(Setup { link_key: Some(LINK_KEY), ..Setup::default() }).await;
    bridge.simulator.with(|state| state.world.machines = vec![server()]);
    let pair = EntityPair {
        machine: MachineEntity {
            id: MACHINE.parse().ok(),
            dns_name: Some(hostile.to_owned()),
            ..MachineEntity::default()
        },
        file: FileEntity { sha1: SHA1.parse().ok(), name: Some(hostile.to_owned()), ..FileEntity::default() },
        candidates: Vec::new(),
        found_at: FoundAt::default(),
    };
    let alert = Alert {
        alert_id: "a1".parse().unwrap(),
        severity: Some(Severity::High),
        title: hostile.to_owned(),
        occurred_at: Some(bridge.clock.now()),
        url: Some("javascript:alert('x')//\"><b>".to_owned()),
        targets: vec![pair],
    };
    let id = bridge.accept_alert(alert).await.remove(0);
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");
    bridge.token_of("<b>alice</b>", &[Scope::ActionsApprove]);
    let path = path_of(&make_link(&bridge, &id, "<b>alice</b>").await).unwrap();

    let page = bridge.get_openly(&path).await;

    let html = text(&page);
    for word in ["<script", "<img", "<b>", "\u{202e}", "onerror=\"", "href"] {
        assert!(!html.contains(word), "{word} is in {html}");
    }
    assert!(html.contains(
        "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&quot;x&quot; &#39;\u{fffd}&amp;amp;"
    ));
    assert!(html.contains("token:&lt;b&gt;alice&lt;/b&gt;"));

    let hostile = "\"><script>a</script>";
    let sent = bridge.alert("HOSTILE", MACHINE, SHA1);
    let sent = String::from_utf8(sent).unwrap().replace("HOSTILE", &hostile.replace('"', "\\\""));
    let id =
        bridge.post("msg_2", sent).await.body["alerts"][0]["actions"][0]["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    let path = path_of(&make_link(&bridge, &id, "<b>alice</b>").await).unwrap();
    let page = bridge.get_openly(&path).await;
    assert!(text(&page).contains("&quot;&gt;&lt;script&gt;a&lt;/script&gt; from soc"), "{page:?}");
    assert!(!text(&page).contains("<script"));
}

#[tokio::test]
async fn a_word_by_a_link_is_its_approvers_and_uses_it_up() {
    let (mut bridge, id) = held().await;
    let path = link(&bridge, &id).await;

    let said = press(&bridge, &path, "approve", "the dropper of case 1182").await;

    assert_eq!((said.status, text(&said).contains("<h1>Approved</h1>")), (200, true), "{said:?}");
    let again = press(&bridge, &path, "deny", "no").await;
    assert_eq!(again.status, 409);
    let told = "token:alice used it to approve at 2026-03-01 12:00 UTC. Nothing was done now.";
    assert!(text(&again).contains(told), "{again:?}");
    bridge.drain().await;
    let mut bridge = bridge.restart().await;
    let shown = bridge.get_openly(&path).await;
    assert_eq!((shown.status, text(&shown).contains(told)), (409, true));
    let action = bridge.action(&id).await;
    assert_eq!(action["state"], "submitted");
    let approval = &action["approvals"][0];
    assert_eq!((&approval["by"], &approval["via"]), (&json!("token:alice"), &json!("link")));
    assert_eq!(approval["link_made_by"], "token:mailer");
    assert_eq!(action["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(bridge.quarantines().len(), 1);

    let db = Connection::open(bridge.database()).unwrap();
    let mut statement = db.prepare("SELECT entry FROM audit ORDER BY seq").unwrap();
    let entries = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let entries: Vec<Value> = entries.map(|entry| serde_json::from_str(&entry.unwrap()).unwrap()).collect();
    let of = |act: &str| entries.iter().find(|entry| entry["deed"]["act"] == act).unwrap();
    assert_eq!(
        (&of("make_link")["who"], &of("make_link")["subject"]["action"]),
        (&json!("token:mailer"), &json!(id))
    );
    assert!(of("make_link")["deed"]["to"].as_str().unwrap().contains("for token:alice#"));
    assert_eq!(
        (&of("use_link")["who"], &of("use_link")["deed"]["after"]),
        (&json!("token:alice"), &json!("approve"))
    );
    assert_eq!(of("approve_action")["deed"]["after"], "by link");
    let secret = path.split('_').nth(1).unwrap();
    assert!(
        !entries.iter().any(|entry| entry.to_string().contains(secret)),
        "no link can be made of the record"
    );
    assert_eq!(bridge.metric("quarantine_bridge_links_total{result=\"unknown\"}"), None);
    bridge.drain().await;
}

#[tokio::test]
async fn a_link_can_deny() {
    let (mut bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    assert_eq!(press(&bridge, &path, "deny", "our own installer").await.status, 200);
    bridge.drain().await;
    let action = bridge.action(&id).await;
    assert_eq!((&action["state"], &action["approvals"][0]["word"]), (&json!("denied"), &json!("deny")));
    assert_eq!(action["history"].as_array().unwrap().last().unwrap()["who"], "token:alice");
    assert!(bridge.quarantines().is_empty());
}

/// Two taps, or two tabs: one of them counts.
#[tokio::test]
async fn of_two_words_at_once_one_counts() {
    for choices in [("approve", "deny"), ("deny", "approve"), ("approve", "approve")] {
        let (bridge, id) = held().await;
        let path = link(&bridge, &id).await;
        let (one, other) =
            join!(press(&bridge, &path, choices.0, "one"), press(&bridge, &path, choices.1, "two"));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{choices:?}");
        assert_eq!(bridge.action(&id).await["approvals"].as_array().map(Vec::len), Some(1));
    }
}

/// Each part of a link changed in one place, and links that could never be.
fn wrong(path: &str) -> Vec<String> {
    let flip = |at: usize| {
        let mut path = path.as_bytes().to_vec();
        path[at] = if path[at] == b'0' { b'1' } else { b'0' };
        String::from_utf8(path).unwrap()
    };
    let begin = "/approve/".len();
    let mut wrong: Vec<String> =
        [begin, begin + 31, begin + 33, begin + 96, begin + 98, begin + 161].map(flip).to_vec();
    wrong.extend([
        "/approve/x".to_owned(),
        format!("{path}0"),
        format!("{path}_0"),
        path[..path.len() - 1].to_owned(),
        path.to_uppercase().replace("/APPROVE/", "/approve/"),
    ]);
    wrong
}

#[tokio::test]
async fn every_link_that_is_wrong_or_over_is_answered_alike_and_does_nothing() {
    let (bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    let once = once(&bridge, &path).await;
    let form = [("once", once.as_str()), ("reason", "r"), ("choice", "approve")];
    let mut answers = HashSet::new();
    let mut try_out = async |path: &str, what: &str| {
        for answer in [bridge.get_openly(path).await, send(&bridge, path, &form, &[]).await] {
            assert_eq!(answer.status, 404, "{what}");
            answers.insert(text(&answer).to_owned());
        }
        nothing_was_said(&bridge, &id).await;
    };
    for path in wrong(&path) {
        try_out(&path, &path).await;
    }
    // A row that was changed or put in by hand proves nothing.
    let db = Connection::open(bridge.database()).unwrap();
    person(&bridge, "bob");
    for (change, back) in [
        ("approver = (SELECT 'token:bob#' || id FROM tokens WHERE name = 'bob')", "approver"),
        ("expires_at = expires_at + 1", "expires_at"),
        ("holds = '[\"mode\"]'", "holds"),
        ("held_since = held_since + 1", "held_since"),
        ("made_by = approver", "made_by"),
        ("secret_sha256 = zeroblob(32)", "secret_sha256"),
    ] {
        db.execute_batch(&format!("CREATE TABLE kept AS SELECT * FROM links; UPDATE links SET {change};"))
            .unwrap();
        try_out(&path, change).await;
        let restore = format!("UPDATE links SET {back} = (SELECT {back} FROM kept); DROP TABLE kept;");
        db.execute_batch(&restore).unwrap();
    }
    assert_eq!(bridge.get_openly(&path).await.status, 200);
    // Its time is over.
    bridge.clock.advance(minutes(60));
    try_out(&path, "it is over").await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    let failed = bridge.metric("quarantine_bridge_links_total{result=\"unknown\"}").unwrap();
    assert!(failed > 30.0, "{failed}");
}

#[tokio::test]
async fn a_link_ends_with_the_approvers_token_and_with_the_trust_in_its_maker() {
    for name in ["alice", "mailer"] {
        let (bridge, id) = held().await;
        let path = link(&bridge, &id).await;
        let once = once(&bridge, &path).await;
        let db = Connection::open(bridge.database()).unwrap();
        let sql = "SELECT id FROM tokens WHERE name = ?1";
        let token: String = db.query_row(sql, [name], |row| row.get(0)).unwrap();
        let who: Who = "operator:test".parse().unwrap();
        let revoke = RevokeToken { id: token, reason: "r".to_owned(), who, now: bridge.clock.now() };
        bridge.store().revoke_token(revoke).await.unwrap();

        let form = [("once", once.as_str()), ("reason", "r"), ("choice", "approve")];
        assert_eq!(send(&bridge, &path, &form, &[]).await.status, 404, "{name}");
        nothing_was_said(&bridge, &id).await;
    }
    // The scope counts as it is when the word comes.
    let (bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    let db = Connection::open(bridge.database()).unwrap();
    db.execute("UPDATE tokens SET scopes = 'actions:read' WHERE name = 'alice'", []).unwrap();
    assert_eq!(bridge.get_openly(&path).await.status, 404);
}

#[tokio::test]
async fn an_address_that_tries_wrong_links_is_put_off_and_the_right_one_with_it() {
    let limits = Limits { failures: Rate::every(SignedDuration::from_secs(60), 3), ..Limits::default() };
    let (bridge, id) = held_with(Setup { limits, ..Setup::default() }).await;
    let path = link(&bridge, &id).await;
    assert_eq!(bridge.get_openly(&path).await.status, 200);
    for wrong in &wrong(&path)[..3] {
        assert_eq!(bridge.get_openly(wrong).await.status, 404);
    }
    let put_off = bridge.get_openly(&path).await;
    assert_eq!((put_off.status, put_off.headers.contains_key("retry-after")), (503, true));
    let other = bridge.post("msg_x", b"{}".to_vec()).await;
    assert_ne!(other.status, 503, "sources have doors of their own");
    bridge.clock.advance(minutes(5));
    assert_eq!(bridge.get_openly(&path).await.status, 200);
    nothing_was_said(&bridge, &id).await;
}

#[tokio::test]
async fn a_form_that_is_not_whole_or_not_from_the_page_does_nothing_and_leaves_the_link() {
    let (bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    let once = once(&bridge, &path).await;
    let other = format!("{}{}", &once[..63], if once.ends_with('0') { '1' } else { '0' });
    let whole = [("once", once.as_str()), ("reason", "r"), ("choice", "approve")];
    let ours = ("sec-fetch-site", "same-origin");
    let (cross, none) = (("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none"));
    let stranger = ("origin", "https://evil.example");
    for (form, header, status) in [
        (vec![whole[0], whole[2]], ours, 400),
        (vec![whole[0], ("reason", "  "), whole[2]], ours, 400),
        (vec![whole[0], ("reason", "a\u{202e}b"), whole[2]], ours, 400),
        (vec![whole[0], whole[1]], ours, 400),
        (vec![whole[0], whole[1], ("choice", "both")], ours, 400),
        (vec![whole[1], whole[2]], ours, 403),
        (vec![("once", other.as_str()), whole[1], whole[2]], ours, 403),
        (vec![whole[0], whole[1], whole[2], ("choice", "deny")], ours, 403),
        (vec![whole[0], whole[1], whole[2], ("holds", "age")], ours, 403),
        (whole.to_vec(), cross, 403),
        (whole.to_vec(), ("sec-fetch-site", "same-site"), 403),
        (whole.to_vec(), none, 403),
        (whole.to_vec(), stranger, 403),
        (whole.to_vec(), ("origin", "null"), 403),
    ] {
        let answer = send(&bridge, &path, &form, &[header]).await;
        assert_eq!(answer.status, status, "{form:?} {header:?}");
        nothing_was_said(&bridge, &id).await;
    }
    let json = json!({"once": once, "reason": "r", "choice": "approve"});
    assert_eq!(bridge.send(bridge.request(&path).body(json.to_string())).await.status, 403);
    let long = "r".repeat(17 * 1024);
    let form = [whole[0], ("reason", long.as_str()), whole[2]];
    assert_eq!(send(&bridge, &path, &form, &[]).await.status, 403);
    nothing_was_said(&bridge, &id).await;

    let origin = ("origin", "https://bridge.example.com");
    assert_eq!(send(&bridge, &path, &whole, &[origin]).await.status, 200, "an older browser");
    assert_eq!(bridge.state(&id).await, "resolving");
}

#[tokio::test]
async fn a_link_is_for_the_hold_that_it_was_made_for() {
    let (mut bridge, id) = held().await;
    let path = link(&bridge, &id).await;
    let form_of_before = once(&bridge, &path).await;
    // Another person approves, and it is held anew, by something else.
    let stale = Machine { health_status: Some("ImpairedCommunication".to_owned()), ..server() };
    bridge.simulator.with(|world| world.world.machines = vec![stale]);
    bridge.clock.advance(minutes(11));
    assert_eq!(approve(&bridge, &id, &person(&bridge, "bob"), &["os"]).await.status, 200);
    let moved_on = bridge.get_openly(&path).await;
    assert_eq!((moved_on.status, text(&moved_on).contains("The action is resolving")), (409, true));
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");

    let shown = bridge.get_openly(&path).await;
    assert_eq!((shown.status, text(&shown).contains("Something has changed")), (409, true));
    let form = [("once", form_of_before.as_str()), ("reason", "r"), ("choice", "approve")];
    let said = send(&bridge, &path, &form, &[]).await;
    assert_eq!((said.status, text(&said).contains("Nothing was done")), (409, true));
    assert_eq!(bridge.action(&id).await["approvals"].as_array().map(Vec::len), Some(1));
    bridge.clock.advance(minutes(24 * 60));
    assert_eq!(bridge.get_openly(&path).await.status, 404);
}

#[tokio::test]
async fn whoever_gets_a_part_in_the_action_after_the_link_was_made_is_refused_too() {
    for name in ["alice", "mailer"] {
        let (bridge, id) = held().await;
        let path = link(&bridge, &id).await;
        let db = Connection::open(bridge.database()).unwrap();
        db.execute("UPDATE history SET who = 'token:' || ?1 WHERE from_state IS NULL", [name]).unwrap();
        let said = press(&bridge, &path, "approve", "r").await;
        assert_eq!((said.status, text(&said).contains("You may not decide this")), (403, true), "{name}");
        nothing_was_said(&bridge, &id).await;
    }
}

#[tokio::test]
async fn links_of_two_approvers_are_two_words_and_of_one_are_one() {
    let (mut bridge, id) = held_with(Setup { guards: four_eyes, ..Setup::default() }).await;
    let (first, second) = (link(&bridge, &id).await, link(&bridge, &id).await);
    let said = press(&bridge, &first, "approve", "r").await;
    assert!(text(&said).contains("Another person must approve too"), "{said:?}");
    let shown = bridge.get_openly(&second).await;
    assert!(text(&shown).contains("2 persons must approve; so far token:alice"), "{shown:?}");
    assert!(text(&press(&bridge, &second, "approve", "r").await).contains("You have said so before"));
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");

    person(&bridge, "bob");
    let path = path_of(&make_link(&bridge, &id, "bob").await).unwrap();
    assert!(text(&press(&bridge, &path, "approve", "r").await).contains("<h1>Approved</h1>"));
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
}

#[tokio::test]
async fn who_may_make_no_link_and_for_whom_none_is_made() {
    let (mut bridge, id) = held().await;
    let alice = person(&bridge, "alice");
    bridge.token_of("reader", &[Scope::ActionsRead]);
    let path = format!("/v1/actions/{id}/links");
    let said = json!({"approver": "alice"});
    let mailer = bridge.token_of("mailer", &[Scope::LinksCreate]);
    let both = bridge.token_of("Alice ", &[Scope::LinksCreate, Scope::ActionsApprove]);
    for (token, said, status) in [
        (&alice, said.clone(), 403),
        (&bridge.token_of("soc", &[Scope::LinksCreate]), said.clone(), 403),
        (&both, said.clone(), 403),
        (&mailer, json!({"approver": "soc"}), 409),
        (&mailer, json!({"approver": "nobody"}), 409),
        (&mailer, json!({"approver": "reader"}), 409),
        (&mailer, json!({"approver": "alice", "minutes": 0}), 400),
        (&mailer, json!({"approver": "alice", "minutes": 10_081}), 400),
        (&mailer, json!({"approver": "alice", "holds": ["os"]}), 400),
        (&mailer, json!({}), 400),
    ] {
        assert_eq!(bridge.post_as(&path, token, &said).await.status, status, "{said}");
    }
    let elsewhere = "/v1/actions/019d4418-5b00-7c2e-9a61-3f0d8b7a5c11/links";
    assert_eq!(bridge.post_as(elsewhere, &mailer, &said).await.status, 404);
    // It ends with the hold.
    let long = bridge.post_as(&path, &mailer, &json!({"approver": "alice", "minutes": 10_080})).await;
    assert_eq!((long.status, &long.body["expires_at"]), (201, &bridge.action(&id).await["expires_at"]));
    assert_eq!((&long.body["approver"], &long.body["holds"]), (&json!("token:alice"), &json!(["os"])));
    assert_eq!(approve(&bridge, &id, &alice, &["os"]).await.status, 200);
    bridge.drain().await;
    let late = bridge.post_as(&path, &mailer, &said).await;
    assert_eq!((late.status, code(&late)), (409, "not-approvable"));
}

#[tokio::test]
async fn without_a_key_no_link_is_made_and_none_is_known() {
    let mut bridge = Bridge::start().await;
    let id = bridge.accept("a1", MACHINE, SHA1).await;
    bridge.drain().await;
    let made = make_link(&bridge, &id, "alice").await;
    assert_eq!((made.status, code(&made)), (409, "links-off"));
    assert_eq!(bridge.get_openly("/approve/x").await.status, 404);
}

#[tokio::test]
async fn the_command_makes_a_link() {
    let (bridge, id) = held().await;
    person(&bridge, "alice");
    let file = bridge.folder.path().join("token");
    std::fs::write(&file, bridge.token_of("mailer", &[Scope::LinksCreate])).unwrap();
    set_mode(&file, 0o600);
    let (url, file) = (bridge.url("/"), file.to_str().unwrap().to_owned());
    let run = move |approver: &str| {
        let arguments = [
            "link",
            "create",
            &id,
            "--approver",
            approver,
            "--minutes",
            "5",
            "--token-file",
            &file,
            "--url",
            &url,
        ];
        command(&arguments).output().unwrap()
    };
    let (made, refused) = tokio::task::spawn_blocking(move || (run("alice"), run("nobody"))).await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let link: Value = serde_json::from_slice(&made.stdout).unwrap();
    let path = link["url"].as_str().unwrap().strip_prefix("https://bridge.example.com").unwrap();
    assert_eq!(press(&bridge, path, "deny", "r").await.status, 200);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[tokio::test]
async fn a_new_token_of_the_approvers_name_is_the_one_that_a_link_is_made_for() {
    let (bridge, id) = held().await;
    let old = person(&bridge, "alice");
    bridge.clock.advance(minutes(1));
    let new = person(&bridge, "alice");
    let db = Connection::open(bridge.database()).unwrap();
    db.execute(
        "UPDATE tokens SET revoked_at = 1, revoked_by = 'bridge', revoke_reason = '' WHERE id = ?1",
        [token_id(&old)],
    )
    .unwrap();
    make_link(&bridge, &id, "alice").await;
    let approver: String = db.query_row("SELECT approver FROM links", [], |row| row.get(0)).unwrap();
    assert_eq!(approver, format!("token:alice#{}", token_id(&new)));
}

#[tokio::test]
async fn whoever_asked_for_the_action_neither_makes_a_link_for_it_nor_decides_by_one() {
    let setup = Setup { playbooks: Some(Mode::Approve), link_key: Some(LINK_KEY), ..Setup::default() };
    let mut bridge = Bridge::with(setup).await;
    let asked =
        json!({"alert_id": "r1", "severity": "high", "machine": {"id": MACHINE}, "file": {"sha1": SHA1}});
    let asked = bridge.post_as("/v1/actions", &bridge.requester("playbook", None), &asked).await;
    let id = asked.body["id"].as_str().unwrap().to_owned();
    bridge.drain().await;
    assert_eq!(bridge.state(&id).await, "held");
    let both = [Scope::LinksCreate, Scope::ActionsApprove];
    let (requester, source) = (bridge.token_of("playbook", &both), bridge.token_of("playbooks", &both));
    for (name, token) in [("playbook", requester), ("playbooks", source)] {
        assert_eq!(make_link(&bridge, &id, name).await.status, 409, "{name}");
        let path = format!("/v1/actions/{id}/links");
        let made = bridge.post_as(&path, &token, &json!({"approver": "alice"})).await;
        assert_eq!((made.status, code(&made)), (403, "forbidden"), "{name}");
    }
    let path = link(&bridge, &id).await;
    assert_eq!(press(&bridge, &path, "approve", "looked at it").await.status, 200);
    bridge.drain().await;
    assert_eq!(bridge.quarantines().len(), 1);
}
