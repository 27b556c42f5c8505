//! Why something of a run cannot be looked at.

use reel_abi::id::{RunId, Seq};
use reel_store::ReadError;
use thiserror::Error;

use crate::runtime::files_at::LookError;
use crate::runtime::replay::ReplayError;

/// Why something of a run cannot be looked at.
#[derive(Debug, Error)]
pub enum DebugError {
    /// It has no events, so that there is nowhere to stop.
    #[error("run {0} has no events")]
    Empty(RunId),
    /// There is no such event.
    #[error("run {run} has {events} events, there is no {run}@{seq}")]
    NoSuchEvent {
        /// The run.
        run: RunId,
        /// How many it has.
        events: u64,
        /// What was asked for.
        seq: Seq,
    },
    /// A frame cannot be read.
    #[error("the log of run {run} is damaged from {run}@{first} on: {what}")]
    Damaged {
        /// The run.
        run: RunId,
        /// Its first event.
        first: Seq,
        /// Why.
        what: String,
    },
    /// The state cannot be followed any further.
    #[error("files and keys cannot be followed beyond event {seq}: {what}")]
    Apart {
        /// Up to here.
        seq: Seq,
        /// Why.
        what: String,
    },
    /// Somebody wants it to end.
    #[error("stopped")]
    Stopped,
    /// The space cannot be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The run cannot be executed again.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}
