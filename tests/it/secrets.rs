//! Where secrets may be, and when they end.

use std::fs;
use std::process::Output;

use jiff::SignedDuration;
use quarantine_bridge::alert::after;
use quarantine_bridge::clock::Clock;

use crate::harness::WHSEC;
use crate::harness::binary::{Installation, command, set_mode};

const FILE: &str = "{ file = \"soc-secret\" }";

fn installation() -> Installation {
    Installation::new("http://127.0.0.1:9", "")
}

fn check(installation: &Installation, environment: &[(&str, &str)]) -> Output {
    let mut command = command(&["check"]);
    command.current_dir(installation.folder.path()).env_remove("CREDENTIALS_DIRECTORY");
    command.envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn complains(installation: &Installation, environment: &[(&str, &str)], key: &str, texts: &[&str]) {
    let output = check(installation, environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    for text_there in [key].iter().chain(texts) {
        assert!(text.contains(text_there), "{text_there} is not in: {text}");
    }
    assert!(!text.contains(WHSEC), "a secret is told: {text}");
}

#[test]
fn a_credential_is_a_file_in_the_folder_that_systemd_names() {
    let installation = installation();
    installation.edit(FILE, "{ credential = \"soc\" }");
    let key = "sources.soc.auth.secrets[0].credential";
    complains(&installation, &[], key, &["$CREDENTIALS_DIRECTORY is not set", "LoadCredential=soc:"]);

    let folder = installation.path("credentials");
    fs::create_dir(&folder).unwrap();
    let environment = [("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())];
    complains(&installation, &environment, key, &["cannot be read"]);

    installation.write_secret("credentials/soc", WHSEC);
    set_mode(&folder.join("soc"), 0o400);
    assert_eq!(check(&installation, &environment).status.code(), Some(0));
    set_mode(&folder.join("soc"), 0o440);
    assert_eq!(check(&installation, &environment).status.code(), Some(0));
    set_mode(&folder.join("soc"), 0o444);
    complains(&installation, &environment, key, &["chmod o-rwx"]);
}

#[test]
fn the_name_of_a_credential_leads_nowhere_else() {
    for name in ["../soc-secret", "a/b", "/etc/passwd", "..", ".", ""] {
        let installation = installation();
        installation.edit(FILE, &format!("{{ credential = \"{name}\" }}"));
        let environment = [("CREDENTIALS_DIRECTORY", installation.folder.path().to_str().unwrap())];
        complains(&installation, &environment, "secrets[0].credential", &["is no name of a credential"]);
    }
}

#[test]
fn the_environment_is_taken_only_where_it_is_allowed() {
    let installation = installation();
    installation.edit(FILE, "{ env = \"SOC_SECRET\" }");
    installation.edit("{ file = \"defender-secret\" }", "{ env = \"DEFENDER_SECRET\" }");
    let environment = [("SOC_SECRET", WHSEC), ("DEFENDER_SECRET", "a secret")];
    let allow = "allow_environment_secrets = true";
    for key in ["sources.soc.auth.secrets[0].env", "defender.client_secret.env"] {
        complains(&installation, &environment, key, &["inherits it", allow]);
    }

    installation.edit("\n[server]", &format!("{allow}\n[server]"));
    assert_eq!(check(&installation, &environment).status.code(), Some(0));
    complains(&installation, &environment[1..], "secrets[0].env", &["has no SOC_SECRET"]);
    complains(&installation, &[("SOC_SECRET", " \n"), environment[1]], "secrets[0].env", &["is empty"]);
    complains(
        &installation,
        &[("SOC_SECRET", "whsec_AAAA"), environment[1]],
        "secrets[0].env",
        &["has 3 bytes"],
    );
}

#[test]
fn a_secret_is_in_exactly_one_place() {
    for (secret, key, text) in [
        ("{ file = \"soc-secret\", env = \"X\" }", "secrets[0].env", "stands beside file"),
        ("{ file = \"soc-secret\", credential = \"x\" }", "secrets[0].credential", "stands beside file"),
        ("{ credential = \"x\", env = \"X\" }", "secrets[0].env", "stands beside credential"),
        ("{ not_after = 2030-01-01T00:00:00Z }", "secrets[0].file", "is missing"),
    ] {
        let installation = installation();
        installation.edit(FILE, secret);
        complains(&installation, &[], key, &[text]);
    }
}

#[test]
fn secrets_that_end_soon_are_told_and_those_that_have_ended_are_refused() {
    let now = Clock::system().now();
    let day = |days: i64| after(now, SignedDuration::from_hours(24 * days));
    let secret = |days| format!("{{ file = \"soc-secret\", not_after = {:.0} }}", day(days));
    let with = |secrets: &str| {
        let installation = installation();
        installation.edit(FILE, secrets);
        installation
    };
    let warnings = |secrets: &str| {
        let output = check(&with(secrets), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8(output.stderr).unwrap());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(warnings(&secret(13)).contains("sources.soc.auth.secrets: all end within 14 days"));
    assert!(warnings(&format!("{}, {}", secret(-1), secret(13))).contains("all end within 14 days"));
    assert_eq!(warnings(&secret(15)), "");
    assert_eq!(warnings(&format!("{}, {FILE}", secret(-1))), "", "one has no end");
    let ended = with(&format!("{}, {}", secret(-2), secret(-1)));
    complains(&ended, &[], "sources.soc.auth.secrets", &["have all passed their not_after"]);
}
