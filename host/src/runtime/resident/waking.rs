//! Bringing a resident back from its space: born again, then through the calls of its life, all from the log.

use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::resident::{Checkpoint, Life};
use reel_abi::types::MonotonicReading;
use reel_abi::vocabulary::RunEnds;
use reel_store::{Head, ReadError, Store};
use thiserror::Error;

use super::capture::{CaptureError, Pages, put_back};
use super::cells::{CellsError, Lodging, call_begin};
use super::checkpoint::{earlier, kept_pages};
use super::enact::{Enacted, enact};
use super::instance::{Instance, Ready, unbounded};
use crate::calls::session::{Console, Session};
use crate::engine::instrument::INSTRUMENT_VERSION;
use crate::engine::memory::GuestMemories;
use crate::gate::cursor::Cursor;
use crate::gate::{Halt, Mode};
use crate::port::Clock;
use crate::runtime::drive::{Stop, stop_of};
use crate::runtime::run::{GateOptions, session_of};
use crate::runtime::source::LoggedFrames;

/// Why a resident cannot be brought back.
#[derive(Debug, Error)]
pub enum WakeError {
    /// What lies in its space cannot be read.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// A call of its life is not there any more.
    #[error("run {0}, a call of its life, is not in the log")]
    Missing(RunId),
    /// The engine does not take the component.
    #[error("the component cannot be set up: {0}")]
    Engine(String),
    /// A checkpoint cannot be put back.
    #[error("a checkpoint cannot be put back: {0}")]
    Checkpoint(#[from] CaptureError),
    /// A replay did not do what the log says.
    #[error("the replay of run {run}, a call of its life, stopped: {why}; `reel replay {run}` shows more")]
    Stopped {
        /// The run.
        run: RunId,
        /// How.
        why: String,
    },
}

impl From<ReadError> for WakeError {
    fn from(error: ReadError) -> Self {
        Self::Cells(error.into())
    }
}

/// A call that was executed again.
pub(crate) struct Relived {
    /// The guest after it, if it can take another call.
    pub(super) alive: Option<Instance>,
    /// Its memories as they are now, whether it can or not.
    pub(in crate::runtime) memories: GuestMemories,
    /// How it stopped, the end mark included.
    pub stop: Stop,
    /// Events that were compared.
    pub events: u64,
    /// The last payload that became part of an event, if it was to be kept.
    pub payload: Option<(reel_abi::id::Seq, Vec<u8>)>,
}

/// Checkpoints that are tried, the newest first, before all is replayed.
const CHECKPOINTS: usize = 8;

/// A resident that was brought back.
pub(crate) struct Woken {
    /// It, awake.
    pub instance: Instance,
    /// What is known of its pages.
    pub pages: Pages,
    /// Calls that were replayed.
    pub replayed: usize,
}

/// Brings back the resident of a lodging as it was after the last call of its life.
pub(crate) async fn wake(
    store: &Store,
    ready: &Ready,
    lodging: &Lodging,
    life: &Life,
    clock: &Arc<dyn Clock>,
) -> Result<Woken, WakeError> {
    let mut runs = Vec::new();
    let checkpoints = earlier(store, lodging.head, CHECKPOINTS)?;
    let pages = if checkpoints.is_empty() { Pages::default() } else { Pages::among_strangers() };
    if ready.plan.is_ok() {
        for (place, (at, checkpoint)) in checkpoints.into_iter().enumerate() {
            let Some(checkpoint) = checkpoint else { continue };
            let fits = checkpoint.birth == life.birth
                && checkpoint.component == lodging.guest.component
                && checkpoint.prepared == INSTRUMENT_VERSION;
            if !fits || !since(store, life, checkpoint.after, &mut runs)? {
                continue;
            }
            match from_checkpoint(store, ready, life, clock, at, &checkpoint).await {
                Ok(mut woken) => {
                    for run in runs.iter().rev() {
                        woken.instance =
                            again(store, ready, Some(woken.instance), *run, Some(life.born), clock).await?;
                    }
                    woken.replayed = runs.len();
                    if place > 0 {
                        woken.pages = Pages::among_strangers();
                    }
                    return Ok(woken);
                }
                Err(error) => tracing::warn!(%error, after = %checkpoint.after, "a checkpoint is of no use"),
            }
        }
    }
    if !since(store, life, life.birth, &mut runs)? {
        return Err(WakeError::Missing(life.birth));
    }
    let mut instance = born(store, ready, life, clock).await?;
    for run in runs.iter().rev() {
        instance = again(store, ready, Some(instance), *run, Some(life.born), clock).await?;
    }
    Ok(Woken { instance, pages, replayed: runs.len() })
}

async fn from_checkpoint(
    store: &Store,
    ready: &Ready,
    life: &Life,
    clock: &Arc<dyn Clock>,
    at: Head,
    checkpoint: &Checkpoint,
) -> Result<Woken, WakeError> {
    let mut instance = born(store, ready, life, clock).await?;
    let view = store.view(at)?;
    let mut pages = Pages::default();
    let kept = kept_pages(store.blobs(), &view);
    put_back(&mut instance, ready, &checkpoint.memories, kept, &checkpoint.residue, &mut pages).await?;
    Ok(Woken { instance, pages, replayed: 0 })
}

/// The guest at its birth, which is executed again from the log.
async fn born(store: &Store, ready: &Ready, life: &Life, clock: &Arc<dyn Clock>) -> Result<Instance, WakeError> {
    let instance = again(store, ready, None, life.birth, None, clock).await?;
    if ready.plan_for(&instance).is_ok() {
        instance.settle(&ready.births).map_err(CaptureError::from)?;
    }
    Ok(instance)
}

/// Executes a call of a life again.
pub(crate) async fn again(
    store: &Store,
    ready: &Ready,
    instance: Option<Instance>,
    run: RunId,
    born: Option<WallTime>,
    clock: &Arc<dyn Clock>,
) -> Result<Instance, WakeError> {
    let again = Again { store, run, born, clock, console: Console::default(), options: GateOptions::default() };
    let Relived { alive, stop, .. } = again.relive(ready, instance).await?;
    alive.ok_or_else(|| WakeError::Stopped { run, why: words(&stop) })
}

/// The runs of a life after one of them, the last one first; `false` if that is none of them. What was found earlier is not looked for again.
pub(super) fn since(store: &Store, life: &Life, after: RunId, runs: &mut Vec<RunId>) -> Result<bool, WakeError> {
    if let Some(place) = runs.iter().position(|run| *run == after) {
        runs.truncate(place);
        return Ok(true);
    }
    if life.last == after {
        runs.clear();
        return Ok(true);
    }
    if runs.is_empty() {
        runs.push(life.last);
    }
    while let Some(run) = runs.last().copied().filter(|run| *run > after) {
        let begin = call_begin(store, run)?.ok_or(WakeError::Missing(run))?;
        match begin.after.filter(|before| *before < run) {
            Some(before) if before == after => return Ok(true),
            Some(before) => runs.push(before),
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// A call that is to be executed again, from the log.
pub(super) struct Again<'a> {
    pub store: &'a Store,
    pub run: RunId,
    /// When the life of the guest began; nothing for its birth.
    pub born: Option<WallTime>,
    pub clock: &'a Arc<dyn Clock>,
    pub console: Console,
    pub options: GateOptions,
}

impl Again<'_> {
    /// Executes it on the guest as it was before; for its birth, on none.
    pub async fn relive(self, ready: &Ready, instance: Option<Instance>) -> Result<Relived, WakeError> {
        let Self { store, run, born, clock, console, options } = self;
        let begin = store.run(run)?.ok_or(WakeError::Missing(run))?.begin;
        let call = call_begin(store, run)?.ok_or(WakeError::Missing(run))?;
        let mode = Mode::Replay(Cursor::new(Box::new(LoggedFrames::new(store, run)?)));
        let dirs = begin.dirs.iter().map(|_| None).collect();
        let mut session = session_of(store, run, &begin, mode, Arc::clone(clock), None, console, dirs, &options)?;
        stay(&mut session, &begin.space);
        if let Some(born) = born {
            session.gate.go_on_from(MonotonicReading(begin.at.0.saturating_sub(born.0)));
        }
        let mut enacted = enact(ready, instance, session, call, unbounded()).await;
        if let Stop::Outcome(outcome) = &enacted.stop {
            let end = RunEnds { outcome: outcome.clone(), memory: None };
            let gate = &mut enacted.session().gate;
            if let Err(halt) = gate.finish(end) {
                enacted.stop = halted(halt);
            }
        }
        let gate = &mut enacted.session().gate;
        let (events, payload) = (gate.usage().events, gate.take_payload());
        let stop = std::mem::replace(&mut enacted.stop, Stop::Until(reel_abi::id::Seq(0)));
        let alive = matches!(&stop, Stop::Outcome(outcome) if outcome.is_success());
        let Enacted { guest, memories, .. } = enacted;
        Ok(Relived { alive: guest.ok().filter(|_| alive), memories, stop, events, payload })
    }
}

fn halted(halt: Halt) -> Stop {
    stop_of(halt.into(), 0)
}

/// Makes a session one of a resident, which knows itself by its name.
pub(in crate::runtime) fn stay(session: &mut Session, name: &SpaceName) {
    session.resident = true;
    session.setup.args = vec![name.to_string()];
}

pub(super) fn words(stop: &Stop) -> String {
    match stop {
        Stop::Outcome(outcome) => outcome.to_string(),
        Stop::Diverged(mismatch) => format!("it diverged at event {}", mismatch.seq),
        Stop::LogEnds(seq) => format!("its log ends at event {seq}"),
        Stop::Until(seq) => format!("stopped at event {seq}"),
        Stop::Asleep(_) => "it was put to sleep".to_owned(),
    }
}
