//! As whom tokens are asked for: each way to prove it works from delivery to the end, and each no says what to do.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use quarantine_bridge::alert::after;
use quarantine_bridge::clock::Clock;
use quarantine_bridge::microsoft::{
    Algorithm, Certificate, CertificateError, Exchange, Identity, IdentityHost, ManagedIdentity, Needs,
    Proof, TokenError, TokenSource,
};
use quarantine_bridge::outgoing::{ClientError, Outgoing, Reach, connectable, is_metadata, may_connect};
use quarantine_bridge::simulator::{Fault, FaultKind, Federation, Place, Simulator};
use quarantine_bridge::telemetry::Metrics;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::harness::certificates::{Authority, rsa};
use crate::harness::issuer::SigningPair;
use crate::harness::{
    Bridge, CLIENT, MACHINE, SECRET, SHA1, Setup, TENANT, identity, proven_by, simulate, start_of_time,
};

const ISSUER: &str = "https://oidc.cluster.example/";
const SUBJECT: &str = "system:serviceaccount:security:quarantine-bridge";
const HEADER: &str = "identity-header-canary-51c0";
const SCOPE: &str = "https://api.securitycenter.microsoft.com/.default";

/// How a rig makes an identity.
type Way = fn(&Rig) -> Identity;

/// What a test needs besides the bridge.
struct Rig {
    clock: Clock,
    simulator: Simulator,
    folder: TempDir,
    kubernetes: SigningPair,
    _tasks: JoinSet<()>,
}

impl Rig {
    /// A simulator that knows a certificate, a cluster, and the header of App Service.
    fn start() -> Self {
        let clock = Clock::manual(start_of_time());
        let (simulator, tasks) = simulate(clock.clone());
        let kubernetes = SigningPair::new("k1", "RS256");
        simulator.with(|state| {
            state.credentials.certificates = vec![rsa().der.clone()];
            state.credentials.identity_header = HEADER.into();
            state.credentials.federations = vec![Federation {
                issuer: ISSUER.to_owned(),
                subject: SUBJECT.to_owned(),
                keys: vec![kubernetes.jwk()],
            }];
        });
        Self { clock, simulator, folder: tempfile::tempdir().unwrap(), kubernetes, _tasks: tasks }
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().as_second();
        json!({"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "iat": now, "nbf": now,
               "exp": now + 3_600, "jti": "the same for an hour"})
    }

    /// Writes a token of the cluster, as the kubelet would.
    fn write_token(&self, claims: &Value) -> PathBuf {
        let path = self.folder.path().join("token");
        fs::write(&path, self.kubernetes.token(claims)).unwrap();
        path
    }

    fn vm(&self, client_id: Option<&str>) -> Identity {
        let endpoint = self.url("/metadata/identity/oauth2/token");
        let client_id = client_id.map(ToOwned::to_owned);
        Identity::Managed(ManagedIdentity { host: IdentityHost::Vm { endpoint }, client_id })
    }

    fn app_service(&self, header: &str) -> Identity {
        let host = IdentityHost::AppService { endpoint: self.url("/msi/token"), header: header.into() };
        Identity::Managed(ManagedIdentity { host, client_id: None })
    }

    fn certificate(&self, algorithm: Algorithm) -> Identity {
        proven_by(&self.simulator.url(), Proof::Certificate(certificate(algorithm)))
    }

    fn federated(&self, token: &Path) -> Identity {
        proven_by(&self.simulator.url(), Proof::Federated(token.to_owned()))
    }

    fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.simulator.url()).parse().unwrap()
    }

    fn tokens(&self, identity: &Identity) -> TokenSource {
        let needs = Needs { api: "defender", scope: SCOPE, roles: &[] };
        TokenSource::new(identity, &needs, Exchange::with(&self.url("/")).unwrap(), Metrics::new())
    }

    async fn refused(&self, identity: &Identity) -> String {
        self.tokens(identity).token(self.clock.now()).await.unwrap_err().to_string()
    }

    /// The bodies of the requests for tokens.
    fn asked(&self) -> Vec<Value> {
        let is_token = |path: &str| path.ends_with("/token") || path.contains("/token?");
        let calls = self.simulator.calls().into_iter().filter(|call| is_token(&call.path));
        calls.map(|call| call.body).collect()
    }
}

fn certificate(algorithm: Algorithm) -> Certificate {
    Certificate::read(&pem(), algorithm).unwrap()
}

/// The certificate and its key in one text, the key first.
fn pem() -> SecretString {
    format!("{}{}", rsa().key, rsa().certificate).into()
}

#[tokio::test]
async fn each_credential_brings_an_action_to_its_end() {
    let ways: [(&str, Way); 7] = [
        ("vm", |rig| rig.vm(None)),
        ("vm, user-assigned", |rig| rig.vm(Some(CLIENT))),
        ("app service", |rig| rig.app_service(HEADER)),
        ("workload identity", |rig| rig.federated(&rig.write_token(&rig.claims()))),
        ("PS256", |rig| rig.certificate(Algorithm::Ps256)),
        ("RS256", |rig| rig.certificate(Algorithm::Rs256)),
        ("secret", |rig| identity(&rig.simulator.url())),
    ];
    for (name, way) in ways {
        let rig = Rig::start();
        let setup = Setup { identity: Some(way(&rig)), ..Setup::default() };
        let mut bridge = Bridge::beside(setup, rig.clock.clone(), rig.simulator.clone()).await;
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.run_for(SignedDuration::from_secs(40)).await;
        assert_eq!(bridge.state(&id).await, "succeeded", "{name}");
        assert_eq!(rig.asked().len(), 1, "{name}: one token serves");
    }
}

#[tokio::test]
async fn graph_is_asked_with_the_same_credential() {
    let rig = Rig::start();
    let identity = rig.certificate(Algorithm::Ps256);
    for scope in [SCOPE, "https://graph.microsoft.com/.default"] {
        let needs = Needs { api: "graph", scope, roles: &[] };
        let exchange = Exchange::with(&rig.url("/")).unwrap();
        TokenSource::new(&identity, &needs, exchange, Metrics::new()).token(rig.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn the_token_file_is_read_again_for_each_token() {
    let rig = Rig::start();
    let tokens = rig.tokens(&rig.federated(&rig.write_token(&rig.claims())));
    tokens.token(rig.clock.now()).await.unwrap();

    // The token in the file has ended, so the next one works only if it is read anew.
    rig.clock.advance(SignedDuration::from_hours(2));
    let error = tokens.token(rig.clock.now()).await.unwrap_err().to_string();
    assert!(error.contains("AADSTS700024") && error.contains("set this machine's clock"), "{error}");
    rig.write_token(&rig.claims());
    tokens.token(rig.clock.now()).await.unwrap();

    rig.clock.advance(SignedDuration::from_hours(2));
    fs::remove_file(rig.folder.path().join("token")).unwrap();
    let error = tokens.token(rig.clock.now()).await.unwrap_err();
    assert!(matches!(&error, TokenError::NoProof(why) if why.contains("cannot be read")), "{error}");
    for text in ["", "a.b", "a.b.c.d", "a.b c.d", "{\"secret\": 1}", "a.b.c\nd"] {
        fs::write(rig.folder.path().join("token"), text).unwrap();
        let error = tokens.token(rig.clock.now()).await.unwrap_err().to_string();
        assert!(error.contains("holds no token"), "{text:?}: {error}");
    }
}

#[tokio::test]
async fn entra_id_takes_no_assertion_that_the_real_one_would_not() {
    let rig = Rig::start();
    let other = SigningPair::new("k1", "RS256");
    let with = |change: fn(&mut Value)| {
        let mut claims = rig.claims();
        change(&mut claims);
        rig.kubernetes.token(&claims)
    };
    for (token, number, remedy) in [
        (with(|it| it["iss"] = json!("https://else.example/")), 700_211, "letter by letter"),
        (with(|it| it["sub"] = json!(SUBJECT.to_uppercase())), 700_213, "upper and lower case"),
        (with(|it| it["aud"] = json!("api://else")), 700_212, "api://AzureADTokenExchange"),
        (with(|it| it["exp"] = json!(1)), 700_024, "clock"),
        (other.token(&rig.claims()), 50_013, "check tenant_id"),
    ] {
        let path = rig.folder.path().join("token");
        fs::write(&path, token).unwrap();
        let error = rig.refused(&rig.federated(&path)).await;
        assert!(error.contains(&format!("AADSTS{number}: ")) && error.contains(remedy), "{number}: {error}");
    }

    // A certificate that is not registered, one of another application, and an assertion for somebody else.
    rig.simulator.with(|state| state.credentials.certificates.clear());
    let error = rig.refused(&rig.certificate(Algorithm::Ps256)).await;
    assert!(error.contains("AADSTS700027") && error.contains("register the certificate"), "{error}");
}

#[tokio::test]
async fn an_assertion_is_for_one_endpoint_one_time_and_one_use() {
    let rig = Rig::start();
    let own = certificate(Algorithm::Ps256);
    let endpoint = rig.url(&format!("/{TENANT}/oauth2/v2.0/token"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |assertion: &SecretString| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", CLIENT)
            .append_pair("scope", SCOPE)
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .append_pair("client_assertion", assertion.expose_secret())
            .finish();
        let answer = client.post(endpoint.clone()).body(form).send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        body["error_codes"][0].as_u64()
    };
    let now = rig.clock.now();
    let made =
        |client_id: &str, audience: &str, jti: &str, at| own.assertion(client_id, audience, jti, at).unwrap();
    let good = made(CLIENT, endpoint.as_str(), "1", now);
    assert_eq!(ask(&good).await, None);
    assert_eq!(ask(&good).await, Some(700_027), "used twice");
    assert_eq!(ask(&made(CLIENT, "https://else.example/token", "2", now)).await, Some(700_023));
    assert_eq!(ask(&made("somebody", endpoint.as_str(), "3", now)).await, Some(700_211));
    let past = after(now, SignedDuration::from_mins(-16));
    assert_eq!(ask(&made(CLIENT, endpoint.as_str(), "4", past)).await, Some(700_024));
    let future = after(now, SignedDuration::from_mins(6));
    assert_eq!(ask(&made(CLIENT, endpoint.as_str(), "5", future)).await, Some(700_024));
    let changed = good.expose_secret().replacen('e', "f", 1);
    assert!(ask(&changed.into()).await.is_some());
}

#[tokio::test]
async fn what_hands_out_managed_identities_is_asked_as_it_wants_to_be() {
    let rig = Rig::start();
    rig.tokens(&rig.vm(Some(CLIENT))).token(rig.clock.now()).await.unwrap();
    let call = rig.simulator.calls().pop().unwrap();
    assert_eq!(
        call.path,
        "/metadata/identity/oauth2/token?api-version=2018-02-01&\
         resource=https%3A%2F%2Fapi.securitycenter.microsoft.com&client_id=client"
    );
    let error = rig.refused(&rig.vm(Some("else"))).await;
    assert!(error.contains("Identity not found") && error.contains("user-assigned"), "{error}");
    let error = rig.refused(&rig.app_service("another-header-2f")).await;
    assert!(error.contains("the managed identity's endpoint refused a token (unauthorized"), "{error}");
    assert!(!error.contains("another-header-2f"), "{error}");

    // What passes by itself is no refusal, and what the token is for is told by its number.
    for status in [404, 410, 429, 500, 503] {
        let kind = FaultKind::Status { status };
        rig.simulator.play(Fault { place: Place::Token, kind, times: Some(1) });
        let error = rig.tokens(&rig.vm(None)).token(rig.clock.now()).await.unwrap_err();
        assert!(matches!(error, TokenError::NoAnswer(_)), "{status}: {error}");
    }
    let needs = Needs { api: "defender", scope: "https://else.example/.default", roles: &[] };
    let tokens =
        TokenSource::new(&rig.vm(None), &needs, Exchange::with(&rig.url("/")).unwrap(), Metrics::new());
    let error = tokens.token(rig.clock.now()).await.unwrap_err().to_string();
    assert!(error.contains("AADSTS500011") && error.contains("Defender for Endpoint"), "{error}");
}

#[tokio::test]
async fn a_token_of_app_service_lives_as_long_as_its_end_says() {
    let rig = Rig::start();
    rig.simulator.with(|state| state.switches.token_life_s = 7_200);
    let tokens = rig.tokens(&rig.app_service(HEADER));
    for (minutes, asked) in [(0, 1), (114, 1), (1, 2), (110, 2)] {
        rig.clock.advance(SignedDuration::from_mins(minutes));
        tokens.token(rig.clock.now()).await.unwrap();
        assert_eq!(rig.asked().len(), asked, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn every_no_names_its_number_and_what_to_do() {
    let rig = Rig::start();
    let tokens = rig.tokens(&identity(&rig.simulator.url()));
    for (number, words) in [
        (7_000_215, "not the secret's id"),
        (7_000_222, "has ended"),
        (700_016, "does not have this application"),
        (90_002, "no such tenant"),
        (700_024, "clock"),
        (700_027, "thumbprint"),
        (700_211, "issuer"),
        (700_212, "audience"),
        (700_213, "subject"),
        (700_214, "federated credential"),
        (70_021, "federated credential"),
        (500_011, "Defender for Endpoint"),
        (1_002_012, "/.default"),
        (53_003, "Conditional Access"),
        (50_034, "no such account"),
        (7_000_112, "enable it"),
        (123_456, "check tenant_id, client_id"),
    ] {
        let kind = FaultKind::Refusal {
            status: 401,
            error: "invalid_client".to_owned(),
            number,
            message: "Something.".to_owned(),
        };
        rig.simulator.play(Fault { place: Place::Token, kind, times: Some(1) });
        let error = tokens.token(rig.clock.now()).await.unwrap_err();
        assert!(matches!(error, TokenError::Refused { .. }), "{number}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("AADSTS{number}: Something.")) && text.contains(words), "{text}");
    }
    for number in [90_006, 90_024, 90_033, 50_196] {
        let (error, message) = ("invalid_request".to_owned(), "Something.".to_owned());
        let kind = FaultKind::Refusal { status: 400, error, number, message };
        rig.simulator.play(Fault { place: Place::Token, kind, times: Some(1) });
        let error = tokens.token(rig.clock.now()).await.unwrap_err();
        assert!(matches!(error, TokenError::NoAnswer(_)), "{number}: {error}");
    }
}

#[test]
fn a_file_must_hold_a_certificate_and_its_own_key() {
    let pair = rsa();
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (text, wrong) in [
        (String::new(), CertificateError::NoKey),
        ("no PEM at all".to_owned(), CertificateError::NoKey),
        (pair.certificate.clone(), CertificateError::NoKey),
        (format!("{encrypted}{}", pair.certificate), CertificateError::NoKey),
        (pair.key.clone(), CertificateError::NoCertificate),
        (format!("{other}{}", pair.certificate), CertificateError::KeyMismatch),
        (format!("{elliptic}{}", pair.certificate), CertificateError::BadKey),
        (pair.key.replace("-----END", "----END"), CertificateError::NotPem),
    ] {
        let read = Certificate::read(&text.clone().into(), Algorithm::Ps256);
        assert_eq!(read.err(), Some(wrong), "{text}");
    }
    // The order does not matter, and neither does another certificate beside it.
    let chain = Authority::new("ca").pem();
    let text = format!("{chain}{}{}", pair.certificate, pair.key);
    let read = Certificate::read(&text.into(), Algorithm::Ps256).unwrap();
    assert_eq!(read.thumbprint(), certificate(Algorithm::Rs256).thumbprint());
    let shown = format!("{read:?} {}", proven_by("https://login.example", Proof::Certificate(read.clone())));
    assert!(shown.contains(&read.thumbprint()) && !shown.contains(&pair.key[40..80]), "{shown}");
}

#[test]
fn a_translator_or_tunnel_leads_into_the_internet_only_by_the_well_known_prefix() {
    for (elsewhere, is_public) in [
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::10.0.0.1", false),
        ("64:ff9b::169.254.1.1", false),
        ("64:ff9b:1::8.8.8.8", false),
        ("64:ff9b:1:808:8:800::", false),
        ("2002:808:808::1", false),
        ("2001:0:808:808::f7f7:f7f7", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("2606:4700::1111", true),
    ] {
        let ip = elsewhere.parse().unwrap();
        assert!(!is_metadata(ip), "{elsewhere}");
        assert_eq!(may_connect(ip, &[]), is_public, "{elsewhere}");
    }
}

#[test]
fn nobody_else_connects_to_where_clouds_hand_out_credentials() {
    // The last ones are 169.254.169.254 in other clothes: numbers, mapped, translated, behind NAT64 by prefixes of 96, 48, 56 and 64
    // bits, 6to4, and Teredo as server and as client.
    let metadata = [
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "2852039166",
        "0xa9.0xfe.0251.254",
        "[::ffff:169.254.169.254]",
        "[::169.254.169.254]",
        "[::ffff:0:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b::168.63.129.16]",
        "[64:ff9b:1::169.254.169.254]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[64:ff9b:1:a9:fe:a9fe::]",
        "[64:ff9b:1:0:a9:fea9:fe00::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:a9fe:a9fe::1]",
        "[2001:0:808:808::5601:5601]",
    ];
    for address in metadata {
        let url: Url = format!("http://{address}/metadata/identity/oauth2/token").parse().unwrap();
        let any = Outgoing::new(&url).client();
        assert!(matches!(any, Err(ClientError::Address(_))), "{address}");
        let everything = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let allowed = Outgoing { reach: Reach::PublicAnd(&everything), ..Outgoing::new(&url) }.client();
        assert!(matches!(allowed, Err(ClientError::Address(_))), "{address}");
        let ip: IpAddr = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            _ => panic!("{address} is no address"),
        };
        assert!(is_metadata(ip) && !may_connect(ip, &everything), "{address}");
        assert!(connectable("metadata.example", [(ip, 80).into()], &everything).is_err(), "{address}");
        assert!(Outgoing { reach: Reach::Beside, ..Outgoing::new(&url) }.client().is_ok(), "{address}");
    }
    for far in ["http://8.8.8.8/", "http://login.example.com/", "http://[2606:4700::1111]/"] {
        let url: Url = far.parse().unwrap();
        let beside = Outgoing { reach: Reach::Beside, ..Outgoing::new(&url) }.client();
        assert!(matches!(beside, Err(ClientError::Address(_))), "{far}");
    }
}

#[test]
fn nothing_of_a_credential_is_shown() {
    let rig_header = HEADER;
    let identities = [
        identity("https://login.example"),
        Identity::Managed(ManagedIdentity {
            host: IdentityHost::AppService {
                endpoint: "http://127.0.0.1/".parse().unwrap(),
                header: rig_header.into(),
            },
            client_id: None,
        }),
    ];
    for identity in identities {
        let shown = format!("{identity} {identity:?} {identity:#?}");
        assert!(!shown.contains(SECRET) && !shown.contains(HEADER), "{shown}");
    }
}
