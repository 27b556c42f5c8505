//! What waits for the committer, in the order it came.
//!
//! An urgent entry wakes the committer at once; the others ride along with it, and go by themselves after [`SOON`] or when
//! they have become many. Each entry carries the ticket of the last blob put before it: it may not be written earlier.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use reel_abi::id::CommitNo;

use crate::answer::Reply;
use crate::branching::Deed;
use crate::prepared::Prepared;

/// The longest that an entry without a waiting caller stays in the queue.
const SOON: Duration = Duration::from_millis(50);

/// With so many bytes the entries go although nobody waits.
const SOON_BYTES: usize = 4 << 20;

/// With so many bytes in the queue callers wait; stops a flood of events from filling memory.
const FULL_BYTES: usize = 64 << 20;

/// So many bytes are taken out at once.
const TAKEN_BYTES: usize = 32 << 20;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Work {
    Submit(Box<Prepared>),
    Delivered(CommitNo),
    History(Box<Deed>),
}

/// Work with its circumstances.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) ticket: u64,
    /// Who waits for the answer, if anybody does.
    pub(crate) answer: Option<Reply>,
}

/// What the committer has to do.
pub(crate) enum Task {
    /// Write these.
    Batch(Vec<Entry>),
    /// First the blobs up to this ticket must be durable.
    AwaitBlobs(u64),
    /// Everything is written and nothing will come.
    Stop,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    room: Condvar,
    committer: OnceLock<ThreadId>,
    /// [`Waiting::urgent`], to be looked at without the lock.
    urgent: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    urgent: usize,
    stop: bool,
    /// The committer sleeps until so many urgent entries are there; with 0 until there is any entry.
    asleep: Option<usize>,
}

impl Queue {
    /// Makes this thread the committer.
    pub(crate) fn serve(&self) {
        let _ = self.committer.set(std::thread::current().id());
    }

    /// Whether this thread is the committer, which cannot wait for itself.
    pub(crate) fn is_served_here(&self) -> bool {
        self.committer.get() == Some(&std::thread::current().id())
    }

    /// Adds an entry; waits while the queue is full, unless this is the committer's thread. `ticket` is asked for under the queue's lock, so tickets ascend.
    pub(crate) fn push(&self, mut entry: Entry, ticket: impl FnOnce() -> u64) {
        let mut waiting = self.lock();
        while waiting.bytes > FULL_BYTES && !self.is_served_here() {
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        entry.ticket = ticket();
        waiting.bytes += entry.bytes;
        waiting.urgent += usize::from(entry.answer.is_some());
        waiting.entries.push_back(entry);
        let due = |wanted: usize| waiting.urgent >= wanted || waiting.bytes >= SOON_BYTES;
        let wake = waiting.asleep.is_some_and(due);
        if wake {
            waiting.asleep = None;
        }
        self.urgent.store(waiting.urgent, Ordering::Relaxed);
        drop(waiting);
        if wake {
            self.work.notify_one();
        }
    }

    /// How many urgent entries wait.
    pub(crate) fn urgent(&self) -> usize {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Waits for something to do.
    pub(crate) fn take(&self, durable_ticket: impl Fn() -> u64) -> Task {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() && !waiting.stop {
            waiting.asleep = Some(0);
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting = self.sleep(waiting, 1, SOON);
        let durable = durable_ticket();
        match self.drain(&mut waiting, durable) {
            batch if !batch.is_empty() => Task::Batch(batch),
            _ => waiting.entries.front().map_or(Task::Stop, |first| Task::AwaitBlobs(first.ticket)),
        }
    }

    /// What came meanwhile and may be written with what was taken before; waits until there are `wanted` urgent entries, but
    /// not for long.
    pub(crate) fn more(&self, wanted: usize, patience: Duration, durable_ticket: u64) -> Vec<Entry> {
        let mut waiting = self.sleep(self.lock(), wanted, patience);
        self.drain(&mut waiting, durable_ticket)
    }

    fn sleep<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        wanted: usize,
        most: Duration,
    ) -> MutexGuard<'a, Waiting> {
        let early = |w: &mut Waiting| w.urgent < wanted && w.bytes < SOON_BYTES && !w.stop;
        if early(&mut waiting) && !most.is_zero() {
            waiting.asleep = Some(wanted);
            let waited = self.work.wait_timeout_while(waiting, most, early);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.asleep = None;
        waiting
    }

    fn drain(&self, waiting: &mut Waiting, durable: u64) -> Vec<Entry> {
        let mut batch = Vec::with_capacity(waiting.entries.len());
        let mut bytes = 0;
        while let Some(first) = waiting.entries.front() {
            if first.ticket > durable || (!batch.is_empty() && bytes + first.bytes > TAKEN_BYTES) {
                break;
            }
            let Some(entry) = waiting.entries.pop_front() else { break };
            bytes += entry.bytes;
            waiting.urgent -= usize::from(entry.answer.is_some());
            batch.push(entry);
        }
        let full = waiting.bytes > FULL_BYTES;
        waiting.bytes -= bytes;
        self.urgent.store(waiting.urgent, Ordering::Relaxed);
        if full {
            self.room.notify_all();
        }
        batch
    }

    /// Lets the committer end once the queue is empty.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
