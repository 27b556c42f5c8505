//! Why a query gives no answer, or no more of it.

use reel_abi::id::{RunId, Seq};
use reel_store::ReadError;
use thiserror::Error;

use crate::runtime::files_at::LookError;

/// Why a query gives no answer.
#[derive(Debug, Error)]
pub enum SqlError {
    /// It makes no sense.
    #[error("{what}")]
    Wrong {
        /// In the words of SQLite.
        what: String,
    },
    /// It is not only about reading.
    #[error("only queries are answered: this one wants to {what}")]
    Refused {
        /// What it wants.
        what: String,
    },
    /// It needs more than it may have.
    #[error("the query needs more than it may: {what}")]
    TooLarge {
        /// What it needs too much of.
        what: String,
    },
    /// Whoever gave it wants no answer any more.
    #[error("the query was cancelled")]
    Cancelled,
    /// Events cannot be read.
    #[error("the log of run {run} is damaged from {run}@{seq} on: {what}")]
    Damaged {
        /// The run.
        run: RunId,
        /// The event.
        seq: Seq,
        /// How.
        what: String,
    },
    /// Something of a space cannot be looked at.
    #[error("{0}")]
    Look(LookError),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<LookError> for SqlError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Read(error) => Self::Read(error),
            other => Self::Look(other),
        }
    }
}
