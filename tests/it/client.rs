//! Who is at the other end, behind proxies and without.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::harness::binary::Installation;
use crate::harness::certificates::{Authority, dns};
use crate::harness::installed::Installed;
use crate::harness::wire::{ELSEWHERE, HERE, ask, delivery, status};

const NOWHERE: &str = "http://127.0.0.1:9";

/// A source that signs and is in one of two networks, and one that shows a certificate.
const SOURCES: &str = r#"
[sources.near]
format = "bridge"
mode = "shadow"
[sources.near.auth]
scheme = "standard-webhooks"
secrets = [{ file = "soc-secret" }]
allow_cidrs = ["198.51.100.0/24", "2001:db8::/32"]
[sources.shown]
format = "bridge"
mode = "shadow"
accept_unsigned = true
[sources.shown.auth]
scheme = "mtls"
names = ["siem.corp.example"]
"#;

async fn bridge(server: &str) -> Installed {
    let installation = Installation::new(NOWHERE, SOURCES);
    installation.edit("[store]", &format!("{server}\n[store]"));
    Installed::start(installation).await
}

type Case<'a> = (Ipv4Addr, &'a [(&'a str, &'a str)], bool);

/// Delivers with these headers from these addresses; says which cases came out otherwise than wanted.
async fn check(bridge: &Installed, source: &str, cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for (n, (from, headers, wanted)) in cases.iter().enumerate() {
        let request = delivery(source, &format!("{source}_{n}"), headers);
        let answer = status(&ask(*from, bridge.address, &request).await);
        let is_accepted = match answer {
            202 => true,
            401 => false,
            other => panic!("{other} for {headers:?}"),
        };
        if is_accepted != *wanted {
            wrong.push(format!("from {from} with {headers:?}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn addresses_that_are_told_begin_with_the_one_that_was_configured_whatever_the_request_says() {
    let bridge = bridge("public_url = \"https://bridge.example.com/soc/\"").await;

    let request = delivery("soc", "msg_1", &[("x-forwarded-host", "evil.example")]);
    let answer = ask(Ipv4Addr::LOCALHOST, bridge.address, &request).await;

    assert_eq!(status(&answer), 202);
    assert!(answer.contains("\r\nlocation: https://bridge.example.com/soc/v1/actions/"), "{answer}");
    assert!(answer.contains("\"url\":\"https://bridge.example.com/soc/v1/actions/"), "{answer}");
    assert!(!answer.contains("evil"), "{answer}");
}

const XFF: &str = "X-Forwarded-For";

#[tokio::test]
async fn x_forwarded_for_is_read_from_the_right_and_from_trusted_proxies_only() {
    let bridge = bridge("behind_proxy = true\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]").await;
    check(
        &bridge,
        "near",
        &[
            (HERE, &[(XFF, "198.51.100.7")], true),
            (HERE, &[(XFF, "2001:db8::7")], true),
            (HERE, &[(XFF, "203.0.113.9, 198.51.100.7")], true),
            (HERE, &[(XFF, "nonsense, 198.51.100.7")], true),
            (HERE, &[(XFF, "198.51.100.7,10.1.2.3 , 10.9.9.9")], true),
            (HERE, &[(XFF, "203.0.113.9"), (XFF, "198.51.100.7")], true),
            (HERE, &[(XFF, "198.51.100.7:4711")], true),
            (HERE, &[(XFF, "[2001:db8::7]:4711")], true),
            (HERE, &[(XFF, "::ffff:198.51.100.7")], true),
            // Written by the client itself, left of what the proxy wrote.
            (HERE, &[(XFF, "203.0.113.9")], false),
            (HERE, &[(XFF, "198.51.100.7, 203.0.113.9")], false),
            (HERE, &[(XFF, "198.51.100.7"), (XFF, "203.0.113.9")], false),
            (HERE, &[(XFF, "198.51.100.7, 203.0.113.9, 10.1.2.3")], false),
            (HERE, &[(XFF, "198.51.100.7, 10.1.2.3, 203.0.113.9")], false),
            // Nothing that can be read at the right.
            (HERE, &[(XFF, "198.51.100.7, nonsense")], false),
            (HERE, &[(XFF, "198.51.100.7,")], false),
            (HERE, &[(XFF, "198.51.100.7"), (XFF, "")], false),
            (HERE, &[(XFF, "198.51.100.007")], false),
            (HERE, &[(XFF, "198.51.100.7 203.0.113.9")], false),
            (HERE, &[(XFF, "\"198.51.100.7\"")], false),
            (HERE, &[(XFF, "198.51.100.7/24")], false),
            (HERE, &[(XFF, "unknown")], false),
            (HERE, &[(XFF, "198.51.100.7\u{a0}")], false),
            (HERE, &[(XFF, "")], false),
            (HERE, &[], false),
            // The proxies' own, and headers that are not the one.
            (HERE, &[(XFF, "10.1.2.3")], false),
            (HERE, &[("Forwarded", "for=198.51.100.7")], false),
            (HERE, &[("X-Real-IP", "198.51.100.7")], false),
            (HERE, &[("X-Forwarded-For_", "198.51.100.7")], false),
            // Not a proxy.
            (ELSEWHERE, &[(XFF, "198.51.100.7")], false),
            (ELSEWHERE, &[(XFF, "198.51.100.7, 127.0.0.1")], false),
        ],
    )
    .await;
}

#[tokio::test]
async fn forwarded_is_read_strictly_where_it_is_the_header() {
    let server = "behind_proxy = true\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n\
                  forwarded_header = \"forwarded\"";
    let bridge = bridge(server).await;
    let header = "Forwarded";
    check(
        &bridge,
        "near",
        &[
            (HERE, &[(header, "for=198.51.100.7")], true),
            (HERE, &[(header, "FOR=\"198.51.100.7:80\";proto=https;by=10.0.0.1")], true),
            (HERE, &[(header, "for=\"[2001:db8::7]\"")], true),
            (HERE, &[(header, "by=_x;for=203.0.113.9, for=198.51.100.7 , for=10.0.0.1")], true),
            (HERE, &[(header, "for=203.0.113.9"), (header, "for=198.51.100.7")], true),
            // What the client has written cannot spoil the proxy's word.
            (HERE, &[(header, "for=\", for=198.51.100.7")], true),
            (HERE, &[(header, "for=203.0.113.9;by=\"x, for=198.51.100.7")], true),
            (HERE, &[(header, ";"), (header, "for=198.51.100.7")], true),
            (HERE, &[(header, "for=198.51.100.7, for=203.0.113.9")], false),
            (HERE, &[(header, "for=198.51.100.7"), (header, "for=203.0.113.9")], false),
            (HERE, &[(header, "for=198.51.100.7, for=unknown")], false),
            (HERE, &[(header, "for=198.51.100.7, for=_hidden")], false),
            (HERE, &[(header, "for=198.51.100.7, by=10.0.0.1")], false),
            (HERE, &[(header, "for=198.51.100.7;for=203.0.113.9")], false),
            (HERE, &[(header, "for=198.51.100.7;by=\"x, for=203.0.113.9")], false),
            (HERE, &[(header, "for=\"198.51.100.7\" for=203.0.113.9")], false),
            (HERE, &[(header, "for=\"198.51\\.100.7\"")], false),
            (HERE, &[(header, "for =198.51.100.7")], false),
            (HERE, &[(header, "for=198.51.100.7;")], false),
            (HERE, &[(header, "for=198.51.100.7,")], false),
            (HERE, &[(header, "198.51.100.7")], false),
            (HERE, &[(header, "")], false),
            (HERE, &[(XFF, "198.51.100.7")], false),
            (HERE, &[], false),
            (ELSEWHERE, &[(header, "for=198.51.100.7")], false),
        ],
    )
    .await;
}

#[tokio::test]
async fn without_a_proxy_no_header_tells_who_asks() {
    let bridge = bridge("").await;
    let (certificate, _) = client_cert();
    check(
        &bridge,
        "near",
        &[(HERE, &[(XFF, "198.51.100.7")], false), (HERE, &[("Forwarded", "for=198.51.100.7")], false)],
    )
    .await;
    check(&bridge, "shown", &[(HERE, &[("Client-Cert", &certificate)], false), (HERE, &[], false)]).await;
}

#[tokio::test]
async fn a_client_that_writes_no_text_is_known_by_the_word_of_its_proxy_all_the_same() {
    for (server, header, word) in [
        ("", "X-Forwarded-For", "198.51.100.7"),
        ("\nforwarded_header = \"forwarded\"", "Forwarded", "for=198.51.100.7"),
    ] {
        let server = format!("behind_proxy = true\ntrusted_proxies = [\"127.0.0.1\"]{server}");
        let bridge = bridge(&server).await;
        for (id, wanted, bytes) in [("a1", 202, b"\xff, ".as_slice()), ("a2", 401, b", \xff".as_slice())] {
            let request = delivery("near", id, &[(header, "HERE")]);
            let (before, after) =
                if wanted == 202 { (bytes, b"".as_slice()) } else { (b"".as_slice(), bytes) };
            let written = [before, word.as_bytes(), after].concat();
            let place = request.windows(4).position(|window| window == b"HERE").unwrap();
            let request = [&request[..place], &written, &request[place + 4..]].concat();
            assert_eq!(status(&ask(HERE, bridge.address, &request).await), wanted, "{header} {id}");
        }
    }
}

/// The header for a certificate of the source, and the DER in it.
fn client_cert() -> (String, Vec<u8>) {
    let pair = Authority::new("clients").certify(vec![dns("siem.corp.example")]);
    (format!(":{}:", STANDARD.encode(&pair.der)), pair.der)
}

#[tokio::test]
async fn client_cert_is_taken_from_trusted_proxies_only_once_and_well_formed() {
    let bridge = bridge("behind_proxy = true\nclient_cert_header = true").await;
    let (good, der) = client_cert();
    let other = Authority::new("clients").certify(vec![dns("other.example")]);
    let other = format!(":{}:", STANDARD.encode(&other.der));
    let bare = STANDARD.encode(&der);
    let longer = format!(":{}:", STANDARD.encode([der.as_slice(), &[0]].concat()));
    let shorter = format!(":{}:", STANDARD.encode(&der[..der.len() - 1]));
    let url_safe = format!(":{}:", URL_SAFE.encode([der.as_slice(), &[251, 255]].concat()));
    let pem = format!("-----BEGIN CERTIFICATE----- {bare} -----END CERTIFICATE-----");
    let parameter = format!("{good};a=1");
    let listed = format!("{good}, {good}");
    let name = "Client-Cert";
    check(
        &bridge,
        "shown",
        &[
            (HERE, &[(name, &good)], true),
            (HERE, &[(name, &good), ("Client-Cert-Chain", "nonsense")], true),
            (HERE, &[(name, &other)], false),
            (HERE, &[], false),
            (HERE, &[("Client-Cert-Chain", &good)], false),
            (HERE, &[(name, &good), (name, &good)], false),
            (HERE, &[(name, &other), (name, &good)], false),
            (HERE, &[(name, &good), (name, &other)], false),
            (HERE, &[(name, &bare)], false),
            (HERE, &[(name, &longer)], false),
            (HERE, &[(name, &shorter)], false),
            (HERE, &[(name, &url_safe)], false),
            (HERE, &[(name, &pem)], false),
            (HERE, &[(name, &parameter)], false),
            (HERE, &[(name, &listed)], false),
            (HERE, &[(name, "::")], false),
            (HERE, &[(name, ":")], false),
            (HERE, &[("X-Client-Cert", &good)], false),
            (HERE, &[("Client_Cert", &good)], false),
            (ELSEWHERE, &[(name, &good)], false),
        ],
    )
    .await;
}

#[tokio::test]
async fn client_cert_is_not_taken_unless_the_configuration_says_so() {
    let bridge = bridge("behind_proxy = true").await;
    let (good, _) = client_cert();
    check(&bridge, "shown", &[(HERE, &[("Client-Cert", &good)], false)]).await;
}
