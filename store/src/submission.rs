//! What a run hands to the committer.

use reel_abi::id::{CommitNo, RunId, SpaceName, Version, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, CellValue, Frame, OutboxEntry};

use crate::chain::Head;
use crate::error::AppendError;
use crate::reads::ReadSet;

/// A piece of a run's record; all of it lands in the log or nothing.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The run.
    pub run: RunId,
    /// Its begin; in the first submission of a run.
    pub begun: Option<RunBegin>,
    /// Its next frames, in order.
    pub frames: Vec<Frame>,
    /// What is to be committed now.
    pub commit: Option<Proposal>,
    /// Its end; in the last submission of a run.
    pub ending: Option<Ending>,
}

/// How a run ended; the committer adds what became of its transaction.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Wall-clock time.
    pub at: WallTime,
    /// How the guest ended.
    pub outcome: Outcome,
    /// Number of events, marks included.
    pub events: u64,
    /// Encoded bytes of the events, before compression.
    pub logged_bytes: u64,
    /// Bytes of file content, stdout and stderr written by the guest.
    pub written_bytes: u64,
    /// Digest of all linear memories at the end.
    pub memory: Option<u64>,
    /// What became of the transaction if this submission commits nothing; never [`Disposition::Committed`].
    pub otherwise: Disposition,
}

/// The writes of a transaction, to be committed if nothing that it read was written since.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Wall-clock time.
    pub at: WallTime,
    /// The space.
    pub space: SpaceName,
    /// The version that the transaction read.
    pub base: Head,
    /// What of it the transaction read.
    pub reads: ReadSet,
    /// Its writes, sorted by family and key, each key once. Without any there is a commit number but no new version.
    pub cells: Vec<Cell>,
    /// What it counts. Counts of one key are added up; a key that is counted is not also written.
    pub counters: Vec<Counter>,
    /// Effects to carry out once it is durable.
    pub outbox: Vec<OutboxEntry>,
}

/// A cell that holds a number, as one varint of the codec, to which something is added whatever it is by then: who counts has read
/// nothing, so two that count do not get in each other's way. Absent is 0, and it never becomes less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Kind of state.
    pub family: u8,
    /// Key in the family.
    pub key: Vec<u8>,
    /// What to add.
    pub add: i64,
}

/// The committer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// What a proposal became: its commit, and the version that it made, or read if it wrote nothing.
    pub committed: Option<(CommitNo, Version)>,
}

impl Submission {
    /// Refuses what would break a rule of the log, and brings the rest into the form that the committer wants.
    pub(crate) fn prepared(mut self) -> Result<Self, AppendError> {
        let mut next = None;
        for frame in &self.frames {
            if frame.run != self.run {
                return Err(AppendError::Invalid("a frame is of another run"));
            }
            if frame.count == 0 {
                return Err(AppendError::Invalid("a frame without events"));
            }
            if next.is_some_and(|next| next != frame.first) {
                return Err(AppendError::Invalid("frames are not contiguous"));
            }
            next = Some(frame.next());
        }
        if self.ending.as_ref().is_some_and(|ending| matches!(ending.otherwise, Disposition::Committed { .. })) {
            return Err(AppendError::Invalid("an ending says itself that it is committed"));
        }
        if let Some(proposal) = &mut self.commit {
            proposal.prepare()?;
        }
        Ok(self)
    }

    /// Whether somebody has to wait for the answer.
    pub(crate) fn decides(&self) -> bool {
        self.commit.is_some() || self.ending.is_some()
    }

    /// About how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        let frames: usize = self.frames.iter().map(|frame| 64 + frame.packed.len()).sum();
        256 + frames + self.commit.as_ref().map_or(0, |proposal| proposal.cells.iter().map(cell_bytes).sum())
    }
}

impl Proposal {
    fn prepare(&mut self) -> Result<(), AppendError> {
        if !self.cells.is_sorted_by(|a, b| (a.family, &a.key) < (b.family, &b.key)) {
            return Err(AppendError::Invalid("cells are not sorted and unique"));
        }
        self.counters.sort_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        self.counters.dedup_by(|next, kept| {
            let same = (next.family, &next.key) == (kept.family, &kept.key);
            if same {
                kept.add = kept.add.saturating_add(next.add);
            }
            same
        });
        let both = |counter: &Counter| place(&self.cells, counter.family, &counter.key).is_ok();
        if self.counters.iter().any(both) {
            return Err(AppendError::Invalid("a key is both written and counted"));
        }
        self.reads.settle();
        Ok(())
    }

    /// Whether there is nothing that others could see.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.counters.is_empty() && self.outbox.is_empty()
    }
}

/// Where a key stands in sorted cells, or would.
pub(crate) fn place(cells: &[Cell], family: u8, key: &[u8]) -> Result<usize, usize> {
    cells.binary_search_by(|cell| (cell.family, &*cell.key).cmp(&(family, key)))
}

fn cell_bytes(cell: &Cell) -> usize {
    let value = if let CellValue::Inline { bytes } = &cell.value { bytes.len() } else { 40 };
    16 + cell.key.len() + value
}
