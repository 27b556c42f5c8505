//! Running a command as a transaction.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{DirGrant, Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::record::OutboxEntry;
use reel_abi::vocabulary::{RunBegins, RunEnds};
use reel_store::{AppendError, Ending, Head, Proposal, ReadError, Store, Submission};
use thiserror::Error;

use super::drive::{Bounds, Driven, Stop, drive};
use super::engines::Engines;
use super::outbox::{DeliveryError, deliver};
use super::prepare::{PrepareError, Prepared, prepare};
use super::sink::LogSink;
use crate::calls::session::{Console, Session, Setup};
use crate::engine::config::description;
use crate::gate::recorder::Recorder;
use crate::gate::{Gate, GateSettings, Halt, Mode};
use crate::port::{Clock, Entropy, HostDir};
use crate::txn::files::Files;
use crate::txn::lower::{HostLower, Lower};
use crate::txn::node::NODES_PER_RUN;
use crate::txn::tree::Tree;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The binary: a component, or a core module for WASI preview 1.
    pub bytes: Vec<u8>,
    /// What to call it.
    pub name: String,
    /// `argv`, the program's name first.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Host directories.
    pub dirs: Vec<DirGrant>,
    /// Bounds.
    pub limits: Limits,
    /// The space to work in; made if there is none.
    pub space: SpaceName,
    /// Commit also if the program ends with a failure code.
    pub commit_on_failure: bool,
}

/// The world that a live run may touch.
pub struct Surroundings {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Box<dyn Entropy>,
    /// Standard streams.
    pub console: Console,
    /// Host directories, in the order of [`RunRequest::dirs`].
    pub dirs: Vec<Box<dyn HostDir>>,
}

/// A run that is over.
#[derive(Debug)]
pub struct RunReport {
    /// Its number.
    pub run: RunId,
    /// How it ended, as it stands in the log.
    pub end: RunEnd,
    /// Effects that are durable but have not arrived yet.
    pub undelivered: Option<DeliveryError>,
    /// Another transaction committed to the space first, so that this one was aborted.
    pub conflict: bool,
}

/// Why there is no run, or none in the log.
#[derive(Debug, Error)]
pub enum RunError {
    /// The component cannot run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The space cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log cannot be written: nothing was committed.
    #[error("nothing was committed: {0}")]
    Append(#[from] AppendError),
    /// The log could not be written while the guest ran.
    #[error("nothing was committed: {0}")]
    Log(Halt),
}

/// Runs a command. Returns when its end, and all it committed, is durable.
pub async fn run(
    store: &Store,
    engines: &Engines,
    request: RunRequest,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
    on_compile: &dyn Fn(),
) -> Result<RunReport, RunError> {
    let Prepared { digest, content, component } = prepare(store, engines, &request.bytes, on_compile)?;
    let base = store.head_or_new(&request.space)?;
    let run = store.next_run();
    let clock = Arc::clone(&surroundings.clock);
    let begin = RunBegin {
        at: WallTime(clock.wall()),
        component: digest,
        content,
        name: request.name,
        args: request.args,
        env: request.env,
        dirs: request.dirs,
        limits: request.limits,
        space: request.space,
        segment: base.segment,
        version: base.version,
        commit_on_failure: request.commit_on_failure,
        engine: description(),
    };
    let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
    let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
    let session = session(store, run, &begin, mode, surroundings, &GateOptions::default())?;
    execute(store, engines, &component, Live { run, begin, base, sink, clock, session }, interrupt).await
}

/// A live run that is set up.
pub(super) struct Live {
    pub run: RunId,
    pub begin: RunBegin,
    pub base: Head,
    pub sink: LogSink,
    pub clock: Arc<dyn Clock>,
    pub session: Session,
}

/// What a gate is told beyond the run's own settings.
#[derive(Default)]
pub(super) struct GateOptions {
    pub until: Option<Seq>,
    pub keep_payload: bool,
}

/// The session of a run, live or not: the same trees, setup and gate.
pub(super) fn session(
    store: &Store,
    run: RunId,
    begin: &RunBegin,
    mode: Mode,
    surroundings: Surroundings,
    options: &GateOptions,
) -> Result<Session, ReadError> {
    let Surroundings { clock, entropy, console, dirs } = surroundings;
    session_of(store, run, begin, mode, clock, Some(entropy), console, dirs.into_iter().map(Some).collect(), options)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a session, each once")]
pub(super) fn session_of(
    store: &Store,
    run: RunId,
    begin: &RunBegin,
    mode: Mode,
    clock: Arc<dyn Clock>,
    entropy: Option<Box<dyn Entropy>>,
    console: Console,
    dirs: Vec<Option<Box<dyn HostDir>>>,
    options: &GateOptions,
) -> Result<Session, ReadError> {
    let first = run.0.saturating_mul(NODES_PER_RUN);
    let view = store.view(Head { segment: begin.segment, version: begin.version })?;
    let mut trees = vec![Tree::new(Lower::Space(view), false, first)];
    for (index, (grant, dir)) in (0u32..).zip(begin.dirs.iter().zip(dirs)) {
        trees.push(Tree::new(Lower::Host(HostLower::new(index, dir)), grant.read_only, first));
    }
    let root_is_granted = begin.dirs.iter().any(|grant| grant.guest == "/");
    let space = (!root_is_granted).then(|| "/".to_owned());
    let preopens = std::iter::once(space).chain(begin.dirs.iter().map(|grant| Some(grant.guest.clone()))).collect();
    let setup = Setup { args: begin.args.clone(), env: begin.env.clone(), preopens };
    let settings =
        GateSettings { limits: begin.limits.clone(), clock, until: options.until, keep_payload: options.keep_payload };
    Ok(Session::new(
        Gate::new(mode, settings),
        Files::new(store.clone(), trees),
        setup,
        console,
        entropy,
        store.clone(),
    ))
}

/// Runs what is set up and concludes it.
pub(super) async fn execute(
    store: &Store,
    engines: &Engines,
    component: &wasmtime::component::Component,
    live: Live,
    interrupt: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    let Live { run, begin, base, sink, clock, mut session } = live;
    session.gate.pass(RunBegins {}, |_, _| Ok(())).map_err(RunError::Log)?;
    let deadline = (begin.limits.deadline_millis > 0).then(|| Duration::from_millis(begin.limits.deadline_millis));
    let Driven { stop, session, memory } = drive(engines, component, session, Bounds { deadline, interrupt }).await;
    let outcome = match stop {
        Stop::Outcome(outcome) => outcome,
        Stop::Diverged(mismatch) => {
            Outcome::HostFailure { message: format!("a live run diverged at event {}", mismatch.seq) }
        }
        Stop::LogEnds(seq) | Stop::Until(seq) => {
            Outcome::HostFailure { message: format!("a live run stopped at event {seq}") }
        }
    };
    conclude(store, Live { run, begin, base, sink, clock, session }, outcome, memory)
}

/// Commits or aborts what has ended, and carries out its effects. Returns when all of it is durable.
pub(super) fn conclude(
    store: &Store,
    live: Live,
    mut outcome: Outcome,
    memory: Option<u64>,
) -> Result<RunReport, RunError> {
    let Live { run, begin, base, sink, clock, mut session } = live;
    let wanted = outcome.is_success() || (begin.commit_on_failure && matches!(outcome, Outcome::Exit { .. }));
    let mut proposal = None;
    if wanted {
        match propose(&mut session, run, &begin, base) {
            Ok(writes) => proposal = Some(writes),
            Err(halt) => outcome = Outcome::HostFailure { message: halt.to_string() },
        }
    }
    let memory = if outcome.is_cut() { None } else { memory };
    session.gate.finish(RunEnds { outcome: outcome.clone(), memory }).map_err(RunError::Log)?;
    let usage = session.gate.usage();
    let remainder = sink.finish().map_err(RunError::Log)?;
    let outbox = proposal.as_ref().map(|proposal| proposal.outbox.clone()).unwrap_or_default();
    let ending = Ending {
        at: WallTime(clock.wall()),
        outcome,
        events: usage.events,
        logged_bytes: usage.logged_bytes,
        written_bytes: usage.written_bytes,
        memory,
        commit: proposal,
    };
    let mut submission =
        Submission { run, begun: remainder.begun, frames: remainder.frames, ending: Some(ending.clone()) };
    let mut conflict = false;
    let receipt = match store.append(submission.clone()) {
        Err(AppendError::Conflict { .. }) => {
            conflict = true;
            submission.ending = Some(Ending { commit: None, ..ending.clone() });
            store.append(submission)?
        }
        other => other?,
    };
    let disposition = receipt.disposition.unwrap_or(Disposition::Aborted);
    let undelivered = match &disposition {
        Disposition::Committed { commit, .. } if !outbox.is_empty() => deliver(store, *commit, &outbox).err(),
        _ => None,
    };
    let Ending { at, outcome, events, logged_bytes, written_bytes, memory, .. } = ending;
    let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
    Ok(RunReport { run, end, undelivered, conflict })
}

fn propose(session: &mut Session, run: RunId, begin: &RunBegin, base: Head) -> Result<Proposal, Halt> {
    let cells = session.files.cells(run.0.saturating_mul(NODES_PER_RUN))?;
    let changes = session.files.host_changes()?;
    let entries = begin.dirs.iter().cloned().zip(changes).filter(|(_, changes)| !changes.is_empty());
    let outbox = entries.map(|(dir, changes)| OutboxEntry { dir, changes }).collect();
    Ok(Proposal { space: begin.space.clone(), base, cells, outbox })
}
