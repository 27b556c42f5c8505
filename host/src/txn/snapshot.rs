//! What a transaction reads of its space, and what it has read of it.
//!
//! A transaction commits if nobody has changed since what it read: so every read that can reach the guest is noted here, absence and ranges
//! included. What the host looks at for its own sake (counts, times of directories) is only peeked at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::record::CellValue;
use reel_store::{Head, ReadSet, View};

use crate::gate::Halt;

/// A space at a version, as one transaction sees it. Clones note into the same set.
#[derive(Debug, Clone)]
pub struct Snapshot {
    view: View,
    reads: Arc<Mutex<ReadSet>>,
}

impl Snapshot {
    /// The snapshot of a transaction that has read nothing yet.
    pub fn new(view: View) -> Self {
        Self { view, reads: Arc::default() }
    }

    /// What is read.
    pub fn head(&self) -> Head {
        self.view.head()
    }

    /// The view, for reads that need no note.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The value of a key, noted.
    pub fn get(&self, family: u8, key: &[u8]) -> Result<Option<CellValue>, Halt> {
        self.note(family, key);
        self.peek(family, key)
    }

    /// The value of a key, which the guest will not learn of.
    pub fn peek(&self, family: u8, key: &[u8]) -> Result<Option<CellValue>, Halt> {
        self.view.get(family, key).map_err(|e| Halt::host("reading the space", &e))
    }

    /// Up to `limit` keys of `[from, until)` with their values. The range is noted as far as it was seen.
    pub fn scan(
        &self,
        family: u8,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, Halt> {
        let found = self.view.scan(family, from, until, limit).map_err(|e| Halt::host("reading the space", &e))?;
        let seen = match found.last() {
            // The key after the last one that was seen.
            Some((last, _)) if found.len() >= limit => Some([last.as_slice(), &[0]].concat()),
            _ => None,
        };
        self.reads().range(family, from, seen.as_deref().or(until));
        Ok(found)
    }

    /// Notes that a key was read.
    pub fn note(&self, family: u8, key: &[u8]) {
        self.reads().key(family, key);
    }

    /// Notes that a range was read.
    pub fn note_range(&self, family: u8, from: &[u8], until: &[u8]) {
        self.reads().range(family, from, Some(until));
    }

    /// All that was noted.
    pub fn read_set(&self) -> ReadSet {
        self.reads().clone()
    }

    fn reads(&self) -> MutexGuard<'_, ReadSet> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
