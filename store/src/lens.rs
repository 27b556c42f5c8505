//! Handles that look at a database through something: one that notes what is read of spaces, or one that shows versions under the names that they
//! had elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::id::Version;
use reel_abi::record::CellValue;

use crate::chain::Head;
use crate::store::Store;

/// No more of what is read is noted than this, in bytes.
const NOTED_BYTES: usize = 512 << 20;

/// What an entry costs beside its content, roughly, in bytes.
const ENTRY_BYTES: usize = 96;

/// What was read of a space at a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Cells by family and key; a tombstone for what was absent.
    pub cells: BTreeMap<(u8, Vec<u8>), CellValue>,
    /// Ranges: family, first key, and the key after the last; none for the end of the family.
    pub ranges: Vec<(u8, Vec<u8>, Option<Vec<u8>>)>,
}

/// All that was read through a handle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// By version.
    pub states: BTreeMap<Head, Seen>,
    /// It was more than is noted.
    pub too_much: bool,
    bytes: usize,
}

/// Versions under other names.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// As they are called, and what they are.
    pub heads: BTreeMap<Head, Head>,
    /// Families as they are called, and what they are.
    pub families: Vec<(u8, u8)>,
}

#[derive(Debug)]
pub(crate) struct Lens {
    noted: Option<Arc<Mutex<Noted>>>,
    shown: Option<Arc<Shown>>,
}

impl Store {
    /// A handle that notes all that is read of spaces through it, and through clones and views of it.
    pub fn noting(&self) -> Self {
        let shown = self.lens().and_then(|lens| lens.shown.clone());
        self.through(Lens { noted: Some(Arc::default()), shown })
    }

    /// What was read so far; nothing unless it is a handle that notes.
    pub fn noted(&self) -> Noted {
        let noted = self.lens().and_then(|lens| lens.noted());
        noted.map(|noted| noted.clone()).unwrap_or_default()
    }

    /// A handle that knows only these versions, by these names. What is read through it is noted where this handle notes.
    pub fn showing(&self, shown: Shown) -> Self {
        let noted = self.lens().and_then(|lens| lens.noted.clone());
        self.through(Lens { noted, shown: Some(Arc::new(shown)) })
    }
}

impl Store {
    /// A handle that looks through nothing.
    pub fn plain(&self) -> Self {
        self.without_lens()
    }
}

impl Lens {
    fn noted(&self) -> Option<MutexGuard<'_, Noted>> {
        self.noted.as_ref().map(|noted| noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether versions have other names; then the one that has this.
    pub(crate) fn head(&self, called: Head) -> Option<Option<Head>> {
        self.shown.as_ref().map(|shown| shown.heads.get(&called).copied())
    }

    /// Whether versions have other names; then the name of this version.
    pub(crate) fn called(&self, version: Version) -> Option<Option<Head>> {
        self.shown.as_ref().map(|shown| shown.heads.keys().find(|head| head.version == version).copied())
    }

    /// The family that is called so.
    pub(crate) fn family(&self, called: u8) -> u8 {
        let other = self.shown.iter().flat_map(|shown| &shown.families).find(|(name, _)| *name == called);
        other.map_or(called, |(_, family)| *family)
    }

    pub(crate) fn opened(&self, head: Head) {
        if let Some(mut noted) = self.noted() {
            noted.states.entry(head).or_default();
        }
    }

    pub(crate) fn read(&self, head: Head, family: u8, key: &[u8], value: Option<&CellValue>) {
        if let Some(mut noted) = self.noted() {
            noted.cell(head, family, key, value);
        }
    }

    pub(crate) fn scanned(
        &self,
        head: Head,
        (family, from, until): (u8, &[u8], Option<&[u8]>),
        limit: usize,
        found: &[(Vec<u8>, CellValue)],
    ) {
        let Some(mut noted) = self.noted() else { return };
        let seen = match found.last() {
            Some((last, _)) if found.len() >= limit => Some([last.as_slice(), &[0]].concat()),
            _ => until.map(<[u8]>::to_vec),
        };
        for (key, value) in found {
            noted.cell(head, family, key, Some(value));
        }
        noted.count(ENTRY_BYTES + from.len() + seen.as_ref().map_or(0, Vec::len));
        if noted.too_much {
            return;
        }
        let range = (family, from.to_vec(), seen);
        let state = noted.states.entry(head).or_default();
        if !state.ranges.contains(&range) {
            state.ranges.push(range);
        }
    }
}

impl Noted {
    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.too_much |= self.bytes > NOTED_BYTES;
    }

    fn cell(&mut self, head: Head, family: u8, key: &[u8], value: Option<&CellValue>) {
        if self.too_much || self.states.get(&head).is_some_and(|seen| seen.cells.contains_key(&(family, key.to_vec())))
        {
            return;
        }
        let inline = if let Some(CellValue::Inline { bytes }) = value { bytes.len() } else { 0 };
        self.count(ENTRY_BYTES + key.len() + inline);
        let value = value.cloned().unwrap_or(CellValue::Tombstone);
        self.states.entry(head).or_default().cells.insert((family, key.to_vec()), value);
    }
}
