//! What has its place in the order of the log but is not durable yet.
//!
//! ```text
//!   order:   1 - 2 - 3 - 4 - 5 - 6 - 7 - 8 - 9
//!            \_ durable _/ \closed/  \_ open _/       closed: its rows are being written; open: takes what is ordered now
//! ```
//!
//! Only who asks for it ([`Reach::Ordered`]) sees this part: transactions that begin at what was ordered last, and the
//! decisions, which are made against all that lies before. A slice goes from here to `live` in one step and never back; after
//! a write that failed it stays, and goes nowhere. Locks are taken in this order: sequencer, pending, live.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use reel_abi::id::{SegmentId, Version};
use reel_abi::record::Retention;

use crate::chain::Segment;
use crate::live::Live;
use crate::slice::Slice;
use crate::store::Shared;
use crate::tables::{CellKey, cell_key_segment};

/// How far a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What is on disk.
    Durable,
    /// All that has its place in the order.
    Ordered,
}

/// The part of the order that is not durable.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Takes what is ordered now.
    pub(crate) open: Slice,
    /// Is being written to the log.
    pub(crate) closed: Option<Slice>,
}

impl Pending {
    /// What was ordered so far is to be written.
    pub(crate) fn close(&mut self) {
        let mut closed = std::mem::take(&mut self.open);
        closed.pour();
        debug_assert!(self.closed.is_none(), "two batches are written at once");
        self.closed = Some(closed);
    }

    /// Its slices, newest first.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &Slice> {
        std::iter::once(&self.open).chain(&self.closed)
    }

    /// Whether anything here is of a segment: every version but the one it opens with has a cell.
    fn knows(&self, segment: SegmentId) -> bool {
        let first = CellKey::new(segment, 0, &[], Version(u64::MAX));
        self.slices().any(|slice| {
            let cell = slice.cells.range(&first..).next();
            slice.segments.contains_key(&segment)
                || cell.is_some_and(|(cell, _)| cell_key_segment(cell.bytes()) == Some(segment))
        })
    }
}

/// A lock whose content stays usable after a panic elsewhere: nothing is accepted after one while it was held for writing.
#[derive(Debug, Default)]
pub(crate) struct PendingLock(RwLock<Pending>);

impl PendingLock {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Pending> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Pending> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in memory, as far as a reader sees, held still.
pub(crate) struct Memory<'a> {
    pending: Option<RwLockReadGuard<'a, Pending>>,
    pub(crate) live: RwLockReadGuard<'a, Live>,
}

impl Memory<'_> {
    /// The slices, newest first.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.pending.iter().flat_map(|pending| pending.slices()).chain(self.live.slices())
    }

    /// What is known of a segment.
    pub(crate) fn segment(&self, segment: SegmentId) -> Option<Segment> {
        let known = self.pending.iter().flat_map(|pending| pending.slices());
        let known = known.filter_map(|slice| slice.segments.get(&segment)).next();
        known.cloned().or_else(|| self.live.segment(segment))
    }

    /// Whether nothing was written to a segment, not even that it was opened.
    pub(crate) fn is_promised(&self, segment: SegmentId) -> bool {
        self.live.is_promised(segment) && !self.slices().any(|slice| slice.segments.contains_key(&segment))
    }

    /// The newest retention.
    pub(crate) fn retention(&self) -> Option<&Retention> {
        self.slices().find_map(|slice| slice.retained.as_deref()).or(self.live.retention.as_deref())
    }

    /// How many forks, rollbacks and tags there were since the database was opened.
    pub(crate) fn pins(&self) -> u64 {
        let pending = self.pending.iter().flat_map(|pending| pending.slices());
        self.live.pins + pending.map(Slice::pins).sum::<u64>()
    }
}

impl Shared {
    /// What is in memory, as far as a reader sees.
    pub(crate) fn memory(&self, reach: Reach) -> Memory<'_> {
        // In this order: what leaves the one is in the other.
        let pending = (reach == Reach::Ordered).then(|| self.pending.read());
        Memory { pending, live: self.live.read() }
    }

    /// How far one has to see for all that a head in a segment shows.
    pub(crate) fn reach(&self, segment: SegmentId) -> Reach {
        if self.pending.read().knows(segment) { Reach::Ordered } else { Reach::Durable }
    }
}
