//! What a process has counted since it opened the database. Nobody decides by it.

use std::sync::atomic::{AtomicU64, Ordering};

use reel_abi::outcome::{Disposition, Outcome};

use crate::error::AppendError;
use crate::submission::{Ending, Receipt};

/// How runs end, in words.
const ENDS: [&str; 8] = ["success", "failure", "trap", "limit", "interrupted", "host-failure", "aborted", "overtaken"];

/// Counters that anybody may add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    runs: [AtomicU64; ENDS.len()],
    conflicts: AtomicU64,
    batches: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Runs that have an end, by how they ended.
    pub runs: [(&'static str, u64); ENDS.len()],
    /// Transactions that were refused, since another one had written what they had read.
    pub conflicts: u64,
    /// Durable writes of the log, each of all that had waited for it.
    pub batches: u64,
    /// Commits in the log, those of other processes included.
    pub commits: u64,
}

/// Which of [`ENDS`] an end is, if it commits nothing that it does not say.
pub(crate) fn kind(ending: &Ending) -> usize {
    match (&ending.otherwise, &ending.outcome) {
        (Disposition::Lost { .. }, _) => 7,
        (_, Outcome::Exit { code: 0 }) => 0,
        (_, Outcome::Exit { .. }) => 1,
        (_, Outcome::Trap { .. }) => 2,
        (_, Outcome::Limit { .. }) => 3,
        (_, Outcome::Interrupted) => 4,
        (_, Outcome::HostFailure { .. }) => 5,
        (_, Outcome::Aborted { .. }) => 6,
    }
}

impl Counters {
    /// Notes what was decided on a submission whose end is of that kind.
    pub fn decided(&self, kind: Option<usize>, decided: &Result<Receipt, AppendError>) {
        match decided {
            Ok(_) => kind.and_then(|kind| self.runs.get(kind)).into_iter().for_each(add),
            Err(AppendError::Conflict { .. }) => add(&self.conflicts),
            Err(_) => {}
        }
    }

    /// Notes a batch that is durable.
    pub fn written(&self) {
        add(&self.batches);
    }

    /// All of it.
    pub fn tally(&self, commits: u64) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut runs = ENDS.map(|end| (end, 0));
        for (run, counter) in runs.iter_mut().zip(&self.runs) {
            run.1 = read(counter);
        }
        Tally { runs, conflicts: read(&self.conflicts), batches: read(&self.batches), commits }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
