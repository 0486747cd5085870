//! JSON objects: their pairs in the order in which they came, found by key.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use super::value::{Text, Value};

/// Objects of no more keys than this are looked through; that is faster than an index and needs no memory.
const KEYS_WITHOUT_INDEX: usize = 16;

/// A JSON object.
#[derive(Debug, Clone, Default)]
pub(super) struct Object<'p> {
    pairs: Vec<(Text<'p>, Value<'p>)>,
    /// Where each key stands, in large objects.
    index: Option<HashMap<Text<'p>, usize>>,
    /// How deep the values nest, at most.
    deepest: u32,
}

impl<'p> Object<'p> {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self { pairs: Vec::with_capacity(keys), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// How deep the object nests, at most.
    pub(super) fn depth(&self) -> u32 {
        self.deepest.saturating_add(1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Text<'p>, &Value<'p>)> {
        self.pairs.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Text<'p>> {
        self.pairs.iter().map(|(key, _)| key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value<'p>> {
        self.pairs.get(self.place(key)?).map(|(_, value)| value)
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.pairs.iter().position(|(name, _)| **name == *key),
        }
    }

    /// Puts a value under a key; returns the one that was there.
    pub(super) fn insert(&mut self, key: Text<'p>, value: Value<'p>) -> Option<Value<'p>> {
        self.deepest = self.deepest.max(value.depth());
        let known = match &mut self.index {
            Some(index) => match index.entry(key.clone()) {
                Entry::Occupied(known) => Some(*known.get()),
                Entry::Vacant(new) => {
                    new.insert(self.pairs.len());
                    None
                }
            },
            None => self.place(&key),
        };
        if let Some((_, old)) = known.and_then(|place| self.pairs.get_mut(place)) {
            return Some(mem::replace(old, value));
        }
        self.pairs.push((key, value));
        if self.index.is_none() && self.pairs.len() > KEYS_WITHOUT_INDEX {
            let mut index = HashMap::with_capacity(KEYS_WITHOUT_INDEX.saturating_mul(4));
            index.extend(self.keys().cloned().zip(0..));
            self.index = Some(index);
        }
        None
    }

    /// The pairs in the order of their keys.
    fn sorted(&self) -> Vec<&(Text<'p>, Value<'p>)> {
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs
    }
}

impl<'p> FromIterator<(Text<'p>, Value<'p>)> for Object<'p> {
    fn from_iter<I: IntoIterator<Item = (Text<'p>, Value<'p>)>>(pairs: I) -> Self {
        let mut object = Self::default();
        for (key, value) in pairs {
            object.insert(key, value);
        }
        object
    }
}

impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Object<'_> {}

impl PartialOrd for Object<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Object<'_> {
    /// jq's order: first by the sorted keys, then by the values in their order.
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (self.sorted(), other.sorted());
        let keys = one.iter().map(|(key, _)| key).cmp(other.iter().map(|(key, _)| key));
        keys.then_with(|| one.iter().map(|(_, value)| value).cmp(other.iter().map(|(_, value)| value)))
    }
}
