//! The database as it was at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::id::{CommitNo, Position, RunId, SpaceName, Version};
use reel_abi::outcome::{Disposition, RunEnd};
use reel_store::{Head, RunRecord, Store};

use super::error::SqlError;

/// Records of runs that are kept.
const RECORDS: usize = 4096;

type Asks = Box<dyn Fn() -> bool + Send + Sync>;
type Knows = Box<dyn Fn(RunId) -> bool + Send + Sync>;

/// What a query sees.
pub struct View {
    /// The database.
    pub store: Store,
    /// The last run that had begun.
    pub newest: RunId,
    /// The last row of the log.
    pub end: Position,
    /// The last commit.
    pub commit: CommitNo,
    /// All spaces and where they stood, also those that were removed.
    pub spaces: BTreeMap<SpaceName, Head>,
    running: Knows,
    cancelled: Asks,
    failure: Mutex<Option<SqlError>>,
    records: Mutex<BTreeMap<RunId, Arc<RunRecord>>>,
    done: AtomicU64,
}

impl View {
    /// The database as it is now.
    pub fn new(store: &Store) -> Result<Self, SqlError> {
        let (end, commit) = store.end();
        Ok(Self {
            store: store.clone(),
            newest: store.newest_run().unwrap_or_default(),
            end,
            commit,
            spaces: store.spaces_ever()?.into_iter().collect(),
            running: Box::new(|_| false),
            cancelled: Box::new(|| false),
            failure: Mutex::default(),
            records: Mutex::default(),
            done: AtomicU64::new(0),
        })
    }

    /// The same, with what knows which of the runs without an end go on.
    #[must_use]
    pub fn with_running(self, running: impl Fn(RunId) -> bool + Send + Sync + 'static) -> Self {
        Self { running: Box::new(running), ..self }
    }

    /// The same, with what says whether anybody still wants an answer.
    #[must_use]
    pub fn cancelled_by(self, cancelled: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { cancelled: Box::new(cancelled), ..self }
    }

    /// Whether nobody wants an answer any more.
    pub fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// An error if nobody wants an answer any more.
    pub fn check(&self) -> Result<(), SqlError> {
        if self.is_cancelled() { Err(SqlError::Cancelled) } else { Ok(()) }
    }

    /// Whether a run without an end goes on.
    pub fn is_running(&self, run: RunId) -> bool {
        (self.running)(run)
    }

    /// How much of the log was read, of how much.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.end.0)
    }

    /// The log was read so far.
    pub fn has_read(&self, row: Position) {
        self.done.store(row.0, Ordering::Relaxed);
    }

    /// A run, if it had begun.
    pub fn run(&self, run: RunId) -> Result<Option<Arc<RunRecord>>, SqlError> {
        if run > self.newest {
            return Ok(None);
        }
        if let Some(known) = self.records().get(&run) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(record) = self.store.run(run)? else { return Ok(None) };
        Ok(Some(self.keep(record)))
    }

    /// Remembers a run, as it was at the moment of the view.
    pub fn keep(&self, record: RunRecord) -> Arc<RunRecord> {
        let record = Arc::new(self.seen(record));
        let mut records = self.records();
        if records.len() >= RECORDS {
            records.pop_first();
        }
        records.insert(record.run, Arc::clone(&record));
        record
    }

    /// A run as it was at the moment of the view: what has committed since is not over.
    pub fn seen(&self, mut record: RunRecord) -> RunRecord {
        if let Some(RunEnd {
            disposition: Disposition::Committed { commit, .. } | Disposition::Partly { commit, .. },
            ..
        }) = &record.end
            && *commit > self.commit
        {
            record.end = None;
        }
        record
    }

    /// The version of a space at which it is looked: that one, if there is one, or where it stood.
    pub fn head(&self, space: &SpaceName, version: Option<u64>) -> Result<Option<Head>, SqlError> {
        let Some(head) = self.spaces.get(space) else { return Ok(None) };
        match version {
            Some(version) if version > head.version.0 => Ok(None),
            Some(version) => Ok(self.store.head_at(space, Version(version))?),
            None => Ok(Some(*head)),
        }
    }

    /// Keeps an error that SQLite can only pass on as words.
    pub(super) fn fail(&self, error: SqlError) -> String {
        let words = error.to_string();
        self.failure().get_or_insert(error);
        words
    }

    /// The error that was kept.
    pub(super) fn take_failure(&self) -> Option<SqlError> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<SqlError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<RunRecord>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
