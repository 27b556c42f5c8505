//! What became of a run, in words.

use reel_abi::outcome::{Disposition, RunEnd};
use reel_store::RunRecord;

use super::database::Running;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on in this process.
    Running,
    /// It has no end, and nothing that could give it one.
    CutOff,
    /// It ended, and its writes are durable.
    Committed,
    /// It ended, and nothing of it is visible but its record.
    Aborted,
}

impl State {
    /// That of a run.
    pub fn of(record: &RunRecord, running: Running) -> Self {
        match &record.end {
            None if running.has(record.run) => Self::Running,
            None => Self::CutOff,
            Some(RunEnd { disposition: Disposition::Committed { .. }, .. }) => Self::Committed,
            Some(RunEnd { disposition: Disposition::Aborted, .. }) => Self::Aborted,
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::CutOff => "cut off",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }
}

/// Whether a run did not come to a good end.
pub fn has_failed(record: &RunRecord, running: Running) -> bool {
    match &record.end {
        Some(end) => !end.outcome.is_success() || end.disposition == Disposition::Aborted,
        None => State::of(record, running) == State::CutOff,
    }
}

/// The space at the version that the run made, or that it read.
pub fn space(record: &RunRecord) -> String {
    let version = match &record.end {
        Some(RunEnd { disposition: Disposition::Committed { version, .. }, .. }) => *version,
        _ => record.begin.version,
    };
    format!("{}@{version}", record.begin.space)
}
