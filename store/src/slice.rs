//! A stretch of the log as state: what its rows change, in memory.
//!
//! [`Slice::absorb`] is the one place that says what an item means for state. Both roads use it: rows just committed and rows
//! read back from the log, so a rebuilt state cannot differ from one that grew. Rows are absorbed in order.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, Digest, RunId, SegmentId, Seq, SpaceName, Version, WallTime};
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::record::{CellValue, LogItem, OutboxEntry, SpaceChange};

use crate::chain::{Head, Segment};
use crate::row::{ItemPlace, RowEnd};
use crate::tables::CellKey;

/// What an entry of a tree costs beside its content, roughly, in bytes.
const ENTRY_BYTES: usize = 96;

/// Where a frame stands and how many events it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub(crate) place: ItemPlace,
    pub(crate) count: u32,
}

/// Changes of state by some rows in succession.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) cells: BTreeMap<CellKey, CellValue>,
    pub(crate) segments: BTreeMap<SegmentId, Segment>,
    pub(crate) heads: BTreeMap<SpaceName, Head>,
    pub(crate) openings: BTreeMap<(SpaceName, Version), SegmentId>,
    pub(crate) versions: BTreeMap<(SpaceName, Version), (CommitNo, RunId, WallTime)>,
    pub(crate) begins: BTreeMap<RunId, RunBegin>,
    pub(crate) ends: BTreeMap<RunId, RunEnd>,
    pub(crate) frames: BTreeMap<(RunId, Seq), FramePlace>,
    pub(crate) commits: BTreeMap<CommitNo, ItemPlace>,
    /// `None` once delivered.
    pub(crate) outbox: BTreeMap<CommitNo, Option<Vec<OutboxEntry>>>,
    /// Not from the log.
    pub(crate) compiled: BTreeMap<Digest, Digest>,
    /// The last row absorbed.
    pub(crate) end: RowEnd,
    /// How many rows were absorbed.
    pub(crate) rows: usize,
    /// How many bytes these rows have in the log.
    pub(crate) log_bytes: usize,
    /// About how much memory it takes.
    pub(crate) bytes: usize,
}

impl Slice {
    /// Takes in a row: its items and their offsets, and how many bytes it has.
    pub(crate) fn absorb_row(&mut self, end: RowEnd, items: Vec<(u32, LogItem)>, log_bytes: usize) {
        for (offset, item) in items {
            self.absorb(ItemPlace { row: end.position, offset }, item);
        }
        self.end = end;
        self.rows += 1;
        self.log_bytes += log_bytes;
    }

    fn absorb(&mut self, place: ItemPlace, item: LogItem) {
        self.bytes += ENTRY_BYTES;
        match item {
            LogItem::Begun { run, begin } => {
                self.bytes += begin_bytes(&begin);
                self.begins.insert(run, begin);
            }
            LogItem::Frame { frame } => {
                self.frames.insert((frame.run, frame.first), FramePlace { place, count: frame.count });
            }
            LogItem::Commit { record } => {
                self.commits.insert(record.number, place);
                for change in record.spaces {
                    self.absorb_change(change, (record.number, record.run, record.at));
                }
                if !record.outbox.is_empty() {
                    self.bytes += record.outbox.iter().map(|entry| 256 + entry.changes.len() * 256).sum::<usize>();
                    self.outbox.insert(record.number, Some(record.outbox));
                }
            }
            LogItem::Ended { run, end } => {
                self.ends.insert(run, end);
            }
            LogItem::Delivered { commit } => {
                self.outbox.insert(commit, None);
            }
            LogItem::SpaceOpened { space, segment, version, parent } => {
                self.heads.insert(space.clone(), Head { segment, version });
                self.openings.insert((space.clone(), version), segment);
                self.segments.insert(segment, Segment { space, opened: version, parent });
            }
            LogItem::Branched { space, segment, version, parent, .. } => {
                self.heads.insert(space.clone(), Head { segment, version });
                self.openings.insert((space.clone(), version), segment);
                self.segments.insert(segment, Segment { space, opened: version, parent: Some(parent) });
            }
            LogItem::SpaceRemoved { .. } | LogItem::TagSet { .. } | LogItem::TagRemoved { .. } | LogItem::Retained { .. } => {}
        }
    }

    fn absorb_change(&mut self, change: SpaceChange, made: (CommitNo, RunId, WallTime)) {
        let SpaceChange { space, segment, version, cells } = change;
        for cell in cells {
            let key = CellKey::new(segment, cell.family, &cell.key, version);
            let inline = if let CellValue::Inline { bytes } = &cell.value { bytes.len() } else { 0 };
            self.bytes += ENTRY_BYTES + key.bytes().len() + inline;
            self.cells.insert(key, cell.value);
        }
        let head = Head { segment, version };
        match self.heads.get_mut(&space) {
            Some(old) => *old = head,
            None => drop(self.heads.insert(space.clone(), head)),
        }
        self.versions.insert((space, version), made);
    }

    /// The newest version of a cell up to `version`.
    pub(crate) fn cell(&self, segment: SegmentId, family: u8, key: &[u8], version: Version) -> Option<&CellValue> {
        let newest = CellKey::new(segment, family, key, version);
        let oldest = CellKey::new(segment, family, key, Version(0));
        self.cells.range(newest..=oldest).next().map(|(_, value)| value)
    }
}

fn begin_bytes(begin: &RunBegin) -> usize {
    let args: usize = begin.args.iter().map(|arg| arg.len() + 24).sum();
    let env: usize = begin.env.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
    512 + args + env + begin.dirs.len() * 128
}
