//! What is done to the state when nobody waits for it: segments with long chains are made flat.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reel_abi::id::SegmentId;

use crate::error::{AppendError, Fault};
use crate::flat::{self, PACE, Pace};
use crate::slice::Slice;
use crate::state;
use crate::store::{Shared, Store};

/// What is to be done, and who does it.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Segments that were opened over others since somebody looked.
    opened: Mutex<BTreeSet<SegmentId>>,
    work: Mutex<Work>,
}

/// Whoever holds the lock on it may copy and remove cells of the past.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Segments that may have to be made flat.
    segments: BTreeSet<SegmentId>,
    /// Whether what earlier processes left was looked for.
    looked: bool,
}

impl Store {
    /// Does now what is done in the background, so far as spaces are in the state file: makes flat those that see more than
    /// `deep` others, in up to `steps` transactions of `cells` cells. For tests and measurements.
    #[doc(hidden)]
    pub fn flatten(&self, deep: usize, cells: usize, steps: usize) -> Result<(), AppendError> {
        let shared = self.shared();
        let mut work = shared.upkeep.work();
        work.looked = false;
        for _ in 0..steps {
            if !work.step(shared, Pace { deep, cells })? {
                break;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Gives the space in the files of state and payloads that nothing uses back to the disk; returns each file's name and its
    /// bytes before and after. Others wait meanwhile. Log files need it not: a closed one holds what was written and no more.
    pub fn compact(&self) -> Result<Vec<(String, u64, u64)>, AppendError> {
        let shared = self.shared();
        let _alone = shared.upkeep.work();
        self.settle()?;
        self.blobs().flush()?;
        let mut done = Vec::new();
        for file in [&shared.state, shared.blobs.file()] {
            if let Some((before, after)) = file.compact()? {
                let name = file.path().file_name().map(|name| name.to_string_lossy().into_owned());
                done.push((name.unwrap_or_default(), before, after));
            }
        }
        Ok(done)
    }
}

impl Upkeep {
    /// Notes what a slice, now in the state file, may have left to do.
    pub(crate) fn notice(&self, slice: &Slice) {
        let branched = slice.segments.iter().filter(|(_, segment)| segment.parent.is_some());
        self.opened().extend(branched.map(|(id, _)| *id));
    }

    /// Does a piece, unless somebody else is at it; says whether there is more. That it fails does no harm.
    pub(crate) fn step(&self, shared: &Shared) -> bool {
        let Ok(mut work) = self.work.try_lock() else { return false };
        work.step(shared, PACE).unwrap_or_else(|fault| {
            tracing::warn!("a chain of forks stays long: {fault}");
            work.segments.clear();
            false
        })
    }

    /// Waits until nobody else is at it.
    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, BTreeSet<SegmentId>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn step(&mut self, shared: &Shared, pace: Pace) -> Result<bool, Fault> {
        if !self.looked {
            self.look(shared)?;
            self.looked = true;
        }
        self.segments.append(&mut shared.upkeep.opened());
        // Older ones first: they shorten the chains of the others.
        while let Some(segment) = self.segments.first().copied() {
            let done = flat::step(&shared.state, segment, pace)?;
            if done != Some(true) {
                self.segments.remove(&segment);
            }
            if done.is_some() {
                return Ok(!self.segments.is_empty());
            }
        }
        Ok(false)
    }

    /// What was begun, and where all spaces stand.
    fn look(&mut self, shared: &Shared) -> Result<(), Fault> {
        let left = state::read(&shared.state, |snapshot| {
            let begun = snapshot.flats()?.into_iter().filter(|(_, flat)| flat.next.is_some()).map(|(id, _)| id);
            let heads = snapshot.heads()?.into_iter().map(|(_, head)| head.segment);
            Ok(begun.chain(heads).collect::<Vec<_>>())
        })?;
        self.segments.extend(left);
        Ok(())
    }
}
