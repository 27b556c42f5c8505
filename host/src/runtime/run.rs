//! Running a command as a transaction.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::http::RequestHead;
use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{DirGrant, Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::trace::Trace;
use reel_abi::vocabulary::RunEnds;
use reel_store::{AppendError, Ending, ReadError, Store};
use thiserror::Error;

use super::again::Streams;
use super::closing::{Closed, Closing};
use super::commit_point::{LastCommit, Point};
use super::drive::{Bounds, Driven, Stop, drive};
use super::engines::Engines;
use super::joined::{Guests, Joint};
use super::landed::Landed;
use super::outbox::DeliveryError;
use super::prepare::{PrepareError, Prepared, prepare};
use super::resident::calling::{posted, timed};
use super::session::{session_over, transaction};
use super::sink::LogSink;
use super::subscribers::Subscribers;
use super::target::Target;
use super::turns::{HELD, Turn};
use crate::calls::http::outgoing_handler::new_key;
use crate::calls::http::state::{Http, Reply, Traced};
use crate::calls::session::{Console, Session};
use crate::engine::config::description;
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Mode};
use crate::port::{Clock, Entropy, HostDir, HttpClient, Network};
use crate::sockets::table::Sockets;

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
    /// Places in the network, each `HOST:PORT`.
    pub net: Vec<String>,
    /// Guests that it may call.
    pub calls: Vec<SpaceName>,
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
    /// Requests and answers.
    pub http: HttpWorld,
    /// The network, of which a guest has what it was granted.
    pub network: Arc<dyn Network>,
    /// Those who can be called, of whom a guest has what it was granted.
    pub callees: Option<Arc<Guests>>,
}

/// What of HTTP a run has to do with.
#[derive(Default)]
pub struct HttpWorld {
    /// The request that is to be answered; its body is what standard input is for a command.
    pub request: Option<RequestHead>,
    /// Where the answer goes that leaves before the end.
    pub reply: Option<Box<dyn Reply>>,
    /// How others are asked; nobody is if this is nothing.
    pub client: Option<Arc<dyn HttpClient>>,
    /// By which others know the requests of this run again.
    pub key: String,
    /// The trace that the run belongs to.
    pub trace: Option<Trace>,
}

impl HttpWorld {
    /// Draws the key, so that it stays the same however often the run is executed, if the run, or whom it calls, may send anything.
    pub(super) fn key_from(
        &mut self,
        entropy: &mut dyn Entropy,
        net: &[String],
        calls: &[SpaceName],
    ) -> Result<(), Halt> {
        if self.key.is_empty() && !(net.is_empty() && calls.is_empty()) {
            self.key = new_key(entropy)?;
        }
        Ok(())
    }

    /// Others can be asked.
    pub fn asking(client: Arc<dyn HttpClient>) -> Self {
        Self { client: Some(client), ..Self::default() }
    }
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
    /// The spaces that it has sent messages to.
    pub posted: Vec<SpaceName>,
    /// The spaces of which it has changed timers.
    pub timed: Vec<SpaceName>,
    /// What it had asked of others, in words, if it was rolled back all the same.
    pub escaped: Vec<String>,
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
    let report = attempt(store, engines, prepared, request, surroundings, interrupt).await?;
    Ok(report.0)
}

/// The same; what the run leaves of HTTP comes with it.
pub(super) async fn attempt(
    store: &Store,
    engines: &Engines,
    prepared: &Prepared,
    request: RunRequest,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
) -> Result<(RunReport, Http), RunError> {
    attempt_ordered(store, engines, prepared, request, surroundings, interrupt).await?.durable(store).await
}

/// The same, as soon as the run has its place in the log.
pub(super) async fn attempt_ordered(
    store: &Store,
    engines: &Engines,
    prepared: &Prepared,
    request: RunRequest,
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
) -> Result<Landed, RunError> {
    let Prepared { digest, content, target } = prepared;
    let Surroundings { clock, mut entropy, console, mut dirs, mut http, network, callees } = surroundings;
    http.key_from(&mut *entropy, &request.net, &request.calls).map_err(RunError::Log)?;
    let (streams, mut console) = Streams::new(console, request.hold_output);
    let turn = engines.turns().of(&request.space);
    let mut interrupt = pin!(interrupt);
    let (mut run, mut attempt, mut stopped) = (store.next_run(), 1, false);
    loop {
        // Whose output is held shows nothing before it is durable itself: it may read what is not yet. What others write to directories of the host
        // arrives only once it is durable.
        let early = request.hold_output && request.dirs.is_empty();
        let base = match early {
            true => store.newest_or_new(&request.space)?,
            false => store.head_or_new(&request.space)?,
        };
        let begin = RunBegin {
            at: WallTime(clock.wall()),
            component: *digest,
            content: *content,
            name: request.name.clone(),
            args: request.args.clone(),
            env: request.env.clone(),
            dirs: request.dirs.clone(),
            net: request.net.clone(),
            calls: request.calls.clone(),
            limits: request.limits.clone(),
            space: request.space.clone(),
            segment: base.segment,
            version: base.version,
            commit_on_failure: request.commit_on_failure,
            engine: description(),
            trace: http.trace,
        };
        let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
        let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
        let (network, callees) = (Arc::clone(&network), callees.clone());
        let joint = Joint::new(callees.clone(), &http.key, begin.trace, early);
        let surroundings = Surroundings { clock: Arc::clone(&clock), entropy, console, dirs, http, network, callees };
        let mut session = session(store, run, &begin, mode, surroundings, &GateOptions::default())?;
        session.callees = Some(joint.caller(run, &begin.space));
        let again = (attempt < ATTEMPTS).then_some(&streams);
        let live = Live {
            run,
            begin,
            sink,
            clock: Arc::clone(&clock),
            session,
            turn: turn.clone(),
            last: LastCommit::default(),
            joint,
        };
        let stop = async {
            if !stopped {
                interrupt.as_mut().await;
            }
        };
        let lost = match execute(store, engines, target, live, again, stop).await? {
            Concluded::Over(mut landed) => {
                landed.report.attempts = attempt;
                landed.streams = Some(streams);
                return Ok(*landed);
            }
            Concluded::Overtaken(lost) => lost,
        };
        // Others of this thread get on with theirs.
        tokio::task::yield_now().await;
        attempt += 1;
        let Lost { run: next, parts } = *lost;
        run = next;
        (entropy, console) = (parts.entropy, parts.console);
        (dirs, http) = (parts.dirs, parts.http);
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
    /// What was done in other spaces.
    pub joint: Joint,
}

impl Live {
    /// Lets the session commit on its way.
    fn with_commit_point(mut self, store: &Store) -> Self {
        let (space, sink, turn, last) =
            (self.begin.space.clone(), self.sink.clone(), self.turn.clone(), self.last.clone());
        let joint = self.joint.clone();
        self.session.commit_point =
            Some(Box::new(Point { store: store.clone(), run: self.run, space, sink, turn, last, joint }));
        self
    }
}

/// What became of an attempt.
pub(super) enum Concluded {
    /// The run is over, and has its place in the log.
    Over(Box<Landed>),
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
    http: HttpWorld,
}

/// What a gate is told beyond the run's own settings.
#[derive(Default)]
pub(crate) struct GateOptions {
    pub until: Option<Seq>,
    pub keep_payload: bool,
    pub hears: Option<crate::gate::Hears>,
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
    let Surroundings { clock, entropy, mut console, dirs, http, network, .. } = surroundings;
    let HttpWorld { request, reply, client, key, trace: _ } = http;
    let incoming = if request.is_some() { vec![console.stdin.take()] } else { Vec::new() };
    let dirs = dirs.into_iter().map(Some).collect();
    let mut session = session_of(store, run, begin, mode, clock, Some(entropy), console, dirs, options)?;
    session.http = Http { request, incoming, reply, client, key, traced: Traced::of(run, begin), ..Http::default() };
    session.sockets = Sockets::of((!session.setup.net.is_empty()).then_some(network));
    session.topics = Some(Arc::new(Subscribers::new(store.clone())));
    Ok(session)
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
    let txn = transaction(store, run, begin, dirs)?;
    Ok(session_over(store, txn, begin, mode, clock, entropy, console, options))
}

/// Runs what is set up and concludes it. `again` is there if the run may be executed once more.
pub(super) async fn execute(
    store: &Store,
    engines: &Engines,
    target: &Target,
    live: Live,
    again: Option<&Streams>,
    interrupt: impl Future<Output = ()>,
) -> Result<Concluded, RunError> {
    let mut live = live.with_commit_point(store);
    target.begin(&mut live.session.gate).map_err(RunError::Log)?;
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
    let Driven { stop, mut session, memory, .. } =
        drive(engines, target, live.session, Bounds { deadline, interrupt }).await;
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
    if let Outcome::Exit { .. } = outcome {
        session.close_sockets().await.map_err(RunError::Log)?;
    }
    conclude(store, Live { session, ..live }, outcome, memory, again).await
}

/// Commits or aborts what has ended. Returns when that has its place in the log.
pub(super) async fn conclude(
    store: &Store,
    live: Live,
    mut outcome: Outcome,
    memory: Option<u64>,
    again: Option<&Streams>,
) -> Result<Concluded, RunError> {
    let Live { run, begin, sink, clock, mut session, turn, last, joint } = live;
    let wanted = outcome.is_success() || (begin.commit_on_failure && matches!(outcome, Outcome::Exit { .. }));
    let mut proposal = None;
    if wanted {
        let at = WallTime(clock.wall());
        match session.txn.propose(at).and_then(|proposal| joint.join(proposal, at)) {
            Ok(writes) => proposal = Some(writes),
            Err(halt) => outcome = Outcome::HostFailure { message: halt.to_string() },
        }
    } else if again.is_some() && !outcome.is_cut() && joint.is_open() {
        let at = WallTime(clock.wall());
        proposal = session.txn.propose(at).and_then(|proposal| joint.ask(proposal, at)).unwrap_or_default();
    }
    let memory = if outcome.is_cut() { None } else { memory };
    session.gate.finish(RunEnds { outcome: outcome.clone(), memory }).map_err(RunError::Log)?;
    let usage = session.gate.usage();
    let remainder = sink.finish().map_err(RunError::Log)?;
    let ending = Ending {
        at: WallTime(clock.wall()),
        outcome,
        events: usage.events,
        logged_bytes: usage.logged_bytes,
        written_bytes: usage.written_bytes,
        memory,
        otherwise: last.otherwise(),
    };
    let committing = proposal.as_ref().filter(|_| wanted);
    let (posted, timed) = committing.map(|commit| (posted(commit), timed(commit))).unwrap_or_default();
    let left = session.sockets.has_left() || joint.has_left();
    let closing = Closing { store, turn: &turn, run, remainder, commit: proposal, ending, joint: &joint };
    let rewinds = || again.is_some_and(|streams| !left && last.get().is_none() && streams.rewind());
    match closing.close(rewinds).await? {
        Closed::Overtaken(run) => Ok(Concluded::Overtaken(Box::new(Lost { run, parts: Parts::of(session)? }))),
        Closed::Over(ordered) => {
            let (end, conflict) = (ordered.end.clone(), ordered.conflict.clone());
            let rolled_back = !matches!(end.disposition, Disposition::Committed { .. });
            let escaped = if rolled_back { session.http.escaped() } else { Vec::new() };
            let report = RunReport { run, end, undelivered: None, conflict, attempts: 1, posted, timed, escaped };
            Ok(Concluded::Over(Box::new(Landed { report, http: session.http, ordered, joint, streams: None })))
        }
    }
}

impl Parts {
    fn of(session: Session) -> Result<Self, RunError> {
        let lost = || RunError::Log(Halt::Host("a part of the run is lost between two attempts".into()));
        let dirs: Option<Vec<_>> = session.txn.files.into_dirs().into_iter().collect();
        let entropy = session.entropy.ok_or_else(lost)?;
        let Http { request, mut incoming, reply, client, key, traced, .. } = session.http;
        let mut console = session.console;
        if request.is_some() {
            console.stdin = incoming.first_mut().and_then(Option::take);
        }
        let trace = traced.map(|traced| traced.trace);
        let http = HttpWorld { request, reply, client, key, trace };
        Ok(Self { entropy, console, dirs: dirs.ok_or_else(lost)?, http })
    }
}
