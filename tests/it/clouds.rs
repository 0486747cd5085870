//! Microsoft's clouds: each choice sets every host, and nothing is shown to another one.

use std::fs;

use jiff::SignedDuration;
use quarantine_bridge::config::{Complaints, Config, Secrets, load};
use quarantine_bridge::microsoft::Identity;
use quarantine_bridge::undo::Portal;

use crate::harness::{Bridge, MACHINE, SHA1, Setup};

fn read(defender: &str) -> Result<Config, Complaints> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarantine-bridge.toml");
    let text = format!(
        "[store]\npath = \"b.db\"\n[defender]\ntenant_id = \"t\"\nclient_id = \"c\"\nclient_secret = {{ file = \"s\" }}\n\
         {defender}\n[sources.soc]\nformat = \"bridge\"\nmode = \"shadow\"\n[sources.soc.auth]\n\
         scheme = \"standard-webhooks\"\nsecrets = [{{ file = \"s\" }}]\n[graph]\nenabled = true\n"
    );
    let graph =
        text.contains("#graph ").then(|| text.split("#graph ").nth(1).unwrap().lines().next().unwrap());
    fs::write(&path, format!("{text}{}", graph.unwrap_or_default())).unwrap();
    load(&path, Secrets::Skip)
}

/// Defender's, Entra ID's and Graph's address.
fn hosts(config: &Config) -> [String; 3] {
    let Identity::App(app) = &config.defender.identity else {
        panic!("it has an app registration");
    };
    let graph = config.graph.as_ref().unwrap();
    [&config.defender.api_url, &app.login_url, &graph.api_url].map(|url| url.host_str().unwrap().to_owned())
}

#[test]
fn a_cloud_sets_every_host_and_what_tokens_are_for() {
    let (com, us) = ("login.microsoftonline.com", "login.microsoftonline.us");
    let commercial = "https://api.securitycenter.microsoft.com/.default";
    let gov = "https://api-gov.securitycenter.microsoft.us/.default";
    let graph = "graph.microsoft.com";
    for (written, hosts_there, scope, portal) in [
        ("", ["api.security.microsoft.com", com, graph], commercial, Portal::Commercial),
        (
            "cloud = \"commercial\"",
            ["api.security.microsoft.com", com, graph],
            commercial,
            Portal::Commercial,
        ),
        ("region = \"eu\"", ["eu.api.security.microsoft.com", com, graph], commercial, Portal::Commercial),
        ("region = \"aea\"", ["aea.api.security.microsoft.com", com, graph], commercial, Portal::Commercial),
        (
            "cloud = \"gcc\"",
            ["api-gcc.securitycenter.microsoft.us", com, graph],
            "https://api-gcc.securitycenter.microsoft.us/.default",
            Portal::Commercial,
        ),
        (
            "cloud = \"gcc-high\"",
            ["api-gov.securitycenter.microsoft.us", us, "graph.microsoft.us"],
            gov,
            Portal::Government,
        ),
        (
            "cloud = \"dod\"",
            ["api-gov.securitycenter.microsoft.us", us, "dod-graph.microsoft.us"],
            gov,
            Portal::Defense,
        ),
        (
            "api_url = \"https://api-eu.securitycenter.microsoft.com\"",
            ["api-eu.securitycenter.microsoft.com", com, graph],
            commercial,
            Portal::Commercial,
        ),
    ] {
        let config = read(written).unwrap();
        assert_eq!(hosts(&config), hosts_there.map(ToOwned::to_owned), "{written}");
        assert_eq!(config.defender.scope, scope, "{written}");
        assert_eq!(config.graph.as_ref().unwrap().scope, format!("https://{}/.default", hosts_there[2]));
        assert_eq!(config.http.portal, portal, "{written}");
        assert_eq!(config.warnings.0, [], "{written}");
    }
}

#[test]
fn what_belongs_to_no_cloud_or_to_another_one_is_refused() {
    let custom = "allow_custom_endpoint = true\n";
    for (written, key, words) in [
        ("cloud = \"china\"", "defender.cloud", "\"gcc-high\" or \"dod\""),
        ("region = \"mars\"", "defender.region", "us, eu, uk"),
        ("cloud = \"gcc\"\nregion = \"us\"", "defender.region", "the cloud gcc has none"),
        (
            "region = \"us\"\napi_url = \"https://api.security.microsoft.com\"",
            "defender.region",
            "stands beside api_url",
        ),
        (
            "api_url = \"https://api-gov.securitycenter.microsoft.us\"",
            "defender.api_url",
            "write cloud = \"gcc-high\"",
        ),
        (
            "login_url = \"https://login.microsoftonline.us\"",
            "defender.login_url",
            "write cloud = \"gcc-high\"",
        ),
        (
            "cloud = \"dod\"\nlogin_url = \"https://login.microsoftonline.com\"",
            "defender.login_url",
            "is a host of the cloud commercial",
        ),
        ("#graph api_url = \"https://graph.microsoft.us\"", "graph.api_url", "write cloud = \"gcc-high\""),
        (
            "api_url = \"https://login.microsoftonline.com\"",
            "defender.api_url",
            "not one of Microsoft's hosts for this",
        ),
        (
            "api_url = \"https://api.security.microsoft.com:8443\"",
            "defender.api_url",
            "not one of Microsoft's hosts for this",
        ),
        (
            "api_url = \"https://me@api.security.microsoft.com\"",
            "defender.api_url",
            "not one of Microsoft's hosts for this",
        ),
        ("api_url = \"https://gateway.example\"", "defender.api_url", "allow_custom_endpoint = true"),
        ("api_url = \"http://127.0.0.1:1\"", "defender.api_url", "allow_custom_endpoint = true"),
        // Custom endpoints: never plain HTTP but to this machine, and never with tokens of the real Entra ID.
        (
            "{custom}api_url = \"http://gateway.example\"\nlogin_url = \"http://127.0.0.1:1\"",
            "defender.api_url",
            "not one of",
        ),
        ("{custom}login_url = \"http://login.microsoftonline.com\"", "defender.login_url", "not one of"),
        ("{custom}api_url = \"http://api.security.microsoft.com\"", "defender.api_url", "not one of"),
        (
            "{custom}api_url = \"https://api-gov.securitycenter.microsoft.us\"",
            "defender.api_url",
            "of the cloud gcc-high",
        ),
        (
            "{custom}api_url = \"http://127.0.0.1:1\"",
            "defender.api_url",
            "Microsoft's own tokens by plain HTTP",
        ),
        (
            "{custom}#graph api_url = \"http://127.0.0.1:1\"",
            "graph.api_url",
            "Microsoft's own tokens by plain HTTP",
        ),
    ] {
        let complaints = read(&written.replace("{custom}", custom)).unwrap_err();
        let found = complaints.0.iter().find(|it| it.key == key);
        let found = found.unwrap_or_else(|| panic!("{written}: {complaints}"));
        assert!(format!("{} {}", found.problem, found.remedy).contains(words), "{written}: {found}");
    }
    let simulated =
        "allow_custom_endpoint = true\nlogin_url = \"http://127.0.0.1:1\"\napi_url = \"http://127.0.0.1:1\"";
    assert_eq!(read(simulated).unwrap().warnings.0, []);
    let gateway = read("allow_custom_endpoint = true\napi_url = \"https://gateway.example\"").unwrap();
    assert!(
        gateway.warnings.0[0].problem.contains("is sent Microsoft's own tokens"),
        "{:?}",
        gateway.warnings
    );
}

#[tokio::test]
async fn a_token_of_each_cloud_brings_an_action_to_its_end() {
    for cloud in ["commercial", "gcc", "gcc-high", "dod"] {
        let scope = read(&format!("cloud = \"{cloud}\"")).unwrap().defender.scope;
        let mut bridge = Bridge::with(Setup { scope: Some(scope.clone()), ..Setup::default() }).await;
        let id = bridge.accept("a1", MACHINE, SHA1).await;
        bridge.run_for(SignedDuration::from_secs(40)).await;
        assert_eq!(bridge.state(&id).await, "succeeded", "{cloud}");
        let calls = bridge.simulator.calls();
        assert!(calls.iter().any(|call| call.body["scope"] == scope.as_str()), "{cloud}");
    }
}
