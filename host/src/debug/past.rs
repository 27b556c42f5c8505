//! Files and keys as they stood at an event: a transaction of its own that does again what the events say, without the guest, and is never proposed.
//!
//! ```text
//! event     0 ........ 1024 ........ 2048 ... 2100
//!           begin      mark          mark     here         back to 2090: roll back to the mark at 2048, forward by 42
//! ```
//!
//! The marks are savepoints of that transaction. Those that the guest sets and goes back to are among them; where one of the guest's takes marks
//! with it, going back to before it begins at the mark below.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reel_abi::id::{RunId, Seq};
use reel_abi::limits::Limits;
use reel_abi::outcome::RunBegin;
use reel_abi::record::CellValue;
use reel_abi::types::{FsCode, NodeKind};
use reel_abi::wire::Reader;
use reel_store::{Head, Store};

use super::deed::Deed;
use super::error::DebugError;
use super::hand::{Hand, Hands};
use super::payloads::Payloads;
use super::timeline::Timeline;
use crate::gate::recorder::{FrameSink, RawFrame, Recorder};
use crate::gate::{Gate, GateSettings, Halt, Mode};
use crate::port::{Clock, Waiting};
use crate::txn::buckets::{Bucket, Fault as KvFault};
use crate::txn::fault::Fault;
use crate::txn::files::Place;
use crate::txn::node::NODES_PER_RUN;
use crate::txn::transaction::Transaction;

/// Events between marks, and events that change something.
const EVENTS: u64 = 4096;
const CHANGES: u64 = 512;

/// What a handle stands for.
#[derive(Debug, Clone)]
pub(super) enum Grip {
    At(Place),
    Stream(Place, Option<u64>),
    Outside,
    Bucket(Bucket),
    Cas(Bucket, Vec<u8>),
    Savepoint(u64),
}

pub(super) type Grips = BTreeMap<u32, Grip>;

/// Time as the log has it.
#[derive(Debug, Default)]
pub(super) struct Then(pub AtomicU64);

impl Clock for Then {
    fn wall(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        0
    }
}

/// What is done again is no event.
struct Nowhere;

impl FrameSink for Nowhere {
    fn frame(&mut self, _: RawFrame) -> Result<(), Halt> {
        Ok(())
    }

    fn durable(&mut self) -> Waiting<'_, Result<(), Halt>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Where to go back to.
struct Mark {
    name: u64,
    next: u64,
    time: u64,
    grips: Arc<Grips>,
}

/// Where a transaction of the run begins.
#[derive(Clone)]
pub(super) struct Epoch {
    pub from: u64,
    pub base: Head,
    pub time: u64,
    /// The number of the next new file: those before it have been given.
    pub number: u64,
    pub grips: Arc<Grips>,
}

/// What is under a path or key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A value or a file: how long it is, and its first bytes.
    Bytes {
        /// Bytes in all.
        len: u64,
        /// The first of them.
        first: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A symbolic link, and where it points.
    Link(String),
}

/// A space as a run saw it at one of its events.
pub struct Past {
    store: Store,
    pub(super) begin: RunBegin,
    pub(super) clock: Arc<Then>,
    pub(super) gate: Gate,
    pub(super) txn: Transaction,
    pub(super) grips: Arc<Grips>,
    /// The savepoints that are set, the first one first.
    pub(super) stack: Vec<u64>,
    marks: Vec<Mark>,
    pub(super) epochs: Vec<Epoch>,
    /// The next event to be done.
    pub(super) next: u64,
    pub(super) changes: u64,
    /// Whether the last commit on the way went well.
    pub(super) kept: bool,
}

pub(super) fn halted(halt: &Halt) -> String {
    halt.to_string()
}

impl Past {
    /// At the begin of a run, with the handles that earlier calls have left.
    pub(super) fn new(store: &Store, run: RunId, begin: &RunBegin, hands: &Hands) -> Result<Self, DebugError> {
        let clock = Arc::new(Then::default());
        let limits = Limits {
            host_calls: u64::MAX,
            logged_bytes: u64::MAX,
            written_bytes: u64::MAX,
            space_files: u64::MAX,
            file_bytes: u64::MAX,
            ..begin.limits.clone()
        };
        let settings =
            GateSettings { limits, clock: Arc::clone(&clock) as _, until: None, keep_payload: false, hears: None };
        let gate = Gate::new(Mode::Live(Recorder::new(Seq(0), Box::new(Nowhere))), settings);
        let base = Head { segment: begin.segment, version: begin.version };
        let grips = Arc::new(grips(hands));
        let number = run.0.saturating_mul(NODES_PER_RUN);
        let txn = transaction(store, begin, base, number)?;
        let epoch = Epoch { from: 0, base, time: 0, number, grips: Arc::clone(&grips) };
        let (store, begin) = (store.clone(), begin.clone());
        let (stack, marks) = Default::default();
        Ok(Self {
            store,
            begin,
            clock,
            gate,
            txn,
            grips,
            stack,
            marks,
            epochs: vec![epoch],
            next: 0,
            changes: 0,
            kept: true,
        })
    }

    /// The version that the transaction here reads.
    pub fn base(&self) -> Head {
        self.txn.base()
    }

    /// Goes to where an event has just been done.
    ///
    /// # Errors
    /// `Apart` if the events cannot be done again; then this is where they could be, just before.
    pub(super) fn seek(
        &mut self,
        timeline: &mut Timeline,
        payloads: &Payloads,
        seq: Seq,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), DebugError> {
        let wanted = seq.next().0;
        if wanted < self.next {
            self.go_back(wanted)?;
        }
        while self.next < wanted {
            if stopped() {
                return Err(DebugError::Stopped);
            }
            let opened = timeline.open(timeline.frame_of(Seq(self.next))?)?;
            let mut r = Reader::new(&opened.raw);
            let first = opened.frame.first.0;
            let damaged = |error: reel_abi::wire::CodecError| timeline.damaged(Seq(first), &error.to_string());
            for _ in first..self.next {
                reel_abi::vocabulary::EventView::skim(&mut r).map_err(damaged)?;
            }
            for _ in self.next..wanted.min(opened.frame.next().0) {
                let deed = Deed::take(&opened.raw, &mut r).map_err(damaged)?;
                let changes = !matches!(deed, Deed::Nothing | Deed::Said { .. } | Deed::Time(_));
                let at = Seq(self.next);
                self.enact(deed, payloads).map_err(|what| DebugError::Apart { seq: at, what })?;
                self.next += 1;
                self.changes += u64::from(changes);
                self.mark_if_far();
            }
        }
        Ok(())
    }

    fn go_back(&mut self, wanted: u64) -> Result<(), DebugError> {
        let place = self.marks.partition_point(|mark| mark.next <= wanted);
        self.marks.truncate(place);
        if let Some(mark) = self.marks.last() {
            (self.next, self.grips) = (mark.next, Arc::clone(&mark.grips));
            self.clock.0.store(mark.time, Ordering::Relaxed);
            let name = mark.name;
            let gone = self.txn.roll_back(name);
            self.prune(|stack| stack.iter().position(|set| *set == name).map_or(0, |place| place + 1));
            return gone.map_err(|_| DebugError::Apart { seq: Seq(wanted), what: "a mark is gone".into() });
        }
        let place = self.epochs.partition_point(|epoch| epoch.from <= wanted);
        let epoch = self.epochs[place.saturating_sub(1)].clone();
        self.txn = transaction(&self.store, &self.begin, epoch.base, epoch.number)?;
        self.clock.0.store(epoch.time, Ordering::Relaxed);
        (self.next, self.grips, self.changes) = (epoch.from, epoch.grips, 0);
        self.stack.clear();
        Ok(())
    }

    /// Forgets the savepoints from a place on, and the marks among them.
    pub(super) fn prune(&mut self, from: impl FnOnce(&[u64]) -> usize) {
        let from = from(&self.stack);
        self.stack.truncate(from);
        let stack = &self.stack;
        self.marks.retain(|mark| stack.binary_search(&mark.name).is_ok());
    }

    fn mark_if_far(&mut self) {
        let last = self.marks.last().map_or_else(
            || self.epochs.iter().rev().find(|epoch| epoch.from <= self.next).map_or(0, |epoch| epoch.from),
            |mark| mark.next,
        );
        if self.next - last < EVENTS && self.changes < CHANGES {
            return;
        }
        let name = self.txn.name_savepoint();
        self.stack.push(name);
        let time = self.clock.0.load(Ordering::Relaxed);
        self.marks.push(Mark { name, next: self.next, time, grips: Arc::clone(&self.grips) });
        self.changes = 0;
    }

    /// What a key holds here; `most` bytes of it at most.
    pub fn key(&self, bucket: &str, key: &[u8], most: usize) -> Result<Option<Thing>, String> {
        let fault = |fault| match fault {
            KvFault::Told(told) => told.to_string(),
            KvFault::Halt(halt) => halted(&halt),
        };
        let bucket = Bucket::new(bucket).map_err(|told| told.to_string())?;
        let Some(cell) = self.txn.buckets.cell(&bucket, key).map_err(fault)? else { return Ok(None) };
        let len = crate::runtime::cells::length(&cell);
        // A large value is read block by block elsewhere; here only what is shown of one that is bounded.
        let mut first = match &cell {
            CellValue::Inline { bytes } => bytes.0.clone(),
            _ => self.txn.buckets.bytes(&cell).map_err(fault)?,
        };
        first.truncate(most);
        Ok(Some(Thing::Bytes { len, first }))
    }

    /// What is under a path here; `most` bytes of it at most.
    pub fn path(&mut self, path: &str, most: usize) -> Result<Option<Thing>, String> {
        let place = match path {
            "" => root(),
            path => match self.txn.files.find(&mut self.gate, root(), path, false) {
                Ok(place) => place,
                Err(Fault::Code(FsCode::NoEntry | FsCode::NotDirectory)) => return Ok(None),
                Err(fault) => return Err(words(fault)),
            },
        };
        let stat = self.txn.files.stat(&mut self.gate, place).map_err(words)?;
        Ok(Some(match stat.kind {
            NodeKind::Directory => Thing::Directory,
            NodeKind::Symlink => Thing::Link(self.txn.files.readlink(&mut self.gate, root(), path).map_err(words)?),
            _ => {
                let first = self.txn.files.read(&mut self.gate, place, 0, most).map_err(words)?.0;
                Thing::Bytes { len: stat.size, first }
            }
        }))
    }

    /// The names in a directory here.
    pub fn list(&mut self, path: &str) -> Result<Vec<(String, NodeKind)>, String> {
        let place = match path {
            "" => root(),
            path => self.txn.files.find(&mut self.gate, root(), path, false).map_err(words)?,
        };
        self.txn.files.list(&mut self.gate, place).map_err(words)
    }
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Code(code) => code.to_string(),
        Fault::Halt(halt) => halted(&halt),
    }
}

pub(super) fn root() -> Place {
    Place { tree: 0, node: crate::txn::tree::root() }
}

fn transaction(store: &Store, begin: &RunBegin, base: Head, first: u64) -> Result<Transaction, DebugError> {
    let view = store.view(base)?;
    Ok(Transaction::new(store.clone(), begin.space.clone(), view, Vec::new(), Vec::new(), first))
}

/// The handles that are known by name.
fn grips(hands: &Hands) -> Grips {
    let grip = |hand: &Hand| match hand {
        Hand::Path(path) if path.is_empty() => Some(Grip::At(root())),
        Hand::Path(_) => None,
        Hand::Outside => Some(Grip::Outside),
        Hand::Bucket(name) => Bucket::new(name).ok().map(Grip::Bucket),
        Hand::Cas(name, key) => Bucket::new(name).ok().map(|bucket| Grip::Cas(bucket, key.to_vec())),
    };
    hands.known().iter().filter_map(|(handle, hand)| Some((*handle, grip(hand)?))).collect()
}
