//! A stretch of the log as state: what its rows change, in memory.
//!
//! [`Slice::absorb`] is the one place that says what an item means for state. Both roads use it: rows just committed and rows
//! read back from the log, so a rebuilt state cannot differ from one that grew. Rows are absorbed in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{CommitNo, Digest, RunId, SegmentId, Seq, SpaceName, TagName, Version, WallTime};
use reel_abi::record::{CellValue, LogItem, OutboxEntry, Retention};
use reel_abi::wire::Wire;

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
    /// Encoded, as they go to the state: few are ever asked for here.
    pub(crate) begins: BTreeMap<RunId, Box<[u8]>>,
    pub(crate) ends: BTreeMap<RunId, Box<[u8]>>,
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
    /// What the item before opened, in the same row.
    opened: Option<Head>,
    /// What the rows at hand add.
    loose: Loose,
}

/// What rows add to the trees, in the order it came: a tree is made quickly of many entries at once. Nobody asks for any of it
/// before it is durable.
#[derive(Debug, Default)]
struct Loose {
    versions: Vec<((SpaceName, Version), Origin)>,
    begins: Vec<(RunId, Box<[u8]>)>,
    ends: Vec<(RunId, Box<[u8]>)>,
    frames: Vec<((RunId, Seq), FramePlace)>,
    commits: Vec<(CommitNo, ItemPlace)>,
}

impl Slice {
    /// Takes in a row: its items and their offsets, and how many bytes it has.
    pub(crate) fn absorb_row(&mut self, end: RowEnd, items: Vec<(u32, LogItem)>, log_bytes: usize) {
        for (offset, item) in items {
            self.absorb(ItemPlace { row: end.position, offset }, item);
        }
        self.end_rows(end, 1, log_bytes);
    }

    /// The items so far were rows, of which the last ends there, and none of an earlier call.
    pub(crate) fn end_rows(&mut self, end: RowEnd, rows: usize, log_bytes: usize) {
        self.pour();
        self.end = end;
        self.rows += rows;
        self.log_bytes += log_bytes;
    }

    /// Puts what came since into the trees.
    pub(crate) fn pour(&mut self) {
        self.opened = None;
        let Loose { versions, begins, ends, frames, commits } = std::mem::take(&mut self.loose);
        pour(versions, &mut self.versions);
        pour(begins, &mut self.begins);
        pour(ends, &mut self.ends);
        pour(frames, &mut self.frames);
        pour(commits, &mut self.commits);
    }

    /// Takes in an item.
    pub(crate) fn absorb(&mut self, place: ItemPlace, item: LogItem) {
        match item {
            LogItem::Begun { run, begin } => {
                let head = Head { segment: begin.segment, version: begin.version };
                return self.absorb_begin(run, (&begin.space, head), begin.at, begin.to_bytes().into());
            }
            LogItem::Frame { frame } => {
                let count = frame.count;
                return self.absorb_frame((frame.run, frame.first), FramePlace { place, count });
            }
            LogItem::Commit { record } => {
                let origin = Origin { commit: record.number, run: record.run, at: record.at };
                self.absorb_commit(place, record.number, record.outbox);
                for change in record.spaces {
                    let (segment, version) = (change.segment, change.version);
                    let cells = change.cells.into_iter().map(|cell| {
                        let key = CellKey::new(segment, cell.family, &cell.key, version);
                        (key, cell.value)
                    });
                    let cells = cells.collect();
                    self.absorb_change(change.space, Head { segment, version }, cells, origin);
                }
                return;
            }
            LogItem::Ended { run, end } => return self.absorb_end(run, end.to_bytes().into()),
            _ => {}
        }
        self.opened = None;
        self.bytes += ENTRY_BYTES;
        match item {
            LogItem::Begun { .. } | LogItem::Frame { .. } | LogItem::Commit { .. } | LogItem::Ended { .. } => {}
            LogItem::Delivered { commit } => {
                self.outbox.insert(commit, None);
            }
            LogItem::SpaceOpened { space, segment, version, parent } => {
                self.absorb_opening(space, Head { segment, version }, parent);
                self.opened = Some(Head { segment, version });
            }
            LogItem::Branched { space, segment, version, parent, at, .. } => {
                let origin = Origin { commit: CommitNo(0), run: RunId(0), at };
                self.loose.versions.push(((space.clone(), version), origin));
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
    }

    /// Takes in how a run began, encoded.
    pub(crate) fn absorb_begin(
        &mut self,
        run: RunId,
        (space, head): (&SpaceName, Head),
        at: WallTime,
        encoded: Box<[u8]>,
    ) {
        // A space's first run is behind its opening in the same row, and says when that was.
        if self.opened.take() == Some(head) {
            let origin = Origin { commit: CommitNo(0), run, at };
            self.loose.versions.push(((space.clone(), head.version), origin));
        }
        self.bytes += ENTRY_BYTES + encoded.len();
        self.loose.begins.push((run, encoded));
    }

    /// Takes in where events are.
    pub(crate) fn absorb_frame(&mut self, first: (RunId, Seq), place: FramePlace) {
        self.opened = None;
        self.bytes += ENTRY_BYTES;
        self.loose.frames.push((first, place));
    }

    /// Takes in a commit but for its changes of spaces.
    pub(crate) fn absorb_commit(&mut self, place: ItemPlace, number: CommitNo, outbox: Vec<OutboxEntry>) {
        self.opened = None;
        self.bytes += ENTRY_BYTES;
        self.loose.commits.push((number, place));
        if !outbox.is_empty() {
            self.bytes += outbox.iter().map(|entry| 256 + entry.changes.len() * 256).sum::<usize>();
            self.outbox.insert(number, Some(outbox));
        }
    }

    /// Takes in how a run ended, encoded.
    pub(crate) fn absorb_end(&mut self, run: RunId, encoded: Box<[u8]>) {
        self.opened = None;
        self.bytes += ENTRY_BYTES + encoded.len();
        self.loose.ends.push((run, encoded));
    }

    fn absorb_opening(&mut self, space: SpaceName, head: Head, parent: Option<(SegmentId, Version)>) {
        let Head { segment, version } = head;
        self.heads.insert(space.clone(), head);
        self.removed.insert(space.clone(), None);
        self.openings.insert((space.clone(), version), segment);
        self.segments.insert(segment, Segment { space, opened: version, parent });
    }

    /// Takes in a version of a space.
    pub(crate) fn absorb_change(
        &mut self,
        space: SpaceName,
        made: Head,
        cells: Vec<(CellKey, CellValue)>,
        origin: Origin,
    ) {
        for (key, value) in &cells {
            let inline = if let CellValue::Inline { bytes } = value { bytes.len() } else { 0 };
            self.bytes += ENTRY_BYTES + key.bytes().len() + inline;
        }
        // Of many that are sorted a tree is made quickly, and trees of similar size are merged quickly.
        if cells.len() > self.cells.len() {
            self.cells.append(&mut cells.into_iter().collect());
        } else {
            self.cells.extend(cells);
        }
        match self.heads.get_mut(&space) {
            Some(old) => *old = made,
            None => drop(self.heads.insert(space.clone(), made)),
        }
        self.bytes += ENTRY_BYTES;
        self.loose.versions.push(((space, made.version), origin));
    }

    /// Takes in a slice of the rows that follow.
    pub(crate) fn merge(&mut self, newer: Slice) {
        // Named one by one, lest one is forgotten.
        let Slice {
            cells,
            segments,
            heads,
            removed,
            tags,
            openings,
            versions,
            begins,
            ends,
            frames,
            commits,
            outbox,
            retained,
            compiled,
            end,
            rows,
            log_bytes,
            branches,
            bytes,
            opened: _,
            loose: _,
        } = newer;
        self.cells.extend(cells);
        self.segments.extend(segments);
        self.heads.extend(heads);
        self.removed.extend(removed);
        self.tags.extend(tags);
        self.openings.extend(openings);
        self.versions.extend(versions);
        self.begins.extend(begins);
        self.ends.extend(ends);
        self.frames.extend(frames);
        self.commits.extend(commits);
        self.outbox.extend(outbox);
        self.compiled.extend(compiled);
        if rows > 0 {
            self.end = end;
        }
        self.rows += rows;
        self.log_bytes += log_bytes;
        self.branches += branches;
        self.bytes += bytes;
        if retained.is_some() {
            self.retained = retained;
        }
    }

    /// How many of its items may name a version of the past.
    pub(crate) fn pins(&self) -> u64 {
        (self.branches + self.removed.len() + self.tags.len()) as u64
    }

    /// The newest version of a cell up to that of the key.
    pub(crate) fn newest(&self, key: &CellKey) -> Option<&CellValue> {
        let (found, value) = self.cells.range(key..).next()?;
        key.is_version_of(found.bytes()).then_some(value)
    }
}

fn pour<K: Ord, V>(loose: Vec<(K, V)>, tree: &mut BTreeMap<K, V>) {
    if tree.is_empty() { *tree = loose.into_iter().collect() } else { tree.extend(loose) }
}
