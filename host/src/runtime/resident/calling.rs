//! A call of a resident as a transaction: memory, globals, handles, buckets and files commit together, or nothing does.

use std::future::Future;
use std::sync::Arc;

use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::message::Place;
use reel_abi::outcome::{Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, Entry, GUEST_KEY, Guest, LIFE_KEY, Life};
use reel_abi::trace::Trace;
use reel_abi::types::MonotonicReading;
use reel_abi::vocabulary::{CallBegins, RunEnds};
use reel_store::{AppendError, Ending, Head, Proposal, ReadError, Store, Submission};
use thiserror::Error;

use super::cells::{CellsError, cell};
use super::checkpoint::{CheckpointError, page_keys};
use super::enact::{Enacted, enact};
use super::function::FunctionError;
use super::household::Household;
use super::instance::{Instance, Ready, deadline};
use super::schedule::{self, Schedule};
use super::timers::{Timer, is_timer};
use super::waking::{WakeError, stay};
use crate::calls::http::state::Http;
use crate::engine::config::description;
use crate::gate::cursor::Cursor;
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Mode};
use crate::port::Topics;
use crate::runtime::again::Streams;
use crate::runtime::closing::{Closed, Closing, Ordered};
use crate::runtime::commit_point::append;
use crate::runtime::drive::{Bounds, Stop};
use crate::runtime::joined::Joint;
use crate::runtime::outbox::DeliveryError;
use crate::runtime::prepare::PrepareError;
use crate::runtime::run::{GateOptions, Surroundings, session};
use crate::runtime::sink::{LogSink, Remainder};
use crate::runtime::source::{GivenFrames, LoggedFrames, first_frames};
use crate::runtime::turns::Turn;

/// What is to be called.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The guest: its space.
    pub name: SpaceName,
    /// The function, as [`super::function::find`] knows it.
    pub function: String,
    /// Its arguments in WAVE.
    pub args: Vec<String>,
}

/// A call that is over.
#[derive(Debug)]
pub struct CallReport {
    /// Its run.
    pub run: RunId,
    /// How it ended, as it stands in the log.
    pub end: RunEnd,
    /// What the function gave, in WAVE, if it returned.
    pub results: Option<String>,
    /// Effects that are durable but have not arrived yet.
    pub undelivered: Option<DeliveryError>,
    /// Another transaction changed what this one had read, every time it was executed: what was overtaken.
    pub conflict: Option<String>,
    /// How often it was executed.
    pub attempts: u32,
    /// Calls that were replayed to bring the guest back before this one; nothing if it was awake.
    pub woken: Option<usize>,
}

/// Why there is no call, or none in the log.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nothing was deployed under the name.
    #[error("no guest was deployed as {0}")]
    NoSuchGuest(SpaceName),
    /// It takes no calls.
    #[error("{0} is stopped")]
    Stopped(SpaceName),
    /// A call of it sleeps.
    #[error("run {run}, a call of {name}, sleeps until {}", .until.0)]
    Asleep {
        /// The guest.
        name: SpaceName,
        /// The call.
        run: RunId,
        /// Wall-clock time.
        until: WallTime,
    },
    /// The timer that was due was cancelled, or set to another time.
    #[error("the timer is not set any more")]
    NotSet,
    /// The call cannot be gone on with.
    #[error("run {0} cannot be gone on with: {1}")]
    NotResumable(RunId, &'static str),
    /// It has never lived: it is a handler, or its deployment failed.
    #[error(
        "{0} has no memory of its own: it is a handler, which answers requests and other guests, or its deployment failed"
    )]
    Unborn(SpaceName),
    /// The function cannot be called like this.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// What lies in its space cannot be read.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// It cannot be brought back.
    #[error("it cannot be brought back: {0}")]
    Wake(#[from] WakeError),
    /// Its component cannot run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Its checkpoint could not be made.
    #[error("no checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The engine or the world cannot be set up.
    #[error("{0}")]
    World(String),
    /// The log cannot be written: nothing was committed.
    #[error("nothing was committed: {0}")]
    Append(#[from] AppendError),
    /// The log could not be written while the guest ran.
    #[error("nothing was committed: {0}")]
    Log(Halt),
}

impl From<ReadError> for CallError {
    fn from(error: ReadError) -> Self {
        Self::Cells(error.into())
    }
}

impl CallReport {
    /// Whether what it did is there.
    pub fn is_committed(&self) -> bool {
        matches!(self.end.disposition, Disposition::Committed { .. })
    }
}

/// The message that a call is made for, and what it is about.
pub(super) fn message_of(entry: &Entry) -> Option<(Place, &str)> {
    let Entry::Message { cell, topic, .. } = entry else { return None };
    Some((Place::parse(cell)?, topic))
}

/// How a call was entered, for those who look at its run.
pub(in crate::runtime) fn arguments_of(entry: &Entry) -> Vec<String> {
    match entry {
        Entry::Birth => vec!["birth".to_owned()],
        Entry::Function { name, args } | Entry::Timer { name, args, .. } | Entry::Joined { name, args, .. } => {
            vec![name.clone(), args.clone()]
        }
        Entry::Request { line } => vec![line.clone()],
        Entry::Forked { name } => vec!["forked".to_owned(), name.to_string()],
        Entry::Message { name, topic, cell } => {
            let id = Place::parse(cell).map(|place| place.id().to_string());
            vec![name.clone(), topic.clone(), id.unwrap_or_default()]
        }
    }
}

/// The spaces that get messages by what is to be committed.
pub(in crate::runtime) fn posted(commit: &Proposal) -> Vec<SpaceName> {
    let mut posted = written(commit, |cell| cell.family == family::QUEUE && cell.value != CellValue::Tombstone);
    posted.extend(commit.others.iter().map(|other| other.space.clone()));
    posted
}

/// The spaces of which timers change by what is to be committed.
pub(in crate::runtime) fn timed(commit: &Proposal) -> Vec<SpaceName> {
    written(commit, |cell| is_timer(cell.family, &cell.key))
}

/// The spaces in which a transaction writes such a cell.
fn written(commit: &Proposal, is_one: impl Fn(&Cell) -> bool) -> Vec<SpaceName> {
    let own = commit.cells.iter().any(&is_one).then(|| commit.space.clone());
    let parts = commit.joined.parts.iter().filter(|part| part.cells.iter().any(&is_one));
    own.into_iter().chain(parts.map(|part| part.space.clone())).collect()
}

/// One execution of a call.
pub(super) struct Attempt<'a> {
    pub store: &'a Store,
    pub ready: &'a Ready,
    pub run: RunId,
    pub name: &'a SpaceName,
    /// The version that it works on.
    pub base: Head,
    pub guest: &'a Guest,
    /// The life until now; nothing for a birth.
    pub life: Option<&'a Life>,
    pub entry: Entry,
    pub turn: &'a Turn,
    /// Whether it may be executed again if it is overtaken.
    pub again: bool,
    /// The request that it answers, if it does.
    pub body: Option<&'a Streams>,
    /// A wait from which on, in nanoseconds, the guest sleeps through it.
    pub sleeps_after: u64,
    /// Who has subscribed to what.
    pub topics: Arc<dyn Topics>,
    /// How it begins.
    pub beginning: Beginning,
    /// When the guest that is born is called by itself.
    pub schedules: &'a [Schedule],
}

/// How an execution begins.
#[derive(Debug, Clone)]
pub(super) enum Beginning {
    /// From nothing.
    Fresh,
    /// Where the log of the run ends, which was cut off or put to sleep.
    CutOff(Box<RunBegin>),
    /// As another run did until that event.
    Within {
        /// The run.
        run: RunId,
        /// The first event that is not taken from it.
        until: Seq,
    },
}

struct Prelude {
    begin: RunBegin,
    sink: LogSink,
    mode: Mode,
    /// The run whose numbers new files get.
    numbers: RunId,
}

/// What came of one.
pub(super) enum Attempted {
    /// It is over.
    Over(Box<Over>),
    /// Another transaction came first. The next attempt goes under this run.
    Overtaken(RunId),
    /// It waits for a long time. Nothing of it is in memory.
    Asleep(WallTime),
}

/// A call that is over, and has its place in the log.
pub(super) struct Over {
    pub made: Made,
    /// If it was committed: the guest after it, its life, and the version that it made.
    pub lives: Option<(Instance, Life, Head)>,
    /// How long the guest was at it.
    pub nanos: u64,
}

/// What is to be said of a call that has its place in the log, once it is durable.
#[must_use = "wait for it with `durable`"]
pub(super) struct Made {
    pub report: CallReport,
    /// What it leaves of HTTP.
    pub http: Http,
    /// The spaces of which it has changed timers.
    pub timed: Vec<SpaceName>,
    /// The spaces that it has sent messages to.
    pub posted: Vec<SpaceName>,
    pub ordered: Box<Ordered>,
    /// What it has said.
    pub streams: Option<Streams>,
    /// What it has done in other spaces.
    pub joint: Joint,
}

impl Made {
    /// Returns when it is durable.
    pub async fn durable(self, household: &Household) -> Result<(CallReport, Http), CallError> {
        let Self { report, http, timed, posted, ordered, streams, joint } = self;
        let undelivered = ordered.durable(&household.store).await?;
        if let Some(streams) = streams {
            streams.show();
        }
        joint.show();
        if report.is_committed() {
            household.has_committed(&posted, &timed);
        }
        Ok((CallReport { undelivered, ..report }, http))
    }
}

impl Attempt<'_> {
    /// Executes it and commits, or aborts. Returns when that has its place in the log.
    pub async fn make(
        self,
        world: Surroundings,
        instance: Option<Instance>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Attempted, CallError> {
        let clock = Arc::clone(&world.clock);
        let Prelude { begin, sink, mode, numbers } = self.prelude(WallTime(clock.wall()), world.http.trace)?;
        let joint = Joint::new(world.callees.clone(), &world.http.key, begin.trace, world.dirs.is_empty());
        let mut session = session(self.store, numbers, &begin, mode, world, &GateOptions::default())?;
        session.callees = Some(joint.caller(self.run, self.name));
        stay(&mut session, self.name);
        session.topics = Some(Arc::clone(&self.topics));
        session.txn.messages.sent_by(self.run, &begin);
        // Somebody waits for the answer to a request.
        let waits = matches!(self.entry, Entry::Request { .. });
        session.sleeps_after = (self.life.is_some() && !waits).then_some(self.sleeps_after);
        for key in [GUEST_KEY, LIFE_KEY] {
            session.txn.kept(family::RESIDENT, key).map_err(CallError::Log)?;
        }
        if self.life.is_none() {
            // Its checkpoints go with the life before, so none may come meanwhile.
            session.txn.kept(family::RESIDENT, CHECKPOINT_KEY).map_err(CallError::Log)?;
        }
        if let Some(life) = self.life {
            // Its time goes on while it sleeps.
            let now = match self.beginning {
                // A replay finds this one in the log, so that timers are the same in it.
                Beginning::Fresh => begin.at.0,
                Beginning::CutOff(_) | Beginning::Within { .. } => clock.wall(),
            };
            session.gate.go_on_from(MonotonicReading(now.saturating_sub(life.born.0)));
        }
        let call = CallBegins { entry: self.entry.clone(), after: self.life.map(|life| life.last) };
        let bounds = Bounds { deadline: deadline(self.guest.limits.deadline_millis), interrupt };
        let begun = clock.monotonic();
        let mut enacted = enact(self.ready, instance, session, call, bounds).await;
        if let Stop::Outcome(Outcome::Exit { .. }) = enacted.stop {
            enacted.session().close_sockets().await.map_err(CallError::Log)?;
        }
        let nanos = clock.monotonic().saturating_sub(begun);
        let mut attempted = self.conclude(enacted, sink, joint, WallTime(clock.wall())).await?;
        if let Attempted::Over(over) = &mut attempted {
            over.nanos = nanos;
        }
        Ok(attempted)
    }

    fn prelude(&self, at: WallTime, trace: Option<Trace>) -> Result<Prelude, CallError> {
        let (store, run) = (self.store.clone(), self.run);
        Ok(match &self.beginning {
            Beginning::Fresh => {
                let begin = self.begin(at, trace);
                let sink = LogSink::new(store, run, Some(begin.clone()));
                let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
                Prelude { begin, sink, mode, numbers: run }
            }
            Beginning::CutOff(begin) => {
                let logged = store.frames(run, Seq(0))?.last().map_or(Seq(0), |at| at.next());
                let cursor = Cursor::new(Box::new(LoggedFrames::new(&store, run)?));
                let sink = LogSink::new(store, run, None);
                let mode = Mode::Resume(cursor, Some(Recorder::new(logged, Box::new(sink.clone()))));
                Prelude { begin: (**begin).clone(), sink, mode, numbers: run }
            }
            Beginning::Within { run: other, until } => {
                let begin = self.begin(at, trace);
                let frames = first_frames(&store, *other, *until, run).map_err(CallError::Log)?;
                let cursor = Cursor::new(Box::new(GivenFrames::new(frames.clone())));
                let sink = LogSink::beginning_with(store, run, begin.clone(), frames);
                let mode = Mode::Resume(cursor, Some(Recorder::new(*until, Box::new(sink.clone()))));
                Prelude { begin, sink, mode, numbers: *other }
            }
        })
    }

    fn begin(&self, at: WallTime, trace: Option<Trace>) -> RunBegin {
        RunBegin {
            at,
            component: self.guest.component,
            content: self.guest.content,
            name: self.name.to_string(),
            args: arguments_of(&self.entry),
            env: self.guest.env.clone(),
            dirs: self.guest.dirs.clone(),
            net: self.guest.net.clone(),
            calls: self.guest.calls.clone(),
            limits: self.guest.limits.clone(),
            space: self.name.clone(),
            segment: self.base.segment,
            version: self.base.version,
            commit_on_failure: false,
            engine: description(),
            trace,
        }
    }

    async fn conclude(
        self,
        mut enacted: Enacted,
        sink: LogSink,
        joint: Joint,
        at: WallTime,
    ) -> Result<Attempted, CallError> {
        let stop = std::mem::replace(&mut enacted.stop, Stop::Until(Seq(0)));
        let mut outcome = match stop {
            Stop::Outcome(outcome) => outcome,
            Stop::Asleep(until) => {
                let Remainder { begun, frames } = sink.finish().map_err(CallError::Log)?;
                let submission = Submission { run: self.run, begun, frames, commit: None, ending: None };
                append(self.store, submission).await?;
                return Ok(Attempted::Asleep(until));
            }
            Stop::Diverged(mismatch) => Outcome::HostFailure {
                message: format!("what it did until it was cut off was done otherwise from event {} on", mismatch.seq),
            },
            Stop::LogEnds(_) | Stop::Until(_) => {
                Outcome::HostFailure { message: "a live call stopped as only a replay does".into() }
            }
        };
        let mut proposal = None;
        if outcome.is_success() {
            let proposed = self.propose(&mut enacted, at);
            match proposed.and_then(|(life, proposal)| Ok((life, joint.join(proposal, at)?))) {
                Ok(proposed) => proposal = Some(proposed),
                Err(halt) => outcome = Outcome::HostFailure { message: halt.to_string() },
            }
        }
        let mut asked = None;
        if self.again && proposal.is_none() && !outcome.is_cut() && joint.is_open() {
            let proposed = enacted.session().txn.propose(at);
            asked = proposed.and_then(|proposal| joint.ask(proposal, at)).unwrap_or_default();
        }
        let left = enacted.session().sockets.has_left() || joint.has_left();
        let gate = &mut enacted.session().gate;
        gate.finish(RunEnds { outcome: outcome.clone(), memory: None }).map_err(CallError::Log)?;
        let usage = gate.usage();
        let remainder = sink.finish().map_err(CallError::Log)?;
        let ending = Ending {
            at,
            outcome,
            events: usage.events,
            logged_bytes: usage.logged_bytes,
            written_bytes: usage.written_bytes,
            memory: None,
            otherwise: Disposition::Aborted,
        };
        let (life, commit) = proposal.unzip();
        let timed = commit.as_ref().map(timed).unwrap_or_default();
        let posted = commit.as_ref().map(posted).unwrap_or_default();
        let (store, turn, run, commit) = (self.store, self.turn, self.run, commit.or(asked));
        let closing = Closing { store, turn, run, remainder, commit, ending, joint: &joint };
        let closed = closing.close(|| self.again && !left && self.body.is_none_or(Streams::rewind)).await?;
        let ordered = match closed {
            Closed::Overtaken(next) => return Ok(Attempted::Overtaken(next)),
            Closed::Over(ordered) => ordered,
        };
        let (end, conflict) = (ordered.end.clone(), ordered.conflict.clone());
        let version = match &end.disposition {
            Disposition::Committed { version, .. } => Some(*version),
            _ => None,
        };
        let http = std::mem::take(&mut enacted.session().http);
        let Enacted { guest, results, .. } = enacted;
        let head = version.map(|version| Head { segment: self.base.segment, version });
        let lives = head.and_then(|head| Some((guest.ok()?, life?, head)));
        let results = results.filter(|_| version.is_some());
        let report = CallReport { run: self.run, end, results, undelivered: None, conflict, attempts: 1, woken: None };
        let made = Made { report, http, timed, posted, ordered, streams: None, joint };
        Ok(Attempted::Over(Box::new(Over { made, lives, nanos: 0 })))
    }

    /// What is to be committed: what the guest has changed, and where its life stands now.
    fn propose(&self, enacted: &mut Enacted, at: WallTime) -> Result<(Life, Proposal), Halt> {
        if let Some(timer) = Timer::of(&self.entry) {
            timer.settle(enacted.session(), at)?;
        }
        if let Some((place, _)) = message_of(&self.entry) {
            enacted.session().txn.messages.take(place);
        }
        let mut proposal = enacted.session().txn.propose(at)?;
        let life = match self.life {
            None => Life { birth: self.run, born: at, last: self.run, calls: 0, name: self.name.clone() },
            Some(life) => {
                let calls = life.calls + u64::from(!matches!(self.entry, Entry::Birth | Entry::Forked { .. }));
                Life { last: self.run, calls, name: self.name.clone(), ..life.clone() }
            }
        };
        let blobs = self.store.blobs();
        if self.life.is_none() {
            proposal.cells.push(cell(blobs, GUEST_KEY, self.guest)?);
            let (family, key) = (family::RESIDENT, CHECKPOINT_KEY.to_vec().into());
            proposal.cells.push(Cell { family, key, value: CellValue::Tombstone });
            let view = self.store.view(self.base).map_err(|e| Halt::host("reading the space", &e))?;
            let scheduled = schedule::cells(self.store, &view, self.schedules, at);
            schedule::add(&mut proposal, scheduled.map_err(|e| Halt::host("reading the timers", &e))?);
            for key in page_keys(&view).map_err(|e| Halt::host("reading the space", &e))? {
                proposal.cells.push(Cell { family: family::PAGE, key: key.into(), value: CellValue::Tombstone });
            }
        }
        proposal.cells.push(cell(blobs, LIFE_KEY, &life)?);
        proposal.cells.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        Ok((life, proposal))
    }
}
