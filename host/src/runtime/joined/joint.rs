//! What a transaction has done in other spaces than its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::id::{Digest, RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::CALLS;
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::resident::Guest;
use reel_abi::trace::Trace;
use reel_store::{Ending, Head, Store, Submission};

use super::caller::Caller;
use super::execute::Callee;
use super::guests::Guests;
use crate::calls::calls::Callees;
use crate::calls::session::Console;
use crate::engine::config::description;
use crate::gate::Halt;
use crate::port::HostDir;
use crate::runtime::again::Streams;
use crate::runtime::session::transaction;
use crate::runtime::sink::{LogSink, Remainder};
use crate::txn::transaction::Transaction;

/// So many bytes of events are kept in memory until the end of a transaction; what is more goes to the log before.
const HELD_BYTES: usize = 16 << 20;

/// See the module. Clones are the same.
#[derive(Clone)]
pub(in crate::runtime) struct Joint(Arc<Inner>);

struct Inner {
    guests: Option<Arc<Guests>>,
    /// By which others know the requests of the caller again.
    key: String,
    /// The trace that all of it belongs to.
    trace: Option<Trace>,
    /// Whether what is not durable yet may be read.
    early: bool,
    state: Mutex<State>,
}

/// What changes from call to call.
#[derive(Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<SpaceName, Member>,
    /// Calls of this transaction that are over, in order.
    pub(super) over: Vec<Over>,
    /// Calls of earlier transactions of the run, which were overtaken.
    pub(super) lost: Vec<Over>,
    /// Calls under way, the outermost first.
    pub(super) under_way: Vec<(RunId, LogSink)>,
    /// Calls in this transaction, whatever became of them.
    pub(super) calls: usize,
    /// Bytes of events of calls that are over, which are not in the log.
    held: usize,
    /// Whether something has left that cannot be taken back.
    pub(super) left: bool,
    /// Whether calls were made by a process that is gone.
    pub(super) gone: bool,
    /// What they say.
    streams: Option<Streams>,
}

/// A transaction over one space, kept from call to call.
pub(super) struct Member {
    pub(super) guest: Arc<Guest>,
    pub(super) callee: Arc<Callee>,
    pub(super) base: Head,
    /// Away while a call is under way.
    pub(super) txn: Option<Transaction>,
    /// The calls that stand, as places in [`State::over`].
    pub(super) standing: Vec<usize>,
    /// The last call, whatever became of it.
    pub(super) last: Option<RunId>,
}

/// A call that is over and has no fate yet.
pub(super) struct Over {
    pub(super) run: RunId,
    pub(super) remainder: Remainder,
    pub(super) ending: Ending,
    /// The space that has what it did; nothing if that was dropped.
    pub(super) stands: Option<SpaceName>,
}

impl Member {
    /// A transaction that has done nothing yet.
    pub(super) fn new(
        store: &Store,
        name: &SpaceName,
        base: Head,
        guest: Guest,
        callee: Arc<Callee>,
        dirs: Vec<Box<dyn HostDir>>,
    ) -> Result<Self, Halt> {
        let begin = begin(name, &guest, base, WallTime(0), Vec::new());
        let dirs = dirs.into_iter().map(Some).collect();
        let txn = transaction(store, RunId(0), &begin, dirs).map_err(|e| Halt::host("reading the space", &e))?;
        let (standing, last) = Default::default();
        Ok(Self { guest: Arc::new(guest), callee, base, txn: Some(txn), standing, last })
    }
}

/// How a call begins.
pub(super) fn begin(name: &SpaceName, guest: &Guest, base: Head, at: WallTime, args: Vec<String>) -> RunBegin {
    RunBegin {
        at,
        component: guest.component,
        content: guest.content,
        name: name.to_string(),
        args,
        env: guest.env.clone(),
        dirs: guest.dirs.clone(),
        net: guest.net.clone(),
        calls: guest.calls.clone(),
        limits: guest.limits.clone(),
        space: name.clone(),
        segment: base.segment,
        version: base.version,
        commit_on_failure: false,
        engine: description(),
        trace: None,
    }
}

impl Joint {
    /// Of a transaction that has called nobody.
    pub(in crate::runtime) fn new(guests: Option<Arc<Guests>>, key: &str, trace: Option<Trace>, early: bool) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { guests, key: key.to_owned(), trace, early, state }))
    }

    /// Makes the calls of the run whose transaction it is.
    pub(in crate::runtime) fn caller(&self, run: RunId, space: &SpaceName) -> Box<dyn Callees> {
        Box::new(Caller::new(self.clone(), run, vec![space.clone()]))
    }

    /// The spaces of those who were called.
    pub(in crate::runtime) fn spaces(&self) -> Vec<SpaceName> {
        self.state().members.keys().cloned().collect()
    }

    /// Whether there are any.
    pub(in crate::runtime) fn is_open(&self) -> bool {
        !self.state().members.is_empty()
    }

    /// Whether something has left that cannot be taken back.
    pub(in crate::runtime) fn has_left(&self) -> bool {
        self.state().left
    }

    /// Shows what those who were called have said.
    pub(in crate::runtime) fn show(&self) {
        let streams = self.state().streams.clone();
        if let Some(streams) = streams {
            streams.show();
        }
    }

    /// All of it is committed; the next transaction of the run begins.
    pub(in crate::runtime) fn committed(&self) {
        let mut state = self.state();
        (state.members, state.over, state.lost, state.calls) = Default::default();
        (state.held, state.gone) = Default::default();
        drop(state);
        self.show();
    }

    /// Another transaction came first, on the way of the run; its next one begins.
    pub(in crate::runtime) fn lost(&self) {
        let mut state = self.state();
        let over = std::mem::take(&mut state.over);
        state.lost.extend(over.into_iter().map(|over| Over { stands: None, ..over }));
        (state.members, state.calls) = Default::default();
    }

    /// What it has done.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn guests(&self) -> Option<&Arc<Guests>> {
        self.0.guests.as_ref()
    }

    pub(super) fn early(&self) -> bool {
        self.0.early
    }

    /// The trace that all of it belongs to.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.0.trace
    }

    /// Counts a call, and gives the key of its requests; nothing if there are too many.
    pub(super) fn count(&self) -> Option<String> {
        let mut state = self.state();
        if state.calls >= CALLS {
            return None;
        }
        state.calls += 1;
        if self.0.key.is_empty() {
            return Some(String::new());
        }
        // The same in each execution of the caller, as far as it does the same.
        let digest = Digest::of(format!("{} {}", self.0.key, state.calls).as_bytes()).to_string();
        Some(digest[..32].to_owned())
    }

    /// Where a call says something: all of them share what is held back.
    pub(super) fn outputs(&self, console: Console) -> Console {
        let mut state = self.state();
        match &state.streams {
            Some(streams) => streams.outputs(),
            None => {
                let (streams, console) = Streams::new(Console { stdin: None, ..console }, true);
                state.streams = Some(streams);
                console
            }
        }
    }
}

impl State {
    /// How many calls stand in each space.
    pub(super) fn depths(&self) -> BTreeMap<SpaceName, usize> {
        self.members.iter().map(|(space, member)| (space.clone(), member.standing.len())).collect()
    }

    /// What is kept of a call until its end: nothing that the log can take now, if there is much already.
    pub(super) fn hold(&mut self, store: &Store, run: RunId, remainder: Remainder) -> Result<Remainder, Halt> {
        let bytes: usize = remainder.frames.iter().map(|frame| frame.packed.len()).sum();
        if self.held + bytes <= HELD_BYTES {
            self.held += bytes;
            return Ok(remainder);
        }
        let Remainder { begun, frames } = remainder;
        let submission = Submission { run, begun, frames, commit: None, ending: None };
        store.append_soon(submission).map_err(|e| Halt::host("writing the log", &e))?;
        Ok(Remainder { begun: None, frames: Vec::new() })
    }

    /// Undoes the calls since.
    pub(super) fn undo_to(&mut self, depths: &BTreeMap<SpaceName, usize>) {
        for (space, member) in &mut self.members {
            let depth = depths.get(space).copied().unwrap_or(0);
            if member.standing.len() <= depth {
                continue;
            }
            for place in member.standing.drain(depth..) {
                if let Some(over) = self.over.get_mut(place) {
                    over.stands = None;
                }
            }
            if let Some(txn) = &mut member.txn {
                txn.undo_calls(depth);
            }
        }
    }

    /// Calls that were dropped in the middle are over: they end as far as their frames were closed.
    pub(super) fn end_cut(&mut self, store: &Store, at: WallTime, outcome: &Outcome) -> Result<(), Halt> {
        for (run, sink) in std::mem::take(&mut self.under_way) {
            let remainder = sink.finish()?;
            let events = match remainder.frames.last() {
                Some(last) => last.next(),
                None => store
                    .frames(run, Seq(0))
                    .map_err(|e| Halt::host("reading the log", &e))?
                    .last()
                    .map_or(Seq(0), |at| at.next()),
            };
            let outcome = match outcome.is_cut() {
                true => outcome.clone(),
                false => Outcome::Interrupted,
            };
            let ending = Ending {
                at,
                outcome,
                events: events.0,
                logged_bytes: 0,
                written_bytes: 0,
                memory: None,
                otherwise: reel_abi::outcome::Disposition::Aborted,
            };
            self.over.push(Over { run, remainder, ending, stands: None });
        }
        Ok(())
    }
}
