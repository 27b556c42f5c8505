//! What a run hands to the committer.

use reel_abi::id::{CommitNo, RunId, SpaceName, Version, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, Frame, OutboxEntry};

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
    /// Refuses what would break a rule of the log.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
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
        let Some(Proposal { cells, counters, .. }) = &self.commit else { return Ok(()) };
        if !cells.is_sorted_by(|a, b| (a.family, &a.key) < (b.family, &b.key)) {
            return Err(AppendError::Invalid("cells are not sorted and unique"));
        }
        let both = |counter: &Counter| {
            let key = (counter.family, counter.key.as_slice());
            cells.binary_search_by(|cell| (cell.family, &*cell.key).cmp(&key)).is_ok()
        };
        if counters.iter().any(both) {
            return Err(AppendError::Invalid("a key is both written and counted"));
        }
        Ok(())
    }

    /// Whether somebody has to wait for the answer.
    pub(crate) fn decides(&self) -> bool {
        self.commit.is_some() || self.ending.is_some()
    }
}
