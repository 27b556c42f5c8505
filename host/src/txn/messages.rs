//! Messages that the run has sent and nobody can see yet, and the one that it was called for.
//!
//! They are written to the spaces of their receivers with the commit, by which they get their place: nothing is read there, so that those who send to
//! one receiver do not get in each other's way. A transaction does not see what it has sent, not even to itself.

use std::collections::BTreeMap;

use reel_abi::bytes::Bytes;
use reel_abi::faults::MsgFault;
use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::limits::{
    DELAY_MILLIS, HEADER_BYTES, LimitKind, MESSAGE_BYTES, MESSAGE_KEY_BYTES, MESSAGES, TOPIC_BYTES, TRANSACTION_BYTES,
};
use reel_abi::message::{Message, MessageId, Place, STAMP};
use reel_abi::outcome::RunBegin;
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::trace::Trace;
use reel_abi::wire::Wire;
use reel_store::{Blobs, Counter, Elsewhere};

use super::values;
use crate::gate::{Gate, Halt};

/// What a message costs in memory beside its bytes, roughly.
const ENTRY_BYTES: u64 = 160;

/// A message as the guest gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is about.
    pub topic: String,
    /// What it is ordered by.
    pub key: Option<Vec<u8>>,
    /// What it says.
    pub payload: Vec<u8>,
    /// What goes with it.
    pub headers: Vec<(String, String)>,
    /// Not to be delivered for so long.
    pub delay_millis: u64,
}

impl Letter {
    /// Whether it can be sent at all.
    pub fn check(&self) -> Result<(), MsgFault> {
        check_topic(&self.topic)?;
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        let (payload, key) = (self.payload.len(), self.key.as_ref().map_or(0, Vec::len));
        if payload > MESSAGE_BYTES || key > MESSAGE_KEY_BYTES || headers > HEADER_BYTES {
            return Err(MsgFault::TooLarge { payload: payload as u64, key: key as u64, headers: headers as u64 });
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
        ENTRY_BYTES + (self.topic.len() + self.payload.len() + self.key.as_ref().map_or(0, Vec::len) + headers) as u64
    }

    /// As it lies with a receiver, and where.
    pub fn sent(&self, sender: &SpaceName, run: RunId, at: WallTime, index: u32) -> (Place, Message) {
        let id = MessageId { commit: STAMP, index };
        let delay = self.delay_millis.min(DELAY_MILLIS).saturating_mul(1_000_000);
        let due = WallTime(at.0.saturating_add(delay));
        let place = if delay == 0 { Place::Ready(id) } else { Place::Waiting(due, id) };
        let message = Message {
            topic: self.topic.clone(),
            key: self.key.clone().map(Bytes),
            payload: Bytes(self.payload.clone()),
            headers: self.headers.clone(),
            sender: sender.clone(),
            run,
            sent: at,
            due,
            attempts: 0,
            error: None,
            id: None,
            trace: None,
        };
        (place, message)
    }
}

/// Whether a topic can have that name.
pub fn check_topic(topic: &str) -> Result<(), MsgFault> {
    match topic.len() {
        1..=TOPIC_BYTES => Ok(()),
        _ => Err(MsgFault::BadTopic),
    }
}

/// The cell of a message.
pub fn cell(blobs: &Blobs, place: Place, message: &Message) -> Result<Cell, Halt> {
    let value = values::store(blobs, &message.to_bytes())?;
    Ok(Cell { family: family::QUEUE, key: place.key().into(), value })
}

/// The message in a cell.
pub fn message(blobs: &Blobs, value: &CellValue) -> Result<Message, Halt> {
    let bytes = values::load(blobs, value)?.unwrap_or_default();
    Message::from_bytes(&bytes).map_err(|e| Halt::host("a message of the queue", &e))
}

/// The cell of a message that is not there any more.
pub fn taken(place: Place) -> Cell {
    Cell { family: family::QUEUE, key: place.key().into(), value: CellValue::Tombstone }
}

/// By how many the messages of a space become more.
pub fn counter(add: i64) -> Counter {
    Counter { family: family::QUEUE, key: Vec::new(), add }
}

/// All messages of a run.
pub struct Messages {
    /// The run that sends them.
    run: RunId,
    /// The trace that they carry on.
    trace: Option<Trace>,
    space: SpaceName,
    /// Who has subscribed to the topics that were asked for.
    routes: BTreeMap<String, Vec<SpaceName>>,
    sent: Vec<(RunId, Option<Trace>, Letter)>,
    /// How many that are, each counted once for every receiver, and their bytes.
    used: (u64, u64),
    /// Lengths of `sent`, and what was used, at the savepoints.
    marks: Vec<(usize, (u64, u64))>,
    /// The one that the run was called for.
    taken: Option<Place>,
}

/// What is to be written for messages: in the own space, and in others.
pub struct Posted {
    /// In the own space.
    pub cells: Vec<Cell>,
    /// What is counted there.
    pub counter: Option<Counter>,
    /// In others.
    pub others: Vec<Elsewhere>,
}

impl Messages {
    /// Of a run that has sent nothing.
    pub fn new(space: SpaceName, run: RunId) -> Self {
        let (routes, sent, used, marks) = Default::default();
        Self { run, trace: None, space, routes, sent, used, marks, taken: None }
    }

    /// Whatever is sent from now on is sent by a run that began so.
    pub fn sent_by(&mut self, run: RunId, begin: &RunBegin) {
        self.run = run;
        self.trace = begin.trace.map(|trace| trace.caused_by(trace.span(run, begin.at, 0)));
    }

    /// Whether it is known who has subscribed to a topic.
    pub fn knows(&self, topic: &str) -> bool {
        self.routes.contains_key(topic)
    }

    /// Takes note of who has subscribed to a topic.
    pub fn learn(&mut self, topic: &str, receivers: Vec<SpaceName>) {
        self.routes.insert(topic.to_owned(), receivers);
    }

    /// Sends a message to a topic that is known.
    pub fn send(&mut self, gate: &mut Gate, letter: Letter) -> Result<Result<(), MsgFault>, Halt> {
        if let Err(fault) = letter.check() {
            return Ok(Err(fault));
        }
        let Some(receivers) = self.routes.get(&letter.topic) else { return Ok(Err(MsgFault::NoSubscriber)) };
        let (count, bytes) = (receivers.len() as u64, letter.bytes());
        let quota = |kind, limit| Ok(Err(MsgFault::Quota { kind, limit }));
        if self.used.0.saturating_add(count) > MESSAGES {
            return quota(LimitKind::Messages, MESSAGES);
        }
        if self.used.1.saturating_add(bytes.saturating_mul(count)) > TRANSACTION_BYTES {
            return quota(LimitKind::Transaction, TRANSACTION_BYTES);
        }
        let (written, limit) = (letter.payload.len() as u64 * count, gate.limits().written_bytes);
        if gate.usage().written_bytes.saturating_add(written) > limit {
            return quota(LimitKind::WrittenBytes, limit);
        }
        gate.count_written(written)?;
        self.used = (self.used.0 + count, self.used.1 + bytes * count);
        self.sent.push((self.run, self.trace, letter));
        Ok(Ok(()))
    }

    /// The message that the run was called for is taken with its commit.
    pub fn take(&mut self, place: Place) {
        self.taken = Some(place);
    }

    /// What is to be written, at a time, in one commit with so many messages that go to each space already.
    pub fn post(&self, blobs: &Blobs, at: WallTime, sent: &mut BTreeMap<SpaceName, u32>) -> Result<Posted, Halt> {
        let mut by_space: BTreeMap<&SpaceName, Vec<Cell>> = BTreeMap::new();
        for (run, trace, letter) in &self.sent {
            for receiver in self.routes.get(&letter.topic).into_iter().flatten() {
                let index = sent.entry(receiver.clone()).or_default();
                let (place, message) = letter.sent(&self.space, *run, at, *index);
                let message = Message { trace: *trace, ..message };
                by_space.entry(receiver).or_default().push(cell(blobs, place, &message)?);
                *index = index.saturating_add(1);
            }
        }
        let mut own = by_space.remove(&self.space).unwrap_or_default();
        let more = own.len() as i64 - i64::from(self.taken.is_some());
        own.extend(self.taken.map(taken));
        let others = by_space.into_iter().map(|(space, mut cells)| {
            cells.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Elsewhere { space: space.clone(), counters: vec![counter(cells.len() as i64)], cells }
        });
        Ok(Posted { cells: own, counter: (more != 0).then(|| counter(more)), others: others.collect() })
    }

    /// What was sent, in order.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.sent.iter().map(|(_, _, letter)| letter)
    }

    /// Begins the next transaction of the run.
    pub fn rebase(&mut self) {
        *self = Self { trace: self.trace, ..Self::new(self.space.clone(), self.run) };
    }

    /// Sets a savepoint above all others.
    pub fn mark(&mut self) {
        self.marks.push((self.sent.len(), self.used));
    }

    /// Goes back to a savepoint by its place, counted from the first; it stays, later ones go.
    pub fn roll_back(&mut self, place: usize) {
        let Some(&(len, used)) = self.marks.get(place) else { return };
        self.sent.truncate(len);
        self.used = used;
        self.marks.truncate(place + 1);
    }

    /// Drops savepoints from a place on.
    pub fn release(&mut self, place: usize) {
        self.marks.truncate(place);
    }
}
