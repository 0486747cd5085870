//! The native functions that read, make and change texts.

use super::evaluate::Run;
use super::natives::Native;
use super::number::Number;
use super::scope::{Answer, Ended, raise};
use super::strict_json;
use super::value::{Text, Value};

impl<'p> Run<'p> {
    pub(super) fn of_text(&self, native: Native, input: &Value<'p>) -> Answer<'p> {
        let Value::Text(text) = input else {
            return raise("ascii_downcase, ascii_upcase and trim take a string");
        };
        self.meter.charge_bytes(text.len())?;
        Ok(match native {
            Native::Lower if !text.bytes().any(|b| b.is_ascii_uppercase()) => input.clone(),
            Native::Lower => Value::text(text.to_ascii_lowercase()),
            Native::Upper => Value::text(text.to_ascii_uppercase()),
            Native::TrimStart => Value::Text(text.part(str::trim_start)),
            Native::TrimEnd => Value::Text(text.part(str::trim_end)),
            _ => Value::Text(text.part(str::trim)),
        })
    }

    pub(super) fn join(&self, items: &[Value<'p>], separator: &str) -> Answer<'p> {
        let mut text = String::new();
        for (index, item) in items.iter().enumerate() {
            self.meter.weigh(item)?;
            self.meter.charge_bytes(separator.len())?;
            if index > 0 {
                text.push_str(separator);
            }
            match item {
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) => text.push_str(&item.to_string()),
                Value::Text(part) => text.push_str(part),
                Value::Array(_) | Value::Object(_) => {
                    return raise("join takes strings, numbers, booleans and nulls");
                }
            }
        }
        Ok(Value::text(text))
    }

    pub(super) fn number_read(&self, input: &Value<'p>) -> Answer<'p> {
        let text = match input {
            Value::Number(_) => return Ok(input.clone()),
            Value::Text(text) => text.part(str::trim),
            _ => return raise("tonumber takes a number or a string that is one"),
        };
        self.meter.charge_bytes(text.len())?;
        if text.len() <= 64 && text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Ok(Value::Number(Number::read(text)));
        }
        raise("tonumber takes a number or a string that is one")
    }

    pub(super) fn json_text(&self, input: &Value<'p>) -> Answer<'p> {
        self.meter.weigh(input)?;
        Ok(Value::text(input.to_string()))
    }

    /// The strict reader of payloads, for JSON text inside JSON.
    pub(super) fn json_read(&self, input: &Value<'p>) -> Answer<'p> {
        let Value::Text(text) = input else {
            return raise("fromjson takes a string");
        };
        self.meter.charge_len(text.len())?;
        let value = match text {
            Text::Lent(text) => strict_json::read(text.as_bytes()),
            Text::Made(text) => strict_json::read(text.as_bytes()).map(|value| value.detached()),
        };
        value.map_err(|error| Ended::Raised(Value::text(format!("fromjson: {error}"))))
    }
}

/// A native of two texts that cannot fail.
pub(super) fn of_texts<'p>(native: Native, text: &Text<'p>, part: &str) -> Value<'p> {
    match native {
        Native::StartsWith => Value::Bool(text.starts_with(part)),
        Native::EndsWith => Value::Bool(text.ends_with(part)),
        Native::WithoutStart => Value::Text(text.part(|text| text.strip_prefix(part).unwrap_or(text))),
        Native::WithoutEnd => Value::Text(text.part(|text| text.strip_suffix(part).unwrap_or(text))),
        _ => Value::Bool(text.contains(part)),
    }
}
