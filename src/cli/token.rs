//! `token`: makes tokens for the API, lists them and takes them away.

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::alert::{Mode, SourceName, after, days, visible_line};
use crate::clock::Clock;
use crate::config::{self, Config, Secrets};
use crate::http::ApiToken;
use crate::store::{
    Bound, NewToken, RevokeToken, Scope, StoredToken, add_token, revoke_token_beside, tokens_beside,
};

use super::ConfigFile;
use super::exit::{FAILURE, Failure, USAGE, say, say_error};
use super::operator::{operator, why};

/// How many tokens are read at once.
const PAGE: u32 = 1_000;

/// How many characters the name of a token may have, as many as are shown of a principal's.
const NAME_CHARS_MAX: usize = 100;

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
        /// Who or what it is for: a person's is what Entra ID shows of them, so that both count as one.
        #[arg(long, value_parser = token_name)]
        name: String,
        /// What it allows; may be given more than once.
        #[arg(long = "scope", value_name = "SCOPE", required = true, help = scopes_help())]
        scopes: Vec<Scope>,
        /// With actions:write: the source that it may ask for actions for, one whose scheme is "api".
        #[arg(long)]
        source: Option<SourceName>,
        /// With --source: how far its actions may go at most: shadow, approve or enforce; as far as the source, if left out.
        #[arg(long, requires = "source")]
        mode: Option<Mode>,
        /// How many days it lives.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
        /// Write the token and its facts as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show all tokens: for whom, what they allow, when they end, when they were last used.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Write each as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a token away, at once and for good.
    Revoke {
        #[command(flatten)]
        file: ConfigFile,
        /// Its id, as `token list` shows it: what stands between the first two underscores of the token.
        id: String,
        /// Why, in one line.
        #[arg(long)]
        reason: String,
    },
}

/// A token to make.
#[derive(Debug)]
struct Wanted<'a> {
    name: &'a str,
    scopes: &'a [Scope],
    bound: Option<Bound>,
    days: u16,
    as_json: bool,
}

/// Reads the name of a token: it stands in the history, and tells persons apart.
fn token_name(text: &str) -> Result<String, String> {
    let wrong = || format!("it must be 1 to {NAME_CHARS_MAX} characters of one line that all can be seen");
    visible_line(text, NAME_CHARS_MAX).ok_or_else(wrong)
}

fn scopes_help() -> String {
    format!("One of {}; may be given more than once", Scope::ALL.map(Scope::as_str).join(", "))
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let now = Clock::system().now();
    match &arguments.what {
        What::Create { file, name, scopes, source, mode, days, json } => {
            let bound = source.clone().map(|source| Bound { source, mode: *mode });
            create(file, &Wanted { name, scopes, bound, days: *days, as_json: *json }, now)
        }
        What::List { file, json } => list(file, *json, now),
        What::Revoke { file, id, reason } => revoke(file, id, reason, now),
    }
}

fn create(file: &ConfigFile, wanted: &Wanted<'_>, now: Timestamp) -> anyhow::Result<()> {
    let Wanted { name, scopes, ref bound, days: life, as_json } = *wanted;
    let config = config::load(&file.config, Secrets::Skip)?;
    check_bound(&config, wanted)?;
    let token = ApiToken::generate();
    let expires_at = after(now, days(life));
    let kept = NewToken {
        id: token.id().to_owned(),
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        bound: bound.clone(),
        secret_sha256: token.secret_sha256(),
        created_at: now,
        expires_at,
    };
    add_token(&config.store, &kept, &operator())?;
    if as_json {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let facts = json!({"token": token.reveal(), "id": token.id(), "name": name, "scopes": scopes,
                           "source": source_of(bound.as_ref()), "mode": mode_of(bound.as_ref()),
                           "expires_at": format!("{expires_at:.0}")});
        say(&facts.to_string());
    } else {
        say_error(&format!("expires {expires_at:.0}; it is shown this once, only its hash is kept"));
        say(&token.reveal());
    }
    Ok(())
}

/// A token that may ask for actions asks for those of one source, and no other token is for a source.
fn check_bound(config: &Config, wanted: &Wanted<'_>) -> anyhow::Result<()> {
    let fail = |text: String| Err(Failure { code: USAGE, text }.into());
    let scope = Scope::ActionsWrite;
    let Some(bound) = &wanted.bound else {
        let asks = wanted.scopes.contains(&scope);
        return if asks { fail(format!("{scope} needs --source: whose actions are they?")) } else { Ok(()) };
    };
    if !wanted.scopes.contains(&scope) {
        return fail(format!("--source is for the scope {scope}"));
    }
    let source = config.http.sources.iter().find(|source| source.name == bound.source);
    match source {
        Some(source) if source.gate.takes_api_tokens() => Ok(()),
        Some(source) => fail(format!("the scheme of the source {} is not \"api\"", source.name)),
        None => fail(format!("the configuration has no source {}", bound.source)),
    }
}

fn source_of(bound: Option<&Bound>) -> Option<&str> {
    bound.map(|bound| bound.source.as_str())
}

fn mode_of(bound: Option<&Bound>) -> Option<&'static str> {
    bound.and_then(|bound| bound.mode).map(Mode::as_str)
}

fn list(file: &ConfigFile, as_json: bool, now: Timestamp) -> anyhow::Result<()> {
    let store = file.store()?;
    let mut place: Option<String> = None;
    loop {
        let page = tokens_beside(&store, place.as_deref(), PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        place = Some(last.id.clone());
        for token in &page {
            say(&if as_json { written(token, now) } else { told(token, now) });
        }
    }
}

fn scopes_of(token: &StoredToken) -> Vec<&'static str> {
    token.scopes.iter().map(|scope| scope.as_str()).collect()
}

fn written(token: &StoredToken, now: Timestamp) -> String {
    let revoked = token
        .revoked
        .as_ref()
        .map(|it| json!({"at": it.at.to_string(), "by": it.who.to_string(), "reason": it.reason}));
    json!({
        "id": token.id, "name": token.name, "scopes": scopes_of(token), "status": token.standing(now).as_str(),
        "source": source_of(token.bound.as_ref()), "mode": mode_of(token.bound.as_ref()),
        "created_at": token.created_at.to_string(), "expires_at": token.expires_at.to_string(),
        "last_used_at": token.last_used_at.map(|at| at.to_string()), "revoked": revoked,
    })
    .to_string()
}

fn told(token: &StoredToken, now: Timestamp) -> String {
    let used = token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {at:.0}"));
    let revoked = token.revoked.as_ref();
    let revoked = revoked.map(|it| format!("; revoked {:.0} by {}: {}", it.at, it.who, it.reason));
    let bound = token.bound.as_ref().map(|bound| {
        let mode = bound.mode.map(|mode| format!(" in mode {mode} at most"));
        format!(" for source {}{}", bound.source, mode.unwrap_or_default())
    });
    format!(
        "{} {} {:?} [{}]{} made {:.0}, ends {:.0}, {used}{}",
        token.id,
        token.standing(now).as_str(),
        token.name,
        scopes_of(token).join(" "),
        bound.unwrap_or_default(),
        token.created_at,
        token.expires_at,
        revoked.unwrap_or_default(),
    )
}

fn revoke(file: &ConfigFile, id: &str, reason: &str, now: Timestamp) -> anyhow::Result<()> {
    let store = file.store()?;
    let revoke = RevokeToken { id: id.to_owned(), reason: why(reason)?, who: operator(), now };
    let Some(token) = revoke_token_beside(&store, &revoke)? else {
        let text = format!("there is no token {id:?}; see: token list");
        return Err(Failure { code: FAILURE, text }.into());
    };
    say(&told(&token, now));
    Ok(())
}
