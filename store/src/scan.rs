//! Merging what memory and the state file hold of a chain of segments into one ascending run of keys.
//!
//! Of one key the nearest segment decides, and in it the newest version up to the one that is seen there; memory is newer
//! than the file. Memory is read first, in bounded chunks, each with a horizon up to which it is complete.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{Range, ReadOnlyTable, ReadTransaction};
use reel_abi::id::Version;
use reel_abi::record::CellValue;
use reel_abi::wire::Wire;

use crate::chain::Head;
use crate::error::Trouble;
use crate::pending::Memory;
use crate::redb_file::table;
use crate::slice::Slice;
use crate::tables::{CELLS, CellKey, cell_key_part, cell_key_version};

/// Keys taken from one slice of memory under one lock.
const CHUNK_KEYS: usize = 512;

/// Older versions of a key to step over before searching for the next key instead.
const STEPS: usize = 8;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) family: u8,
    pub(crate) until: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn ends_before(&self, key: &[u8]) -> bool {
        self.until.is_some_and(|until| key >= until)
    }
}

/// What memory holds: key -> place in the chain, value.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) found: BTreeMap<Vec<u8>, (usize, CellValue)>,
    /// The last key up to which nothing is missing; `None` if nothing is at all.
    pub(crate) horizon: Option<Vec<u8>>,
}

/// Takes the next keys from memory.
pub(crate) fn gather(memory: &Memory<'_>, chain: &[Head], wanted: Wanted<'_>, from: &[u8]) -> Chunk {
    let mut chunk = Chunk::default();
    for (level, at) in chain.iter().enumerate() {
        for slice in memory.slices() {
            let last = gather_slice(slice, (level, *at), wanted, from, &mut chunk.found);
            if let Some(last) = last {
                chunk.horizon = Some(chunk.horizon.map_or(last.clone(), |horizon| horizon.min(last)));
            }
        }
    }
    chunk
}

/// Returns the last key taken if there may be more.
fn gather_slice(
    slice: &Slice,
    (level, at): (usize, Head),
    wanted: Wanted<'_>,
    from: &[u8],
    found: &mut BTreeMap<Vec<u8>, (usize, CellValue)>,
) -> Option<Vec<u8>> {
    let mut lower = Bound::Included(CellKey::new(at.segment, wanted.family, from, Version(u64::MAX)));
    let mut last = None;
    for _ in 0..CHUNK_KEYS {
        let mut range = slice.cells.range((lower, Bound::Unbounded));
        // Stepping to a version that can be seen takes at most one more search.
        let (key, value) = loop {
            let (cell, value) = range.next()?;
            let key = cell_key_part(cell.bytes(), at.segment, wanted.family)?;
            if wanted.ends_before(key) {
                return None;
            }
            if cell_key_version(cell.bytes())? <= at.version {
                break (key, value);
            }
            let seen = CellKey::new(at.segment, wanted.family, key, at.version);
            range = slice.cells.range((Bound::Included(seen), Bound::Unbounded));
        };
        found.entry(key.to_vec()).or_insert_with(|| (level, value.clone()));
        lower = Bound::Excluded(CellKey::new(at.segment, wanted.family, key, Version(0)));
        last = Some(key.to_vec());
    }
    last
}

/// Walks over the keys of one segment in the state file, each with its newest visible version.
pub(crate) struct Cursor<'a> {
    table: &'a ReadOnlyTable<CellKey, &'static [u8]>,
    range: Range<'static, CellKey, &'static [u8]>,
    at: Head,
    wanted: Wanted<'a>,
    current: Option<(Vec<u8>, CellValue)>,
}

/// One cursor for each segment of the chain, at the first key from `from` on.
pub(crate) fn with_cursors<T>(
    txn: &ReadTransaction,
    chain: &[Head],
    wanted: Wanted<'_>,
    from: &[u8],
    f: impl FnOnce(&mut [Cursor<'_>]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let Some(table) = table(txn, CELLS)? else { return f(&mut []) };
    let mut cursors = Vec::with_capacity(chain.len());
    for at in chain {
        let first = CellKey::new(at.segment, wanted.family, from, Version(u64::MAX));
        let range = table.range(first.bytes()..)?;
        let mut cursor = Cursor { table: &table, range, at: *at, wanted, current: None };
        cursor.advance()?;
        cursors.push(cursor);
    }
    f(&mut cursors)
}

impl Cursor<'_> {
    fn advance(&mut self) -> Result<(), Trouble> {
        let last = self.current.take().map(|(key, _)| key);
        let (segment, family) = (self.at.segment, self.wanted.family);
        let mut steps = 0;
        while let Some(entry) = self.range.next() {
            let (cell, value) = entry?;
            let bytes = cell.value();
            let Some(key) = cell_key_part(bytes, segment, family) else { return Ok(()) };
            if self.wanted.ends_before(key) {
                return Ok(());
            }
            if last.as_deref() == Some(key) {
                steps += 1;
                if steps == STEPS {
                    let oldest = CellKey::new(segment, family, key, Version(0));
                    let after = (Bound::Excluded(oldest.bytes()), Bound::Unbounded);
                    self.range = self.table.range::<&[u8]>(after)?;
                }
                continue;
            }
            let version = cell_key_version(bytes).ok_or_else(|| Trouble::Corrupt("a cell without version".into()))?;
            if version > self.at.version {
                let seen = CellKey::new(segment, family, key, self.at.version);
                self.range = self.table.range::<&[u8]>(seen.bytes()..)?;
                continue;
            }
            if last.as_deref().is_some_and(|last| key < last) {
                return Err(Trouble::Corrupt("its cells are not in order".into()));
            }
            self.current = Some((key.to_vec(), CellValue::from_bytes(value.value())?));
            return Ok(());
        }
        Ok(())
    }
}

/// Appends live cells to `out` until it has `limit`, memory's horizon is reached or all is done.
pub(crate) fn merge(
    mut chunk: Chunk,
    cursors: &mut [Cursor<'_>],
    limit: usize,
    out: &mut Vec<(Vec<u8>, CellValue)>,
) -> Result<(), Trouble> {
    while out.len() < limit {
        let in_file = cursors.iter().filter_map(|cursor| cursor.current.as_ref().map(|(key, _)| key)).min();
        let in_memory = chunk.found.first_key_value().map(|(key, _)| key);
        let Some(key) = in_file.into_iter().chain(in_memory).min().cloned() else { break };
        if chunk.horizon.as_ref().is_some_and(|horizon| key > *horizon) {
            break;
        }
        let mut nearest = chunk.found.remove(&key);
        for (level, cursor) in cursors.iter_mut().enumerate() {
            if cursor.current.as_ref().is_none_or(|(at, _)| *at != key) {
                continue;
            }
            let value = cursor.current.as_mut().map(|(_, value)| std::mem::replace(value, CellValue::Tombstone));
            if nearest.as_ref().is_none_or(|(best, _)| level < *best) {
                nearest = value.map(|value| (level, value));
            }
            cursor.advance()?;
        }
        match nearest {
            None | Some((_, CellValue::Tombstone)) => {}
            Some((_, value)) => out.push((key, value)),
        }
    }
    Ok(())
}
