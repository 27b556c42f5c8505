//! Where everything that is to be written gets its place, on the thread of whoever asks.
//!
//! One lock makes the order: under it an entry is decided on against all that lies before it, encoded into the open batch, and
//! shown to those who read what is ordered. The order is that of the log, since batches are written one after the other. The
//! committer takes the open batch when the disk is free. An urgent entry wakes it at once; the others ride along, and go by
//! themselves after [`SOON`] or when they have become many. A batch carries the ticket of the last blob put before its last
//! entry: it may not be written earlier.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use reel_abi::id::{CommitNo, Position, SpaceName};

use crate::answer::{Answer, Answered, Reply};
use crate::batch::{Batch, Standing};
use crate::branching::Deed;
use crate::chain::Head;
use crate::error::AppendError;
use crate::prepared::Prepared;
use crate::reads::ReadSet;
use crate::row::RowBuilder;
use crate::store::Shared;

/// The longest that an entry without a waiting caller stays in the open batch.
const SOON: Duration = Duration::from_millis(50);

/// With so many bytes the batch goes although nobody waits, and is not held open.
const SOON_BYTES: usize = 4 << 20;

/// With so many bytes in the open batch callers wait; stops a flood of events from filling memory, beside the batch that is
/// being written.
const FULL_BYTES: usize = 32 << 20;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Work {
    Submit(Box<Prepared>),
    Delivered(CommitNo),
    History(Box<Deed>),
}

/// Who is told what became of an entry.
#[derive(Debug)]
pub(crate) enum Tell {
    /// Nobody.
    Nobody,
    /// They get the answer when the batch is durable, whatever it is: who is refused can read by then what was in the way.
    Later(Reply),
    /// The same, but a refusal is only returned.
    Ordered(Reply),
}

/// The order, and the batch that takes what comes next.
#[derive(Debug)]
pub(crate) struct Sequencer {
    open: Mutex<Open>,
    work: Condvar,
    room: Condvar,
    committer: OnceLock<ThreadId>,
    /// How many answers the open batch has, to be looked at without the lock.
    urgent: AtomicUsize,
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    /// Who is answered when it is durable, and with what.
    answers: Vec<(Reply, Answered)>,
    ticket: u64,
    bytes: usize,
    stop: bool,
    /// The committer sleeps until there are so many answers; with 0 until there is anything.
    asleep: Option<usize>,
}

/// A batch to be written.
pub(crate) struct Closed {
    pub(crate) rows: Vec<RowBuilder>,
    pub(crate) answers: Vec<(Reply, Answered)>,
    /// The blobs that must be durable before.
    pub(crate) ticket: u64,
}

impl Sequencer {
    /// Goes on after the row at `end` and a commit.
    pub(crate) fn new(end: Position, commit: CommitNo) -> Self {
        let batch = Batch::new(end.next(), Standing { commit, ..Standing::default() });
        let open = Open { batch, answers: Vec::new(), ticket: 0, bytes: 0, stop: false, asleep: None };
        Self {
            open: Mutex::new(open),
            work: Condvar::new(),
            room: Condvar::new(),
            committer: OnceLock::new(),
            urgent: AtomicUsize::new(0),
        }
    }

    /// Makes this thread the committer.
    pub(crate) fn serve(&self) {
        let _ = self.committer.set(std::thread::current().id());
    }

    /// Whether this thread is the committer, which cannot wait for itself.
    pub(crate) fn is_served_here(&self) -> bool {
        self.committer.get() == Some(&std::thread::current().id())
    }

    /// Decides on an entry of about so many bytes and gives it its place; waits while too much is open, unless this is the
    /// committer's thread. Whoever is to be told is not if nothing is accepted any more, which is returned.
    pub(crate) fn place(&self, shared: &Shared, work: Work, bytes: usize, tell: Tell) -> Result<Answered, AppendError> {
        let mut open = self.lock();
        while open.bytes > FULL_BYTES && !self.is_served_here() {
            open = self.room.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let answered = match shared.refused() {
            Some(refused) => Err(refused),
            None => catch_unwind(AssertUnwindSafe(|| shared.stage(&mut open.batch, work))).map_err(|_| {
                shared.refuse("deciding on a transaction panicked");
                AppendError::Refused("deciding on it panicked".into())
            }),
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(refused) => {
                drop(open);
                tell.cancel();
                return Err(refused);
            }
        };
        if answered.is_ok() {
            open.bytes += bytes;
            // Under this lock, so that tickets ascend.
            open.ticket = shared.blobs.ticket();
        }
        match tell {
            Tell::Later(reply) => open.answers.push((reply, answered.clone())),
            Tell::Ordered(reply) if answered.is_ok() => open.answers.push((reply, answered.clone())),
            tell => tell.cancel(),
        }
        let urgent = open.answers.len();
        self.urgent.store(urgent, Ordering::Relaxed);
        let due = |wanted: usize| urgent >= wanted || open.bytes >= SOON_BYTES;
        let wake = open.asleep.is_some_and(due);
        if wake {
            open.asleep = None;
        }
        drop(open);
        if wake {
            self.work.notify_one();
        }
        Ok(answered)
    }

    /// How many wait for the open batch.
    pub(crate) fn urgent(&self) -> usize {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Waits until there is something to write, and returns the ticket that it has so far; `None` if all is written and
    /// nothing will come.
    pub(crate) fn wait(&self) -> Option<u64> {
        let mut open = self.lock();
        while open.is_empty() && !open.stop {
            open.asleep = Some(0);
            open = self.work.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        if open.is_empty() {
            return None;
        }
        Some(self.sleep(open, 1, SOON).ticket)
    }

    /// Waits until so many wait for the batch, but not for long; says whether it is still worth waiting.
    pub(crate) fn more(&self, wanted: usize, patience: Duration) -> bool {
        let open = self.sleep(self.lock(), wanted, patience);
        open.bytes < SOON_BYTES && !open.stop
    }

    fn sleep<'a>(&self, mut open: MutexGuard<'a, Open>, wanted: usize, most: Duration) -> MutexGuard<'a, Open> {
        let early = |open: &mut Open| open.answers.len() < wanted && open.bytes < SOON_BYTES && !open.stop;
        if early(&mut open) {
            open.asleep = Some(wanted);
            let waited = self.work.wait_timeout_while(open, most, early);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open.asleep = None;
        open
    }

    /// Takes the open batch, to be written now; the one before it is durable.
    pub(crate) fn close(&self, shared: &Shared) -> Closed {
        let mut open = self.lock();
        let rows = open.batch.close();
        if !rows.is_empty() && shared.refused().is_none() {
            shared.pending.write().close();
        }
        let next = Vec::with_capacity(open.answers.len());
        let answers = std::mem::replace(&mut open.answers, next);
        self.urgent.store(0, Ordering::Relaxed);
        if std::mem::take(&mut open.bytes) > FULL_BYTES {
            self.room.notify_all();
        }
        Closed { rows, answers, ticket: open.ticket }
    }

    /// Lets the committer end once all is written.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_all();
    }

    /// See [`crate::Store::still_holds`].
    pub(crate) fn still_holds(&self, space: &SpaceName, base: Head, now: Head, reads: &ReadSet) -> bool {
        let open = self.lock();
        let known_after = open.batch.standing.recent.overtaken(space, base, now, reads);
        base.segment == now.segment && known_after.is_ok_and(|known_after| known_after <= base.version)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.answers.is_empty()
    }
}

impl Tell {
    fn cancel(self) {
        match self {
            Self::Nobody => {}
            Self::Later(reply) | Self::Ordered(reply) => reply.cancel(),
        }
    }
}

impl Shared {
    /// Decides on an entry against all that lies before it, and adds it to the batch; adds nothing if it does not hold.
    fn stage(&self, batch: &mut Batch, work: Work) -> Answered {
        match work {
            Work::Submit(submission) => self.stage_submission(batch, *submission).map(Answer::Receipt),
            Work::Delivered(commit) => Ok(self.stage_delivered(batch, commit)),
            Work::History(deed) => self.stage_deed(batch, *deed),
        }
    }
}
