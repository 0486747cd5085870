//! As whom tokens are asked for: one of four keys of `[defender]`, in the order in which they are recommended.

use std::env;

use jiff::SignedDuration;
use secrecy::SecretString;
use url::Url;

use crate::clock::Clock;
use crate::microsoft::{
    Algorithm, AppRegistration, Certificate, Identity, IdentityHost, ManagedIdentity, Proof, read_token_file,
};
use crate::outgoing::{Reach, check_literal, is_loopback};

use super::Secrets;
use super::reader::Section;
use super::secret;

/// The keys of which one must be there, the best first: the first two have no secret that could be stolen or end.
const KEYS: [&str; 4] = ["managed_identity", "workload_identity", "certificate", "client_secret"];

const REMEDY: &str = "write managed_identity = { host = \"vm\" } on Azure, else workload_identity = { token_file = \"...\" }, \
                      certificate = { file = \"...\" } or client_secret = { file = \"/run/secrets/defender\" }";

/// Where a virtual machine of Azure finds the tokens of its identity.
const IMDS: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Where App Service and Container Apps tell their own address for it, and what is to be shown there.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

/// How long before its end a certificate is warned of.
const NEAR_END: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) secrets: Secrets,
    /// Whether other hosts than Microsoft's may be named.
    pub(super) is_custom: bool,
}

/// Reads as whom. `login_url` is Entra ID's address.
pub(super) fn read(section: &Section<'_>, reading: Reading, login_url: Option<Url>) -> Option<Identity> {
    let named: Vec<&'static str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
    let key = match named.as_slice() {
        [] => {
            section.complain("client_secret", "is missing, and so is what could stand for it", REMEDY);
            None
        }
        [key] => Some(*key),
        [first, second, ..] => {
            section.complain(second, format!("stands beside {first}"), "keep one of the two");
            None
        }
    };
    if key == Some("managed_identity") {
        return managed(section, reading);
    }
    let tenant_id = id(section, "tenant_id", "the directory (tenant) id of your Entra ID");
    let client_id = id(section, "client_id", "the application (client) id of your app registration");
    let proof = proof(section, key?, reading.secrets);
    let (login_url, tenant_id) = login_url.zip(tenant_id)?;
    Some(Identity::App(AppRegistration { login_url, tenant_id, client_id: client_id?, proof: proof? }))
}

/// An id goes into an address: letters, digits, hyphens and dots only.
fn id(section: &Section<'_>, key: &'static str, what: &str) -> Option<String> {
    section.require(key, &format!("write {what}"));
    id_if_there(section, key, what)
}

fn id_if_there(section: &Section<'_>, key: &'static str, what: &str) -> Option<String> {
    let text = section.text(key)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if !text.is_empty() && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    section.complain(key, format!("{text:?} is no id"), &format!("write {what}, a GUID"));
    None
}

fn managed(section: &Section<'_>, reading: Reading) -> Option<Identity> {
    if section.has("tenant_id") {
        let remedy = "leave it out: a managed identity is of the tenant that the machine is in";
        section.complain("tenant_id", "means nothing beside managed_identity", remedy);
    }
    let client_id = id_if_there(section, "client_id", "the client id of a user-assigned identity");
    let table = section.section_if_there("managed_identity")?;
    let kind =
        table.required_text("host", "write \"vm\", or \"app-service\" for Container Apps and Functions too");
    let host = match kind? {
        "vm" => vm(&table, reading.is_custom),
        "app-service" => app_service(&table, reading.secrets),
        other => {
            table.complain(
                "host",
                format!("{other:?} is no host of identities"),
                "write \"vm\" or \"app-service\"",
            );
            None
        }
    };
    table.finish();
    Some(Identity::Managed(ManagedIdentity { host: host?, client_id }))
}

fn vm(table: &Section<'_>, is_custom: bool) -> Option<IdentityHost> {
    let text = table.text("endpoint").unwrap_or(IMDS);
    let endpoint: Url = table.parse("endpoint", text, "leave it out")?;
    if text != IMDS && !(is_custom && is_loopback(&endpoint)) {
        let remedy =
            "leave it out; only with allow_custom_endpoint = true it may be a simulator on this machine";
        table.complain("endpoint", format!("{text} is not where Azure has it"), remedy);
        return None;
    }
    Some(IdentityHost::Vm { endpoint })
}

/// The platform says where, in the environment; that is no place of ours, so it is believed only if it is beside this machine.
fn app_service(table: &Section<'_>, secrets: Secrets) -> Option<IdentityHost> {
    if secrets == Secrets::Skip {
        let endpoint = Url::parse(IMDS).ok()?;
        return Some(IdentityHost::AppService { endpoint, header: SecretString::default() });
    }
    #[expect(clippy::disallowed_methods, reason = "the configuration reads the environment")]
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(endpoint), Some(header)) = (variable(IDENTITY_ENDPOINT), variable(IDENTITY_HEADER)) else {
        let problem = format!("the environment has no {IDENTITY_ENDPOINT} or no {IDENTITY_HEADER}");
        let remedy =
            "give the app an identity in Azure, which sets both; on a virtual machine write host = \"vm\"";
        table.complain("host", problem, remedy);
        return None;
    };
    let is_plain = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let endpoint = Url::parse(&endpoint).ok().filter(is_plain);
    let endpoint = endpoint.filter(|url| check_literal(url, Reach::Beside).is_ok());
    let Some(endpoint) = endpoint else {
        let problem = format!(
            "{IDENTITY_ENDPOINT} of the environment is no address of this machine or of what is beside it"
        );
        table.complain("host", problem, "leave that variable to the platform");
        return None;
    };
    Some(IdentityHost::AppService { endpoint, header: header.into() })
}

fn proof(section: &Section<'_>, key: &'static str, secrets: Secrets) -> Option<Proof> {
    let table = section.section_if_there(key)?;
    // Whoever only explains asks for no token.
    if secrets == Secrets::Skip {
        return Some(Proof::Secret(SecretString::default()));
    }
    let proof = match key {
        "workload_identity" => workload(&table),
        "certificate" => certificate(&table),
        _ => secret::read(&table).map(|secret| Proof::Secret(secret.text)),
    };
    table.finish();
    proof
}

/// The file is not among those that are watched: it changes every hour, and is read anew each time it is needed.
fn workload(table: &Section<'_>) -> Option<Proof> {
    let remedy = "name the file, on Kubernetes /var/run/secrets/azure/tokens/azure-identity-token";
    let path = table.resolve(table.required_text("token_file", remedy)?);
    if let Err(problem) = read_token_file(&path) {
        table.complain("token_file", problem, "have the platform put the token there before the start");
        return None;
    }
    Some(Proof::Federated(path))
}

fn certificate(table: &Section<'_>) -> Option<Proof> {
    let algorithm = match table.text("algorithm") {
        None | Some("PS256") => Some(Algorithm::Ps256),
        Some("RS256") => Some(Algorithm::Rs256),
        Some(other) => {
            table.complain(
                "algorithm",
                format!("{other:?} is not one of them"),
                "write \"PS256\" or \"RS256\"",
            );
            None
        }
    };
    let secret = secret::read(table)?;
    let certificate = match Certificate::read(&secret.text, algorithm?) {
        Ok(certificate) => certificate,
        Err(error) => {
            table.complain(secret.key, error.to_string(), "");
            return None;
        }
    };
    let (end, now) = (certificate.not_after(), Clock::system().now());
    let thumbprint = certificate.thumbprint();
    if end <= now {
        let problem = format!("the certificate {thumbprint} has ended on {end:.0}");
        table.complain(secret.key, problem, "register a new one in Entra ID and put it there");
        return None;
    }
    if end.duration_since(now) < NEAR_END {
        let problem = format!("the certificate {thumbprint} ends on {end:.0}");
        table.warn(secret.key, problem, "register a new one in Entra ID and put it there");
    }
    Some(Proof::Certificate(certificate))
}
