//! Why a host call does not return to the guest.

use reel_abi::id::{Seq, WallTime};
use reel_abi::limits::LimitKind;
use thiserror::Error;

use super::divergence::Mismatch;

/// The guest is stopped inside a host call. It travels as the engine's error and is taken out again by the runtime.
#[derive(Debug, Error)]
pub enum Halt {
    /// The program asked to end.
    #[error("the program ended with exit code {0}")]
    Exit(u32),
    /// The program asked for its transaction to be dropped.
    #[error("aborted: {0}")]
    Abort(String),
    /// A bound of the run was reached.
    #[error("limit {kind} of {limit} reached")]
    Limit {
        /// Which one.
        kind: LimitKind,
        /// Its value.
        limit: u64,
    },
    /// The guest broke the contract of an interface, which is a trap.
    #[error("{0}")]
    Trap(String),
    /// The user stopped the run.
    #[error("interrupted")]
    Interrupted,
    /// The replay does something else than the log says.
    #[error("diverged at event {}", .0.seq)]
    Diverged(Box<Mismatch>),
    /// The replay came to the end of what was logged, where the run was cut off.
    #[error("the log ends at event {0}")]
    LogEnds(Seq),
    /// The replay came to the event at which it was to stop.
    #[error("stopped at event {0} as asked")]
    Until(Seq),
    /// The guest waits for a long time, and goes on from its log.
    #[error("asleep")]
    Asleep {
        /// Until then.
        until: WallTime,
    },
    /// The host cannot go on.
    #[error("{0}")]
    Host(String),
}

impl Halt {
    /// A failure of the host, with its chain of causes.
    pub fn host(doing: &str, error: &dyn std::error::Error) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        Self::Host(message)
    }
}
