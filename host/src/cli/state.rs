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
    /// It ended, and what it committed on its way is durable.
    Partly,
    /// It ended, and nothing of it is visible but its record.
    Aborted,
    /// The same, because another transaction was faster.
    Overtaken,
}

impl State {
    /// That of a run.
    pub fn of(record: &RunRecord, running: &Running) -> Self {
        match &record.end {
            None if running.has(record.run) => Self::Running,
            None => Self::CutOff,
            Some(RunEnd { disposition: Disposition::Committed { .. }, .. }) => Self::Committed,
            Some(RunEnd { disposition: Disposition::Partly { .. }, .. }) => Self::Partly,
            Some(RunEnd { disposition: Disposition::Aborted, .. }) => Self::Aborted,
            Some(RunEnd { disposition: Disposition::Lost { .. }, .. }) => Self::Overtaken,
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::CutOff => "cut off",
            Self::Committed => "committed",
            Self::Partly => "partly committed",
            Self::Aborted => "aborted",
            Self::Overtaken => "overtaken",
        }
    }
}

/// Whether a run did not come to a good end.
pub fn has_failed(record: &RunRecord, running: &Running) -> bool {
    match &record.end {
        // Executed again, it did not fail.
        Some(RunEnd { disposition: Disposition::Lost { again: Some(_) }, .. }) => false,
        Some(RunEnd { disposition: Disposition::Committed { .. }, outcome, .. }) => !outcome.is_success(),
        Some(_) => true,
        None => State::of(record, running) == State::CutOff,
    }
}

/// The space at the version that the run made, or that it read.
pub fn space(record: &RunRecord) -> String {
    let version = match &record.end {
        Some(RunEnd {
            disposition: Disposition::Committed { version, .. } | Disposition::Partly { version, .. },
            ..
        }) => *version,
        _ => record.begin.version,
    };
    format!("{}@{version}", record.begin.space)
}
