//! The signature schemes of known senders: each is a row of data.
//!
//! Facts, vectors and doubts: reference/webhook-signing.md, sections A.1, A.2 and B.1.

use jiff::SignedDuration;

use super::freshness::TimeFormat;
use super::key::{Algorithm, SecretEncoding};

/// One scheme of signing: where things are and what is signed. Texts are borrowed in the table and owned in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset<S = String> {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What is signed: literals, `{id}`, `{timestamp}` and `{body}`.
    pub signed_content: S,
    /// The hash.
    pub algorithm: Algorithm,
    /// The header of the signature, in lower case.
    pub header: S,
    /// How signatures stand in it.
    pub form: Form<S>,
    /// How one signature is written.
    pub encoding: Encoding,
    /// What comes before a signature by ed25519, if the scheme has such.
    pub ed25519_prefix: Option<&'static str>,
    /// How the secret is written.
    pub secret: SecretEncoding,
    /// Where the time is, if the scheme signs one.
    pub timestamp: Option<TimeField<S>>,
    /// The header of the sender's id of the delivery, if the scheme signs one; in lower case.
    pub id_header: Option<S>,
    /// Another beginning of the same header names: `webhook-` and `svix-`.
    pub other_spelling: Option<(&'static str, &'static str)>,
    /// A header and its value that make a delivery a test, which is answered and not acted upon.
    pub test: Option<(&'static str, &'static str)>,
}

/// How signatures stand in their header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<S = String> {
    /// One signature after a prefix, or several with a separator between them.
    List {
        /// What comes before each.
        prefix: S,
        /// What separates them; `None` for exactly one.
        separator: Option<char>,
    },
    /// `key=value` pairs separated by commas; each pair with this key is a signature, other keys are not looked at.
    Pairs {
        /// The key of signatures.
        key: S,
    },
}

/// How one signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Standard base64, padded.
    Base64,
}

impl Encoding {
    /// Both encodings with the words of the configuration.
    pub const ALL: [(&'static str, Self); 2] = [("hex", Self::Hex), ("base64", Self::Base64)];
}

/// Where the time of signing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeField<S = String> {
    /// In which header or pair.
    pub at: TimeAt<S>,
    /// How it is written.
    pub format: TimeFormat,
    /// How far from now it may be, both ways.
    pub tolerance: SignedDuration,
}

/// The place of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeAt<S = String> {
    /// A header of its own, in lower case.
    Header(S),
    /// A pair of the signature's header, by its key.
    Pair(S),
}

/// The tolerance of every library that was looked at.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);

/// A row of the table.
type Row = Preset<&'static str>;

const fn one(prefix: &'static str) -> Form<&'static str> {
    Form::List { prefix, separator: None }
}

const fn time(at: TimeAt<&'static str>, format: TimeFormat) -> TimeField<&'static str> {
    TimeField { at, format, tolerance: TOLERANCE }
}

/// A scheme that signs the body alone, with HMAC-SHA256, a secret as text and one signature in hexadecimal digits.
const fn body_only(name: &'static str, header: &'static str, form: Form<&'static str>) -> Row {
    Row {
        name,
        signed_content: "{body}",
        algorithm: Algorithm::Sha256,
        header,
        form,
        encoding: Encoding::Hex,
        ed25519_prefix: None,
        secret: SecretEncoding::Utf8,
        timestamp: None,
        id_header: None,
        other_spelling: None,
        test: None,
    }
}

/// Standard Webhooks 1.0.0, symmetric (`v1`) and asymmetric (`v1a`).
pub const STANDARD_WEBHOOKS: Row = Row {
    signed_content: "{id}.{timestamp}.{body}",
    encoding: Encoding::Base64,
    ed25519_prefix: Some("v1a,"),
    secret: SecretEncoding::Whsec,
    timestamp: Some(time(TimeAt::Header("webhook-timestamp"), TimeFormat::Unix)),
    id_header: Some("webhook-id"),
    other_spelling: Some(("webhook-", "svix-")),
    ..body_only("standard-webhooks", "webhook-signature", Form::List { prefix: "v1,", separator: Some(' ') })
};

/// Stripe's form, with a header of our own: the one that tools with formulas can write by hand.
const TIMESTAMPED: Row = Row {
    signed_content: "{timestamp}.{body}",
    timestamp: Some(time(TimeAt::Pair("t"), TimeFormat::Unix)),
    ..body_only("timestamped", "x-bridge-signature", Form::Pairs { key: "v1" })
};

const GITHUB: Row = body_only("github", "x-hub-signature-256", one("sha256="));

const JIRA: Row = body_only("jira", "x-hub-signature", one("sha256="));

const SLACK: Row = Row {
    signed_content: "v0:{timestamp}:{body}",
    timestamp: Some(time(TimeAt::Header("x-slack-request-timestamp"), TimeFormat::Unix)),
    ..body_only("slack", "x-slack-signature", one("v0="))
};

/// Grafana signs a time only if its operator names a header for it; here it must. Its documentation and its code differ
/// in the default name of the signature's header.
const GRAFANA: Row = Row {
    signed_content: "{timestamp}:{body}",
    timestamp: Some(time(TimeAt::Header("x-grafana-alerting-timestamp"), TimeFormat::Unix)),
    other_spelling: Some(("x-grafana-alerting-signature", "x-grafana-alert-signature")),
    ..body_only("grafana", "x-grafana-alerting-signature", one(""))
};

const PAGERDUTY: Row = body_only("pagerduty", "x-pagerduty-signature", Form::Pairs { key: "v1" });

/// The form of two independent receivers; not tried against a live tenant. Another order can be written as `hmac`.
const CROWDSTRIKE: Row = Row {
    signed_content: "{body}{timestamp}",
    encoding: Encoding::Base64,
    timestamp: Some(time(TimeAt::Header("x-cs-delivery-timestamp"), TimeFormat::Rfc3339)),
    ..body_only("crowdstrike", "x-cs-primary-signature", one(""))
};

const RAPID7: Row = Row {
    encoding: Encoding::Base64,
    test: Some(("x-rapid7-event", "test")),
    ..body_only("rapid7", "x-rapid7-signature", one(""))
};

const SHOPIFY: Row =
    Row { encoding: Encoding::Base64, ..body_only("shopify", "x-shopify-hmac-sha256", one("")) };

const ZENDESK: Row = Row {
    signed_content: "{timestamp}{body}",
    encoding: Encoding::Base64,
    timestamp: Some(time(TimeAt::Header("x-zendesk-webhook-signature-timestamp"), TimeFormat::Rfc3339)),
    ..body_only("zendesk", "x-zendesk-webhook-signature", one(""))
};

/// What a user's own row begins with.
pub const HMAC: Row = body_only("hmac", "x-signature", one(""));

/// Every preset.
pub const PRESETS: &[Row] = &[
    STANDARD_WEBHOOKS,
    TIMESTAMPED,
    GITHUB,
    JIRA,
    SLACK,
    GRAFANA,
    PAGERDUTY,
    CROWDSTRIKE,
    RAPID7,
    SHOPIFY,
    ZENDESK,
];

impl Row {
    /// Finds a preset by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Returns the row with texts of its own, to be used or changed.
    pub fn owned(self) -> Preset {
        Preset {
            name: self.name,
            signed_content: self.signed_content.to_owned(),
            algorithm: self.algorithm,
            header: self.header.to_owned(),
            form: match self.form {
                Form::List { prefix, separator } => Form::List { prefix: prefix.to_owned(), separator },
                Form::Pairs { key } => Form::Pairs { key: key.to_owned() },
            },
            encoding: self.encoding,
            ed25519_prefix: self.ed25519_prefix,
            secret: self.secret,
            timestamp: self.timestamp.map(|time| TimeField {
                at: match time.at {
                    TimeAt::Header(name) => TimeAt::Header(name.to_owned()),
                    TimeAt::Pair(key) => TimeAt::Pair(key.to_owned()),
                },
                format: time.format,
                tolerance: time.tolerance,
            }),
            id_header: self.id_header.map(ToOwned::to_owned),
            other_spelling: self.other_spelling,
            test: self.test,
        }
    }
}
