//! The handle of a database.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use reel_abi::id::{CommitNo, Digest, RunId, Seq, SpaceName, Version};
use reel_abi::record::{CommitRecord, Frame, OutboxEntry};

use crate::answer::{Answer, Answered, Reply};
use crate::applier::Applying;
use crate::blobs::Blobs;
use crate::chain::Head;
use crate::committer;
use crate::dir::Dir;
use crate::error::{AppendError, Fault, OpenError, ReadError};
use crate::lens::Lens;
use crate::live::LiveLock;
use crate::log::Log;
use crate::merger::Merging;
use crate::opening::{self, Opened, Options};
use crate::pending::{PendingLock, Reach};
use crate::prepared::Prepared;
use crate::reads::ReadSet;
use crate::redb_file::RedbFile;
use crate::row::RowEnd;
use crate::runs::{FrameRef, RunRecord};
use crate::sequencer::{Sequencer, Tell, Work};
use crate::submission::{Receipt, Submission};
use crate::tally::{self, Counters, Tally};
use crate::threads;
use crate::upkeep::Upkeep;
use crate::verify::{self, VerifyReport};
use crate::view::View;

/// An open database. Clones are handles of the same one; when the last is dropped (views hold one too), what is queued is
/// made durable and the directory is free for another process.
#[derive(Debug, Clone)]
pub struct Store {
    handle: Arc<Handle>,
    lens: Option<Arc<Lens>>,
    /// Where payloads go that shall leave no trace.
    aside: Option<Arc<Blobs>>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    end: RowEnd,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the threads and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) state: RedbFile,
    pub(crate) blobs: Blobs,
    pub(crate) sequencer: Sequencer,
    pub(crate) pending: PendingLock,
    pub(crate) live: LiveLock,
    pub(crate) applying: Applying,
    pub(crate) merging: Merging,
    pub(crate) upkeep: Upkeep,
    next_run: AtomicU64,
    /// The first number for a run that this process can have handed out.
    first_run: u64,
    pub(crate) counters: Counters,
    refused: OnceLock<Arc<str>>,
    /// Last, so that the lock is given back when all files are closed.
    dir: Arc<Dir>,
}

impl Store {
    /// Opens the database in `dir`, which is made if it is not there. `owner` is what others are told while it is in use.
    pub fn open(dir: &Path, owner: &str) -> Result<Self, OpenError> {
        Self::open_with(dir, owner, &Options { create: true, ..Options::default() })
    }

    /// Opens the database in `dir`; [`OpenError::NotFound`] if there is none.
    pub fn open_existing(dir: &Path, owner: &str) -> Result<Self, OpenError> {
        Self::open_with(dir, owner, &Options::default())
    }

    /// Opens the database in `dir` in the way that is asked for.
    pub fn open_with(dir: &Path, owner: &str, options: &Options) -> Result<Self, OpenError> {
        opening::open(dir, owner, options).map(Self::start)
    }

    /// Like [`Store::open`] with another size at which log files are closed, in bytes. For tests of many files.
    #[doc(hidden)]
    pub fn open_with_log_file_bytes(dir: &Path, owner: &str, log_file_bytes: u64) -> Result<Self, OpenError> {
        Self::open_with(dir, owner, &Options { create: true, log_file_bytes, ..Options::default() })
    }

    fn start(opened: Opened) -> Self {
        let Opened { dir, log, state, live, end } = opened;
        let shared = Shared {
            blobs: Blobs::new(dir.blobs()),
            log,
            state,
            first_run: live.newest.run + 1,
            next_run: AtomicU64::new(live.newest.run + 1),
            sequencer: Sequencer::new(end.position, CommitNo(live.newest.commit)),
            pending: PendingLock::default(),
            live: LiveLock::new(live),
            applying: Applying::default(),
            merging: Merging::default(),
            upkeep: Upkeep::default(),
            counters: Counters::default(),
            refused: OnceLock::new(),
            dir,
        };
        let handle = Handle { shared: Arc::new(shared), end, committer: Mutex::new(None) };
        Self { handle: Arc::new(handle), lens: None, aside: None }
    }

    /// A handle that looks through this.
    pub(crate) fn through(&self, lens: Lens) -> Self {
        Self { lens: Some(Arc::new(lens)), ..self.clone() }
    }

    pub(crate) fn without_lens(&self) -> Self {
        Self { lens: None, ..self.clone() }
    }

    pub(crate) fn lens(&self) -> Option<&Lens> {
        self.lens.as_deref()
    }

    /// The directory it is in.
    pub fn dir(&self) -> &Path {
        self.shared().dir.root()
    }

    /// A number for a new run: one more than the newest known, never handed out twice.
    pub fn next_run(&self) -> RunId {
        RunId(self.shared().next_run.fetch_add(1, Ordering::Relaxed))
    }

    /// Where a space stands; `None` if nothing ever ran in it, or if it was removed.
    pub fn head(&self, space: &SpaceName) -> Result<Option<Head>, ReadError> {
        self.shared().head(space, Reach::Durable)
    }

    /// Where a space stands. A new one gets a segment, which is written with the first run that begins in it.
    pub fn head_or_new(&self, space: &SpaceName) -> Result<Head, ReadError> {
        self.shared().head_or_new(space, Reach::Durable)
    }

    /// Where a space stands in the order: possibly not durable yet. What is read there may be shown to nobody before something
    /// that was ordered later is durable.
    pub fn newest(&self, space: &SpaceName) -> Result<Option<Head>, ReadError> {
        self.shared().head(space, Reach::Ordered)
    }

    /// Like [`Store::newest`]; a new space gets a segment as with [`Store::head_or_new`].
    pub fn newest_or_new(&self, space: &SpaceName) -> Result<Head, ReadError> {
        self.shared().head_or_new(space, Reach::Ordered)
    }

    /// Whether what was read of a space at `base` is still so at `now`, as far as can be told from memory: what is only ordered counts as written.
    /// `false` if it is not so, or not known.
    pub fn still_holds(&self, space: &SpaceName, base: Head, now: Head, reads: &ReadSet) -> bool {
        self.shared().sequencer.still_holds(space, base, now, reads)
    }

    /// All spaces by name, and where they stand.
    pub fn spaces(&self) -> Result<Vec<(SpaceName, Head)>, ReadError> {
        self.shared().spaces()
    }

    /// Counts up whenever a name of a space begins to stand for something else than what was committed to it: at forks, rollbacks and removals.
    pub fn branchings(&self) -> u64 {
        self.shared().live.read().pins
    }

    /// All spaces that there ever were, also those that were removed, and where they stand or stood.
    pub fn spaces_ever(&self) -> Result<Vec<(SpaceName, Head)>, ReadError> {
        Ok(self.shared().spaces_ever()?.0.into_iter().collect())
    }

    /// The segment in which a version of a space lives, through the rollbacks of its history; also if it was removed.
    pub fn head_at(&self, space: &SpaceName, version: Version) -> Result<Option<Head>, ReadError> {
        match self.lens().and_then(|lens| lens.called(version)) {
            Some(called) => Ok(called),
            None => self.shared().head_at(space, version),
        }
    }

    /// A space as it was at a version, which may be one that is only ordered; see [`Store::newest`].
    pub fn view(&self, called: Head) -> Result<View, ReadError> {
        let shared = self.shared();
        let head = match self.lens().and_then(|lens| lens.head(called)) {
            Some(shown) => shown.ok_or(ReadError::NoSuchHead(called))?,
            None => called,
        };
        // Known before it is looked at: what is removed later is noticed when it is read.
        let retention = shared.live.read().retention.clone();
        let reach = shared.reach(head.segment);
        let view = View::new(self.clone(), reach, (called, shared.seen(head, reach)?), retention);
        if let Some(lens) = self.lens() {
            lens.opened(called);
        }
        Ok(view)
    }

    /// Appends a piece of a run's record and waits until it is durable, with all blobs put before.
    pub fn append(&self, submission: Submission) -> Result<Receipt, AppendError> {
        let kind = submission.ending.as_ref().map(tally::kind);
        let submission = Prepared::new(submission)?;
        let bytes = submission.bytes();
        let decided = self.ask(Work::Submit(Box::new(submission)), bytes).and_then(Answer::receipt);
        self.shared().counters.decided(kind, &decided);
        decided
    }

    /// Like [`Store::append`], but `then` gets the answer, on the committer's thread: it must be quick, and must not wait for
    /// another append. It is called unless this returns an error, and called once.
    pub fn append_then(
        &self,
        submission: Submission,
        then: impl FnOnce(Result<Receipt, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let submission = Prepared::new(submission)?;
        let bytes = submission.bytes();
        let reply = Reply::call(|answer| then(answer.and_then(Answer::receipt)));
        self.place(Work::Submit(Box::new(submission)), bytes, Tell::Later(reply)).map(drop)
    }

    /// Decides on a submission now: what it commits has its place in the order of the log when this returns, and can be read
    /// by transactions that begin at [`Store::newest`], not by anybody else. `durable` is called once, on the committer's
    /// thread, when it is on disk or will never be: it must be quick, and must not wait for an append. If this returns an
    /// error, nothing of the submission is in the log, and it is not called.
    pub fn order(
        &self,
        submission: Submission,
        durable: impl FnOnce(Result<Receipt, AppendError>) + Send + 'static,
    ) -> Result<Receipt, AppendError> {
        let kind = submission.ending.as_ref().map(tally::kind);
        let submission = Prepared::new(submission)?;
        let bytes = submission.bytes();
        let reply = Reply::call(|answer| durable(answer.and_then(Answer::receipt)));
        let placed = self.place(Work::Submit(Box::new(submission)), bytes, Tell::Ordered(reply))?;
        let decided = placed.and_then(Answer::receipt);
        self.shared().counters.decided(kind, &decided);
        decided
    }

    /// Whether it accepts anything: after a write that has failed it does not, until it is opened again.
    pub fn accepts(&self) -> Result<(), AppendError> {
        self.shared().refused().map_or(Ok(()), Err)
    }

    /// What was counted since it was opened.
    pub fn tally(&self) -> Tally {
        let commits = self.shared().live.read().newest.commit;
        self.shared().counters.tally(commits)
    }

    /// Appends a run's begin or frames without waiting: durable with the next batch, within about 100 ms. The order of one
    /// caller's submissions is kept.
    pub fn append_soon(&self, submission: Submission) -> Result<(), AppendError> {
        if submission.decides() {
            return Err(AppendError::Invalid("a commit and an ending have to be waited for"));
        }
        let submission = Prepared::new(submission)?;
        let bytes = submission.bytes();
        self.place(Work::Submit(Box::new(submission)), bytes, Tell::Nobody)?.map(drop)
    }

    /// Notes that all effects of a commit were carried out; durable on return.
    pub fn delivered(&self, commit: CommitNo) -> Result<(), AppendError> {
        self.ask(Work::Delivered(commit), 32).map(drop)
    }

    /// A run's record; `None` if it never began.
    pub fn run(&self, run: RunId) -> Result<Option<RunRecord>, ReadError> {
        self.shared().run(run)
    }

    /// The newest run that began.
    pub fn newest_run(&self) -> Option<RunId> {
        self.shared().live.read().newest_run()
    }

    /// Up to `limit` runs, newest first, below `before` if given.
    pub fn runs(&self, before: Option<RunId>, limit: usize) -> Result<Vec<RunRecord>, ReadError> {
        self.shared().runs(before, limit)
    }

    /// The runs from a number on that have no end, ascending: they go on, or were cut off.
    pub fn runs_without_end(&self, first: RunId) -> Result<Vec<RunRecord>, ReadError> {
        self.shared().runs_without_end(first)
    }

    /// Where a run's frames lie, ascending, from the one that holds event `from`.
    pub fn frames(&self, run: RunId, from: Seq) -> Result<Vec<FrameRef>, ReadError> {
        self.shared().frames(run, from)
    }

    /// Reads a frame.
    pub fn frame(&self, at: &FrameRef) -> Result<Frame, ReadError> {
        self.shared().frame(at)
    }

    /// A commit's record.
    pub fn commit(&self, commit: CommitNo) -> Result<Option<CommitRecord>, ReadError> {
        self.shared().commit_record(commit)
    }

    /// The payloads.
    pub fn blobs(&self) -> &Blobs {
        self.aside.as_deref().unwrap_or(&self.shared().blobs)
    }

    /// A handle that reads the same and leaves no trace: payloads that are put here stay in memory, and nothing can be appended.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self { aside: Some(Arc::new(self.shared().blobs.aside())), ..self.clone() }
    }

    /// The effects of durable commits that are not known to be carried out, in the order of their commits.
    pub fn undelivered(&self) -> Result<Vec<(CommitNo, Vec<OutboxEntry>)>, ReadError> {
        self.shared().undelivered()
    }

    /// Digest of the native code that was cached for `key`.
    pub fn compiled(&self, key: &Digest) -> Result<Option<Digest>, ReadError> {
        let shared = self.shared();
        let known = shared.live.read().slices().find_map(|slice| slice.compiled.get(key).copied());
        match known {
            Some(code) => Ok(Some(code)),
            None => Ok(crate::state::read(&shared.state, |snapshot| snapshot.compiled(key))?),
        }
    }

    /// Remembers the native code for `key`. Not part of the log: forgotten if the state is lost, or the process is killed.
    pub fn set_compiled(&self, key: Digest, code: Digest) -> Result<(), AppendError> {
        self.shared().refused().map_or(Ok(()), Err)?;
        self.shared().live.write().active.compiled.insert(key, code);
        Ok(())
    }

    /// Writes what is only in memory and in the log to the state file now, for instance before the directory is copied.
    pub fn settle(&self) -> Result<(), AppendError> {
        self.handle.shared.applying.settle(&self.handle.shared);
        self.shared().refused().map_or(Ok(()), Err)
    }

    /// Checks everything there is; see [`VerifyReport`]. `check` gets each frame and its unpacked bytes and says what is wrong
    /// with it; `progress` gets the rows done and how many there are.
    #[expect(clippy::type_complexity, reason = "two callbacks, each spelled out once")]
    pub fn verify(
        &self,
        check: &mut dyn FnMut(&Frame, &[u8]) -> Result<(), String>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<VerifyReport, ReadError> {
        verify::verify(self.shared(), check, progress)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    pub(crate) fn ask(&self, work: Work, bytes: usize) -> Result<Answer, AppendError> {
        if self.shared().sequencer.is_served_here() {
            return Err(AppendError::Invalid("the committer cannot wait for itself"));
        }
        let (reply, answer) = Reply::wake();
        self.place(work, bytes, Tell::Later(reply)).map(drop)?;
        answer.wait()
    }

    /// Gives something its place in the order; returns what was decided.
    pub(crate) fn place(&self, work: Work, bytes: usize, tell: Tell) -> Result<Answered, AppendError> {
        if self.aside.is_some() {
            return Err(AppendError::Invalid("nothing is appended by who shall leave no trace"));
        }
        self.handle.start_committer();
        self.shared().sequencer.place(self.shared(), work, bytes, tell)
    }
}

impl Handle {
    fn start_committer(&self) {
        let mut committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner);
        if committer.is_none() {
            let (shared, end) = (self.shared.clone(), self.end);
            *committer = Some(threads::spawn("reel-committer", move || committer::run(shared, end)));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        shared.sequencer.stop();
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let from_callback = shared.sequencer.is_served_here();
        let close = move || {
            if let Some(committer) = committer {
                let _ = committer.join();
            }
            shared.merging.finish();
            shared.applying.finish(&shared);
            let closed = |closed: Result<(), Fault>| {
                if let Err(fault) = closed {
                    tracing::warn!("closing {fault}");
                }
            };
            closed(shared.state.close());
            opening::set_aside_if_damaged(&shared.dir, &shared.log, &shared.state);
            closed(shared.log.close());
        };
        // The last handle went with a callback: the committer cannot wait for its own end.
        if from_callback { drop(threads::spawn("reel-closer", close)) } else { close() }
    }
}

impl Shared {
    /// The directory.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The numbers that were handed out; their runs may not have begun yet.
    pub(crate) fn runs_in_flight(&self) -> Vec<RunId> {
        (self.first_run..self.next_run.load(Ordering::Relaxed)).map(RunId).collect()
    }

    /// Why nothing is accepted any more.
    pub(crate) fn refused(&self) -> Option<AppendError> {
        self.refused.get().map(|why| AppendError::Refused(why.clone()))
    }

    /// Accepts nothing from now on.
    pub(crate) fn refuse(&self, why: &str) {
        if self.refused.set(why.into()).is_ok() {
            tracing::error!("the database accepts nothing more: {why}");
        }
    }
}
