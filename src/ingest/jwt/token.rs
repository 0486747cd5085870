//! Reads a JSON Web Token strictly. Nothing of it is believed before its signature holds.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Algorithm, JwtError, TOKEN_BYTES_MAX};

/// What `typ` may say (RFC 7519, section 5.1; RFC 9068, section 2.1).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// A token in its three parts.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What the signature covers: the first two parts as they came.
    pub(super) signed: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    pub(super) claims: Claims,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, JwtError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed("it is longer than 8 KiB"));
        }
        let three = JwtError::Malformed("it has not three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or(three)?;
        let (header, claims) = signed.split_once('.').ok_or(three)?;
        if claims.contains('.') {
            return Err(three);
        }
        let (header, claims) = (Claims::read(header)?, Claims::read(claims)?);
        if header.has("crit") {
            return Err(JwtError::Malformed("its header says crit, and nothing critical is understood here"));
        }
        if header.text("typ")?.is_some_and(|typ| !TYPES.contains(&typ)) {
            return Err(JwtError::Malformed("its typ is neither JWT nor at+jwt"));
        }
        let algorithm = header.text("alg")?.and_then(|name| name.parse().ok()).ok_or(JwtError::Algorithm)?;
        let kid = header.text("kid")?.ok_or(JwtError::Malformed("its header has no kid"))?.to_owned();
        Ok(Self { signed, signature, algorithm, kid, claims })
    }
}

/// The members of a token's header or body, each there once.
#[derive(Debug)]
pub(super) struct Claims(BTreeMap<String, Value>);

impl Claims {
    fn read(part: &str) -> Result<Self, JwtError> {
        let decoded = URL_SAFE_NO_PAD.decode(part).ok();
        let read = decoded.and_then(|json| serde_json::from_slice(&json).ok());
        read.ok_or(JwtError::Malformed("a part is not base64url of a JSON object with each name once"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, JwtError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtError::Malformed("what must be a text is none")),
        }
    }

    /// A text, or an array of texts, or none.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, JwtError> {
        let Some(Value::Array(items)) = self.0.get(name) else {
            return Ok(self.text(name)?.into_iter().collect());
        };
        let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        texts.ok_or(JwtError::Malformed("what must be an array of texts is none"))
    }

    /// A time in whole seconds since 1970.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, JwtError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let time = value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(Some).ok_or(JwtError::Malformed("what must be a time in whole seconds is none"))
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceEach)
    }
}

/// Takes an object whose names are all different: of two claims, readers disagree on which counts.
struct OnceEach;

impl<'de> Visitor<'de> for OnceEach {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Claims, A::Error> {
        let mut claims = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Claims(claims))
    }
}
