//! openapi.yaml against the service: routes both ways, words, and examples. The harness holds every answer of every
//! test to it.

use std::collections::BTreeSet;

use quarantine_bridge::alert::State;
use quarantine_bridge::http::{Access, TABLE, table};
use quarantine_bridge::ingest::{Gate, Place, Scheme, Tokens};
use quarantine_bridge::store::Scope;
use serde_json::{Value, json};

use crate::harness::contract::{OPENAPI, conforms, operations, resolve};
use crate::harness::{Bridge, Setup, WHSEC};

/// Every object of the document, with its JSON pointer.
fn objects() -> Vec<(String, &'static Value)> {
    fn walk(place: String, value: &'static Value, found: &mut Vec<(String, &'static Value)>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    walk(format!("{place}/{}", name.replace('/', "~1")), member, found);
                }
                found.push((place, value));
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    walk(format!("{place}/{n}"), item, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(String::new(), &OPENAPI, &mut found);
    found
}

fn each_operation() -> impl Iterator<Item = (&'static String, &'static Value)> {
    let items = OPENAPI["paths"].as_object().unwrap().values();
    items.flat_map(|item| item.as_object().unwrap())
}

fn words(place: &str) -> BTreeSet<&'static str> {
    let words = OPENAPI.pointer(place).unwrap().as_array().unwrap();
    words.iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_document_has_the_routes_of_the_service_and_no_others() {
    let routes: BTreeSet<_> = table().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(routes, operations());
}

#[test]
fn the_document_names_the_scope_of_each_route() {
    for (method, path, access) in table() {
        let operation = &OPENAPI["paths"][path][method.to_lowercase()];
        let security = operation.get("security").unwrap_or(&OPENAPI["security"]);
        match access {
            Access::Token(scope) => {
                assert_eq!(operation["x-scope"], scope.as_str(), "{method} {path}");
                assert_eq!(security, &json!([{"token": []}, {"oidc": []}]), "{method} {path}");
            }
            Access::Open | Access::Source | Access::Link => {
                assert_eq!(operation.get("x-scope"), None, "{method} {path}");
                assert_eq!(security, &json!([]), "{method} {path}");
            }
        }
    }
}

#[test]
fn every_scope_stands_in_the_readme_and_opens_something() {
    let readme = include_str!("../../README.md");
    for scope in Scope::ALL {
        assert!(readme.contains(&format!("| `{scope}` | ")), "README.md has no row for {scope}");
        assert!(table().any(|(_, _, access)| access == Access::Token(scope)), "{scope} opens nothing");
    }
}

#[tokio::test]
async fn every_route_is_there() {
    let gate = || Gate::new(Scheme::Tokens(Tokens::new(Place::Path, Vec::new())), Vec::new(), Vec::new());
    let bridge = Bridge::with(Setup { gate, ..Setup::default() }).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path, access) in table() {
        let path = path.replace("{source}", "soc").replace("{id}", "019d4418-5b00-7c2e-9a61-402d1b9e6f02");
        let request = client.request(method.parse().unwrap(), bridge.url(&path));
        let answer = bridge.send(request).await;
        // A link that is not known has a page too.
        let is_page = access == Access::Link && answer.headers["content-type"].starts_with("text/html");
        assert!(is_page || ![404, 405].contains(&answer.status), "{method} {path}");
    }
}

#[test]
fn every_operation_can_be_read_by_people_and_generators() {
    assert_eq!(OPENAPI["openapi"], "3.0.3");
    assert_eq!(OPENAPI["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (_, operation) in each_operation() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} stands twice");
        assert!(operation["summary"].is_string(), "{id} has no summary");
        assert!(operation["tags"].is_array(), "{id} has no tag");
    }
    for (place, object) in objects() {
        for word in ["oneOf", "anyOf", "allOf", "not"] {
            assert!(object.get(word).is_none(), "{place} has {word}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let mut used = BTreeSet::new();
    for (place, object) in objects() {
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            assert!(OPENAPI.pointer(target.trim_start_matches('#')).is_some(), "{place}: {target}");
            used.insert(target.to_owned());
        }
    }
    // The answer to what the document does not name.
    used.insert("#/components/responses/MethodNotAllowed".to_owned());
    for kind in ["headers", "parameters", "responses", "schemas"] {
        for name in OPENAPI["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
        }
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let mut examples = 0;
    for (place, object) in objects().into_iter().filter(|(_, object)| object.get("schema").is_some()) {
        let single = object.get("example").into_iter();
        let named = object.get("examples").and_then(Value::as_object).into_iter().flat_map(|it| it.values());
        let all: Vec<_> = single.chain(named.map(|it| &it["value"])).collect();
        assert!(!all.is_empty(), "{place} has no example");
        for example in all {
            conforms(&object["schema"], example).unwrap_or_else(|why| panic!("{place}: {why}"));
            examples += 1;
        }
    }
    assert!(examples > 20, "only {examples} examples were found");
}

#[test]
fn every_example_of_a_problem_is_a_row_of_the_table() {
    for (name, response) in OPENAPI["components"]["responses"].as_object().unwrap() {
        let Some(problem) = response["content"].get("application/problem+json") else {
            continue;
        };
        let example = &problem["example"];
        let code = example["type"].as_str().unwrap().trim_start_matches("urn:quarantine-bridge:problem:");
        let row = TABLE.iter().find(|row| row.code == code).unwrap_or_else(|| panic!("{name}: {code}"));
        assert_eq!(example["title"], row.title, "{name}");
        // The one that a source can ask to have as 429.
        let as_429 = name == "TooManyRequests" && row.retry_after.is_some();
        assert_eq!(example["status"], if as_429 { 429 } else { row.status }, "{name}");
        assert!(response["description"].as_str().unwrap().contains(&format!("`{code}`")), "{name}");
        let waits = resolve(response)["headers"].get("Retry-After").is_some();
        assert_eq!(waits, row.retry_after.is_some(), "{name}: Retry-After");
    }
}

#[test]
fn words_are_those_of_the_code() {
    let states: BTreeSet<_> = State::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(words("/components/schemas/State/enum"), states);

    let types: BTreeSet<_> =
        TABLE.iter().map(|row| format!("urn:quarantine-bridge:problem:{}", row.code)).collect();
    let documented = words("/components/schemas/Problem/properties/type/enum");
    assert_eq!(documented, types.iter().map(String::as_str).collect());
}

#[test]
fn every_problem_stands_in_the_readme() {
    let readme = include_str!("../../README.md");
    for row in TABLE {
        let line = format!("| `{}` | {} |", row.code, row.status);
        assert!(readme.contains(&line), "README.md has no line {line}");
    }
}

#[tokio::test]
async fn the_example_of_a_delivery_is_accepted() {
    let bridge = Bridge::start().await;
    let body = &OPENAPI["paths"]["/v1/hooks/{source}"]["post"]["requestBody"]["content"]["application/json"];
    let example = &body["examples"]["bridge"]["value"];
    let answer = bridge.post("msg_2b1c7e5f9d30", example.to_string()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    assert_eq!(answer.body["alerts"][0]["alert_id"], example["alert_id"]);
    assert!(!answer.body.to_string().contains(WHSEC));
}
