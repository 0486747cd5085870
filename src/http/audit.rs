//! `GET /v1/audit`: the audit, a page at a time.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::store::AuditRow;

use super::parameters::{PAGE, limit, parse};
use super::problem::{Problem, ProblemKind};
use super::{Context, view};

/// The text of an entry is what its hash is made of, so it is handed out as a text, and read as well.
pub(super) async fn list(request: HttpRequest, context: Data<Context>) -> Result<HttpResponse, Problem> {
    let (after, limit) = filter(request.query_string())?;
    let rows = context.store.audit(after, limit).await?;
    let head = context.store.audit_head().await?;
    let next = rows.last().map(|row| row.seq).filter(|last| *last < head.entries);
    Ok(HttpResponse::Ok().json(json!({
        "entries": rows.iter().map(entry).collect::<Vec<_>>(),
        "next_after": next,
        "head": {
            "entries": head.entries, "hash": head.digest.to_string(),
            "checkpoint_at": view::time(head.checkpoint_at),
        },
    })))
}

fn entry(row: &AuditRow) -> Value {
    let read: Value = serde_json::from_str(&row.text).unwrap_or(Value::Null);
    json!({"seq": row.seq, "hash": row.digest.to_string(), "text": row.text, "entry": read})
}

fn filter(query: &str) -> Result<(u64, u32), Problem> {
    let (mut after, mut page) = (0, PAGE);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "after" => after = parse(&name, &value)?,
            "limit" => page = limit(&value)?,
            _ => {
                let detail = format!("There is no parameter {name:?}; there are after and limit.");
                return Err(Problem::new(ProblemKind::InvalidParameter, detail));
            }
        }
    }
    Ok((after, page))
}
