//! The native functions that make, take apart and order arrays and objects.

use super::evaluate::Run;
use super::number::Number;
use super::object::Object;
use super::scope::{Answer, At, made, raise};
use super::term::Node;
use super::value::{Text, Value};

impl<'p> Run<'p> {
    pub(super) fn entries(&self, input: &Value<'p>) -> Answer<'p> {
        let entry = |key: Value<'p>, value: &Value<'p>| {
            let pairs = [(Text::Lent("key"), key), (Text::Lent("value"), value.clone())];
            Value::object(pairs.into_iter().collect())
        };
        let entries = match input {
            Value::Array(array) => {
                self.meter.charge_len(array.items().len().saturating_mul(4))?;
                array.items().iter().enumerate().map(|(index, item)| entry(whole(index), item)).collect()
            }
            Value::Object(object) => {
                self.meter.charge_len(object.len().saturating_mul(4))?;
                object.iter().map(|(key, value)| entry(Value::Text(key.clone()), value)).collect()
            }
            _ => return raise("to_entries takes an object or an array"),
        };
        made(Value::array(entries))
    }

    pub(super) fn entries_joined(&self, input: &Value<'p>) -> Answer<'p> {
        let wrong = "from_entries takes an array of {key, value}, each key a string";
        let Value::Array(entries) = input else {
            return raise(wrong);
        };
        self.meter.charge_len(entries.items().len())?;
        let mut object = Object::with_capacity(entries.items().len());
        for entry in entries.items() {
            let Value::Object(entry) = entry else {
                return raise(wrong);
            };
            let Some(Value::Text(key)) = entry.get("key") else {
                return raise(wrong);
            };
            self.meter.charge_bytes(key.len())?;
            object.insert(key.clone(), entry.get("value").cloned().unwrap_or(Value::Null));
        }
        made(Value::object(object))
    }

    pub(super) fn keys(&self, input: &Value<'p>) -> Answer<'p> {
        let keys = match input {
            Value::Array(array) => {
                self.meter.charge_len(array.items().len())?;
                (0..array.items().len()).map(whole).collect()
            }
            Value::Object(object) => {
                self.meter.charge_len(object.len())?;
                object.keys().cloned().map(Value::Text).collect()
            }
            _ => return raise("keys takes an object or an array"),
        };
        Ok(Value::array(keys))
    }

    pub(super) fn sorted(&self, input: &Value<'p>) -> Answer<'p, Vec<Value<'p>>> {
        let Value::Array(array) = input else {
            return raise("sort and unique take an array");
        };
        let mut items = array.items().to_vec();
        self.charge_sort(&items)?;
        items.sort();
        Ok(items)
    }

    /// Takes the fuel of sorting: each value is compared some times for each doubling of their number.
    fn charge_sort(&self, keys: &[Value<'p>]) -> Answer<'p, ()> {
        let doublings = keys.len().checked_ilog2().unwrap_or(0).saturating_add(1);
        for _ in 0..doublings {
            keys.iter().try_for_each(|key| self.meter.weigh(key))?;
        }
        Ok(())
    }

    /// Each item of the input with what a filter gives for it, in the order of that.
    fn keyed(&self, filter: &'p Node, at: At<'_, 'p>) -> Answer<'p, Vec<(Value<'p>, Value<'p>)>> {
        let Value::Array(array) = at.input else {
            return raise("sort_by and group_by take an array");
        };
        let mut keys = Vec::new();
        for item in array.items() {
            let mut key = Vec::new();
            self.all(filter, at.with(item), &mut key)?;
            keys.push(made(Value::array(key))?);
        }
        self.charge_sort(&keys)?;
        let mut keyed: Vec<_> = keys.into_iter().zip(array.items().iter().cloned()).collect();
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(keyed)
    }

    pub(super) fn sorted_by(&self, filter: &'p Node, at: At<'_, 'p>) -> Answer<'p> {
        let items = self.keyed(filter, at)?.into_iter().map(|(_, item)| item);
        made(Value::array(items.collect()))
    }

    pub(super) fn grouped_by(&self, filter: &'p Node, at: At<'_, 'p>) -> Answer<'p> {
        let keyed = self.keyed(filter, at)?;
        let groups = keyed.chunk_by(|(one, _), (other, _)| one == other);
        let group = |group: &[(Value<'p>, Value<'p>)]| {
            Value::array(group.iter().map(|(_, item)| item.clone()).collect())
        };
        made(Value::array(groups.map(group).collect()))
    }
}

/// A count as a value.
pub(super) fn whole(number: usize) -> Value<'static> {
    Value::Number(Number::Whole(i64::try_from(number).unwrap_or(i64::MAX)))
}
