//! `scheme = "hmac"`: a row of one's own for the engine of signatures.

use jiff::SignedDuration;

use crate::ingest::{
    Algorithm, Encoding, Form, HMAC, Preset, SecretEncoding, TOLERANCE, Template, TemplateError, TimeAt,
    TimeField, TimeFormat,
};

use super::auth::{check_tolerance, header_name};
use super::reader::Section;

/// Reads the keys that make the row.
pub(super) fn read(auth: &Section<'_>) -> Option<Preset> {
    let content = auth.required_text(
        "signed_content",
        "write what is signed, such as \"{timestamp}.{body}\"; {id}, {timestamp} and {body} are filled in",
    );
    let algorithm = word(auth, "algorithm", &Algorithm::ALL, Algorithm::Sha256);
    let secret = word(auth, "secret_encoding", &SecretEncoding::ALL, SecretEncoding::Utf8);
    let signature = signature(auth);
    let timestamp = time(auth);
    let id_header = id(auth);
    let template = content.and_then(|text| template(auth, text));
    let (header, form, encoding) = signature?;
    agrees(auth, &template?);
    Some(Preset {
        name: HMAC.name,
        signed_content: content?.to_owned(),
        algorithm: algorithm?,
        header,
        form,
        encoding,
        secret: secret?,
        timestamp,
        id_header,
        ..HMAC.owned()
    })
}

/// Reads a word of a fixed list.
pub(super) fn word<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    all: &[(&'static str, T)],
    default: T,
) -> Option<T> {
    let Some(text) = section.text(key) else {
        return Some(default);
    };
    let found = all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        section.complain(
            key,
            format!("{text:?} is none of them"),
            &format!("write one of {}", words.join(", ")),
        );
    }
    found
}

fn template(auth: &Section<'_>, text: &str) -> Option<Template> {
    match text.parse() {
        Ok(template) => Some(template),
        Err(error) => {
            let error: TemplateError = error;
            auth.complain("signed_content", error.to_string(), "write it as {timestamp}.{body}");
            None
        }
    }
}

fn signature(auth: &Section<'_>) -> Option<(String, Form, Encoding)> {
    auth.require("signature", "write signature = { header = \"X-Signature\", prefix = \"sha256=\" }");
    let section = auth.section_if_there("signature")?;
    let header = section.required_text("header", "name the header of the signature");
    let encoding = word(&section, "encoding", &Encoding::ALL, Encoding::Hex);
    let prefix = section.text("prefix");
    let separator = section.text("separator");
    let pair = section.text("pair");
    section.finish();
    if pair.is_some() && (prefix.is_some() || separator.is_some()) {
        section.complain("pair", "stands beside prefix or separator", "keep one of the two forms");
    }
    let separator = match separator.map(|text| (text, text.chars().count())) {
        None => None,
        Some((text, 1)) => text.chars().next(),
        Some((text, _)) => {
            section.complain("separator", format!("{text:?} is not one character"), "write \",\" or \" \"");
            None
        }
    };
    let form = match pair {
        Some(key) => Form::Pairs { key: key.to_owned() },
        None => Form::List { prefix: prefix.unwrap_or_default().to_owned(), separator },
    };
    Some((header_name(&section, "header", header?)?, form, encoding?))
}

fn time(auth: &Section<'_>) -> Option<TimeField> {
    let section = auth.section_if_there("timestamp")?;
    let format = word(&section, "format", &TimeFormat::ALL, TimeFormat::Unix);
    let tolerance: SignedDuration = section.duration("tolerance").unwrap_or(TOLERANCE);
    check_tolerance(&section, tolerance.as_secs());
    let at = match (section.text("header"), section.text("pair")) {
        (Some(name), None) => header_name(&section, "header", name).map(TimeAt::Header),
        (None, Some(key)) => Some(TimeAt::Pair(key.to_owned())),
        (Some(_), Some(_)) | (None, None) => {
            section.complain(
                "header",
                "or pair must say where the time is, one of them",
                "keep one of the two",
            );
            None
        }
    };
    section.finish();
    Some(TimeField { at: at?, format: format?, tolerance })
}

fn id(auth: &Section<'_>) -> Option<String> {
    let section = auth.section_if_there("id")?;
    let name = section.required_text("header", "name the header of the delivery's id");
    section.finish();
    header_name(&section, "header", name?)
}

/// What the template covers must be there, and what is there must be covered.
fn agrees(auth: &Section<'_>, template: &Template) {
    let has_time = auth.section_if_there("timestamp").is_some();
    let has_id = auth.section_if_there("id").is_some();
    if template.has_timestamp() && !has_time {
        auth.complain("timestamp", "is missing, and signed_content has {timestamp}", "say where the time is");
    }
    if !template.has_timestamp() && has_time {
        let remedy = "put {timestamp} into signed_content, or leave the section out";
        auth.complain("timestamp", "is not signed, so anybody could change it", remedy);
    }
    if template.has_id() && !has_id {
        auth.complain("id", "is missing, and signed_content has {id}", "say which header holds the id");
    }
    if !template.has_id() && has_id {
        let remedy = "put {id} into signed_content, or leave id out: the alert's id recognises what is known";
        auth.complain("id", "is not signed, so it cannot tell what is a duplicate", remedy);
    }
}
