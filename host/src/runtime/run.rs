//! Running a command as a transaction.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{DirGrant, Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::vocabulary::{RunBegins, RunEnds};
use reel_store::{AppendError, Ending, Head, ReadError, Store, Submission};
use thiserror::Error;

use super::again::Streams;
use super::commit_point::{LastCommit, Point, append};
use super::drive::{Bounds, Driven, Stop, drive};
use super::engines::Engines;
use super::outbox::{DeliveryError, deliver};
use super::prepare::{PrepareError, Prepared, prepare};
use super::sink::{LogSink, Remainder};
use super::turns::{HELD, Turn};
use crate::calls::session::{Console, Session, Setup};
use crate::engine::config::description;
use crate::gate::recorder::Recorder;
use crate::gate::{Gate, GateSettings, Halt, Mode};
use crate::port::{Clock, Entropy, HostDir};
use crate::txn::lower::{HostLower, Lower};
use crate::txn::node::NODES_PER_RUN;
use crate::txn::transaction::Transaction;
use crate::txn::tree::Tree;

/// Attempts beside others, before a run takes its space for itself.
pub(super) const OPTIMISTIC_ATTEMPTS: u32 = 4;

/// Attempts in all.
pub(super) const ATTEMPTS: u32 = 10;

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
    /// Show what the program says only once it is over.
    pub hold_output: bool,
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
    /// Another transaction changed what this one had read, and it could not be executed again: what was overtaken.
    pub conflict: Option<String>,
    /// How often it was executed.
    pub attempts: u32,
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

/// Runs a command. Returns when its end, and all it committed, is durable. One that was overtaken by another transaction is executed again.
pub async fn run(
    store: &Store,
    engines: &Engines,
    request: RunRequest,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
    on_compile: &dyn Fn(),
) -> Result<RunReport, RunError> {
    let prepared = prepare(store, engines, &request.bytes, on_compile)?;
    run_prepared(store, engines, &prepared, request, surroundings, interrupt).await
}

/// Runs a command that is ready, whatever bytes the request has: for many runs of one program.
pub async fn run_prepared(
    store: &Store,
    engines: &Engines,
    prepared: &Prepared,
    request: RunRequest,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
) -> Result<RunReport, RunError> {
    let Prepared { digest, content, component } = prepared;
    let Surroundings { clock, mut entropy, console, mut dirs } = surroundings;
    let (streams, mut console) = Streams::new(console, request.hold_output);
    let turn = engines.turns().of(&request.space);
    let mut interrupt = pin!(interrupt);
    let (mut run, mut attempt, mut stopped) = (store.next_run(), 1, false);
    loop {
        let base = store.head_or_new(&request.space)?;
        let begin = RunBegin {
            at: WallTime(clock.wall()),
            component: *digest,
            content: *content,
            name: request.name.clone(),
            args: request.args.clone(),
            env: request.env.clone(),
            dirs: request.dirs.clone(),
            limits: request.limits.clone(),
            space: request.space.clone(),
            segment: base.segment,
            version: base.version,
            commit_on_failure: request.commit_on_failure,
            engine: description(),
        };
        let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
        let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
        let surroundings = Surroundings { clock: Arc::clone(&clock), entropy, console, dirs };
        let session = session(store, run, &begin, mode, surroundings, &GateOptions::default())?;
        let again = (attempt < ATTEMPTS).then_some(&streams);
        let live = Live {
            run,
            begin,
            sink,
            clock: Arc::clone(&clock),
            session,
            turn: turn.clone(),
            last: LastCommit::default(),
        };
        let stop = async {
            if !stopped {
                interrupt.as_mut().await;
            }
        };
        let lost = match execute(store, engines, component, live, again, stop).await? {
            Concluded::Over(report) => {
                streams.show();
                return Ok(RunReport { attempts: attempt, ..*report });
            }
            Concluded::Overtaken(lost) => lost,
        };
        attempt += 1;
        let Lost { run: next, parts } = *lost;
        run = next;
        (entropy, console) = (parts.entropy, parts.console);
        dirs = parts.dirs;
        if attempt > OPTIMISTIC_ATTEMPTS {
            // The log may have promised this attempt already: one that is interrupted while it waits is recorded too, and ends before it begins.
            tokio::select! {
                () = interrupt.as_mut() => stopped = true,
                () = turn.take() => {}
            }
        }
    }
}

/// A live run that is set up.
pub(super) struct Live {
    pub run: RunId,
    pub begin: RunBegin,
    pub sink: LogSink,
    pub clock: Arc<dyn Clock>,
    pub session: Session,
    pub turn: Turn,
    pub last: LastCommit,
}

impl Live {
    /// Lets the session commit on its way.
    fn with_commit_point(mut self, store: &Store) -> Self {
        let (space, sink, turn, last) =
            (self.begin.space.clone(), self.sink.clone(), self.turn.clone(), self.last.clone());
        self.session.commit_point =
            Some(Box::new(Point { store: store.clone(), run: self.run, space, sink, turn, last }));
        self
    }
}

/// What became of an attempt.
pub(super) enum Concluded {
    /// The run is over.
    Over(Box<RunReport>),
    /// Another transaction came first; nothing of the attempt is visible.
    Overtaken(Box<Lost>),
}

/// An attempt that was overtaken.
pub(super) struct Lost {
    /// The run under which the next attempt goes: the same, if nothing of this one is in the log.
    run: RunId,
    parts: Parts,
}

/// What of a session the next attempt needs.
struct Parts {
    entropy: Box<dyn Entropy>,
    console: Console,
    dirs: Vec<Box<dyn HostDir>>,
}

/// What a gate is told beyond the run's own settings.
#[derive(Default)]
pub(crate) struct GateOptions {
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
    let grants = (0u32..).zip(begin.dirs.iter().zip(dirs));
    let host = grants
        .map(|(index, (grant, dir))| Tree::new(Lower::Host(HostLower::new(index, dir)), grant.read_only, first))
        .collect();
    let txn = Transaction::new(store.clone(), begin.space.clone(), view, host, begin.dirs.clone(), first);
    let root_is_granted = begin.dirs.iter().any(|grant| grant.guest == "/");
    let space = (!root_is_granted).then(|| "/".to_owned());
    let preopens = std::iter::once(space).chain(begin.dirs.iter().map(|grant| Some(grant.guest.clone()))).collect();
    let setup = Setup { args: begin.args.clone(), env: begin.env.clone(), preopens };
    let settings =
        GateSettings { limits: begin.limits.clone(), clock, until: options.until, keep_payload: options.keep_payload };
    Ok(Session::new(Gate::new(mode, settings), txn, setup, console, entropy, store.clone(), None))
}

/// Runs what is set up and concludes it. `again` is there if the run may be executed once more.
pub(super) async fn execute(
    store: &Store,
    engines: &Engines,
    component: &wasmtime::component::Component,
    live: Live,
    again: Option<&Streams>,
    interrupt: impl Future<Output = ()>,
) -> Result<Concluded, RunError> {
    let mut live = live.with_commit_point(store);
    live.session.gate.pass(RunBegins {}, |_, _| Ok(())).map_err(RunError::Log)?;
    let millis = live.begin.limits.deadline_millis;
    let deadline = (millis > 0).then(|| Duration::from_millis(millis));
    let turn = live.turn.clone();
    let interrupt = async {
        let give_back = async {
            tokio::time::sleep(HELD).await;
            turn.give_back();
            std::future::pending().await
        };
        tokio::select! { () = interrupt => {}, () = give_back => {} }
    };
    let Driven { stop, session, memory } =
        drive(engines, component, live.session, Bounds { deadline, interrupt }).await;
    let outcome = match stop {
        Stop::Outcome(outcome) => outcome,
        Stop::Diverged(mismatch) => {
            Outcome::HostFailure { message: format!("a live run diverged at event {}", mismatch.seq) }
        }
        Stop::LogEnds(seq) | Stop::Until(seq) => {
            Outcome::HostFailure { message: format!("a live run stopped at event {seq}") }
        }
        Stop::Asleep(_) => Outcome::HostFailure { message: "a command was put to sleep".into() },
    };
    conclude(store, Live { session, ..live }, outcome, memory, again).await
}

/// Commits or aborts what has ended, and carries out its effects. Returns when all of it is durable.
pub(super) async fn conclude(
    store: &Store,
    live: Live,
    mut outcome: Outcome,
    memory: Option<u64>,
    again: Option<&Streams>,
) -> Result<Concluded, RunError> {
    let Live { run, begin, sink, clock, mut session, turn, last } = live;
    let wanted = outcome.is_success() || (begin.commit_on_failure && matches!(outcome, Outcome::Exit { .. }));
    let mut proposal = None;
    if wanted {
        match session.txn.propose(WallTime(clock.wall())) {
            Ok(writes) => proposal = Some(writes),
            Err(halt) => outcome = Outcome::HostFailure { message: halt.to_string() },
        }
    }
    let memory = if outcome.is_cut() { None } else { memory };
    session.gate.finish(RunEnds { outcome: outcome.clone(), memory }).map_err(RunError::Log)?;
    let usage = session.gate.usage();
    let Remainder { begun, frames } = sink.finish().map_err(RunError::Log)?;
    let outbox = proposal.as_ref().map(|proposal| proposal.outbox.clone()).unwrap_or_default();
    let ending = |otherwise: Disposition| Ending {
        at: WallTime(clock.wall()),
        outcome: outcome.clone(),
        events: usage.events,
        logged_bytes: usage.logged_bytes,
        written_bytes: usage.written_bytes,
        memory,
        otherwise,
    };
    let ended = ending(last.otherwise());
    let mut submission = Submission { run, begun, frames, commit: proposal, ending: Some(ended.clone()) };
    let kept = submission.commit.is_some().then(|| (submission.begun.clone(), submission.frames.clone()));
    // Whoever commits nothing waits for nobody.
    let allowed = if submission.commit.is_some() { turn.to_commit().await } else { None };
    let result = append(store, submission).await;
    drop(allowed);
    let (mut conflict, mut disposition) = (None, ended.otherwise.clone());
    match (result, kept) {
        (Ok(receipt), _) => {
            if let Some((commit, version)) = receipt.committed {
                disposition = Disposition::Committed { commit, version };
            }
        }
        (Err(AppendError::Conflict { what, .. }), Some((begun, frames))) => {
            let again = again.filter(|streams| last.get().is_none() && streams.rewind());
            if again.is_some() && begun.is_some() {
                return Ok(Concluded::Overtaken(Box::new(Lost { run, parts: Parts::of(session)? })));
            }
            let next = again.map(|_| store.next_run());
            disposition = if last.get().is_some() { last.otherwise() } else { Disposition::Lost { again: next } };
            submission = Submission { run, begun, frames, commit: None, ending: Some(ending(disposition.clone())) };
            append(store, submission).await?;
            if let Some(run) = next {
                return Ok(Concluded::Overtaken(Box::new(Lost { run, parts: Parts::of(session)? })));
            }
            conflict = Some(what);
        }
        (Err(error), _) => return Err(error.into()),
    }
    turn.give_back();
    let undelivered = match &disposition {
        Disposition::Committed { commit, .. } if !outbox.is_empty() => deliver(store, *commit, &outbox).err(),
        _ => None,
    };
    let Ending { at, outcome, events, logged_bytes, written_bytes, memory, .. } = ended;
    let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
    Ok(Concluded::Over(Box::new(RunReport { run, end, undelivered, conflict, attempts: 1 })))
}

impl Parts {
    fn of(session: Session) -> Result<Self, RunError> {
        let lost = || RunError::Log(Halt::Host("a part of the run is lost between two attempts".into()));
        let dirs: Option<Vec<_>> = session.txn.files.into_dirs().into_iter().collect();
        let entropy = session.entropy.ok_or_else(lost)?;
        Ok(Self { entropy, console: session.console, dirs: dirs.ok_or_else(lost)? })
    }
}
