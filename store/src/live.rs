//! What is committed but not yet in `state.redb`, and what is only promised.
//!
//! Readers look here first and then into the state file: a slice leaves memory only after its transaction on the state file
//! is durable, so whatever is missing here is there by then. The newest slice takes rows, an older one is being written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use reel_abi::id::{RunId, SegmentId, SpaceName};
use reel_abi::record::{LogItem, Retention};

use crate::chain::{Head, Segment};
use crate::row::RowEnd;
use crate::slice::Slice;
use crate::state::Newest;

/// A slice of about this many bytes is handed to the state file: large, because sorted writing pays by size. With a million keys in the
/// state and two written by a transaction, 16 MiB touch nearly every page of the keys for one cell each.
const SLICE_BYTES: usize = 48 << 20;

/// A slice of so much log is handed over too; bounds what opening has to read after a crash.
const SLICE_ROWS: usize = 32_768;
const SLICE_LOG_BYTES: usize = 64 << 20;

/// So many forks and rollbacks are handed over too: chains of them are made flat only where they are in the state.
const SLICE_BRANCHES: usize = 16;

/// With this many bytes waiting behind a slice that is still being written, commits wait; stops memory from growing when the
/// disk is slower than the guests.
pub(crate) const HELD_BYTES: usize = 128 << 20;

/// What so few commits wrote is merged at once.
const AT_ONCE: usize = 4;

/// No more slices than this wait to be merged: readers look into each.
const FRESH: usize = 4;

/// Memory beside the state file.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// What was committed last, oldest first.
    pub(crate) fresh: VecDeque<Slice>,
    /// What was committed before.
    pub(crate) active: Slice,
    /// Is being written to the state file.
    pub(crate) frozen: Option<Arc<Slice>>,
    /// Where spaces will stand that no run has begun in yet.
    pub(crate) reserved: BTreeMap<SpaceName, Head>,
    /// The highest numbers in use, reservations included.
    pub(crate) newest: Newest,
    /// What the newest retention left; views of the rest are refused.
    pub(crate) retention: Option<Arc<Retention>>,
    /// How many forks, rollbacks, removals and tags there were since the database was opened: each may name a version of the past.
    pub(crate) pins: u64,
    /// The last row of the log.
    pub(crate) end: RowEnd,
}

impl Live {
    /// Takes in a row that is in the log already.
    pub(crate) fn absorb_row(&mut self, end: RowEnd, items: Vec<(u32, LogItem)>, log_bytes: usize) {
        let mut slice = Slice::default();
        slice.absorb_row(end, items, log_bytes);
        self.learn(&slice);
        self.active.merge(slice);
    }

    /// Shows readers what was committed: puts it beside the others, which costs nothing.
    pub(crate) fn publish(&mut self, slice: Slice) {
        self.learn(&slice);
        self.fresh.push_back(slice);
    }

    /// Merges what is merged quickly, or would be too much beside the others; says whether there is more, to be merged later.
    pub(crate) fn tidy(&mut self) -> bool {
        let quick = |slice: &Slice| slice.rows <= 1 && slice.commits.len() <= AT_ONCE;
        if self.fresh.len() > FRESH || (self.fresh.len() == 1 && self.fresh.iter().all(quick)) {
            self.merge_oldest();
        }
        !self.fresh.is_empty()
    }

    /// Merges the oldest of the slices that were put aside; says whether there was one.
    pub(crate) fn merge_oldest(&mut self) -> bool {
        let Some(oldest) = self.fresh.pop_front() else { return false };
        if self.active.rows == 0 && self.active.compiled.is_empty() {
            self.active = oldest;
        } else {
            self.active.merge(oldest);
        }
        true
    }

    /// Bytes that wait behind the slice that is being written.
    pub(crate) fn held(&self) -> usize {
        self.active.bytes + self.fresh.iter().map(|slice| slice.bytes).sum::<usize>()
    }

    fn learn(&mut self, slice: &Slice) {
        let newest = &mut self.newest;
        newest.run = slice.begins.last_key_value().map_or(newest.run, |(run, _)| newest.run.max(run.0));
        newest.commit = slice.commits.last_key_value().map_or(newest.commit, |(commit, _)| newest.commit.max(commit.0));
        let segment = slice.segments.last_key_value();
        newest.segment = segment.map_or(newest.segment, |(segment, _)| newest.segment.max(segment.0));
        for (space, version) in slice.openings.keys() {
            // What is promised after that is for when the name is free again.
            if self.reserved.get(space).is_some_and(|promised| promised.version <= *version) {
                self.reserved.remove(space);
            }
        }
        self.pins += slice.pins();
        if let Some(retention) = &slice.retained {
            self.retention = Some(retention.clone());
        }
        self.end = slice.end;
    }

    /// The slices, newest first.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.fresh.iter().rev().chain(std::iter::once(&self.active)).chain(self.frozen.as_deref())
    }

    /// A promised segment number.
    pub(crate) fn take_segment(&mut self) -> SegmentId {
        self.newest.segment += 1;
        SegmentId(self.newest.segment)
    }

    /// What is known in memory of a segment.
    pub(crate) fn segment(&self, segment: SegmentId) -> Option<Segment> {
        if let Some(known) = self.slices().find_map(|slice| slice.segments.get(&segment)) {
            return Some(known.clone());
        }
        let (space, head) = self.reserved.iter().find(|(_, reserved)| reserved.segment == segment)?;
        Some(Segment { space: space.clone(), opened: head.version, parent: None })
    }

    /// Whether nothing was written to a segment, not even that it was opened.
    pub(crate) fn is_promised(&self, segment: SegmentId) -> bool {
        self.reserved.values().any(|head| head.segment == segment)
    }

    /// The newest run with a begin mark.
    pub(crate) fn newest_run(&self) -> Option<RunId> {
        Some(RunId(self.newest.run)).filter(|run| run.0 > 0)
    }

    /// Whether more was read from the log than is to be held in memory.
    pub(crate) fn is_full(&self) -> bool {
        self.active.bytes.max(self.active.log_bytes) >= HELD_BYTES
    }

    /// Whether the active slice is worth writing.
    pub(crate) fn is_large(&self) -> bool {
        let Slice { bytes, rows, log_bytes, branches, .. } = self.active;
        bytes >= SLICE_BYTES || rows >= SLICE_ROWS || log_bytes >= SLICE_LOG_BYTES || branches >= SLICE_BRANCHES
    }

    /// Hands the active slice over for writing if it is large enough; says whether it did.
    pub(crate) fn freeze_if_large(&mut self) -> bool {
        self.is_large() && self.freeze()
    }

    /// Hands the active slice over for writing, unless it is empty or another one is being written; says whether it did.
    pub(crate) fn freeze(&mut self) -> bool {
        if self.frozen.is_some() {
            return false;
        }
        while self.merge_oldest() {}
        if self.active.rows == 0 && self.active.compiled.is_empty() {
            return false;
        }
        self.frozen = Some(Arc::new(std::mem::take(&mut self.active)));
        true
    }
}

/// A lock whose content stays usable after a panic elsewhere: every change of it is a single step.
#[derive(Debug, Default)]
pub(crate) struct LiveLock(RwLock<Live>);

impl LiveLock {
    pub(crate) fn new(live: Live) -> Self {
        Self(RwLock::new(live))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Live> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Live> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
