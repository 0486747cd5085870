//! The pages of a one-time link: plain HTML without scripts, to be read on a phone at night. Every value is escaped.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::alert::{Action, REASON_CHARS_MAX, Severity, State, is_deceptive};
use crate::store::{ActionRecord, Choice, Hold, KeptLink, LinkUse};

/// What it looks like. Its digest is in the policy that the browser holds the page to, and nothing else is.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0 auto;max-width:38rem;padding:1rem;font:1.1rem/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0 1rem}\
dl{margin:0}dt{font-size:.9rem;opacity:.75;margin-top:.75rem}\
dd{margin:0;overflow-wrap:anywhere;font-weight:600}dd small{display:block;font-weight:400}\
ul{padding-left:1.2rem;margin:0}li{margin:.4rem 0;overflow-wrap:anywhere}\
label{display:block;margin:1.25rem 0 .25rem}\
input{box-sizing:border-box;width:100%;font:inherit;padding:.7rem;border:1px solid;border-radius:.4rem}\
button{display:block;width:100%;font:inherit;font-weight:700;padding:1rem;margin:1rem 0;border-radius:.4rem;cursor:pointer}\
.approve{background:#b3261e;color:#fff;border:2px solid #b3261e}\
.deny{background:transparent;color:inherit;border:2px solid}\
.note{border-left:.3rem solid #b3261e;padding-left:.75rem}\
footer{font-size:.9rem;opacity:.75;margin-top:1.5rem}";

/// What a form shows.
pub(super) struct Form<'a> {
    pub(super) link: &'a KeptLink,
    pub(super) record: &'a ActionRecord,
    pub(super) once: &'a str,
    pub(super) note: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// Shows what is to be decided, and takes a word.
///
/// The first button is the one that the enter key presses: here it is one that does nothing.
pub(super) fn form(form: &Form<'_>) -> HttpResponse {
    let Form { link, record, once, note, now } = form;
    let action = &record.action;
    let note = note.map_or_else(String::new, |note| format!("<p class=\"note\">{}</p>", escaped(note)));
    let left = link.expires_at.duration_since(*now).as_mins();
    let main = format!(
        "<h1>Stop and quarantine this file?</h1>{note}\
         <dl>{device}{file}{alert}{holds}{approver}{until}</dl>\
         <form method=\"post\" autocomplete=\"off\"><button disabled hidden></button>\
         <input type=\"hidden\" name=\"once\" value=\"{once}\">\
         <label for=\"reason\">Your reason, for the record</label>\
         <input id=\"reason\" name=\"reason\" required maxlength=\"{REASON_CHARS_MAX}\">\
         <button class=\"approve\" name=\"choice\" value=\"approve\">Approve: quarantine it</button>\
         <button class=\"deny\" name=\"choice\" value=\"deny\">Deny: leave it alone</button></form>\
         <footer>Action {id}. Approving satisfies these holds only: before the call every guard looks again.</footer>",
        device = row("Device", &device(action)),
        file = row("File", &file(action)),
        alert = row("Alert", &alert(action)),
        holds = row("Held because of", &holds(record)),
        approver = row("You decide as", &escaped(&link.approver.to_string())),
        until = row("This link ends", &format!("{} <small>in {left} min</small>", time(link.expires_at))),
        once = escaped(once),
        id = escaped(&action.id.to_string()),
    );
    let status = if note.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    respond(status, "Stop and quarantine this file?", &main)
}

fn row(term: &str, html: &str) -> String {
    format!("<dt>{term}</dt><dd>{html}</dd>")
}

fn device(action: &Action) -> String {
    let machine = &action.pair.machine;
    let name = machine.dns_name.as_deref().unwrap_or("without a name in the alert");
    let id = action.target.map(|target| target.machine_id.to_string());
    format!("{}<small>{}</small>", escaped(name), escaped(&id.unwrap_or_default()))
}

fn file(action: &Action) -> String {
    let name = action.pair.file.name.as_deref().unwrap_or("without a name in the alert");
    let sha1 = action.target.map(|target| format!("SHA1 {}", target.sha1));
    format!("{}<small>{}</small>", escaped(name), escaped(&sha1.unwrap_or_default()))
}

fn alert(action: &Action) -> String {
    let title = if action.title.is_empty() { "without a title" } else { &action.title };
    let severity = action.severity.map_or("severity not known", Severity::as_str);
    let happened = action.occurred_at.map_or_else(|| "at an unknown time".to_owned(), time);
    let told = format!("{} from {}, {severity}, {happened}", action.alert_id, action.source);
    // It is text: whoever has sent the alert has chosen where it leads.
    let url = action.url.as_ref().map(|url| format!("<small>{}</small>", escaped(url)));
    format!("{}<small>{}</small>{}", escaped(title), escaped(&told), url.unwrap_or_default())
}

/// The holds, each with what its guard found.
fn holds(record: &ActionRecord) -> String {
    let last = record.history.last();
    let facts = last.map_or(&[][..], |change| &change.facts);
    let one = |hold: &Hold| {
        let begin = format!("{}: ", hold.guard);
        let fact = facts.iter().find_map(|fact| fact.strip_prefix(&begin));
        let evidence = fact.map(|fact| fact.strip_prefix("hold, ").unwrap_or(fact));
        let evidence = evidence.or(last.map(|change| change.why.as_str())).unwrap_or_default();
        let by: Vec<String> = record
            .words
            .iter()
            .filter(|word| word.word.holds().contains(&hold.guard))
            .map(|word| word.who.to_string())
            .collect();
        let needed = hold.approvers.unwrap_or_default();
        let persons = match (needed, by.as_slice()) {
            (0 | 1, _) => String::new(),
            (_, []) => format!("<small>{needed} persons must approve</small>"),
            (_, by) => {
                format!("<small>{needed} persons must approve; so far {}</small>", escaped(&by.join(", ")))
            }
        };
        format!("<li>{}<small>{}</small>{persons}</li>", escaped(&hold.guard), escaped(evidence))
    };
    format!("<ul>{}</ul>", record.holds.iter().map(one).collect::<String>())
}

/// Nothing holds the action any more.
pub(super) fn approved() -> HttpResponse {
    let text = "It goes on: every guard looks again, and then the file is stopped and quarantined.";
    told(StatusCode::OK, "Approved", text)
}

/// Another person must approve too.
pub(super) fn kept() -> HttpResponse {
    told(StatusCode::OK, "Approved, and not yet sent", "Your word is kept. Another person must approve too.")
}

/// The action is over.
pub(super) fn denied() -> HttpResponse {
    told(StatusCode::OK, "Denied", "The file is left alone. No call is made for this alert, device and file.")
}

/// The approver has said the same elsewhere.
pub(super) fn already() -> HttpResponse {
    told(StatusCode::OK, "You have said so before", "Nothing has changed by saying it again.")
}

/// A link that was used.
pub(super) fn used(link: &KeptLink, used: &LinkUse) -> HttpResponse {
    let word = match used.choice {
        Choice::Approve => "approve",
        Choice::Deny => "deny",
    };
    let text = format!("{} used it to {word} at {}. Nothing was done now.", link.approver, time(used.at));
    told(StatusCode::CONFLICT, "This link was used", &text)
}

/// The action waits for no person.
pub(super) fn not_held(state: State) -> HttpResponse {
    let text =
        format!("The action is {state}: it does not wait for a person any more. Nothing was done now.");
    told(StatusCode::CONFLICT, "There is nothing to decide", &text)
}

/// The action is held by something else than what the link was made for.
pub(super) fn stale() -> HttpResponse {
    let text = "The action is held by something else now than when this link was made. Nothing was done. Look at the \
                action, and ask for a new link.";
    told(StatusCode::CONFLICT, "Something has changed", text)
}

/// Somebody has a part in the action.
pub(super) fn own_action() -> HttpResponse {
    let text = "You, or whoever made this link, have brought the action about. Somebody else must decide.";
    told(StatusCode::FORBIDDEN, "You may not decide this", text)
}

/// The form was not sent by our page.
pub(super) fn foreign() -> HttpResponse {
    let text = "Nothing was done. Open the link anew, and decide on the page that it shows.";
    told(StatusCode::FORBIDDEN, "This did not come from the page", text)
}

/// The one answer to every link that is wrong or over.
pub(super) fn nothing_here() -> HttpResponse {
    told(StatusCode::NOT_FOUND, "There is nothing here", "The link is not known, or it is over.")
}

/// The address has tried too many wrong links.
pub(super) fn too_often(wait: SignedDuration) -> HttpResponse {
    let text = "Too many wrong links came from your address. Nothing was done. Try again in a while.";
    let mut answer = told(StatusCode::SERVICE_UNAVAILABLE, "Not now", text);
    let seconds = wait.as_secs().saturating_add(1).to_string();
    if let Ok(value) = seconds.parse() {
        answer.headers_mut().insert(RETRY_AFTER, value);
    }
    answer
}

fn told(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    respond(status, title, &format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text)))
}

fn respond(status: StatusCode, title: &str, main: &str) -> HttpResponse {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>{main}</main></body></html>",
        escaped(title)
    );
    HttpResponse::build(status)
        .insert_header(("Content-Security-Policy", policy))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("X-Robots-Tag", "noindex, nofollow"))
        .insert_header(("X-Frame-Options", "DENY"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .content_type("text/html; charset=utf-8")
        .body(html)
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A text as HTML shows it, in elements and in attributes. What hides itself is shown as a character of its own.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if is_deceptive(c) => html.push('\u{FFFD}'),
            c => html.push(c),
        }
    }
    html
}
