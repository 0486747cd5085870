//! Format programs cannot abort, hang or fill the server.

use std::sync::Arc;

use bytes::Bytes;
use quarantine_bridge::mapping::{Cancel, Format, MapError, Mapper, MapperError, RunError, map};

/// Programs that must be refused when they are loaded, with the line and a word of the reason.
const REFUSED: &[(&str, usize, &str)] = &[
    ("def f: f; f", 1, "call itself"),
    ("def f: 1 + f; f", 1, "call itself"),
    ("def f(g): g | f(g); f(.)", 1, "call itself"),
    ("def f: def g: f; g; f", 1, "call itself"),
    ("def f($n): f($n - 1); f(3)", 1, "call itself"),
    ("\n\ndef a:\n  .[] | a;\na", 4, "call itself"),
    ("def f(x): x; def g: f(g); g", 1, "call itself"),
    ("repeat(.)", 1, "repeat"),
    ("[repeat(empty)]", 1, "repeat"),
    ("[range(1e12)]", 1, "range"),
    ("range(0; 10; 0)", 1, "range"),
    ("while(true; .)", 1, "while"),
    ("until(false; .)", 1, "until"),
    ("recurse(.)", 1, "recurse"),
    ("recurse(.[]?; true)", 1, "recurse"),
    ("[limit(3; repeat(1))]", 1, "repeat"),
    ("combinations", 1, "combinations"),
    ("[[1,2],[3,4]] | combinations(100)", 1, "combinations"),
    ("input", 1, "input"),
    ("[inputs]", 1, "inputs"),
    ("env", 1, "env"),
    ("$ENV", 1, "ENV"),
    ("$ENV.PATH", 1, "ENV"),
    ("now", 1, "now"),
    ("debug", 1, "debug"),
    ("halt", 1, "halt"),
    ("halt_error", 1, "halt_error"),
    ("stderr", 1, "stderr"),
    ("input_filename", 1, "input_filename"),
    ("\"a\" * 1000000000", 1, "multiplies"),
    (".a * .b", 1, "multiplies"),
    (".a *= 3", 1, "only read"),
    (".a = 3", 1, "only read"),
    (".a |= .", 1, "only read"),
    (".a += 1", 1, "only read"),
    (".a //= 1", 1, "only read"),
    ("reduce .[] as $x (\"a\"; . + .)", 1, "reduce"),
    ("foreach .[] as $x (0; . + $x)", 1, "reduce"),
    ("label $out | 1, break $out", 1, "label"),
    ("walk(.)", 1, "walk"),
    ("map_values(.)", 1, "map_values"),
    ("setpath([1000000000]; 1)", 1, "setpath"),
    ("[splits(\"a\")]", 1, "splits"),
    ("test(\"(a*)*b\")", 1, "test"),
    ("ltrimstr", 1, "ltrimstr"),
    ("getpath([\"a\"])", 1, "getpath"),
    ("tojson | tojson | @base64", 1, "base64"),
    ("include \"x\"; .", 1, "not available"),
    ("import \"x\" as x; .", 1, "not available"),
    ("import \"x\" as $x; .", 1, "not available"),
    ("module {}; .", 1, "not available"),
    ("error(null) | implode", 1, "implode"),
    ("(", 1, "closing parenthesis"),
    ("{", 1, "closing brace"),
    (". |", 1, "expected"),
    ("\n\n  .a ~ .b", 3, "expected"),
    ("", 1, "expected"),
];

#[test]
fn programs_outside_the_subset_are_refused_with_line_and_reason() {
    for (code, line, word) in REFUSED {
        let Err(error) = Format::load("test", code) else {
            panic!("{code:?} was taken");
        };
        assert_eq!(error.line, *line, "{code:?}: {error}");
        assert!(error.problem.contains(word), "{code:?}: {error}");
    }
}

#[test]
fn programs_that_nest_without_end_are_refused() {
    let deep = [
        "(".repeat(16_000),
        "[".repeat(16_000),
        "{a:".repeat(5_000),
        format!("{}1", "-".repeat(16_000)),
        format!("{}.", "try ".repeat(4_000)),
        format!(".{}", "|.".repeat(8_000)),
        format!("{{{}}}", "a:1,".repeat(4_000)),
        format!(".{}", "[0]".repeat(5_000)),
        format!("\"{}\"", "\\(.)".repeat(3_000)),
        format!("def f({}): 1; .", vec!["a"; 1_000].join(";")),
        format!(". as [{}] | 1", vec!["$a"; 3_000].join(",")),
        format!(".{}", ",.".repeat(8_000)),
        format!(".{}", "+.".repeat(8_000)),
        format!(".{}", " as $x|.".repeat(2_000)),
        format!("{}.{}", "if . then ".repeat(1_100), " end".repeat(1_100)),
        format!("{}.", "def f: ".repeat(2_000)),
        format!("{}.{}", "\"\\(".repeat(4_000), ")\"".repeat(2_000)),
        "1".repeat(20_000),
    ];
    for code in deep {
        let start: String = code.chars().take(20).collect();
        assert!(Format::load("test", &code).is_err(), "{start}... was taken");
    }
    // Brackets leave nothing behind in the syntax tree.
    assert!(Format::load("test", &format!("{}.{}", "(".repeat(8_000), ")".repeat(8_000))).is_ok());
}

/// The highest programs that are taken run without exhausting the stack of a mapping thread.
#[tokio::test]
async fn the_highest_programs_run() {
    let chain = |step: &dyn Fn(usize) -> String, count: usize| {
        let defs: Vec<_> = (1..=count).map(|n| format!("def d{n}: {};", step(n))).collect();
        format!("def d0: .; {} d{count}", defs.join(" "))
    };
    let by = |before: &'static str, after: &'static str| move |n: usize| format!("{before}d{}{after}", n - 1);
    let steps: [Box<dyn Fn(usize) -> String>; 7] = [
        Box::new(by("first(", ")")),
        Box::new(by("(", "|.)")),
        Box::new(by("(., ", ")")),
        Box::new(by("(", ")?")),
        Box::new(by("(1 as $x | ", ")")),
        Box::new(by("(null // ", ")")),
        Box::new(by("if . then ", " else . end")),
    ];
    let mapper = Mapper::start(1).unwrap();
    for step in steps {
        let taken = (1..400).rev().find_map(|n| Format::load("test", &chain(&step, n)).ok());
        let format = Arc::new(taken.expect("a program that is low enough"));

        let result = mapper.map(format, Bytes::from_static(b"1")).await;

        assert!(!matches!(result, Err(MapperError::Map(MapError::Program(_)))), "{result:?}");
    }
}

#[track_caller]
fn run(code: &str, payload: &str) -> Result<(), MapError> {
    let format = Format::load("test", code).expect("the program loads");
    map(&format, payload.as_bytes(), &Cancel::default()).map(|_| ())
}

/// Programs that are within the subset but would run for ages or fill the memory.
#[test]
fn programs_that_do_too_much_are_stopped() {
    let doubling = |step: &str, times: usize| format!("[{}]", vec![step; times].join("|"));
    let by_definition = "def a: (.,.); def b: a|a|a|a|a|a|a|a; def c: b|b|b|b|b|b|b|b; ";
    let greedy = [
        doubling("(.,.)", 60),
        doubling(". + .", 60),
        doubling("[.,.]", 60),
        doubling("{a:.,b:.}", 60),
        doubling("\"\\(.)\\(.)\"", 60),
        doubling("([.,.] | tojson)", 60),
        doubling("(.. as $x | [$x, .])", 40),
        format!("{by_definition}[c]"),
        format!("{by_definition}[c | select(. == 1)?]"),
        format!("{by_definition}first(c | select(false))"),
        format!("{by_definition}isempty(c | empty)"),
        format!("{by_definition}[c?] | length"),
        format!("{by_definition}[try c catch .]"),
        format!("{by_definition}[.[] | sort_by(c)]"),
        format!("{by_definition}[limit(1000000000; c)] | add"),
        format!("{by_definition}[c // c]"),
        format!("{by_definition}all(c; true)"),
        "def n: [.]; def n8: n|n|n|n|n|n|n|n; def n64: n8|n8|n8|n8|n8|n8|n8|n8; n64|n64|n64".to_owned(),
        "[.[] as $a | .[] as $b | .[] as $c | .[] as $d | 1]".to_owned(),
        "[.. , ..] | [.[] | [.[]?]] | [.[] as $x | .[] as $y | $x + $y]".to_owned(),
    ];
    let payload = format!("[{}]", vec!["[1,2]"; 3_000].join(","));
    for code in greedy {
        let result = run(&code, &payload);
        let expected = matches!(result, Err(MapError::Program(RunError::TooMuchWork | RunError::TooDeep)));
        assert!(expected, "{code}: {result:?}");
    }
}

#[test]
fn the_watchdog_stops_a_run() {
    let format = Format::load("test", "[.[] as $a | .[] as $b | .[] as $c | 1]").unwrap();
    let payload = format!("[{}]", vec!["1"; 5_000].join(","));
    let cancel = Cancel::default();

    cancel.stop();

    let result = map(&format, payload.as_bytes(), &cancel);
    assert_eq!(result, Err(MapError::Program(RunError::TooSlow)));
}

#[test]
fn an_error_that_a_program_raises_is_told() {
    assert_eq!(run("error(\"no\")", "1"), Err(MapError::Program(RunError::Raised("no".to_owned()))));
    let result = run(".a", "[1]");
    assert!(matches!(result, Err(MapError::Program(RunError::Raised(_)))), "{result:?}");
}

#[test]
fn a_program_that_finds_nothing_says_so() {
    assert_eq!(run("empty", "1"), Err(MapError::NoAlert));
}
