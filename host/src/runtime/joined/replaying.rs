//! Executing a call of another guest again, from the log: after those before it in the same space and transaction.

use std::sync::Arc;

use reel_abi::id::{RunId, Seq};
use reel_abi::limits::CALLS;
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::resident::Entry;
use reel_abi::vocabulary::{CallBegins, RunEnds};
use reel_store::Store;
use wasmtime::component::Component;

use super::execute::{Callee, Executed};
use crate::calls::session::Console;
use crate::gate::cursor::Cursor;
use crate::gate::{Halt, Mode};
use crate::port::Clock;
use crate::runtime::drive::Stop;
use crate::runtime::engines::Engines;
use crate::runtime::replay::ReplayError;
use crate::runtime::resident::cells::call_begin;
use crate::runtime::run::GateOptions;
use crate::runtime::session::{session_over, transaction};
use crate::runtime::source::LoggedFrames;
use crate::txn::transaction::Transaction;

/// A call that was executed again.
pub(in crate::runtime) struct Again {
    pub stop: Stop,
    pub events: u64,
    pub payload: Option<(Seq, Vec<u8>)>,
}

/// The call to be executed again.
pub(in crate::runtime) struct Replaying<'a> {
    pub store: &'a Store,
    pub engines: &'a Engines,
    /// The component that was called.
    pub component: Component,
    /// The one to put in its place.
    pub with: Option<Component>,
    pub run: RunId,
    pub begin: &'a RunBegin,
    pub call: CallBegins,
    pub clock: Arc<dyn Clock>,
    pub console: Console,
    pub options: GateOptions,
}

/// Executes a call again, touching nothing real.
pub(in crate::runtime) async fn replay_joined(replaying: Replaying<'_>) -> Result<Again, ReplayError> {
    let Replaying { store, engines, component, with, run, begin, call, clock, console, options } = replaying;
    let mut before = Vec::new();
    let mut next = call.after;
    while let Some(earlier) = next {
        let broken = || {
            ReplayError::Failed(format!("run {earlier}, a call before it in the same transaction, is not in the log"))
        };
        let begun = call_begin(store, earlier)?.ok_or_else(broken)?;
        next = begun.after;
        before.push((earlier, begun));
        if before.len() > CALLS {
            return Err(broken());
        }
    }
    let first = Callee::new(engines, component)?;
    let dirs = begin.dirs.iter().map(|_| None).collect();
    let mut txn = transaction(store, RunId(0), begin, dirs)?;
    for (earlier, call) in before.into_iter().rev() {
        let begin = store.run(earlier)?.ok_or(ReplayError::NoSuchRun(earlier))?.begin;
        let (console, options) = (Console::default(), GateOptions::default());
        let one = One { store, run: earlier, begin: &begin, call, clock: Arc::clone(&clock), console, options };
        let Executed { session, stop, .. } = one.execute(&first, txn).await?;
        txn = session.txn;
        match stop {
            Stop::Outcome(outcome) if outcome.is_success() => txn.end_call(),
            // What it did is dropped before the next one.
            Stop::Outcome(Outcome::HostFailure { message }) => return Err(ReplayError::Failed(message)),
            Stop::Outcome(_) | Stop::LogEnds(_) => {}
            _ => return Err(ReplayError::Failed(format!("run {earlier}, a call before it, does not replay the same"))),
        }
    }
    let other = with.map(|with| Callee::new(engines, with)).transpose()?;
    let compared = other.is_none();
    let one = One { store, run, begin, call, clock, console, options };
    let Executed { mut session, stop, memory, .. } = one.execute(other.as_ref().unwrap_or(&first), txn).await?;
    let stop = match stop {
        Stop::Outcome(Outcome::HostFailure { message }) => return Err(ReplayError::Failed(message)),
        Stop::Outcome(outcome) => {
            let memory = memory.filter(|_| compared);
            match session.gate.finish(RunEnds { outcome: outcome.clone(), memory }) {
                Ok(()) => Stop::Outcome(outcome),
                Err(Halt::Diverged(mismatch)) => Stop::Diverged(mismatch),
                Err(Halt::LogEnds(seq)) => Stop::LogEnds(seq),
                Err(Halt::Until(seq)) => Stop::Until(seq),
                Err(other) => return Err(ReplayError::Failed(other.to_string())),
            }
        }
        stop => stop,
    };
    Ok(Again { stop, events: session.gate.usage().events, payload: session.gate.take_payload() })
}

struct One<'a> {
    store: &'a Store,
    run: RunId,
    begin: &'a RunBegin,
    call: CallBegins,
    clock: Arc<dyn Clock>,
    console: Console,
    options: GateOptions,
}

impl One<'_> {
    async fn execute(self, callee: &Callee, mut txn: Transaction) -> Result<Executed, ReplayError> {
        let Self { store, run, begin, call, clock, console, options } = self;
        let Entry::Joined { standing, .. } = &call.entry else {
            return Err(ReplayError::Failed(format!("run {run} is no call by another guest")));
        };
        txn.begin_call(run, begin, *standing as usize);
        let mode = Mode::Replay(Cursor::new(Box::new(LoggedFrames::new(store, run)?)));
        let mut session = session_over(store, txn, begin, mode, clock, None, console, &options);
        session.joined = true;
        Ok(callee.execute(session, call, None).await)
    }
}
