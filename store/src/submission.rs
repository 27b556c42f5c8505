//! What a run hands to the store.

use std::collections::BTreeSet;

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

/// How a run ended; the store adds what became of its transaction.
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
    /// What it writes in other spaces, each once and none of them its own.
    pub others: Vec<Elsewhere>,
    /// What belongs to the same transaction in spaces that it has read too.
    pub joined: Joined,
}

/// The parts of a transaction beside that of its own space: decided with it, all or none.
#[derive(Debug, Clone, Default)]
pub struct Joined {
    /// The spaces, each once, none of them the proposal's own or one of its `others`. With any, what was read counts even if nothing was
    /// written: two spaces that were read at two moments must hold at one.
    pub parts: Vec<Part>,
    /// The runs that end with it.
    pub runs: Vec<JoinedRun>,
    /// Nothing is to be committed: it is only asked whether what was read holds at one moment. The runs end as they say otherwise.
    pub only_asks: bool,
}

/// What a transaction has read and writes in a space beside its own.
#[derive(Debug, Clone)]
pub struct Part {
    /// The space.
    pub space: SpaceName,
    /// The version that it read.
    pub base: Head,
    /// What of it it read.
    pub reads: ReadSet,
    /// The writes, sorted by family and key, each key once.
    pub cells: Vec<Cell>,
    /// What it counts there.
    pub counters: Vec<Counter>,
}

/// A run that ends with the transaction of another.
#[derive(Debug, Clone)]
pub struct JoinedRun {
    /// The run.
    pub run: RunId,
    /// Its begin, unless it is in the log already.
    pub begun: Option<RunBegin>,
    /// Its last frames.
    pub frames: Vec<Frame>,
    /// Its end.
    pub ending: Ending,
    /// The index of the part that has what it wrote; nothing if that was dropped.
    pub part: Option<usize>,
}

/// What a transaction writes in a space that it has not read: it holds whatever is there, but the space must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The space.
    pub space: SpaceName,
    /// The writes, sorted by family and key, each key once; at least one.
    pub cells: Vec<Cell>,
    /// What it counts there.
    pub counters: Vec<Counter>,
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

/// The store's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// What a proposal became: its commit, and the version that it made, or read if it wrote nothing.
    pub committed: Option<(CommitNo, Version)>,
}

impl Submission {
    /// Refuses what would break a rule of the log.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        check_run(self.run, &self.frames, self.ending.as_ref())?;
        let Some(Proposal { space, cells, counters, others, joined, .. }) = &self.commit else { return Ok(()) };
        check_writes(cells, counters)?;
        let mut named = BTreeSet::from([space]);
        for other in others {
            check_writes(&other.cells, &other.counters)?;
            if other.cells.is_empty() {
                return Err(AppendError::Invalid("nothing is written in another space that is named"));
            }
            if !named.insert(&other.space) {
                return Err(AppendError::Invalid("a space is named twice"));
            }
        }
        for part in &joined.parts {
            check_writes(&part.cells, &part.counters)?;
            if !named.insert(&part.space) {
                return Err(AppendError::Invalid("a space is named twice"));
            }
        }
        let mut runs = BTreeSet::from([self.run]);
        for run in &joined.runs {
            check_run(run.run, &run.frames, Some(&run.ending))?;
            if run.part.is_some_and(|part| part >= joined.parts.len()) {
                return Err(AppendError::Invalid("a joined run names a part that is not there"));
            }
            if !runs.insert(run.run) {
                return Err(AppendError::Invalid("a run is named twice"));
            }
        }
        Ok(())
    }

    /// Whether somebody has to wait for the answer.
    pub(crate) fn decides(&self) -> bool {
        self.commit.is_some() || self.ending.is_some()
    }
}

/// Refuses a piece of a run that breaks a rule of the log.
fn check_run(run: RunId, frames: &[Frame], ending: Option<&Ending>) -> Result<(), AppendError> {
    let mut next = None;
    for frame in frames {
        if frame.run != run {
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
    if ending.is_some_and(|ending| matches!(ending.otherwise, Disposition::Committed { .. })) {
        return Err(AppendError::Invalid("an ending says itself that it is committed"));
    }
    Ok(())
}

/// Refuses writes of a space that break a rule of the log.
fn check_writes(cells: &[Cell], counters: &[Counter]) -> Result<(), AppendError> {
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
