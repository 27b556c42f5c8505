//! What is committed but not yet in `state.redb`, and what is only promised.
//!
//! Readers look here first and then into the state file: a slice leaves memory only after its transaction on the state file
//! is durable, so whatever is missing here is there by then. The newest slice takes rows, an older one is being written.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use reel_abi::id::{RunId, SegmentId, SpaceName};
use reel_abi::record::{LogItem, Retention};

use crate::chain::{Head, Segment};
use crate::row::RowEnd;
use crate::slice::Slice;
use crate::state::Newest;

/// A slice of about this many bytes is handed to the state file: large, because sorted writing pays by size.
const SLICE_BYTES: usize = 16 << 20;

/// A slice of so much log is handed over too; bounds what opening has to read after a crash.
const SLICE_ROWS: usize = 16_384;
const SLICE_LOG_BYTES: usize = 64 << 20;

/// So many forks and rollbacks are handed over too: chains of them are made flat only where they are in the state.
const SLICE_BRANCHES: usize = 16;

/// With this many bytes waiting behind a slice that is still being written, commits wait; stops memory from growing when the
/// disk is slower than the guests.
pub(crate) const HELD_BYTES: usize = 64 << 20;

/// Memory beside the state file.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Takes the rows that are committed now.
    pub(crate) active: Slice,
    /// Is being written to the state file.
    pub(crate) frozen: Option<Arc<Slice>>,
    /// Where spaces will stand that no run has begun in yet.
    pub(crate) reserved: BTreeMap<SpaceName, Head>,
    /// The highest numbers in use, reservations included.
    pub(crate) newest: Newest,
    /// What the newest retention left; views of the rest are refused.
    pub(crate) retention: Option<Arc<Retention>>,
    /// How many forks, rollbacks and tags there were since the database was opened: each may name a version of the past.
    pub(crate) pins: u64,
    /// The last row of the log.
    pub(crate) end: RowEnd,
}

impl Live {
    /// Takes in a row.
    pub(crate) fn absorb_row(&mut self, end: RowEnd, items: Vec<(u32, LogItem)>, log_bytes: usize) {
        for (_, item) in &items {
            match item {
                LogItem::Begun { run, .. } => self.newest.run = self.newest.run.max(run.0),
                LogItem::Commit { record } => self.newest.commit = self.newest.commit.max(record.number.0),
                LogItem::SpaceOpened { space, segment, .. } | LogItem::Branched { space, segment, .. } => {
                    self.newest.segment = self.newest.segment.max(segment.0);
                    self.reserved.remove(space);
                }
                _ => {}
            }
            self.pins += u64::from(matches!(item, LogItem::Branched { .. } | LogItem::TagSet { .. }));
        }
        self.end = end;
        self.active.absorb_row(end, items, log_bytes);
        if let Some(retention) = &self.active.retained {
            self.retention = Some(retention.clone());
        }
    }

    /// The slices, newest first.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &Slice> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
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
        if self.frozen.is_some() || (self.active.rows == 0 && self.active.compiled.is_empty()) {
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
