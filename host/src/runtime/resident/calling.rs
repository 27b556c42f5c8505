//! A call of a resident as a transaction: memory, globals, handles, buckets and files commit together, or nothing does.

use std::future::Future;
use std::sync::Arc;

use reel_abi::id::{CommitNo, RunId, Seq, SpaceName, Version, WallTime};
use reel_abi::outcome::{Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, Entry, GUEST_KEY, Guest, LIFE_KEY, Life};
use reel_abi::types::MonotonicReading;
use reel_abi::vocabulary::{CallBegins, RunEnds};
use reel_store::{AppendError, Ending, Head, Proposal, ReadError, Store, Submission};
use thiserror::Error;

use super::cells::{CellsError, cell};
use super::checkpoint::{CheckpointError, page_keys};
use super::enact::{Enacted, enact};
use super::function::FunctionError;
use super::instance::{Instance, Ready, deadline};
use super::timers::{Timer, is_timer};
use super::waking::{WakeError, stay};
use crate::engine::config::description;
use crate::gate::cursor::Cursor;
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Mode};
use crate::runtime::commit_point::append;
use crate::runtime::drive::{Bounds, Stop};
use crate::runtime::outbox::{DeliveryError, deliver};
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
    /// It has never lived: its deployment failed.
    #[error("{0} was deployed but never born")]
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
    /// A wait from which on, in nanoseconds, the guest sleeps through it.
    pub sleeps_after: u64,
    /// How it begins.
    pub beginning: Beginning,
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

/// A call that is over, in the log.
pub(super) struct Over {
    pub report: CallReport,
    /// If it was committed: the guest after it, its life, and the version that it made.
    pub lives: Option<(Instance, Life, Head)>,
    /// Whether it has changed timers.
    pub timers: bool,
    /// How long the guest was at it.
    pub nanos: u64,
}

impl Attempt<'_> {
    /// Executes it and commits, or aborts. Returns when that is durable.
    pub async fn make(
        self,
        world: Surroundings,
        instance: Option<Instance>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Attempted, CallError> {
        let clock = Arc::clone(&world.clock);
        let Prelude { begin, sink, mode, numbers } = self.prelude(WallTime(clock.wall()))?;
        let mut session = session(self.store, numbers, &begin, mode, world, &GateOptions::default())?;
        stay(&mut session, self.name);
        session.sleeps_after = self.life.is_some().then_some(self.sleeps_after);
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
        let enacted = enact(self.ready, instance, session, call, bounds).await;
        let nanos = clock.monotonic().saturating_sub(begun);
        let mut attempted = self.conclude(enacted, sink, WallTime(clock.wall())).await?;
        if let Attempted::Over(over) = &mut attempted {
            over.nanos = nanos;
        }
        Ok(attempted)
    }

    fn prelude(&self, at: WallTime) -> Result<Prelude, CallError> {
        let (store, run) = (self.store.clone(), self.run);
        Ok(match &self.beginning {
            Beginning::Fresh => {
                let begin = self.begin(at);
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
                let begin = self.begin(at);
                let frames = first_frames(&store, *other, *until, run).map_err(CallError::Log)?;
                let cursor = Cursor::new(Box::new(GivenFrames::new(frames.clone())));
                let sink = LogSink::beginning_with(store, run, begin.clone(), frames);
                let mode = Mode::Resume(cursor, Some(Recorder::new(*until, Box::new(sink.clone()))));
                Prelude { begin, sink, mode, numbers: *other }
            }
        })
    }

    fn begin(&self, at: WallTime) -> RunBegin {
        let args = match &self.entry {
            Entry::Birth => vec!["birth".to_owned()],
            Entry::Function { name, args } | Entry::Timer { name, args, .. } => vec![name.clone(), args.clone()],
            Entry::Forked { name } => vec!["forked".to_owned(), name.to_string()],
        };
        RunBegin {
            at,
            component: self.guest.component,
            content: self.guest.content,
            name: self.name.to_string(),
            args,
            env: self.guest.env.clone(),
            dirs: self.guest.dirs.clone(),
            limits: self.guest.limits.clone(),
            space: self.name.clone(),
            segment: self.base.segment,
            version: self.base.version,
            commit_on_failure: false,
            engine: description(),
        }
    }

    async fn conclude(self, mut enacted: Enacted, sink: LogSink, at: WallTime) -> Result<Attempted, CallError> {
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
            match self.propose(&mut enacted, at) {
                Ok(proposed) => proposal = Some(proposed),
                Err(halt) => outcome = Outcome::HostFailure { message: halt.to_string() },
            }
        }
        let gate = &mut enacted.session().gate;
        gate.finish(RunEnds { outcome: outcome.clone(), memory: None }).map_err(CallError::Log)?;
        let usage = gate.usage();
        let Remainder { begun, frames } = sink.finish().map_err(CallError::Log)?;
        let ending = |otherwise: Disposition| Ending {
            at,
            outcome: outcome.clone(),
            events: usage.events,
            logged_bytes: usage.logged_bytes,
            written_bytes: usage.written_bytes,
            memory: None,
            otherwise,
        };
        let (life, commit) = proposal.unzip();
        let timers =
            commit.as_ref().is_some_and(|commit| commit.cells.iter().any(|cell| is_timer(cell.family, &cell.key)));
        let outbox = commit.as_ref().map(|commit| commit.outbox.clone()).unwrap_or_default();
        let kept = commit.is_some().then(|| (begun.clone(), frames.clone()));
        let ended = ending(Disposition::Aborted);
        let submission = Submission { run: self.run, begun, frames, commit, ending: Some(ended.clone()) };
        let allowed = self.turn.to_commit().await;
        let result = append(self.store, submission).await;
        drop(allowed);
        let (mut conflict, mut committed, mut disposition) = (None, None, Disposition::Aborted);
        match (result, kept) {
            (Ok(receipt), _) => {
                committed = receipt.committed;
                if let Some((commit, version)) = committed {
                    disposition = Disposition::Committed { commit, version };
                }
            }
            (Err(AppendError::Conflict { what, .. }), Some((begun, frames))) => {
                if self.again && begun.is_some() {
                    return Ok(Attempted::Overtaken(self.run));
                }
                let next = self.again.then(|| self.store.next_run());
                disposition = Disposition::Lost { again: next };
                let ending = Some(ending(disposition.clone()));
                append(self.store, Submission { run: self.run, begun, frames, commit: None, ending }).await?;
                if let Some(next) = next {
                    return Ok(Attempted::Overtaken(next));
                }
                conflict = Some(what);
            }
            (Err(error), _) => return Err(error.into()),
        }
        let undelivered = match committed {
            Some((commit, _)) if !outbox.is_empty() => deliver(self.store, commit, &outbox).err(),
            _ => None,
        };
        let Ending { at, outcome, events, logged_bytes, written_bytes, memory, .. } = ended;
        let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
        let Enacted { guest, results, .. } = enacted;
        let lives = self.lives(guest.ok(), life, committed);
        let results = results.filter(|_| committed.is_some());
        let report = CallReport { run: self.run, end, results, undelivered, conflict, attempts: 1, woken: None };
        Ok(Attempted::Over(Box::new(Over { report, lives, timers, nanos: 0 })))
    }

    fn lives(
        &self,
        guest: Option<Instance>,
        life: Option<Life>,
        committed: Option<(CommitNo, Version)>,
    ) -> Option<(Instance, Life, Head)> {
        let (_, version) = committed?;
        Some((guest?, life?, Head { segment: self.base.segment, version }))
    }

    /// What is to be committed: what the guest has changed, and where its life stands now.
    fn propose(&self, enacted: &mut Enacted, at: WallTime) -> Result<(Life, Proposal), Halt> {
        if let Some(timer) = Timer::of(&self.entry) {
            timer.settle(enacted.session(), at)?;
        }
        let mut proposal = enacted.session().txn.propose(at)?;
        let life = match self.life {
            None => Life { birth: self.run, born: at, last: self.run, calls: 0, name: self.name.clone() },
            Some(life) => {
                let calls = life.calls + u64::from(matches!(self.entry, Entry::Function { .. } | Entry::Timer { .. }));
                Life { last: self.run, calls, name: self.name.clone(), ..life.clone() }
            }
        };
        let blobs = self.store.blobs();
        if self.life.is_none() {
            proposal.cells.push(cell(blobs, GUEST_KEY, self.guest)?);
            let (family, key) = (family::RESIDENT, CHECKPOINT_KEY.to_vec().into());
            proposal.cells.push(Cell { family, key, value: CellValue::Tombstone });
            let before = self.store.view(self.base).and_then(|view| page_keys(&view));
            for key in before.map_err(|e| Halt::host("reading the space", &e))? {
                proposal.cells.push(Cell { family: family::PAGE, key: key.into(), value: CellValue::Tombstone });
            }
        }
        proposal.cells.push(cell(blobs, LIFE_KEY, &life)?);
        proposal.cells.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        Ok((life, proposal))
    }
}
