//! A stretch of the log as state: what its rows change, in memory.
//!
//! [`Slice::absorb`] is the one place that says what an item means for state. Both roads use it: rows just committed and rows
//! read back from the log, so a rebuilt state cannot differ from one that grew. Rows are absorbed in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{CommitNo, Digest, RunId, SegmentId, Seq, SpaceName, TagName, Version, WallTime};
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::record::{CellValue, LogItem, OutboxEntry, Retention, SpaceChange};

use crate::chain::{Head, Segment};
use crate::row::{ItemPlace, RowEnd};
use crate::tables::CellKey;
use crate::tags::Tag;

/// What an entry of a tree costs beside its content, roughly, in bytes.
const ENTRY_BYTES: usize = 96;

/// Where a frame stands and how many events it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub(crate) place: ItemPlace,
    pub(crate) count: u32,
}

/// What made a version: a commit, or with commit 0 the first run of a space (then it is that run) or a branch (then run 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) commit: CommitNo,
    pub(crate) run: RunId,
    pub(crate) at: WallTime,
}

/// Changes of state by some rows in succession.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) cells: BTreeMap<CellKey, CellValue>,
    pub(crate) segments: BTreeMap<SegmentId, Segment>,
    /// Where names stand, or stood when they were removed.
    pub(crate) heads: BTreeMap<SpaceName, Head>,
    /// Names that were removed, and `None` for those that were made again.
    pub(crate) removed: BTreeMap<SpaceName, Option<WallTime>>,
    /// `None` once removed.
    pub(crate) tags: BTreeMap<TagName, Option<Tag>>,
    pub(crate) openings: BTreeMap<(SpaceName, Version), SegmentId>,
    pub(crate) versions: BTreeMap<(SpaceName, Version), Origin>,
    pub(crate) begins: BTreeMap<RunId, RunBegin>,
    pub(crate) ends: BTreeMap<RunId, RunEnd>,
    pub(crate) frames: BTreeMap<(RunId, Seq), FramePlace>,
    pub(crate) commits: BTreeMap<CommitNo, ItemPlace>,
    /// `None` once delivered.
    pub(crate) outbox: BTreeMap<CommitNo, Option<Vec<OutboxEntry>>>,
    /// The newest retention.
    pub(crate) retained: Option<Arc<Retention>>,
    /// Not from the log.
    pub(crate) compiled: BTreeMap<Digest, Digest>,
    /// The last row absorbed.
    pub(crate) end: RowEnd,
    /// How many rows were absorbed.
    pub(crate) rows: usize,
    /// How many bytes these rows have in the log.
    pub(crate) log_bytes: usize,
    /// How many forks and rollbacks were absorbed.
    pub(crate) branches: usize,
    /// About how much memory it takes.
    pub(crate) bytes: usize,
}

impl Slice {
    /// Takes in a row: its items and their offsets, and how many bytes it has.
    pub(crate) fn absorb_row(&mut self, end: RowEnd, items: Vec<(u32, LogItem)>, log_bytes: usize) {
        let mut opened = None;
        for (offset, item) in items {
            opened = self.absorb(ItemPlace { row: end.position, offset }, item, opened);
        }
        self.end = end;
        self.rows += 1;
        self.log_bytes += log_bytes;
    }

    /// `opened` is the head of a space that the item before opened; returned is what the item opens.
    fn absorb(&mut self, place: ItemPlace, item: LogItem, opened: Option<Head>) -> Option<Head> {
        self.bytes += ENTRY_BYTES;
        match item {
            LogItem::Begun { run, begin } => {
                // A space's first run is behind its opening in the same row, and says when that was.
                if opened == Some(Head { segment: begin.segment, version: begin.version }) {
                    let origin = Origin { commit: CommitNo(0), run, at: begin.at };
                    self.versions.insert((begin.space.clone(), begin.version), origin);
                }
                self.bytes += begin_bytes(&begin);
                self.begins.insert(run, begin);
            }
            LogItem::Frame { frame } => {
                self.frames.insert((frame.run, frame.first), FramePlace { place, count: frame.count });
            }
            LogItem::Commit { record } => {
                self.commits.insert(record.number, place);
                for change in record.spaces {
                    self.absorb_change(change, Origin { commit: record.number, run: record.run, at: record.at });
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
                self.absorb_opening(space, Head { segment, version }, parent);
                return Some(Head { segment, version });
            }
            LogItem::Branched { space, segment, version, parent, at, .. } => {
                let origin = Origin { commit: CommitNo(0), run: RunId(0), at };
                self.versions.insert((space.clone(), version), origin);
                self.branches += 1;
                self.absorb_opening(space, Head { segment, version }, Some(parent));
            }
            LogItem::SpaceRemoved { space, at } => drop(self.removed.insert(space, Some(at))),
            LogItem::TagSet { tag, space, segment, version, at } => {
                let head = Head { segment, version };
                self.tags.insert(tag.clone(), Some(Tag { tag, space, head, at }));
            }
            LogItem::TagRemoved { tag, .. } => drop(self.tags.insert(tag, None)),
            LogItem::Retained { retention } => self.retained = Some(Arc::new(retention)),
        }
        None
    }

    fn absorb_opening(&mut self, space: SpaceName, head: Head, parent: Option<(SegmentId, Version)>) {
        let Head { segment, version } = head;
        self.heads.insert(space.clone(), head);
        self.removed.insert(space.clone(), None);
        self.openings.insert((space.clone(), version), segment);
        self.segments.insert(segment, Segment { space, opened: version, parent });
    }

    fn absorb_change(&mut self, change: SpaceChange, made: Origin) {
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
