//! The functions that format programs may call and that are not written in jq.

use jaq_core::native::{Filter, Fun, bome, run, unary, v};
use jaq_core::{DataT, Error, RunPtr, ValR};
use jaq_json::{Map, Val};

use super::meter::{charge_bytes, charge_len};
use super::strict_json;
use super::value::{Value, as_str, number};

/// What jaq's own functions formats may call. All are total, and their work is metered through the values.
const FROM_JAQ: &[&str] = &[
    "error_empty",
    "key_values",
    "keys_unsorted",
    "first",
    "limit",
    "ascii_downcase",
    "ascii_upcase",
    "startswith",
    "endswith",
    "ltrimstr",
    "rtrimstr",
    "trim",
    "ltrim",
    "rtrim",
    "floor",
    "sort",
    "sort_by",
    "group_by",
];

/// Returns every native function of formats.
pub(super) fn natives<D: for<'a> DataT<V<'a> = Value>>() -> impl Iterator<Item = Fun<D>> {
    let jaq = jaq_core::funs().chain(jaq_std::base_funs());
    let allowed = jaq.filter(|(name, ..)| FROM_JAQ.contains(name));
    allowed.chain(own().into_iter().map(run))
}

fn own<D: for<'a> DataT<V<'a> = Value>>() -> Vec<Filter<RunPtr<D>>> {
    vec![
        ("type", v(0), |cv| bome(Ok(type_of(cv.1.inner()).to_owned().into()))),
        ("length", v(0), |cv| bome(length(&cv.1))),
        ("has", v(1), |cv| unary(cv, |value, key| has(&value, &key))),
        ("contains", v(1), |cv| unary(cv, |value, part| contains(&value, &part))),
        ("join", v(1), |cv| unary(cv, |value, separator| join(&value, &separator))),
        ("add", v(0), |cv| bome(sum(cv.1))),
        ("from_entries", v(0), |cv| bome(from_entries(&cv.1))),
        ("tonumber", v(0), |cv| bome(to_number(cv.1))),
        ("tojson", v(0), |cv| bome(Ok(to_json(&cv.1)))),
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
    ]
}

fn type_of(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::BStr(_) | Val::TStr(_) => "string",
        Val::Arr(_) => "array",
        Val::Obj(_) => "object",
    }
}

fn length(value: &Value) -> ValR<Value> {
    let length = match value.inner() {
        Val::Null => 0,
        Val::TStr(text) => {
            charge_bytes(text.len());
            value.as_str().map_or(0, |text| text.chars().count())
        }
        Val::Arr(items) => items.len(),
        Val::Obj(pairs) => pairs.len(),
        Val::Bool(_) | Val::Num(_) | Val::BStr(_) => {
            return Err(Error::str("length takes null, a string, an array or an object"));
        }
    };
    Ok(length.into())
}

fn has(value: &Value, key: &Value) -> ValR<Value> {
    match (value.inner(), key.inner()) {
        (Val::Obj(pairs), Val::TStr(_)) => Ok(pairs.contains_key(key.inner()).into()),
        _ => Err(Error::str("has takes an object and a string")),
    }
}

/// Only for strings: jq's `contains` on arrays and objects costs the product of their sizes.
fn contains(value: &Value, part: &Value) -> ValR<Value> {
    let (Some(text), Some(part)) = (value.as_str(), part.as_str()) else {
        return Err(Error::str("contains takes two strings"));
    };
    charge_bytes(text.len());
    Ok(text.contains(part).into())
}

fn join(value: &Value, separator: &Value) -> ValR<Value> {
    let (Val::Arr(items), Some(separator)) = (value.inner(), separator.as_str()) else {
        return Err(Error::str("join takes an array and a string"));
    };
    value.weigh();
    charge_bytes(items.len().saturating_mul(separator.len()));
    let texts = items.iter().map(|item| match item {
        Val::Null => Ok(String::new()),
        Val::Bool(_) | Val::Num(_) => Ok(item.to_string()),
        Val::TStr(_) => Ok(as_str(item).unwrap_or_default().to_owned()),
        Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            Err(Error::str("join takes strings, numbers, booleans and nulls"))
        }
    });
    let texts: Vec<String> = texts.collect::<Result<_, Error<Value>>>()?;
    Ok(texts.join(separator).into())
}

/// Adds up an array, as jq's `add` does; `reduce` itself is not available.
fn sum(value: Value) -> ValR<Value> {
    use jaq_core::ValT as _;
    let null = Value::new(Val::Null, 0);
    value.values().try_fold(null, |sum, item| std::ops::Add::add(sum, item?))
}

fn from_entries(value: &Value) -> ValR<Value> {
    let wrong = || Error::str("from_entries takes an array of {key, value}, each key a string");
    let Val::Arr(entries) = value.inner() else {
        return Err(wrong());
    };
    charge_len(entries.len());
    // The value keeps its place two levels down, so the depth of the whole is an upper bound.
    let field = |entry: &Val, name: &str| match entry {
        Val::Obj(pairs) => Ok(pairs.get(&Val::from(name.to_owned())).cloned()),
        _ => Err(wrong()),
    };
    let mut map = Map::default();
    for entry in entries.iter() {
        let key = field(entry, "key")?.filter(|key| matches!(key, Val::TStr(_)));
        map.insert(key.ok_or_else(wrong)?, field(entry, "value")?.unwrap_or_default());
    }
    Ok(value.like(Val::obj(map)))
}

fn to_number(value: Value) -> ValR<Value> {
    if matches!(value.inner(), Val::Num(_)) {
        return Ok(value);
    }
    let text = value.as_str().map(str::trim).filter(|text| text.len() <= 64);
    let is_number = text.is_some_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite));
    match text {
        Some(text) if is_number => Ok(value.like(number(text))),
        _ => Err(Error::str("tonumber takes a number or a string that is one")),
    }
}

fn to_json(value: &Value) -> Value {
    value.weigh();
    value.inner().to_string().into()
}

/// The strict reader of payloads, for JSON text inside JSON.
fn from_json(value: &Value) -> ValR<Value> {
    let text = value.as_str().ok_or_else(|| Error::str("fromjson takes a string"))?;
    charge_len(text.len());
    strict_json::read(text.as_bytes()).map_err(|error| Error::str(format!("fromjson: {error}")))
}
