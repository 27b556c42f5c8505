//! All tables of all files, and the bytes in them. Numbers are redb's little-endian integers, compared as integers.
//!
//! ```text
//! log/NNNNNNNN.redb
//!   rows      position:u64                          -> link:32 | item*
//!   meta      "format"                              -> u32 LE
//!             "number"                              -> u64 LE, the file's number
//!             "before"                              -> u64 LE | link:32, the row before the file's first
//!
//! state.redb                                        all derived
//!   meta      "format"                              -> u32 LE
//!             "applied"                             -> u64 LE | link:32, the last row that is in here
//!             "retained", "pruned"                  -> the newest Retention in here; digest of the one that was carried out
//!             "layout"                              -> u32 LE, of these tables; of another one it is made again
//!   cells     segment:8 BE | family:1 | key | ~version:8 BE   -> CellValue
//!   segments  segment                               -> Segment
//!   flat      segment                               -> Flat: how far the cells it sees in others were copied into it
//!   heads     space name                            -> segment, version; of removed names the last
//!   removed   space name                            -> time of removal, until made again
//!   tags      tag name                              -> Tag
//!   openings  space name, version                   -> segment that begins there
//!   versions  space name, version                   -> commit, run, time; commit 0: made by the space's first run, or by a
//!                                                      branch (run 0)
//!   begins    run                                   -> RunBegin
//!   ends      run                                   -> RunEnd
//!   frames    run, first event                      -> row, offset in it, number of events
//!   commits   commit                                -> row, offset in it
//!   outbox    commit                                -> list of OutboxEntry, until delivered
//!   compiled  digest of component and settings      -> digest of native code (not from the log: a cache)
//!
//! blobs.redb
//!   meta      "format"                              -> u32 LE
//!   ids       digest                                -> id
//!   data      id                                    -> bytes
//! ```

use std::cmp::Ordering;

use redb::{Key, ReadableTable, TableDefinition, TypeName, Value};
use reel_abi::FORMAT;
use reel_abi::id::{CommitNo, Digest, Position, SegmentId, Version};
use reel_abi::message;

use crate::error::Trouble;
use crate::row::RowEnd;

/// A place in the log as redb stores it: row, offset.
pub(crate) type PlaceValue = (u64, u32);

pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(crate) const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

pub(crate) const CELLS: TableDefinition<CellKey, &[u8]> = TableDefinition::new("cells");
pub(crate) const SEGMENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("segments");
pub(crate) const FLAT: TableDefinition<u64, &[u8]> = TableDefinition::new("flat");
pub(crate) const HEADS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("heads");
pub(crate) const REMOVED: TableDefinition<&str, u64> = TableDefinition::new("removed");
pub(crate) const TAGS: TableDefinition<&str, &[u8]> = TableDefinition::new("tags");
pub(crate) const OPENINGS: TableDefinition<(&str, u64), u64> = TableDefinition::new("openings");
pub(crate) const VERSIONS: TableDefinition<(&str, u64), (u64, u64, u64)> = TableDefinition::new("versions");
pub(crate) const BEGINS: TableDefinition<u64, &[u8]> = TableDefinition::new("begins");
pub(crate) const ENDS: TableDefinition<u64, &[u8]> = TableDefinition::new("ends");
pub(crate) const FRAMES: TableDefinition<(u64, u64), (u64, u32, u32)> = TableDefinition::new("frames");
pub(crate) const COMMITS: TableDefinition<u64, PlaceValue> = TableDefinition::new("commits");
pub(crate) const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");
pub(crate) const COMPILED: TableDefinition<[u8; 32], [u8; 32]> = TableDefinition::new("compiled");

pub(crate) const BLOB_IDS: TableDefinition<[u8; 32], u64> = TableDefinition::new("ids");
pub(crate) const BLOB_DATA: TableDefinition<u64, &[u8]> = TableDefinition::new("data");

const FORMAT_KEY: &str = "format";
const LAYOUT_KEY: &str = "layout";

/// Layout of the state's tables. Raised with any change of them: a state of another layout is made again from the log.
const LAYOUT: u32 = 2;

const VERSION_BYTES: usize = 8;
const PREFIX_BYTES: usize = 9;

/// Key of a cell: `segment:8 BE | family:1 | key | ~version:8 BE`, compared first without, then by the last eight bytes.
/// So keys keep their order whatever bytes they hold, and of one key the newest version comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CellKey(Vec<u8>);

impl CellKey {
    /// The key of one version of a cell.
    pub(crate) fn new(segment: SegmentId, family: u8, key: &[u8], version: Version) -> Self {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + key.len() + VERSION_BYTES);
        bytes.extend_from_slice(&segment.0.to_be_bytes());
        bytes.push(family);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&(!version.0).to_be_bytes());
        Self(bytes)
    }

    /// Makes it the key of another version of the cell.
    pub(crate) fn set_version(&mut self, version: Version) {
        let at = self.0.len() - VERSION_BYTES;
        self.0[at..].copy_from_slice(&(!version.0).to_be_bytes());
    }

    /// Puts the number of the commit into a key that waits for it.
    pub(crate) fn stamp(&mut self, commit: CommitNo) {
        let end = self.0.len() - VERSION_BYTES;
        message::stamp(self.0[PREFIX_BYTES - 1], &mut self.0[PREFIX_BYTES..end], commit);
    }

    /// Makes it the key of the same family and key in a version of a segment.
    pub(crate) fn set(&mut self, segment: SegmentId, version: Version) {
        if let Some(start) = self.0.first_chunk_mut::<8>() {
            *start = segment.0.to_be_bytes();
            self.set_version(version);
        }
    }

    /// Whether the bytes are a key of the same cell, in whatever version.
    pub(crate) fn is_version_of(&self, other: &[u8]) -> bool {
        split(&self.0).0 == split(other).0 && other.len() >= VERSION_BYTES
    }

    /// The family, and the key in it.
    pub(crate) fn parts(&self) -> (u8, &[u8]) {
        (self.0[PREFIX_BYTES - 1], &self.0[PREFIX_BYTES..self.0.len() - VERSION_BYTES])
    }

    /// The stored form.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key without segment, family and version; `None` if the bytes are no cell key of that segment and family.
pub(crate) fn cell_key_part(bytes: &[u8], segment: SegmentId, family: u8) -> Option<&[u8]> {
    let (prefix, _) = split(bytes);
    let rest = prefix.strip_prefix(&segment.0.to_be_bytes())?;
    rest.strip_prefix(&[family])
}

/// A cell key without its version.
pub(crate) fn cell_key_prefix(bytes: &[u8]) -> &[u8] {
    split(bytes).0
}

/// The segment in a cell key; `None` if the bytes are no cell key.
pub(crate) fn cell_key_segment(bytes: &[u8]) -> Option<SegmentId> {
    let (prefix, _) = split(bytes);
    prefix.first_chunk::<8>().map(|segment| SegmentId(u64::from_be_bytes(*segment)))
}

/// The family in a cell key; 0 if the bytes are no cell key.
pub(crate) fn cell_key_family(bytes: &[u8]) -> u8 {
    let (prefix, _) = split(bytes);
    prefix.get(PREFIX_BYTES - 1).copied().unwrap_or(0)
}

/// The version in a cell key.
pub(crate) fn cell_key_version(bytes: &[u8]) -> Option<Version> {
    let version = bytes.last_chunk::<VERSION_BYTES>()?;
    Some(Version(!u64::from_be_bytes(*version)))
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().saturating_sub(VERSION_BYTES))
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    split(a).cmp(&split(b))
}

impl Ord for CellKey {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for CellKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Value for CellKey {
    type SelfType<'a> = &'a [u8];
    type AsBytes<'a> = &'a [u8];

    fn fixed_width() -> Option<usize> {
        None
    }

    fn from_bytes<'a>(data: &'a [u8]) -> &'a [u8]
    where
        Self: 'a,
    {
        data
    }

    fn as_bytes<'a, 'b: 'a>(value: &'a &'b [u8]) -> &'a [u8] {
        value
    }

    fn type_name() -> TypeName {
        TypeName::new("reel::CellKey")
    }
}

impl Key for CellKey {
    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        compare(a, b)
    }
}

/// Refuses a file of a newer format; `false` if the file says none, being new.
pub(crate) fn check_format(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<bool, Trouble> {
    let Some(value) = meta.get(FORMAT_KEY)? else { return Ok(false) };
    let bytes = value.value().try_into().map_err(|_| Trouble::Corrupt("its format is no number".to_owned()))?;
    match u32::from_le_bytes(bytes) {
        0 => Err(Trouble::Corrupt("it says format 0".to_owned())),
        found if found > FORMAT => Err(Trouble::Newer(found)),
        _ => Ok(true),
    }
}

/// Writes the format of this build.
pub(crate) fn put_format(meta: &mut redb::Table<&'static str, &'static [u8]>) -> Result<(), Trouble> {
    meta.insert(FORMAT_KEY, FORMAT.to_le_bytes().as_slice())?;
    Ok(())
}

/// Whether the state is laid out as this build does it; `true` if it says nothing, being new.
pub(crate) fn check_layout(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<bool, Trouble> {
    let begun = meta.get(FORMAT_KEY)?.is_some();
    let layout = meta.get(LAYOUT_KEY)?;
    Ok(layout.map_or(!begun, |value| value.value() == LAYOUT.to_le_bytes()))
}

/// Writes the layout of this build.
pub(crate) fn put_layout(meta: &mut redb::Table<&'static str, &'static [u8]>) -> Result<(), Trouble> {
    meta.insert(LAYOUT_KEY, LAYOUT.to_le_bytes().as_slice())?;
    Ok(())
}

/// A position and link as meta tables hold it.
pub(crate) fn row_end_bytes(end: &RowEnd) -> Vec<u8> {
    [end.position.0.to_le_bytes().as_slice(), &end.link.0].concat()
}

/// The position and link that [`row_end_bytes`] wrote.
pub(crate) fn row_end_from(bytes: &[u8]) -> Result<RowEnd, Trouble> {
    let bad = || Trouble::Corrupt("a position and link is not 40 bytes long".to_owned());
    let (position, link) = bytes.split_first_chunk::<8>().ok_or_else(bad)?;
    let link = Digest(link.try_into().map_err(|_| bad())?);
    Ok(RowEnd { position: Position(u64::from_le_bytes(*position)), link })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cell_keys_order_by_segment_family_key_and_newest_first(
            mut cells in prop::collection::vec(
                (0u64..3, 0u8..3, prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..12), any::<u64>()),
                0..30,
            ),
        ) {
            let key = |(segment, family, key, version): &(u64, u8, Vec<u8>, u64)| {
                CellKey::new(SegmentId(*segment), *family, key, Version(*version))
            };
            let mut keys: Vec<CellKey> = cells.iter().map(key).collect();
            keys.sort();
            cells.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)).then(b.3.cmp(&a.3)));
            prop_assert_eq!(&keys, &cells.iter().map(key).collect::<Vec<_>>());
            for (cell, key) in cells.iter().zip(&keys) {
                prop_assert_eq!(cell_key_part(key.bytes(), SegmentId(cell.0), cell.1), Some(cell.2.as_slice()));
                prop_assert_eq!(cell_key_version(key.bytes()), Some(Version(cell.3)));
            }
        }

        #[test]
        fn bytes_that_are_no_cell_key_are_compared_all_the_same(a in prop::collection::vec(any::<u8>(), 0..20), b in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            let _ = (cell_key_part(&a, SegmentId(0), 0), cell_key_version(&a));
        }
    }
}
