//! The messages that lie in a space, and what the host does to them: by runs of its own, which overtake no call.

use std::sync::Arc;

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::message::{Message, MessageId, Place, STAMP};
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::record::{Cell, CellValue, family};
use reel_store::{AppendError, Counter, Ending, Head, Proposal, ReadSet, Store, Submission, View};

use super::calling::CallError;
use super::cells::CellsError;
use super::checkpoint::{begin, record};
use super::receiving::id;
use super::schedule::keys;
use super::timers::Timer;
use crate::port::Clock;
use crate::runtime::commit_point::append;
use crate::txn::messages::{Letter, cell, counter, message, taken};
use crate::txn::values::{self, keep};

/// How often a message is tried before it is a dead letter, if the subscription does not say.
pub const ATTEMPTS: u32 = 8;

/// Milliseconds until the second attempt; each later one waits twice as long as the one before.
const BACKOFF_MILLIS: u64 = 250;

/// Milliseconds that no attempt waits longer than.
const BACKOFF_MAX_MILLIS: u64 = 10 * 60_000;

/// Bytes of the reason that is kept of a failed attempt.
const ERROR_BYTES: usize = 2048;

/// What the runs of the host are called that keep the queue.
pub const NAME: &str = "queue";

/// A message where it lies.
#[derive(Debug, Clone)]
pub struct Lying {
    /// Where.
    pub place: Place,
    /// The message.
    pub message: Message,
}

impl Lying {
    /// What tells it from others.
    pub fn id(&self) -> MessageId {
        id(self.place, &self.message)
    }
}

/// The states of messages, by where they begin.
pub const STATES: [Place; 3] = {
    let id = MessageId { commit: reel_abi::id::CommitNo(0), index: 0 };
    [Place::Ready(id), Place::Waiting(WallTime(0), id), Place::Dead(id)]
};

/// A message, and the key of its cell.
pub type Keyed = (Vec<u8>, Lying);

/// Up to `limit` messages of the state of `of`, from a key on. Each is read when it is asked for, so that one at a time is in memory.
pub fn messages(
    store: &Store,
    view: &View,
    of: Place,
    from: &[u8],
    limit: usize,
) -> Result<impl Iterator<Item = Result<Keyed, CellsError>> + use<>, CellsError> {
    let (start, until) = of.range();
    let from = if from < start.as_slice() { &start } else { from };
    let found = view.scan(family::QUEUE, from, Some(&until), limit)?;
    let store = store.clone();
    Ok(found.into_iter().filter_map(move |(key, value)| {
        let place = Place::parse(&key)?;
        let message = message(store.blobs(), &value).map_err(CellsError::Damaged);
        Some(message.map(|message| (key, Lying { place, message })))
    }))
}

/// The message in a place of a version, if one is there.
pub fn at(store: &Store, view: &View, place: Place) -> Result<Option<Message>, CellsError> {
    let Some(value) = view.get(family::QUEUE, &place.key())? else { return Ok(None) };
    message(store.blobs(), &value).map(Some).map_err(CellsError::Damaged)
}

/// When a message is tried again that has failed so often, at a time.
fn again(now: WallTime, attempts: u32) -> WallTime {
    let doubled = BACKOFF_MILLIS.saturating_mul(1 << attempts.saturating_sub(1).min(30));
    WallTime(now.0.saturating_add(doubled.min(BACKOFF_MAX_MILLIS) * 1_000_000))
}

/// What became of a message that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It holds back those of its key until then.
    Held(WallTime),
    /// It waits, and no other for it.
    Waits(WallTime),
    /// It is a dead letter.
    Dead,
    /// It is not there any more.
    Gone,
}

/// Changes that the host makes of one space.
#[derive(Default)]
pub(super) struct Changes {
    reads: ReadSet,
    cells: Vec<Cell>,
    counters: Vec<Counter>,
}

impl Changes {
    fn moves(&mut self, store: &Store, from: Place, to: Place, message: &Message) -> Result<(), CallError> {
        self.reads.key(family::QUEUE, &from.key());
        if from != to {
            self.cells.push(taken(from));
        }
        self.cells.push(cell(store.blobs(), to, message).map_err(CallError::Log)?);
        Ok(())
    }

    fn drops(&mut self, place: Place) {
        self.reads.key(family::QUEUE, &place.key());
        self.cells.push(taken(place));
        self.counters.push(counter(-1));
    }

    /// Makes them a version of the space, by a run that goes by the name of the deed. Returns when it is durable.
    async fn commit(
        mut self,
        store: &Store,
        clock: &Arc<dyn Clock>,
        deed: &str,
        (name, base): (&SpaceName, Head),
    ) -> Result<(), CallError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        self.cells.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        let (at, run) = (WallTime(clock.wall()), store.next_run());
        let begun = begin(deed, name, base, at, keep(store.blobs(), b"")?);
        let (frames, usage) = record(store, run, &begun, clock).map_err(CallError::Log)?;
        let Self { reads, cells, counters } = self;
        let (space, outbox, others) = (name.clone(), Vec::new(), Vec::new());
        let commit =
            Some(Proposal { at, space, base, reads, cells, counters, outbox, others, joined: Default::default() });
        let ending = Some(Ending {
            at,
            outcome: Outcome::Exit { code: 0 },
            events: usage.events,
            logged_bytes: usage.logged_bytes,
            written_bytes: 0,
            memory: None,
            otherwise: Disposition::Aborted,
        });
        append(store, Submission { run, begun: Some(begun), frames, commit, ending }).await?;
        Ok(())
    }
}

/// A queue that is to be changed, where it stands.
pub(super) struct Queue<'a> {
    pub store: &'a Store,
    pub clock: &'a Arc<dyn Clock>,
    pub name: &'a SpaceName,
    pub head: Head,
    pub view: View,
}

impl<'a> Queue<'a> {
    pub fn open(store: &'a Store, clock: &'a Arc<dyn Clock>, name: &'a SpaceName) -> Result<Self, CallError> {
        let head = store.head(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        Ok(Self { store, clock, name, head, view: store.view(head)? })
    }

    async fn commit(&self, deed: &str, changes: Changes) -> Result<(), CallError> {
        changes.commit(self.store, self.clock, deed, (self.name, self.head)).await
    }

    /// A message was not taken: it is tried again later, or becomes a dead letter after so many attempts.
    pub async fn fail(&self, place: Place, attempts: u32, why: &str) -> Result<Fate, CallError> {
        let Some(mut message) = at(self.store, &self.view, place)? else { return Ok(Fate::Gone) };
        message.attempts = message.attempts.saturating_add(1);
        message.error = Some(why[..why.floor_char_boundary(ERROR_BYTES)].to_owned());
        message.id = Some(id(place, &message));
        let due = again(WallTime(self.clock.wall()), message.attempts);
        message.due = due;
        let (to, fate) = match &message.key {
            _ if message.attempts >= attempts => (Place::Dead(id(place, &message)), Fate::Dead),
            Some(_) => (place, Fate::Held(due)),
            None => (Place::Waiting(due, place.id()), Fate::Waits(due)),
        };
        let mut changes = Changes::default();
        changes.moves(self.store, place, to, &message)?;
        match self.commit(NAME, changes).await {
            Err(CallError::Append(AppendError::Conflict { .. })) => Ok(Fate::Gone),
            done => done.map(|()| fate),
        }
    }

    /// Puts messages whose time has come into the order; how many, of so many at most, and when the next one's comes.
    pub async fn wake_due(&self, limit: usize) -> Result<(usize, Option<WallTime>), CallError> {
        let now = WallTime(self.clock.wall());
        let waiting = messages(self.store, &self.view, STATES[1], &[], limit)?;
        let mut changes = Changes::default();
        let (mut woken, mut next) = (0, None);
        for lying in waiting {
            let (_, Lying { place, mut message }) = lying?;
            match place {
                Place::Waiting(due, _) if due > now => {
                    next = Some(due);
                    break;
                }
                _ => {}
            }
            message.id = Some(id(place, &message));
            changes.moves(self.store, place, Place::Ready(MessageId { commit: STAMP, index: woken }), &message)?;
            woken += 1;
        }
        self.commit(NAME, changes).await?;
        Ok((woken as usize, next))
    }

    /// Puts dead letters back, to be tried as if they were new.
    pub async fn put_back(&self, letters: Vec<Lying>) -> Result<usize, CallError> {
        let mut changes = Changes::default();
        let count = letters.len();
        for (index, Lying { place, mut message }) in (0..).zip(letters) {
            message.id = Some(id(place, &message));
            message.attempts = 0;
            message.due = WallTime(self.clock.wall());
            changes.moves(self.store, place, Place::Ready(MessageId { commit: STAMP, index }), &message)?;
        }
        self.commit("queue retry", changes).await?;
        Ok(count)
    }

    /// Takes messages away.
    pub async fn drop_all(&self, places: impl Iterator<Item = Place>) -> Result<usize, CallError> {
        let mut changes = Changes::default();
        places.for_each(|place| changes.drops(place));
        let count = changes.cells.len();
        self.commit("queue drop", changes).await?;
        Ok(count)
    }

    /// Sends a message from outside.
    pub async fn put(&self, letter: &Letter) -> Result<(), CallError> {
        let run = self.store.newest_run().unwrap_or_default().next();
        let (place, message) = letter.sent(self.name, run, WallTime(self.clock.wall()), 0);
        let cells = vec![cell(self.store.blobs(), place, &message).map_err(CallError::Log)?];
        self.commit("queue put", Changes { cells, counters: vec![counter(1)], ..Changes::default() }).await
    }

    /// Sends a message that a timer is set for, and ends that, or sets it to its next time.
    pub async fn put_for_timer(&self, letter: &Letter, timer: &Timer) -> Result<(), CallError> {
        if !timer.is_set(self.store, &self.view)? {
            return Err(CallError::NotSet);
        }
        let now = WallTime(self.clock.wall());
        let (place, message) = letter.sent(self.name, self.store.next_run(), now, 0);
        let mut changes = Changes { counters: vec![counter(1)], ..Changes::default() };
        changes.cells.push(cell(self.store.blobs(), place, &message).map_err(CallError::Log)?);
        let key = timer.cell().map_err(CallError::Log)?;
        changes.reads.key(family::KEY_VALUE, &key);
        let value = match timer.next(now) {
            Some(next) => values::store(self.store.blobs(), next.as_bytes()).map_err(CallError::Log)?,
            None => {
                changes.counters.push(keys(-1));
                CellValue::Tombstone
            }
        };
        changes.cells.push(Cell { family: family::KEY_VALUE, key: key.into(), value });
        match self.commit("timer", changes).await {
            Err(CallError::Append(AppendError::Conflict { .. })) => Err(CallError::NotSet),
            done => done,
        }
    }
}
