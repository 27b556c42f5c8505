//! Driving a guest from its instantiation to its end, whatever the mode of its gate.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use reel_abi::id::{Seq, WallTime};
use reel_abi::limits::LimitKind;
use reel_abi::outcome::Outcome;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use super::engines::Engines;
use super::target::Target;
use crate::calls::session::Session;
use crate::engine::memory::GuestMemories;
use crate::gate::Halt;
use crate::gate::divergence::Mismatch;

/// Bytes that one host call may copy out of a guest; stops a request that names all of a 4 GiB memory.
const CALL_BYTES: usize = 128 << 20;

/// How a guest stopped.
#[derive(Debug)]
pub enum Stop {
    /// It ended, as a run ends.
    Outcome(Outcome),
    /// The replay found a difference.
    Diverged(Box<Mismatch>),
    /// The replay came to where the log ends without an end.
    LogEnds(Seq),
    /// The replay came to where it was to stop.
    Until(Seq),
    /// It waits for a long time, and goes on from its log then.
    Asleep(WallTime),
}

/// A guest that has stopped.
pub struct Driven {
    /// How.
    pub stop: Stop,
    /// What it leaves.
    pub session: Session,
    /// Digest of its memories, where it stopped at an instruction that a replay stops at too.
    pub memory: Option<u64>,
    /// Those memories.
    pub memories: GuestMemories,
}

/// Bounds on the way that no event knows of.
pub struct Bounds<F> {
    /// Wall-clock time for the whole run.
    pub deadline: Option<Duration>,
    /// Ends when the user wants the run to stop.
    pub interrupt: F,
}

/// Instantiates the component and executes what of it is to be executed.
pub async fn drive(
    engines: &Engines,
    target: &Target,
    session: Session,
    bounds: Bounds<impl Future<Output = ()>>,
) -> Driven {
    let memories = GuestMemories::default();
    let stack = session.gate.limits().stack_bytes;
    let mut store = new_store(engines, session);
    let result = bounded(&memories, bounds, target.execute(engines, &mut store)).await;
    let stop = match result {
        Ok(outcome) => Stop::Outcome(outcome),
        Err(error) => target.stopped(stop_of(error, stack)),
    };
    let memory = match &stop {
        Stop::Outcome(outcome) if !outcome.is_cut() => memories.digest(),
        _ => None,
    };
    Driven { stop, session: store.into_data(), memory, memories }
}

/// A store for one guest, with all that stops it.
pub(super) fn new_store(engines: &Engines, session: Session) -> Store<Session> {
    let mut store = Store::new(engines.engine(), session);
    store.limiter(|session| session);
    store.set_hostcall_fuel(CALL_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let session = context.data_mut();
        if session.handles.restoring {
            return Ok(UpdateDeadline::Yield(1));
        }
        let gate = &mut session.gate;
        gate.flush_if_old()?;
        if gate.log_is_cut_here()? {
            return Err(Halt::LogEnds(Seq(gate.usage().events)).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

/// Lets guest code work within bounds; the memories that it makes meanwhile are counted to it.
pub(super) async fn bounded<T>(
    memories: &GuestMemories,
    bounds: Bounds<impl Future<Output = ()>>,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    let mut guest = pin!(work);
    let guest = std::future::poll_fn(|context| memories.collect(|| guest.as_mut().poll(context)));
    let late = async {
        match bounds.deadline {
            Some(deadline) => tokio::time::sleep(deadline).await,
            None => std::future::pending().await,
        }
    };
    let limit = bounds.deadline.map_or(0, |deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    tokio::select! {
        // The interrupt first: it must be listened to before the guest can keep the thread busy.
        biased;
        () = bounds.interrupt => Err(Halt::Interrupted.into()),
        () = late => Err(Halt::Limit { kind: LimitKind::Deadline, limit }.into()),
        result = guest => result,
    }
}

/// How a guest stopped that did not return; `stack` are the bytes of stack it had.
pub(super) fn stop_of(error: wasmtime::Error, stack: u64) -> Stop {
    let backtrace = backtrace(&error);
    let error = match error.downcast::<Halt>() {
        Ok(halt) => return stopped(halt, backtrace),
        Err(error) => error,
    };
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return Stop::Outcome(Outcome::Limit { kind: LimitKind::Stack, limit: stack }),
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    };
    Stop::Outcome(Outcome::Trap { message, backtrace })
}

fn stopped(halt: Halt, backtrace: Vec<String>) -> Stop {
    Stop::Outcome(match halt {
        Halt::Exit(code) => Outcome::Exit { code },
        Halt::Limit { kind, limit } => Outcome::Limit { kind, limit },
        Halt::Trap(message) => Outcome::Trap { message, backtrace },
        Halt::Interrupted => Outcome::Interrupted,
        Halt::Abort(reason) => Outcome::Aborted { reason },
        Halt::Host(message) => Outcome::HostFailure { message },
        Halt::Diverged(mismatch) => return Stop::Diverged(mismatch),
        Halt::LogEnds(seq) => return Stop::LogEnds(seq),
        Halt::Until(seq) => return Stop::Until(seq),
        Halt::Asleep { until } => return Stop::Asleep(until),
    })
}

/// The guest's frames, innermost first, by name and offset.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let line = |frame: &wasmtime::FrameInfo| {
        let name = frame.func_name().map_or_else(
            || format!("function {}", frame.func_index()),
            |name| format!("{:#}", rustc_demangle::demangle(name)),
        );
        match frame.module_offset() {
            Some(offset) => format!("{name} (+{offset:#x})"),
            None => name,
        }
    };
    backtrace.frames().iter().take(64).map(line).collect()
}
