//! A space as it was at a version. What it shows never changes, whatever is committed meanwhile.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use reel_abi::record::{CellValue, Retention};
use reel_abi::wire::Wire;

use crate::chain::Head;
use crate::error::ReadError;
use crate::pending::Reach;
use crate::scan::{self, Wanted};
use crate::store::{Shared, Store};
use crate::tables::CellKey;

/// A space at a version.
#[derive(Debug, Clone)]
pub struct View {
    store: Store,
    /// What it is called.
    called: Head,
    /// How far it has to see.
    reach: Reach,
    /// The segments seen, nearest first, each with the newest version to be seen in it.
    chain: Vec<Head>,
    /// The retention that was known when it was opened: it was not one that removed the version.
    retention: Option<Arc<Retention>>,
    /// What was written above it and is in no log.
    over: Option<Arc<Overlay>>,
}

/// What a transaction would write, by family and key.
pub type Overlay = BTreeMap<(u8, Vec<u8>), CellValue>;

impl View {
    pub(crate) fn new(
        store: Store,
        reach: Reach,
        (called, chain): (Head, Vec<Head>),
        retention: Option<Arc<Retention>>,
    ) -> Self {
        Self { store, called, reach, chain, retention, over: None }
    }

    /// The same with what a transaction would write.
    #[must_use]
    pub fn with(self, over: Arc<Overlay>) -> Self {
        Self { over: Some(over), ..self }
    }

    /// Refuses what was just read if a retention removed the version meanwhile.
    fn check(&self) -> Result<(), ReadError> {
        let shared = self.store.shared();
        let same = |newest: &Arc<Retention>| self.retention.as_ref().is_some_and(|known| Arc::ptr_eq(known, newest));
        if shared.live.read().retention.as_ref().is_none_or(same) {
            return Ok(());
        }
        let space = shared.segment(self.chain[0].segment, self.reach)?.map(|segment| segment.space);
        space.map_or(Ok(()), |space| shared.check_kept(self.chain[0], &space, self.reach))
    }

    /// The head that was asked for.
    pub fn head(&self) -> Head {
        self.called
    }

    /// The value of a key; never a tombstone.
    pub fn get(&self, family: u8, key: &[u8]) -> Result<Option<CellValue>, ReadError> {
        if let Some(value) = self.over.as_ref().and_then(|over| over.get(&(family, key.to_vec()))) {
            return Ok(Some(value.clone()).filter(|value| *value != CellValue::Tombstone));
        }
        let lens = self.store.lens();
        let here = lens.map_or(family, |lens| lens.family(family));
        let value = value(self.store.shared(), self.reach, &self.chain, here, key)?;
        self.check()?;
        let value = value.filter(|value| *value != CellValue::Tombstone);
        if let Some(lens) = lens {
            lens.read(self.called, family, key, value.as_ref());
        }
        Ok(value)
    }

    /// Up to `limit` keys of `[from, until)` in ascending order with their values, without tombstones.
    pub fn scan(
        &self,
        family: u8,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, ReadError> {
        match &self.over {
            Some(over) => self.scan_over(over, (family, from, until), limit),
            None => self.scan_below((family, from, until), limit),
        }
    }

    /// What lies below and what was written above it, in one order. A batch from below reaches as far as its last key.
    fn scan_over(
        &self,
        over: &Overlay,
        (family, from, until): (u8, &[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, ReadError> {
        let (mut from, mut out) = (from.to_vec(), Vec::new());
        while out.len() < limit && until.is_none_or(|until| from.as_slice() < until) {
            let below = self.scan_below((family, &from, until), limit)?;
            let last = below.last().filter(|_| below.len() >= limit).map(|(key, _)| key.clone());
            let end = match (&last, until) {
                (Some(last), _) => Bound::Included((family, last.clone())),
                (None, Some(until)) => Bound::Excluded((family, until.to_vec())),
                (None, None) => {
                    family.checked_add(1).map_or(Bound::Unbounded, |next| Bound::Excluded((next, Vec::new())))
                }
            };
            let mut merged: BTreeMap<Vec<u8>, CellValue> = below.into_iter().collect();
            for ((_, key), value) in over.range((Bound::Included((family, from.clone())), end)) {
                match value {
                    CellValue::Tombstone => drop(merged.remove(key)),
                    value => drop(merged.insert(key.clone(), value.clone())),
                }
            }
            out.extend(merged);
            match last {
                Some(last) => from = [last.as_slice(), &[0]].concat(),
                None => break,
            }
        }
        out.truncate(limit);
        Ok(out)
    }

    fn scan_below(
        &self,
        (family, from, until): (u8, &[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, ReadError> {
        let Some(lens) = self.store.lens() else { return self.scan_here(family, from, until, limit) };
        let found = self.scan_here(lens.family(family), from, until, limit)?;
        lens.scanned(self.called, (family, from, until), limit, &found);
        Ok(found)
    }

    fn scan_here(
        &self,
        family: u8,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, ReadError> {
        let shared = self.store.shared();
        let wanted = Wanted { family, until };
        let mut from = from.to_vec();
        let mut out = Vec::new();
        loop {
            let chunk = scan::gather(&shared.memory(self.reach), &self.chain, wanted, &from);
            let horizon = chunk.horizon.clone();
            let mut chunk = Some(chunk);
            let merged = shared.state.read(|txn| {
                scan::with_cursors(txn, &self.chain, wanted, &from, |cursors| {
                    scan::merge(chunk.take().unwrap_or_default(), cursors, limit, &mut out)
                })
            })?;
            if merged.is_none() {
                let in_memory = scan::merge(chunk.take().unwrap_or_default(), &mut [], limit, &mut out);
                in_memory.map_err(|trouble| trouble.in_file(shared.state.path()))?;
            }
            match horizon {
                Some(horizon) if out.len() < limit => {
                    // The key right after the horizon.
                    from = horizon;
                    from.push(0);
                }
                _ => return self.check().map(|()| out),
            }
        }
    }
}

/// The newest value of a key in a chain, a tombstone too.
pub(crate) fn value(
    shared: &Shared,
    reach: Reach,
    chain: &[Head],
    family: u8,
    key: &[u8],
) -> Result<Option<CellValue>, ReadError> {
    let keys = |at: &Head| CellKey::new(at.segment, family, key, at.version);
    let mut newest = chain.first().map(keys).unwrap_or_default();
    // Memory first: what is not there any more is in the file when that is looked at.
    let memory = shared.memory(reach);
    let mut in_memory = None;
    for (level, at) in chain.iter().enumerate() {
        newest.set(at.segment, at.version);
        if let Some(value) = memory.slices().find_map(|slice| slice.newest(&newest)) {
            in_memory = Some((level, value.clone()));
            break;
        }
    }
    drop(memory);
    let nearer = &chain[..in_memory.as_ref().map_or(chain.len(), |(level, _)| *level)];
    let mut found = None;
    if !nearer.is_empty() {
        found = shared.state.read_cells(|cells| {
            let mut newest = newest.clone();
            for at in nearer {
                newest.set(at.segment, at.version);
                if let Some(entry) = cells.range(newest.bytes()..)?.next() {
                    let (cell, value) = entry?;
                    if newest.is_version_of(cell.value()) {
                        return Ok(Some(CellValue::from_bytes(value.value())?));
                    }
                }
            }
            Ok(None)
        })?;
    }
    Ok(found.flatten().or(in_memory.map(|(_, value)| value)))
}
