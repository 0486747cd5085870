//! Who may send, as a whole that a reload of the configuration swaps.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alert::SourceName;

use super::Source;
use super::admission::Limits;

/// The sources and what is let in of them.
#[derive(Debug, Default)]
pub struct Sources {
    by_name: HashMap<SourceName, Arc<Source>>,
    pub(super) limits: Limits,
}

impl Sources {
    /// Takes the sources of a configuration.
    pub fn new(sources: Vec<Source>, limits: Limits) -> Self {
        let by_name = sources.into_iter().map(|source| (source.name.clone(), Arc::new(source))).collect();
        Self { by_name, limits }
    }

    /// Finds a source. Whoever has it keeps it as it is, whatever is swapped meanwhile.
    pub(super) fn get(&self, name: &SourceName) -> Option<Arc<Source>> {
        self.by_name.get(name).map(Arc::clone)
    }

    /// Every source.
    pub(super) fn all(&self) -> impl Iterator<Item = &Source> {
        self.by_name.values().map(AsRef::as_ref)
    }
}
