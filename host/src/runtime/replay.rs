//! Replaying a run from the log alone, and resuming one that was cut off.

use std::future::Future;
use std::sync::Arc;

use reel_abi::event::decode;
use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::resident::Entry;
use reel_abi::vocabulary::{Call, CallBegins, EventView, HttpRequest, RunEnds};
use reel_store::{Made, ReadError, RunRecord, Store};
use thiserror::Error;

use super::commit_point::LastCommit;
use super::drive::{Bounds, Driven, Stop, drive};
use super::engines::Engines;
use super::handlers::occasion;
use super::joined::{Again, Joint, Replaying, replay_joined};
use super::prepare::{PrepareError, compiled, kept, ready};
use super::recall::Kept;
use super::reproduce::origin::{AsItRan, as_it_ran};
use super::resident;
use super::resident::cells::{CellsError, call_begin};
use super::resident::replaying::CallReplay;
use super::resident::waking::{Relived, WakeError};
use super::run::{Concluded, GateOptions, Live, RunError, RunReport, Surroundings, execute, session, session_of};
use super::sink::LogSink;
use super::source::LoggedFrames;
use super::target::Target;
use crate::calls::session::Console;
use crate::engine::config::description;
use crate::gate::cursor::Cursor;
use crate::gate::divergence::{Divergence, Hint, Mismatch};
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Hears, Mode};
use crate::port::Clock;

/// Events shown on each side of a divergence.
const NEIGHBOURS: u64 = 5;

/// What is to be replayed.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The run.
    pub run: RunId,
    /// Stop before this event.
    pub until: Option<Seq>,
    /// Another binary to put in the recorded one's place.
    pub with: Option<Vec<u8>>,
    /// Keep the bytes of the last payload.
    pub keep_payload: bool,
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The same to the end, the outcome and the memory included.
    Same,
    /// The same as far as the log goes: the run was cut off there (deadline, interrupt, crash), at no particular instruction.
    SameToCut(Seq),
    /// The same up to where it was to stop.
    Reached(Seq),
    /// Different.
    Diverged(Box<Divergence>),
}

/// A replay that is over.
#[derive(Debug, Clone)]
pub struct ReplayReport {
    /// The run as it is in the log.
    pub record: RunRecord,
    /// What came of it.
    pub verdict: Verdict,
    /// Events that were compared.
    pub events: u64,
    /// The outcome that the log has, if the run has ended.
    pub outcome: Option<Outcome>,
    /// The last payload that became part of an event, if it was to be kept.
    pub payload: Option<(Seq, Vec<u8>)>,
}

/// Why a run cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// There is no such run.
    #[error("there is no run {0} in this database")]
    NoSuchRun(RunId),
    /// The event is not in the log.
    #[error("run {run} has {events} events, there is no {seq}")]
    NoSuchEvent {
        /// The run.
        run: RunId,
        /// How many events it has.
        events: u64,
        /// What was asked for.
        seq: Seq,
    },
    /// The component cannot run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The replay could not go on.
    #[error("the replay could not go on: {0}")]
    Failed(String),
    /// The run has an end, so that there is nothing to resume.
    #[error("run {0} is over; only a run that was cut off by a crash can be resumed")]
    Over(RunId),
    /// The resident that was called cannot be brought back.
    #[error("the guest cannot be brought back as it was before the call: {0}")]
    Wake(#[from] WakeError),
    /// The resumed run could not be concluded.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<CellsError> for ReplayError {
    fn from(error: CellsError) -> Self {
        Self::Wake(error.into())
    }
}

/// Executes a run again from the log, touching nothing real.
pub async fn replay(
    store: &Store,
    engines: &Engines,
    request: ReplayRequest,
    clock: Arc<dyn Clock>,
    console: Console,
    on_compile: &dyn Fn(),
) -> Result<ReplayReport, ReplayError> {
    replay_heard(store, engines, request, clock, console, on_compile, None).await
}

/// The same, and `hears` is told of all payloads.
pub(super) async fn replay_heard(
    store: &Store,
    engines: &Engines,
    request: ReplayRequest,
    clock: Arc<dyn Clock>,
    console: Console,
    on_compile: &dyn Fn(),
    hears: Option<Hears>,
) -> Result<ReplayReport, ReplayError> {
    Ok(replay_kept(store, engines, request, clock, console, on_compile, hears).await?.0)
}

/// The same, and the memories where it stopped; none of a call by another guest.
pub(super) async fn replay_kept(
    store: &Store,
    engines: &Engines,
    request: ReplayRequest,
    clock: Arc<dyn Clock>,
    console: Console,
    on_compile: &dyn Fn(),
    hears: Option<Hears>,
) -> Result<(ReplayReport, Option<Kept>), ReplayError> {
    let run = request.run;
    let record = store.run(run)?.ok_or(ReplayError::NoSuchRun(run))?;
    let AsItRan { store, run: there, begin, .. } = &as_it_ran(store, &record)?;
    let options = GateOptions { until: request.until, keep_payload: request.keep_payload, hears };
    let binary;
    let (digest, bytes) = match &request.with {
        Some(bytes) => (Digest::of(bytes), bytes),
        None => {
            binary = kept(store, begin.component, begin.content)?;
            (begin.component, &binary)
        }
    };
    let call = call_begin(store, run)?;
    if let Some(call) = call.clone().filter(|call| matches!(call.entry, Entry::Joined { .. })) {
        let component = |digest, bytes: &[u8]| compiled(store, engines, digest, bytes, on_compile);
        let recorded = kept(store, begin.component, begin.content)?;
        let with = request.with.as_ref().map(|bytes| component(digest, bytes)).transpose()?;
        let component = component(begin.component, &recorded)?;
        let replaying = Replaying { store, engines, component, with, run, begin, call, clock, console, options };
        let Again { stop, events, payload } = replay_joined(replaying).await?;
        let verdict = verdict(store, begin, stop, run, digest != begin.component)?;
        let outcome = record.end.as_ref().map(|end| end.outcome.clone());
        return Ok((ReplayReport { verdict, events, outcome, payload, record }, None));
    }
    let alone = call.clone().filter(occasion::is_one);
    if let Some(call) = call.filter(|_| alone.is_none()) {
        let (component, plan) = resident::preparing::component(store, engines, digest, bytes, on_compile)?;
        let own = plan.as_ref().map_or(usize::MAX, |plan| plan.memories.len());
        let clock = &clock;
        let replay = CallReplay { store, engines, component, digest, plan, run, begin, call, clock, console, options };
        let Relived { stop, events, payload, memories, .. } = replay.replay().await?;
        if let Stop::Outcome(Outcome::HostFailure { message }) = stop {
            return Err(ReplayError::Failed(message));
        }
        let verdict = verdict(store, begin, stop, run, digest != begin.component)?;
        let outcome = record.end.as_ref().map(|end| end.outcome.clone());
        return Ok((ReplayReport { verdict, events, outcome, payload, record }, Some(Kept { memories, own })));
    }
    let target = match alone {
        Some(call) => Target::function(engines, compiled(store, engines, digest, bytes, on_compile)?, call)?,
        None => target(store, engines, run, digest, bytes, on_compile)?,
    };
    let other = request.with.as_ref().is_some_and(|bytes| Digest::of(bytes) != begin.component);
    let mode = Mode::Replay(Cursor::new(Box::new(LoggedFrames::new(store, run)?)));
    let dirs = begin.dirs.iter().map(|_| None).collect();
    let mut session = session_of(store, *there, begin, mode, clock, None, console, dirs, &options)?;
    let mut kept = None;
    let stop = match target.begin(&mut session.gate) {
        Err(halt) => halted(halt)?,
        Ok(()) => {
            let bounds = Bounds { deadline: None, interrupt: std::future::pending() };
            let Driven { stop, session: driven, memory, memories } = drive(engines, &target, session, bounds).await;
            (session, kept) = (driven, Some(Kept { memories, own: usize::MAX }));
            match stop {
                Stop::Outcome(Outcome::HostFailure { message }) => return Err(ReplayError::Failed(message)),
                // Another component has another memory, whatever it does; only what it asks and how it ends can be compared.
                Stop::Outcome(outcome) => {
                    match session.gate.finish(RunEnds { outcome: outcome.clone(), memory: memory.filter(|_| !other) }) {
                        Ok(()) => Stop::Outcome(outcome),
                        Err(halt) => halted(halt)?,
                    }
                }
                stop => stop,
            }
        }
    };
    let events = session.gate.usage().events;
    let verdict = verdict(store, begin, stop, run, other)?;
    let outcome = record.end.as_ref().map(|end| end.outcome.clone());
    Ok((ReplayReport { verdict, events, outcome, payload: session.gate.take_payload(), record }, kept))
}

/// What of a component a run has executed.
fn target(
    store: &Store,
    engines: &Engines,
    run: RunId,
    digest: Digest,
    bytes: &[u8],
    on_compile: &dyn Fn(),
) -> Result<Target, ReplayError> {
    let request = events(store, run, Seq(1), 1)?.first().is_some_and(|(_, event)| event.code == HttpRequest::CODE);
    Ok(match request {
        true => Target::handler(engines, &compiled(store, engines, digest, bytes, on_compile)?)?,
        false => ready(store, engines, digest, bytes, on_compile)?,
    })
}

fn verdict(store: &Store, begin: &RunBegin, stop: Stop, run: RunId, other: bool) -> Result<Verdict, ReplayError> {
    Ok(match stop {
        Stop::Outcome(_) => Verdict::Same,
        Stop::LogEnds(seq) => Verdict::SameToCut(seq),
        Stop::Until(seq) => Verdict::Reached(seq),
        Stop::Asleep(_) => return Err(ReplayError::Failed("a replay was put to sleep".into())),
        Stop::Diverged(mismatch) => Verdict::Diverged(Box::new(explain(store, begin, *mismatch, run, other)?)),
    })
}

fn halted(halt: Halt) -> Result<Stop, ReplayError> {
    match halt {
        Halt::Diverged(mismatch) => Ok(Stop::Diverged(mismatch)),
        Halt::LogEnds(seq) => Ok(Stop::LogEnds(seq)),
        Halt::Until(seq) => Ok(Stop::Until(seq)),
        other => Err(ReplayError::Failed(other.to_string())),
    }
}

/// Adds what surrounds a mismatch, and its likely cause.
fn explain(
    store: &Store,
    begin: &RunBegin,
    mismatch: Mismatch,
    run: RunId,
    other: bool,
) -> Result<Divergence, ReadError> {
    let at = mismatch.seq.0;
    let before = events(store, run, Seq(at.saturating_sub(NEIGHBOURS)), at.min(NEIGHBOURS))?;
    let after = events(store, run, Seq(at + 1), NEIGHBOURS)?;
    let hint = match (other, begin.engine == description()) {
        (true, _) => Hint::OtherComponent,
        (false, false) => Hint::OtherEngine,
        (false, true) => Hint::ChangedLog,
    };
    Ok(Divergence { mismatch, before, after, hint })
}

/// Up to `count` events of a run from `first` on.
pub fn events(store: &Store, run: RunId, first: Seq, count: u64) -> Result<Vec<(Seq, EventView)>, ReadError> {
    let mut found = Vec::new();
    for at in store.frames(run, first)? {
        if at.first.0 >= first.0 + count {
            break;
        }
        let frame = store.frame(&at)?;
        let Ok(raw) = frame.unpack() else { break };
        let Ok(decoded) = decode(&frame, &raw) else { break };
        found.extend(decoded.into_iter().filter(|(seq, _)| (first.0..first.0 + count).contains(&seq.0)));
    }
    Ok(found)
}

/// Goes on with a run that was cut off by a crash: replays to the end of its log, then lives on and commits.
pub async fn resume(
    store: &Store,
    engines: &Engines,
    run: RunId,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
    on_compile: &dyn Fn(),
) -> Result<RunReport, ReplayError> {
    let record = store.run(run)?.ok_or(ReplayError::NoSuchRun(run))?;
    if record.end.is_some() {
        return Err(ReplayError::Over(run));
    }
    match call_begin(store, run)? {
        Some(CallBegins { entry: Entry::Joined { caller, .. }, .. }) => {
            return Err(ReplayError::Failed(format!("it is a part of the transaction of run {caller}")));
        }
        Some(call) if occasion::is_one(&call) => {
            let why = "what it was called for is still there, and `reel serve` calls it again";
            return Err(ReplayError::Failed(why.to_owned()));
        }
        _ => {}
    }
    let begin = record.begin;
    let bytes = kept(store, begin.component, begin.content)?;
    let target = target(store, engines, run, begin.component, &bytes, on_compile)?;
    let logged = store.frames(run, Seq(0))?.last().map_or(Seq(0), |at| at.next());
    let sink = LogSink::new(store.clone(), run, None);
    let recorder = Recorder::new(logged, Box::new(sink.clone()));
    let mode = Mode::Resume(Cursor::new(Box::new(LoggedFrames::new(store, run)?)), Some(recorder));
    let clock = Arc::clone(&surroundings.clock);
    let turn = engines.turns().of(&begin.space);
    let joint = Joint::new(surroundings.callees.clone(), &surroundings.http.key, begin.trace, false);
    let mut session = session(store, run, &begin, mode, surroundings, &GateOptions::default())?;
    session.callees = Some(joint.caller(run, &begin.space));
    let last = LastCommit::default();
    let made = store.history(&begin.space)?.into_iter().rev().find_map(|made| match made.made {
        Made::Commit { commit, run: by } if by == run => Some((commit, made.version)),
        _ => None,
    });
    if let Some((commit, version)) = made {
        last.set(commit, version);
    }
    let live = Live { run, begin, sink, clock, session, turn, last, joint };
    match execute(store, engines, &target, live, None, interrupt).await? {
        Concluded::Over(landed) => Ok(landed.durable(store).await?.0),
        Concluded::Overtaken(_) => Err(ReplayError::Failed("a resumed run was to be executed again".into())),
    }
}
