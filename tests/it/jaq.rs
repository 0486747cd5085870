//! Programs answer what jq answers: ours is held to another implementation, jaq.

use std::fs;

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars, unwrap_valr};
use jaq_json::{Val, read};
use quarantine_bridge::mapping::{BUILT_IN, Cancel, Format, SHARED, answers, on_mapping_thread};
use serde_json::Value;

use crate::formats::data;

/// The definitions of jaq's standard library that formats may call, and what these call.
const STANDARD: &[&str] = &[
    "empty",
    "error",
    "true",
    "false",
    "null",
    "not",
    "select",
    "tostring",
    "recurse",
    "map",
    "first",
    "last",
    "join",
    "to_entries",
    "from_entries",
    "with_entries",
    "isempty",
    "all",
    "any",
    "totype",
    "tonumber",
    "in",
    "isboolean",
    "isnumber",
    "isstring",
    "isarray",
    "isobject",
    "type",
    "values",
    "booleans",
    "numbers",
    "strings",
    "arrays",
    "objects",
    "add",
    "unique_by",
    "unique",
    "keys",
    "split",
];

fn jaq(code: &str) -> Filter<JustLut<Val>> {
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let defs =
        defs.filter(|def| STANDARD.contains(&def.name) && (def.name != "split" || def.args.len() == 1));
    let funs = jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(defs).load(&arena, File { code, path: () });
    let modules = modules.unwrap_or_else(|_| panic!("jaq reads {code:?}"));
    Compiler::default().with_funs(funs).compile(modules).unwrap_or_else(|_| panic!("jaq compiles {code:?}"))
}

/// What jaq answers: values, and whether an error came after them.
fn of_jaq(filter: &Filter<JustLut<Val>>, payload: &[u8]) -> Result<Vec<Value>, ()> {
    let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let outputs = filter.id.run((context, read::parse_single(payload).unwrap())).map(unwrap_valr);
    let text = |output: Result<Val, _>| output.map(|it| parsed(&it.to_string())).map_err(|_jaqs| ());
    outputs.map(text).collect()
}

fn ours(format: &Format, payload: &[u8]) -> Result<Vec<Value>, ()> {
    match answers(format, payload, &Cancel::default()) {
        Ok(texts) => Ok(texts.iter().map(|text| parsed(text)).collect()),
        Err(quarantine_bridge::mapping::MapError::NoAlert) => Ok(Vec::new()),
        Err(_) => Err(()),
    }
}

fn parsed(text: &str) -> Value {
    comparable(serde_json::from_str(text).unwrap())
}

/// JSON without the difference between 1 and 1.0.
fn comparable(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(comparable).collect(),
        Value::Object(pairs) => pairs.into_iter().map(|(key, value)| (key, comparable(value))).collect(),
        other => other,
    }
}

#[test]
fn every_format_answers_as_in_jaq() {
    let compared = on_mapping_thread(|| {
        let mut compared = 0;
        for built_in in BUILT_IN {
            let format = Format::load(built_in.name, built_in.code).unwrap();
            let filter = jaq(&built_in.standalone());
            for case in fs::read_dir(data().join(built_in.name)).unwrap() {
                let case = case.unwrap().path();
                let Ok(payload) = fs::read(case.join("payload.json")) else {
                    continue;
                };
                assert_eq!(ours(&format, &payload), of_jaq(&filter, &payload), "{}", case.display());
                compared += 1;
            }
        }
        compared
    });
    assert!(compared.unwrap() > 80);
}

/// What formats may be written with, each on every input below. One thing differs on purpose: a number is no key of an object
/// here, as in jq, while jaq has objects with such keys.
const PROGRAMS: &[&str] = &[
    ".a, .b.c, .[\"a\"], .a?",
    "arrays | .[0], .[-1], .[9], .[-9]",
    "[.[]?], [.[]?.a?], [..], [.. | objects | .a]",
    ".[1:]?, .[:-1]?, .[1:2]?, .[-2:]?, .[5:2]?",
    ".a.b.c // \"none\", (.a, .b)? // 7, (empty // 1), [(null, false, 3) // 4]",
    "try error(\"x\") catch ., (try error({a: 1}) catch .a), [.[]? | try (if . == 1 then error(\"y\") else . end) catch .]",
    "[.[]? | (1, 2) as $x | $x], (arrays | . as [$p, $q] | [$p, $q]), (. as {a: $x, $b} | [$x, $b])?",
    "{a: (1, 2), b: (3, 4)}, {\"x\\(1, 2)\": .}, {(\"k\", \"l\"): 1}, {a: 1} + {a: 2, b: 3}",
    "\"a\\(1, 2)b\\(3, 4)\", \"\\(.)\", \"\\u00e9\\n\\(\"x\")\"",
    "[1, 2] + [3], \"a\" + \"b\", null + 1, 1 + null, 5 - 2, 7 / 2, 7 % 3, -(3), (6 / 2)",
    "(1, 2) + (10, 20), [(1, 2) == (1, 2)], [1 < 2, \"a\" < \"b\", null < false, [1] < {}, {} < {a: 1}]",
    "(true, false, null) and (true, false), [(true, false) or (true, false)], (1 | not)",
    "if .a? then 1 elif . == null then 2 else 3 end, if (true, false) then \"t\" else \"f\" end, if false then 1 end",
    "[limit(2; 1, 2, error(\"late\"))], first(1, error(\"late\")), [first(empty)], [limit(0; 1)], [limit(-1; 1)]",
    "isempty(empty), isempty(1, error(\"late\")), any(true, error(\"late\"); .), all(false, error(\"late\"); .)",
    "([1, 2, 3] | any(. > 2), all(. > 0)), ([] | any, all), ([true, false] | any, all), any(1, 2; . == 2)",
    "[3, 1, 2] | sort, sort_by(-.), group_by(. % 2), unique, unique_by(. % 2), map(. + 1), add",
    "[{a: 2, b: 1}, {b: 9, a: 1}, {a: 2}] | sort, sort_by(.a), group_by(.a), unique",
    "[null, true, false, 1.5, 1, \"b\", \"a\", [1], [], {}, {a: 1}] | sort, map(type), map(tostring), map(tojson)",
    "{b: 2, a: 1} | keys, keys_unsorted, to_entries, with_entries({key, value: 1}), has(\"a\"), has(\"z\"), length, add",
    "[[\"a\", 1], [\"b\", 2]] | map({key: .[0], value: .[1]}) | from_entries",
    "\"a,b,,c\" | split(\",\"), . / \",\", length, ascii_upcase, startswith(\"a\"), endswith(\"c\"), contains(\",,\")",
    "\"  Ab \" | trim, ltrim, rtrim, ascii_downcase, ltrimstr(\"  A\"), rtrimstr(\"b \"), ltrimstr(\"z\")",
    "\"\" | split(\",\"), split(\"\"), length",
    "\"äöü\" | .[1:2], length, split(\"\")",
    "[\"a\", \"b\"] | join(\"-\")",
    "[1.7, -1.2, 3] | map(floor)",
    "(\"12\", \"1.5\", \" 7\"?) | try tonumber catch \"no\"",
    "\"{\\\"a\\\":[1,2]}\" | fromjson | .a[1]",
    "[.. | strings], [.. | numbers], [.. | arrays | length], [.. | booleans], [.. | values | type]",
    "def f(g): [g, g]; def h($x; $y): [$x, $y]; def x: 5; f(.a?), h(1, 2; 3), f(f(1))",
    "def f(g): 3 as $x | g; 4 as $x | f($x)",
    "def a: 1; def b: a + 1; def a: 10; [a, b]",
    "1 as $x | 2 as $y | [$x, $y, (3 as $x | $x), $x]",
    "[. as $all | (1, 2) | $all]",
    "(\"a\", \"b\") | in({a: 1})",
    "9007199254740993, 9007199254740993 == 9007199254740992, 1e3, 1.0 == 1, -0 == 0, [1e2, 100] == [100, 1e2]",
    ".[(\"a\", \"b\")]?, (.a | arrays | .[0])?, .a[\"b\"]?, [.[]? | arrays | .[0]], .a.b?.c?",
    "add([1, 2][]), (arrays | [first, last]), ([recurse] | length)",
];

const INPUTS: &[&str] = &[
    "null",
    "true",
    "1",
    "\"text\"",
    "[]",
    "{}",
    "[1,[2,3],{\"a\":4}]",
    "{\"a\":1,\"b\":{\"c\":[1,2]}}",
    "{\"a\":[{\"b\":1},null]}",
    "[[\"x\",[\"y\"]],\"z\"]",
    "{\"a\":null,\"b\":false}",
    "[{\"a\":\"s\"},{\"a\":1.25}]",
];

#[test]
fn the_language_is_jaqs() {
    let differences = on_mapping_thread(|| {
        let mut differences = Vec::new();
        for code in PROGRAMS {
            let format = Format::load("test", code).unwrap_or_else(|error| panic!("{code}: {error}"));
            let filter = jaq(code);
            for input in INPUTS {
                let (ours, of_jaq) = (ours(&format, input.as_bytes()), of_jaq(&filter, input.as_bytes()));
                if ours != of_jaq {
                    differences.push(format!("{code} on {input}: {ours:?}, in jaq {of_jaq:?}"));
                }
            }
        }
        differences
    });
    let differences = differences.unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_formats_share_loads_in_jaq() {
    jaq(&format!("{SHARED} ."));
}
