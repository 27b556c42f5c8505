//! What waits for the committer, in the order it came.
//!
//! An urgent entry wakes the committer at once; the others ride along with it, and go by themselves after [`SOON`] or when
//! they have become many. Each entry carries the ticket of the last blob put before it: it may not be written earlier.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reel_abi::id::CommitNo;

use crate::branching::Deed;
use crate::chain::Head;
use crate::error::AppendError;
use crate::submission::{Receipt, Submission};

/// The longest that an entry without a waiting caller stays in the queue.
const SOON: Duration = Duration::from_millis(50);

/// With so many bytes the entries go although nobody waits.
const SOON_BYTES: usize = 4 << 20;

/// With so many bytes in the queue callers wait; stops a flood of events from filling memory.
const FULL_BYTES: usize = 64 << 20;

/// One batch takes no more than this.
const BATCH_BYTES: usize = 32 << 20;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Work {
    Submit(Box<Submission>),
    Delivered(CommitNo),
    History(Box<Deed>),
}

/// What the committer says.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Receipt(Receipt),
    /// Where a space stands now.
    Head(Head),
    Done,
    /// It was decided on what is not so any more.
    Again,
}

/// Work with its circumstances.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) ticket: u64,
    /// Where a waiting caller gets the answer.
    pub(crate) answer: Option<Sender<Result<Answer, AppendError>>>,
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
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    urgent: usize,
    stop: bool,
}

impl Queue {
    /// Adds an entry; waits while the queue is full. `ticket` is asked for under the queue's lock, so tickets ascend.
    pub(crate) fn push(&self, mut entry: Entry, ticket: impl FnOnce() -> u64) {
        let mut waiting = self.lock();
        while waiting.bytes > FULL_BYTES {
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        entry.ticket = ticket();
        waiting.bytes += entry.bytes;
        let urgent = entry.answer.is_some();
        waiting.urgent += usize::from(urgent);
        waiting.entries.push_back(entry);
        let wake = urgent || waiting.entries.len() == 1 || waiting.bytes >= SOON_BYTES;
        drop(waiting);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits for something to do.
    pub(crate) fn take(&self, durable_ticket: impl Fn() -> u64) -> Task {
        let waiting = self.lock();
        let idle = |w: &mut Waiting| w.entries.is_empty() && !w.stop;
        let waiting = self.work.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let early = |w: &mut Waiting| w.urgent == 0 && w.bytes < SOON_BYTES && !w.stop;
        let waited = self.work.wait_timeout_while(waiting, SOON, early);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        let durable = durable_ticket();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(first) = waiting.entries.front() {
            if first.ticket > durable {
                if batch.is_empty() {
                    return Task::AwaitBlobs(first.ticket);
                }
                break;
            }
            if !batch.is_empty() && bytes + first.bytes > BATCH_BYTES {
                break;
            }
            let Some(entry) = waiting.entries.pop_front() else { break };
            bytes += entry.bytes;
            waiting.bytes -= entry.bytes;
            waiting.urgent -= usize::from(entry.answer.is_some());
            batch.push(entry);
        }
        drop(waiting);
        self.room.notify_all();
        if batch.is_empty() { Task::Stop } else { Task::Batch(batch) }
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
