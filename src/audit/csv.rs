//! Entries as CSV that a spreadsheet takes for text only.

use crate::alert::from_millis;

use super::digest::Digest;
use super::entry::Entry;

/// The names of the columns.
pub const CSV_HEAD: &str = "seq,time,kind,who,source,alert_id,action,machine_id,sha1,machine_action,from,to,message,\
                            policy,alert_sha256,key_id,outcome,http_status,correlation_id,facts,hash";

/// What a spreadsheet takes for the beginning of a formula, its full-width forms included (ASVS 1.2.10).
const FORMULA: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠'];

/// Writes an entry as a line, without the newline.
pub fn csv_line(entry: &Entry, digest: Digest) -> String {
    let subject = entry.subject.as_ref();
    let moves = entry.deed.moves();
    let answer = entry.deed.answer();
    let facts: Vec<&str> = moves.iter().flat_map(|it| &it.facts).map(String::as_str).collect();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let fields = [
        entry.seq.to_string(),
        from_millis(entry.at).to_string(),
        entry.deed.kind().to_owned(),
        entry.who.clone(),
        text(subject.map(|it| it.source.as_str())),
        text(subject.map(|it| it.alert_id.as_str())),
        text(subject.map(|it| it.action.as_str())),
        text(subject.and_then(|it| it.machine_id.as_deref())),
        text(subject.and_then(|it| it.sha1.as_deref())),
        text(subject.and_then(|it| it.machine_action.as_deref())),
        text(moves.first().and_then(|it| it.from.as_deref())),
        text(moves.last().map(|it| it.to.as_str())),
        entry.message(),
        entry.deed.policy().map_or_else(String::new, |policy| policy.to_string()),
        subject.and_then(|it| it.alert_sha256).map_or_else(String::new, |digest| digest.to_string()),
        text(subject.and_then(|it| it.key_id.as_deref())),
        text(answer.map(|it| it.outcome.as_str())),
        answer.and_then(|it| it.http_status).map_or_else(String::new, |status| status.to_string()),
        text(answer.and_then(|it| it.correlation_id.as_deref())),
        facts.join(" | "),
        digest.to_string(),
    ];
    fields.map(|field| quoted(&field)).join(",")
}

/// Quotes a field. One that a spreadsheet might compute gets an apostrophe before it; blanks before a formula do not hide it.
fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(FORMULA) || field.trim_start().starts_with(FORMULA);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}
