//! There is one Python signer; what kits hold of it are copies. `UPDATE=1` writes the copies anew.

use std::fs;
use std::process::Command;

use super::{kit, read, run, tool};

const ORIGINAL: &str = "python/quarantine_bridge_signer.py";

/// Kits in which the signer is a file of its own.
const FILES: &[&str] = &[
    "google-secops/quarantine_bridge_signer.py",
    "splunk/TA-quarantine-bridge/bin/quarantine_bridge_signer.py",
    "thehive/quarantine_bridge_signer.py",
    "wazuh/quarantine_bridge_signer.py",
];

/// Kits whose tool takes one file only: the signer stands between two lines, indented as they are.
const EMBEDDED: &[&str] = &[
    "qradar/quarantine_bridge_qradar.py",
    "shuffle/send_to_bridge.py",
    "splunk-soar/quarantine_bridge_send.py",
    "xsoar/integration-QuarantineBridge.yml",
];

const BEGIN: &str = "# ---- begin quarantine_bridge_signer.py ----";
const END: &str = "# ---- end quarantine_bridge_signer.py ----";

/// Puts the original between the two lines of a text.
fn with_signer(text: &str, original: &str) -> String {
    let begin = text.lines().find(|line| line.trim() == BEGIN).unwrap();
    let indent = &begin[..begin.len() - begin.trim_start().len()];
    let (before, rest) = text.split_once(&format!("{begin}\n")).unwrap();
    let end = format!("{indent}{END}\n");
    let (_, after) = rest.split_once(&end).unwrap();
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") };
    let signer: String = original.lines().map(indented).collect();
    format!("{before}{begin}\n{signer}{end}{after}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE=1 is how a person asks for the copies to be written anew"
)]
fn update_is_asked_for() -> bool {
    std::env::var("UPDATE").is_ok()
}

#[test]
fn every_copy_of_the_signer_is_the_original() {
    let original = read(ORIGINAL);
    let whole = FILES.iter().map(|path| (*path, original.clone()));
    let embedded = EMBEDDED.iter().map(|path| (*path, with_signer(&read(path), &original)));
    for (path, wanted) in whole.chain(embedded) {
        if update_is_asked_for() {
            fs::write(kit(path), &wanted).unwrap();
        }
        let says = "differs from the original: run UPDATE=1 cargo test --test it senders::copies";
        assert!(read(path) == wanted, "{path} {says}");
    }
}

#[test]
fn no_other_file_holds_a_signer_of_its_own() {
    let mut folders = vec![kit("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(kit("")).unwrap().to_str().unwrap().to_owned();
            let has_signer = fs::read_to_string(&path).unwrap().contains("hmac.new(");
            let known =
                name == ORIGINAL || FILES.contains(&name.as_str()) || EMBEDDED.contains(&name.as_str());
            assert!(!has_signer || known, "{name} signs by itself");
        }
    }
}

/// Every file that Python runs, with what its tool puts around it.
fn python_files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = FILES
        .iter()
        .chain(EMBEDDED)
        .chain(&[
            ORIGINAL,
            "google-secops/SendToBridge.py",
            "python/quarantine-bridge-send",
            "splunk/TA-quarantine-bridge/bin/quarantine_bridge.py",
            "thehive/quarantine_bridge_thehive.py",
            "wazuh/custom-quarantine-bridge.py",
        ])
        .map(|path| ((*path).to_owned(), read(path)))
        .collect();
    let xsoar = files.iter_mut().find(|(path, _)| path.starts_with("xsoar/")).unwrap();
    xsoar.1 = super::playbooks::xsoar_script();
    files
}

#[tokio::test]
async fn python_compiles_every_script() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tool("python3");
    command.args(["-m", "py_compile"]);
    for (n, (_, code)) in python_files().iter().enumerate() {
        let path = folder.path().join(format!("script{n}.py"));
        fs::write(&path, code).unwrap();
        command.arg(path);
    }
    // py_compile writes beside its source: the copies, not the tree.
    command.env_remove("PYTHONDONTWRITEBYTECODE");
    run(command, "").await.assert_code(0);
}

/// What Python 2.7 does not understand, found in the syntax tree and the tokens of Python 3's own parser.
const NOT_IN_PYTHON_2: &str = r#"
import ast, sys, tokenize

path = sys.argv[1]
tree = ast.parse(open(path, encoding="utf-8").read(), path)
found = []
def says(node, what):
    found.append("%s:%s: %s" % (path, getattr(node, "lineno", "?"), what))
calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
last_of_a_call = [id(call.args[-1]) for call in calls if call.args]
for node in ast.walk(tree):
    if isinstance(node, (ast.JoinedStr, ast.FormattedValue)):
        says(node, "f-string")
    if isinstance(node, (ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await, ast.YieldFrom, ast.Match)):
        says(node, type(node).__name__)
    if isinstance(node, ast.Starred) and id(node) not in last_of_a_call:
        says(node, "starred expression")
    if isinstance(node, ast.Raise) and node.cause:
        says(node, "raise ... from")
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        arguments = node.args
        if arguments.kwonlyargs or arguments.posonlyargs:
            says(node, "keyword-only or positional-only arguments")
        named = arguments.args + [arguments.vararg, arguments.kwarg]
        if any(argument is not None and argument.annotation for argument in named) or getattr(node, "returns", None):
            says(node, "annotation")
    if isinstance(node, ast.ClassDef) and node.keywords:
        says(node, "class keywords")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
        says(node, "super() without arguments")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and len(node.args) != 1:
        says(node, "print with other than one argument")
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isascii():
        says(node, "text beyond ASCII")
with open(path, "rb") as file:
    for token in tokenize.tokenize(file.readline):
        if token.type == tokenize.NUMBER and "_" in token.string:
            found.append("%s:%s: number with _" % (path, token.start[0]))
        if token.type == tokenize.COMMENT and not token.string.isascii():
            found.append("%s:%s: comment beyond ASCII" % (path, token.start[0]))
print("\n".join(found))
sys.exit(1 if found else 0)
"#;

#[tokio::test]
async fn qradar_script_has_nothing_that_python_2_does_not_understand() {
    for path in ["qradar/quarantine_bridge_qradar.py", ORIGINAL] {
        let mut command = tool("python3");
        command.arg("-c").arg(NOT_IN_PYTHON_2).arg(kit(path));
        run(command, "").await.assert_code(0);
    }
    // The check itself finds what it looks for.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.py");
    fs::write(&path, "x = 1_000\nprint(f'{x}')\ndef f(a: int, *, b): nonlocal_ = super()\n").unwrap();
    let mut command = tool("python3");
    command.arg("-c").arg(NOT_IN_PYTHON_2).arg(&path);
    let ran = run(command, "").await;
    for what in ["f-string", "annotation", "keyword-only", "number with _", "super()"] {
        assert!(ran.out.contains(what), "{what}: {ran:?}");
    }
}

#[test]
fn scripts_that_are_started_may_be_started() {
    for path in [
        "bash/quarantine-bridge-send.sh",
        "python/quarantine-bridge-send",
        "thehive/quarantine_bridge_thehive.py",
        "wazuh/custom-quarantine-bridge",
    ] {
        let found = Command::new("test").arg("-x").arg(kit(path)).status().unwrap();
        assert!(found.success(), "{path} is not executable");
    }
}
