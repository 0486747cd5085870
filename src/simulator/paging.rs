//! Lists: filter, order, pages.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::call::Request;
use super::odata;
use super::refusals::{No, Reply};
use super::state::State;

/// Filters, skips and cuts a list as the query asks, with a link to the next page.
pub(super) fn page(request: &Request, state: &State, records: Vec<Value>, properties: &[&str]) -> Reply {
    let page_size = usize::try_from(state.switches.page_size).unwrap_or(usize::MAX);
    let (mut top, mut skip, mut filter) = (page_size, 0, None);
    for (name, value) in form_urlencoded::parse(request.query().as_bytes()) {
        let number = || value.parse::<usize>().or(Err(No::odata("A number was expected.")));
        match name.as_ref() {
            "$filter" => {
                let parsed = odata::parse(&value, properties);
                filter = Some(parsed.map_err(|error| No::odata(&error))?);
            }
            "$top" => top = number()?.min(page_size),
            "$skip" => skip = number()?,
            "$orderby" if value.eq_ignore_ascii_case("creationDateTimeUtc desc") => {}
            _ => {
                let message = format!("Custom query option '{name}' that starts with '$' is not supported.");
                return Err(No::odata(&message));
            }
        }
    }
    let matching: Vec<Value> =
        records.into_iter().filter(|record| filter.as_ref().is_none_or(|it| it.matches(record))).collect();
    let more = matching.len() > skip.saturating_add(top);
    let value: Vec<Value> = matching.into_iter().skip(skip).take(top).collect();
    let mut body =
        json!({"@odata.context": "https://api.securitycenter.microsoft.com/api/$metadata", "value": value});
    if let (true, Value::Object(body)) = (more, &mut body) {
        body.insert("@odata.nextLink".to_owned(), json!(next_link(request, skip.saturating_add(top))));
    }
    Ok((200, body))
}

fn next_link(request: &Request, skip: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let kept = form_urlencoded::parse(request.query().as_bytes()).filter(|(name, _)| name != "$skip");
    query.extend_pairs(kept).append_pair("$skip", &skip.to_string());
    format!("{}{}?{}", request.base, request.bare_path(), query.finish())
}
