//! `token create`: makes a token for the API.

use clap::{Args as ClapArgs, Subcommand};
use jiff::SignedDuration;
use serde_json::json;

use crate::alert::after;
use crate::clock::Clock;
use crate::config::{self, Secrets};
use crate::http::ApiToken;
use crate::store::{NewToken, Scope, add_token};

use super::ConfigFile;
use super::exit::{say, say_error};
use super::operator::operator;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and show it, once.
    Create {
        #[command(flatten)]
        file: ConfigFile,
        /// Who or what it is for.
        #[arg(long)]
        name: String,
        /// What it allows; may be given more than once.
        #[arg(long = "scope", value_name = "SCOPE", required = true, help = scopes_help())]
        scopes: Vec<Scope>,
        /// How many days it lives.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
        /// Write the token and its facts as JSON.
        #[arg(long)]
        json: bool,
    },
}

fn scopes_help() -> String {
    format!("One of {}; may be given more than once", Scope::ALL.map(Scope::as_str).join(", "))
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let What::Create { file, name, scopes, days, json } = &arguments.what;
    let config = config::load(&file.config, Secrets::Skip)?;
    let now = Clock::system().now();
    let token = ApiToken::generate();
    let expires_at = after(now, SignedDuration::from_hours(i64::from(*days).saturating_mul(24)));
    let kept = NewToken {
        id: token.id().to_owned(),
        name: name.clone(),
        scopes: scopes.clone(),
        secret_sha256: token.secret_sha256(),
        created_at: now,
        expires_at,
    };
    add_token(&config.store, &kept, &operator())?;
    if *json {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let facts = json!({"token": token.reveal(), "id": token.id(), "name": name, "scopes": scopes,
                           "expires_at": format!("{expires_at:.0}")});
        say(&facts.to_string());
    } else {
        say_error(&format!("expires {expires_at:.0}; it is shown this once, only its hash is kept"));
        say(&token.reveal());
    }
    Ok(())
}
