//! openapi.yaml, to which every answer in every test is held.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::Answer;

/// The document as it stands in the repository.
pub(crate) static OPENAPI: LazyLock<Value> =
    LazyLock::new(|| serde_yaml_ng::from_str(include_str!("../../../openapi.yaml")).unwrap());

/// The document with schemas in the words of JSON Schema, and closed: a member that it does not name is a breach.
static STRICT: LazyLock<Value> = LazyLock::new(|| strict(&OPENAPI));

/// Method and path of every operation.
pub(crate) fn operations() -> BTreeSet<(String, String)> {
    let methods = |(path, item): (&String, &Value)| {
        let path = path.clone();
        let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
    };
    OPENAPI["paths"].as_object().unwrap().iter().flat_map(methods).collect()
}

/// Holds one answer to the document.
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    if let Err(breach) = breach(method, path, answer) {
        panic!("{method} {path} broke openapi.yaml: {breach}\n{answer:?}");
    }
}

fn breach(method: &str, path: &str, answer: &Answer) -> Result<(), String> {
    let found = STRICT["paths"].as_object().unwrap().iter().find(|(template, _)| fits(template, path));
    let operation = found.and_then(|(_, item)| item.get(method.to_lowercase()));
    let response = match (operation, found) {
        (Some(operation), _) => {
            let response = operation["responses"].get(answer.status.to_string());
            resolve(response.ok_or_else(|| format!("the status {} is not there", answer.status))?)
        }
        (None, Some(_)) if answer.status == 405 => &STRICT["components"]["responses"]["MethodNotAllowed"],
        (None, None) if answer.status == 404 => &STRICT["components"]["responses"]["NotFound"],
        (None, _) => return Err("what is not there is answered".to_owned()),
    };
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = resolve(header);
        match answer.headers.get(&name.to_lowercase()) {
            Some(value) => {
                conforms(&header["schema"], &json!(value)).map_err(|why| format!("{name}: {why}"))?;
            }
            None if header["required"] == false => {}
            None => return Err(format!("no header {name}")),
        }
    }
    if answer.status == 204 {
        let is_empty = response.get("content").is_none() && answer.body == json!("");
        return if is_empty { Ok(()) } else { Err("an answer without content has some".to_owned()) };
    }
    let sent = answer.headers.get("content-type").map_or("", String::as_str);
    let media_type = sent.split(';').next().unwrap_or_default();
    let content = response["content"].get(media_type);
    let content = content.ok_or_else(|| format!("the media type {sent} is not there"))?;
    conforms(&content["schema"], &answer.body)
}

/// Says whether a path is one of the template's: `/v1/actions/{id}`.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let mut segments = template.iter().zip(&path);
    template.len() == path.len()
        && segments.all(|(wanted, have)| (wanted.starts_with('{') && !have.is_empty()) || wanted == have)
}

/// Follows a reference within the document.
pub(crate) fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => STRICT.pointer(place.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Holds a value to one of the document's schemas.
pub(crate) fn conforms(schema: &Value, value: &Value) -> Result<(), String> {
    let mut schema = strict(schema);
    schema["components"] = STRICT["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let breaches: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if breaches.is_empty() { Ok(()) } else { Err(breaches.join("; ")) }
}

/// OpenAPI 3.0 says `nullable: true` where JSON Schema says `type: [.., "null"]`.
fn strict(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(strict).collect(),
        Value::Object(members) => {
            let mut members: Map<String, Value> =
                members.iter().map(|(name, member)| (name.clone(), strict(member))).collect();
            if members.remove("nullable") == Some(json!(true)) {
                members["type"] = json!([members["type"], "null"]);
            }
            if members.contains_key("properties") && members.get("type").is_some() {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}
