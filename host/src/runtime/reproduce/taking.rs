//! Taking a run out of a database: it is replayed through a handle that notes all it reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use reel_abi::faults::Base;
use reel_abi::id::{Digest, RunId, Seq, WallTime};
use reel_abi::outcome::Disposition;
use reel_abi::record::{Cell, Frame};
use reel_abi::reproducer::{About, Committed, FILE_MAX_BYTES, Packed, ReadRange, Reproducer, ReproducerError, State};
use reel_abi::resident::Entry;
use reel_abi::vocabulary::{Call, TxnCommit};
use reel_store::{Made, ReadError, RunRecord, Seen, Store};
use thiserror::Error;

use super::checking::{BadFile, Checked, check};
use super::finding::{of_cell, packed};
use super::origin::origin;
use super::redacting::{Redaction, Unredacted, redact};
use crate::calls::session::Console;
use crate::gate::divergence::Divergence;
use crate::port::Clock;
use crate::runtime::engines::Engines;
use crate::runtime::handlers::occasion;
use crate::runtime::named::named;
use crate::runtime::prepare::{PrepareError, kept};
use crate::runtime::replay::{ReplayError, replay_heard};
use crate::runtime::resident::cells::call_begin;
use crate::runtime::{ReplayRequest, Verdict};

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// The run.
    pub run: RunId,
    /// What nobody shall see.
    pub redact: Vec<Redaction>,
    /// The build that does it, for the file.
    pub build: String,
}

/// Why a run cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// There is no such run.
    #[error("there is no run {0} in this database")]
    NoSuchRun(RunId),
    /// No guest made it.
    #[error("run {0} was made by `{1}`: there is no guest to execute again")]
    NoGuest(RunId, String),
    /// It was imported.
    #[error("run {0} was imported: the file that it came from is its reproducer")]
    Imported(RunId),
    /// It is a call of a resident.
    #[error("run {0} is a call of a resident: what it needs is the whole life of the guest, which no file holds")]
    Resident(RunId),
    /// It is a part of another.
    #[error("run {run} is a part of the transaction of run {caller}, and cannot be executed without that")]
    Joined {
        /// The run.
        run: RunId,
        /// Its caller.
        caller: RunId,
    },
    /// It does not replay.
    #[error("run {0} does not replay: it diverges at {0}@{1}, so that a reproducer of it would not either")]
    Diverged(RunId, Seq, Box<Divergence>),
    /// It has read too much.
    #[error("run {0} has read more of its space than a reproducer holds")]
    TooMuch(RunId),
    /// A payload is gone.
    #[error("the payload {0} that the run needs is not in the database")]
    Missing(Digest),
    /// The replay could not be made.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The component cannot be read.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// It does not fit into a file.
    #[error(transparent)]
    File(#[from] ReproducerError),
    /// What was made is no reproducer: a defect, or a damaged database.
    #[error("what was taken of the run is no reproducer: {0}")]
    Bad(#[from] BadFile),
    /// What was to be redacted cannot be.
    #[error(transparent)]
    Unredacted(#[from] Unredacted),
}

/// Takes a run out of a database. What is returned was checked, but not replayed.
pub async fn export(
    store: &Store,
    engines: &Engines,
    request: ExportRequest,
    clock: Arc<dyn Clock>,
    on_compile: &dyn Fn(),
) -> Result<Checked, ExportError> {
    let run = request.run;
    let record = store.run(run)?.ok_or(ExportError::NoSuchRun(run))?;
    if record.begin.component == Digest::of(b"") {
        return Err(ExportError::NoGuest(run, record.begin.name));
    }
    if origin(store, &record)?.is_some() {
        return Err(ExportError::Imported(run));
    }
    match call_begin(store, run).map_err(ReplayError::from)? {
        Some(call) if occasion::is_one(&call) => {}
        Some(call) => {
            return Err(match call.entry {
                Entry::Joined { caller, .. } => ExportError::Joined { run, caller },
                _ => ExportError::Resident(run),
            });
        }
        None => {}
    }
    let noting = store.noting();
    let heard = super::redacting::Heard::default();
    let hears = (!request.redact.is_empty()).then(|| heard.hears());
    let asked = ReplayRequest { run, until: None, with: None, keep_payload: false };
    let at = WallTime(clock.wall());
    let report = replay_heard(&noting, engines, asked, clock, Console::default(), on_compile, hears).await?;
    if let Verdict::Diverged(divergence) = report.verdict {
        return Err(ExportError::Diverged(run, divergence.mismatch.seq, divergence));
    }
    let noted = noting.noted();
    if noted.too_much {
        return Err(ExportError::TooMuch(run));
    }
    let component = kept(store, record.begin.component, record.begin.content)?;
    let (frames, commits_on_its_way, mut wanted) = events(store, run)?;
    let commits = commits(store, &record, commits_on_its_way)?;
    let states: Vec<State> = noted.states.into_iter().map(|(head, seen)| state(head, seen)).collect();
    let cells = states.iter().flat_map(|state| &state.cells).chain(commits.iter().flat_map(|commit| &commit.cells));
    wanted.extend(cells.filter_map(of_cell));
    let blobs = packed(store, wanted)?.into_values().collect();
    let redacted = request.redact.iter().map(Redaction::to_string).collect();
    let about = About { run, begin: record.begin, end: record.end, at, build: request.build, redacted };
    let mut file = Reproducer { about, component: Packed::of(&component)?, states, commits, frames, blobs };
    if !request.redact.is_empty() {
        file = redact(file, &request.redact, &heard)?;
    }
    Ok(check(&file.to_file()?)?)
}

/// The frames of a run, how often it committed on its way, and the payloads that its events name.
fn events(store: &Store, run: RunId) -> Result<(Vec<Frame>, u64, BTreeSet<Digest>), ExportError> {
    let (mut frames, mut commits, mut wanted, mut bytes) = (Vec::new(), 0, BTreeSet::new(), 0);
    let damaged = |why: String| ExportError::File(ReproducerError::Unpack { what: "a frame", why });
    for at in store.frames(run, Seq(0))? {
        let frame = store.frame(&at)?;
        bytes += frame.packed.len() as u64;
        if bytes > FILE_MAX_BYTES {
            return Err(ReproducerError::TooLong(bytes).into());
        }
        let raw = frame.unpack().map_err(|error| damaged(error.to_string()))?;
        for digest in named(&frame, &raw).map_err(damaged)? {
            // The digest of a binary or memory is no payload's.
            if store.blobs().contains(&digest)? {
                wanted.insert(digest);
            }
        }
        let decoded = reel_abi::event::decode(&frame, &raw).map_err(|error| damaged(error.to_string()))?;
        let committed = |event: &reel_abi::vocabulary::EventView| {
            event.code == TxnCommit::CODE && !matches!(event.reply, reel_abi::value::Value::Failure(_))
        };
        commits += decoded.iter().filter(|(_, event)| committed(event)).count() as u64;
        frames.push(frame);
    }
    Ok((frames, commits, wanted))
}

/// What the run committed to its own space, oldest first.
fn commits(store: &Store, record: &RunRecord, on_its_way: u64) -> Result<Vec<Committed>, ExportError> {
    let space = &record.begin.space;
    let last = match record.end.as_ref().map(|end| &end.disposition) {
        Some(Disposition::Committed { commit, .. } | Disposition::Partly { commit, .. }) => Some(*commit),
        _ => None,
    };
    let mut numbers: BTreeSet<_> = last.into_iter().collect();
    if on_its_way > 0 {
        for made in store.history(space)? {
            if let Made::Commit { commit, run } = made.made
                && run == record.run
            {
                numbers.insert(commit);
            }
        }
    }
    let mut commits = Vec::new();
    for number in numbers {
        let Some(commit) = store.commit(number)? else { continue };
        let own = commit.spaces.into_iter().find(|change| change.space == *space);
        let at = commit.at;
        commits.extend(own.map(|change| Committed { number, version: change.version, at, cells: change.cells }));
    }
    Ok(commits)
}

fn state(head: reel_store::Head, seen: Seen) -> State {
    let cells = seen.cells.into_iter();
    let ranges = seen.ranges.into_iter();
    State {
        base: Base { segment: head.segment, version: head.version },
        cells: cells.map(|((family, key), value)| Cell { family, key: key.into(), value }).collect(),
        ranges: ranges
            .map(|(family, from, until)| ReadRange { family, from: from.into(), until: until.map(Into::into) })
            .collect(),
    }
}
