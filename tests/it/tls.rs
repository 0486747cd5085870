//! TLS on the listener, and what client certificates prove.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use quarantine_bridge::config::Refresh;
use rcgen::{KeyPair, PKCS_ED25519, SanType};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::harness::binary::{Installation, set_mode};
use crate::harness::certificates::{Authority, Pair, dns};
use crate::harness::installed::Installed;
use crate::harness::wire::{HERE, NAME, ask, ask_in_tls, ask_in_tls_from, connect, delivery, get, status};
use crate::harness::{Bridge, poll};

/// Where nobody listens: nothing is sent here.
const NOWHERE: &str = "http://127.0.0.1:9";

fn write(installation: &Installation, pair: &Pair) {
    installation.write("chain.pem", &pair.certificate);
    installation.write_secret("key.pem", &pair.key);
}

/// An installation that shows a certificate of this authority and takes clients' of `clients`.
fn installation(server: &Authority, clients: Option<&Authority>, more: &str) -> Installation {
    let installation = Installation::new(NOWHERE, more);
    write(&installation, &server.certify(vec![dns(NAME)]));
    let mut section = "[server.tls]\ncertificate = \"chain.pem\"\nkey = { file = \"key.pem\" }\n".to_owned();
    if let Some(clients) = clients {
        installation.write("ca.pem", &clients.pem());
        section += "client_ca = \"ca.pem\"\n";
    }
    installation.edit("[store]", &format!("{section}[store]"));
    installation
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older_nor_plain() {
    let authority = Authority::new("server");
    let bridge = Installed::start(installation(&authority, None, "")).await;

    for (n, version) in [&TLS12, &TLS13].into_iter().enumerate() {
        let client = authority.client(None, &[version]);
        let alive = ask_in_tls(&client, bridge.address, &get("/livez")).await.unwrap();
        let taken = delivery("soc", &format!("msg_{n}"), &[]);
        let taken = ask_in_tls(&client, bridge.address, &taken).await.unwrap();
        assert_eq!((status(&alive), status(&taken)), (200, 202), "{version:?}");
    }

    // Greetings that differ in the version alone: one is answered in kind, the other by an alert.
    for (minor, answered_by) in [(3, 22), (2, 21), (1, 21), (0, 21)] {
        let mut stream = connect(HERE, bridge.address).await;
        stream.write_all(&client_hello(minor)).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), answered_by, "version 3.{minor}");
    }

    let plain = ask(HERE, bridge.address, &get("/livez")).await;
    assert!(!plain.contains("HTTP/"), "{plain:?}");
    let line = "quarantine_bridge_connections_refused_total{reason=\"tls\"}";
    poll("the refusals to be counted", || bridge.metric(line) == Some(5.0)).await;
}

/// A record with a greeting that offers this version of TLS at most: 3.3 is TLS 1.2, 3.2 is TLS 1.1.
fn client_hello(minor: u8) -> Vec<u8> {
    // Points, groups (P-256), signatures (ECDSA with SHA-256), extended master secret.
    let extensions =
        [&[0, 11, 0, 2, 1, 0][..], &[0, 10, 0, 4, 0, 2, 0, 23], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 23, 0, 0]]
            .concat();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    // Version, random, no session, one suite (ECDHE-ECDSA-AES128-GCM-SHA256), no compression.
    let fixed = [&[3, minor][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0, 0, length(&extensions)]].concat();
    let body = [fixed, extensions].concat();
    let hello = [&[1, 0, 0, length(&body)][..], &body].concat();
    [&[22, 3, 1, 0, length(&hello)][..], &hello].concat()
}

#[tokio::test]
async fn answers_over_tls_of_our_own_say_that_it_must_be_tls() {
    const SAID: &str = "strict-transport-security: max-age=31536000\r\n";
    let authority = Authority::new("server");
    let bridge = Installed::start(installation(&authority, None, "")).await;
    let client = authority.client(None, &[&TLS13]);

    // A page of a person, an answer to a sender, and what there is not.
    for path in ["/livez", "/approve/nonsense", "/v1/actions", "/nowhere"] {
        let answer = ask_in_tls(&client, bridge.address, &get(path)).await.unwrap();
        assert_eq!(answer.to_lowercase().matches(SAID).count(), 1, "{path}: {answer}");
    }

    // Without, it would be ignored at best (RFC 6797, 7.2): that is for the proxy to say.
    let plain = Bridge::start().await;
    let answer = plain.send(plain.request("/livez")).await;
    assert!(!answer.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn http_2_is_not_offered() {
    let authority = Authority::new("server");
    let bridge = Installed::start(installation(&authority, None, "")).await;
    let mut client = ClientConfig::clone(&authority.client(None, &[&TLS13]));
    client.alpn_protocols = vec![b"h2".to_vec()];

    let refused = ask_in_tls(&Arc::new(client.clone()), bridge.address, &get("/livez")).await;
    assert!(refused.is_err(), "{refused:?}");

    client.alpn_protocols.push(b"http/1.1".to_vec());
    let answer = ask_in_tls(&Arc::new(client), bridge.address, &get("/livez")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_dropping_a_connection_and_a_bad_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let mut bridge = Installed::start(installation(&old, None, "")).await;
    let (tls, mut files) = bridge.tls.take().unwrap();
    let by_old = old.client(None, &[&TLS13]);
    let by_new = new.client(None, &[&TLS13]);
    let stream = connect(HERE, bridge.address).await;
    let connector = TlsConnector::from(Arc::clone(&by_old));
    let mut open = connector.connect(NAME.try_into().unwrap(), stream).await.unwrap();

    assert_eq!(files.refresh(&tls), Refresh::Unchanged);
    let pair = new.certify(vec![dns(NAME)]);
    // The certificate alone: its key is another.
    bridge.installation.write("chain.pem", &pair.certificate);
    let Refresh::Refused(why) = files.refresh(&tls) else { panic!("half a pair was taken") };
    assert!(why.contains("is not the key of the certificate") && why.contains("key.pem"), "{why}");
    assert_eq!(files.refresh(&tls), Refresh::Unchanged, "it is told once");
    assert!(ask_in_tls(&by_old, bridge.address, &get("/livez")).await.is_ok());
    bridge.installation.write("chain.pem", "nonsense");
    assert!(matches!(files.refresh(&tls), Refresh::Refused(why) if why.contains("no certificate")));
    assert!(ask_in_tls(&by_old, bridge.address, &get("/livez")).await.is_ok());

    write(&bridge.installation, &pair);
    assert_eq!(files.refresh(&tls), Refresh::Loaded);
    assert!(ask_in_tls(&by_old, bridge.address, &get("/livez")).await.is_err());
    let answer = ask_in_tls(&by_new, bridge.address, &get("/livez")).await.unwrap();
    assert_eq!(status(&answer), 200);

    open.write_all(&get("/livez")).await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 200, "the open connection was dropped");
}

#[tokio::test]
async fn serve_takes_up_a_changed_certificate_by_itself_and_tells_its_end() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let installation = installation(&old, None, "");
    let serving = installation.serve();
    let address = ([127, 0, 0, 1], installation.port).into();
    poll("the service to listen", || installation.log().contains("listening")).await;
    let token = installation.run(&["token", "create", "--name", "m", "--scope", "metrics"]);
    let token = String::from_utf8(token.stdout).unwrap();

    let ends_soon = new.certify_until(vec![dns(NAME)], 1_990);
    write(&installation, &ends_soon);
    poll("the new certificate", || installation.log().contains("the listener shows a new certificate")).await;
    poll("the warning", || installation.log().contains("the listener's certificate ends soon")).await;

    // It has long ended, so no client takes it; the next one is taken up as well.
    write(&installation, &new.certify(vec![dns(NAME)]));
    let loads = || installation.log().matches("the listener shows a new certificate").count();
    poll("the next certificate", || loads() == 2).await;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    let client = new.client(None, &[&TLS13]);
    let text = ask_in_tls(&client, address, request.as_bytes()).await.unwrap();
    assert!(text.contains("quarantine_bridge_tls_reloads_total{result=\"loaded\"} 2"), "{text}");
    assert!(text.contains("quarantine_bridge_tls_certificate_expiry_timestamp_seconds"), "{text}");
    assert_eq!(serving.terminate().await, Some(0));
}

/// Sources that take client certificates, each by something else.
fn sources(fingerprint: &str) -> String {
    let source = |name: &str, binding: &str| {
        format!(
            "[sources.{name}]\nformat = \"bridge\"\nmode = \"shadow\"\naccept_unsigned = true\n\
             [sources.{name}.auth]\nscheme = \"mtls\"\n{binding}\n"
        )
    };
    [
        source("name", "names = [\"SIEM.corp.example\"]"),
        source("wildcard", "names = [\"*.corp.example\"]"),
        source("address", "names = [\"192.0.2.7\"]"),
        source("uri", "names = [\"spiffe://corp/siem\"]"),
        source("mail", "names = [\"siem@corp.example\"]"),
        source("pinned", &format!("fingerprints = [\"{fingerprint}\"]")),
    ]
    .concat()
}

#[tokio::test]
async fn a_client_certificate_opens_the_source_that_it_is_bound_to_and_no_other() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let pinned = clients.certify(vec![]);
    let fingerprint = hex::encode_upper(Sha256::digest(&pinned.der));
    let bridge = Installed::start(installation(&server, Some(&clients), &sources(&fingerprint))).await;
    let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
    let mail = |mail: &str| SanType::Rfc822Name(mail.try_into().unwrap());
    let of = |name: SanType| clients.certify(vec![name]);
    let cases = [
        (of(dns("siem.corp.example")), vec!["name"]),
        (of(dns("Siem.Corp.Example")), vec!["name"]),
        (clients.certify(vec![dns("other.example"), dns("siem.corp.example")]), vec!["name"]),
        (of(dns("*.corp.example")), vec!["wildcard"]),
        (of(dns("siem.corp.example.evil.example")), vec![]),
        (of(dns("evil.siem.corp.example")), vec![]),
        // The common name is siem.corp.example in all of them.
        (clients.certify(vec![]), vec![]),
        (of(SanType::IpAddress([192, 0, 2, 7].into())), vec!["address"]),
        (of(dns("192.0.2.7")), vec![]),
        (of(uri("spiffe://corp/siem")), vec!["uri"]),
        (of(dns("spiffe://corp/siem")), vec![]),
        (of(mail("siem@corp.example")), vec!["mail"]),
        (of(uri("siem@corp.example")), vec![]),
        (pinned, vec!["pinned"]),
    ];
    let mut count = 0;
    let versions = [&TLS12, &TLS13].into_iter();
    for ((n, (pair, opened)), version) in
        cases.iter().enumerate().flat_map(|case| versions.clone().map(move |it| (case, it)))
    {
        let client = server.client(Some(pair), &[version]);
        for source in ["name", "wildcard", "address", "uri", "mail", "pinned"] {
            count += 1;
            let request = delivery(source, &format!("msg_{count}"), &[]);
            // Failures are counted for each address, and most of these are meant to fail.
            let from = Ipv4Addr::from([127, 0, 1, u8::try_from(n).unwrap()]);
            let answer = ask_in_tls_from(from, &client, bridge.address, &request).await.unwrap();
            let wanted = if opened.contains(&source) { 202 } else { 401 };
            assert_eq!(status(&answer), wanted, "case {n} at {source}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_not_proven_is_refused_and_none_is_demanded() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let bridge = Installed::start(installation(&server, Some(&clients), &sources(&"0".repeat(64)))).await;
    let name = || vec![dns("siem.corp.example")];
    let unknown = Authority::new("clients").certify(name());
    let expired = clients.certify_until(name(), 2_000);
    for pair in [&unknown, &expired] {
        for version in [&TLS12, &TLS13] {
            let client = server.client(Some(pair), &[version]);
            let answer = ask_in_tls(&client, bridge.address, &get("/livez")).await;
            assert!(!answer.as_ref().is_ok_and(|answer| answer.contains("HTTP/")), "{answer:?}");
        }
    }

    let nobody = server.client(None, &[&TLS13]);
    let ask = async |request: Vec<u8>| status(&ask_in_tls(&nobody, bridge.address, &request).await.unwrap());
    assert_eq!(ask(get("/livez")).await, 200);
    assert_eq!(ask(delivery("soc", "msg_1", &[])).await, 202);
    assert_eq!(ask(delivery("name", "msg_2", &[])).await, 401);
    let line = "quarantine_bridge_signature_failures_total{source=\"name\",reason=\"certificate_missing\"}";
    assert_eq!(bridge.metric(line), Some(1.0));
}

#[tokio::test]
async fn a_greeting_that_stalls_is_ended_and_others_are_served_meanwhile() {
    let authority = Authority::new("server");
    let bridge = Installed::start(installation(&authority, None, "")).await;
    let mut stalled = connect(HERE, bridge.address).await;
    stalled.write_all(&[22, 3, 1]).await.unwrap();

    let client = authority.client(None, &[&TLS13]);
    let answer = ask_in_tls(&client, bridge.address, &get("/livez")).await.unwrap();
    assert_eq!(status(&answer), 200);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stalled.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a client may greet for ever");
    let line = "quarantine_bridge_connections_refused_total{reason=\"tls_timeout\"}";
    poll("it to be counted", || bridge.metric(line) == Some(1.0)).await;
}

#[test]
fn every_mistake_with_certificates_is_told() {
    let authority = Authority::new("server");
    let pair = authority.certify(vec![dns(NAME)]);
    let other = authority.certify(vec![dns(NAME)]);
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let cut = "-----BEGIN CERTIFICATE-----\nMAUGAyoDBA==\n-----END CERTIFICATE-----\n";
    let cases: &[(&str, &str, &str, &str)] = &[
        ("chain.pem", "", "server.tls.certificate", "holds no certificate"),
        ("chain.pem", "# nothing\n", "server.tls.certificate", "holds no certificate"),
        ("chain.pem", &pair.key, "server.tls.certificate", "holds no certificate"),
        ("chain.pem", cut, "server.tls.certificate", "no certificate"),
        ("chain.pem", &pair.certificate[..200], "server.tls.certificate", "PEM"),
        ("chain.pem", &other.certificate, "server.tls.key", "replace both together"),
        ("key.pem", &other.key, "server.tls.key", "is not the key of the certificate"),
        ("key.pem", &ed25519, "server.tls.key", "is not the key of the certificate"),
        ("key.pem", "nonsense", "server.tls.key", "unencrypted"),
        ("key.pem", "", "server.tls.key", "is empty"),
        ("key.pem", &pair.certificate, "server.tls.key", "holds no private key"),
        ("ca.pem", "nonsense", "server.tls.client_ca", "holds no certificate"),
        ("ca.pem", cut, "server.tls.client_ca", "CA"),
    ];
    for (file, content, key, words) in cases {
        let installation = installation(&authority, Some(&authority), "");
        write(&installation, &pair);
        installation.write(file, content);
        complains(&installation, key, words);
    }
    let installation = installation(&authority, None, "");
    set_mode(&installation.path("key.pem"), 0o644);
    complains(&installation, "server.tls.key", "chmod o-rwx");
    installation.edit("key = { file = \"key.pem\" }\n", "");
    complains(&installation, "server.tls.key", "is missing");
    installation
        .edit("certificate = \"chain.pem\"", "certificate = \"missing.pem\"\nkey = { file = \"key.pem\" }");
    complains(&installation, "server.tls.certificate", "cannot be read");
    installation.edit("certificate = \"missing.pem\"", "certificates = \"chain.pem\"");
    complains(&installation, "server.tls.certificates", "do you mean certificate?");
}

#[track_caller]
fn complains(installation: &Installation, key: &str, words: &str) {
    let output = installation.run(&["check"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{key} {words}: {text}");
    assert!(text.contains(&format!(": {key}: ")) && text.contains(words), "{key} {words}: {text}");
}
