//! What a run hands to the committer.

use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, Frame, OutboxEntry};

use crate::chain::Head;
use crate::error::AppendError;

/// A piece of a run's record; all of it lands in the log or nothing.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The run.
    pub run: RunId,
    /// Its begin; in the first submission of a run.
    pub begun: Option<RunBegin>,
    /// Its next frames, in order.
    pub frames: Vec<Frame>,
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
    /// What is to be committed; `None` if the transaction was aborted.
    pub commit: Option<Proposal>,
}

/// The writes of a transaction, to be committed if its space has not moved on.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The space.
    pub space: SpaceName,
    /// What the transaction read.
    pub base: Head,
    /// Its writes, sorted by family and key, each key once. Without any there is a commit number but no new version.
    pub cells: Vec<Cell>,
    /// Effects to carry out once it is durable.
    pub outbox: Vec<OutboxEntry>,
}

/// The committer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What became of the transaction, if the submission had an ending.
    pub disposition: Option<Disposition>,
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
        let Some(Proposal { cells, .. }) = self.ending.as_ref().and_then(|ending| ending.commit.as_ref()) else {
            return Ok(());
        };
        let ascending = cells.is_sorted_by(|a, b| (a.family, &a.key) < (b.family, &b.key));
        if ascending { Ok(()) } else { Err(AppendError::Invalid("cells are not sorted and unique")) }
    }

    /// About how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        let frames: usize = self.frames.iter().map(|frame| 64 + frame.packed.len()).sum();
        let proposal = self.ending.as_ref().and_then(|ending| ending.commit.as_ref());
        let cells = proposal.map_or(0, |proposal| proposal.cells.iter().map(cell_bytes).sum());
        256 + frames + cells
    }
}

fn cell_bytes(cell: &Cell) -> usize {
    let value = if let reel_abi::record::CellValue::Inline { bytes } = &cell.value { bytes.len() } else { 40 };
    16 + cell.key.len() + value
}
