//! Putting a reproducer into a database: a space of its own, and the run in it.
//!
//! ```text
//! there    317: read ── 318: the run commits ── 321: read ── 322: the run commits
//! here     1: what was read at 317 ── 2: the run's commit ── 3: what else was read at 321 ── 4: the run's commit
//! ```
//!
//! Nothing of it goes further: effects on the host, messages to others and their runs are not part of it, and a guest that lived in the space there
//! does not live here.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName, Version};
use reel_abi::outcome::{Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::record::{Cell, CellValue, Frame, ORIGIN_KEY, Origin, family};
use reel_abi::reproducer::{BLOB_MAX_BYTES, Committed, ReproducerError, State};
use reel_abi::wire::Wire;
use reel_store::{AppendError, Ending, Head, Proposal, ReadError, Store, Submission};
use thiserror::Error;

use super::checking::Checked;
use crate::gate::Halt;
use crate::port::Clock;
use crate::runtime::resident::checkpoint::{CheckpointError, commit_counted};
use crate::txn::values::{self, keep};

/// What was imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The run.
    pub run: RunId,
    /// Its space.
    pub space: SpaceName,
    /// The version that it reads first.
    pub version: Version,
}

/// Why a reproducer was not imported.
#[derive(Debug, Error)]
pub enum PutError {
    /// A payload cannot be unpacked.
    #[error(transparent)]
    Bytes(#[from] ReproducerError),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was read cannot be made a version.
    #[error(transparent)]
    Commit(#[from] CheckpointError),
    /// What is to be kept of it cannot be.
    #[error("{0}")]
    Keep(Halt),
}

/// A version to be made.
enum Step<'a> {
    /// Of what was read.
    Read(Vec<Cell>),
    /// Of what the run wrote.
    Own(&'a Committed),
}

/// Puts a reproducer into a space that there is not yet.
pub fn put(store: &Store, checked: &Checked, space: &SpaceName, clock: &Arc<dyn Clock>) -> Result<Imported, PutError> {
    let file = &checked.file;
    let about = &file.about;
    if let Some(head) = store.head(space)? {
        return Err(AppendError::Exists { space: space.clone(), head }.into());
    }
    for packed in &file.blobs {
        store.blobs().put(packed.unpack("a payload", BLOB_MAX_BYTES)?)?;
    }
    let content = keep(store.blobs(), &checked.component)?;
    let (run, mut head) = (store.next_run(), store.head_or_new(space)?);
    let began = (about.begin.version, about.begin.segment);
    let mut states: Vec<&State> = file.states.iter().collect();
    states.sort_by_key(|state| (state.base.version, state.base.segment));
    let mut space_now = BTreeMap::new();
    let (mut before, mut after, mut bases) = (Vec::new(), Vec::new(), Vec::new());
    let mut version = head.version;
    let mut commits = file.commits.iter().peekable();
    for state in states {
        while let Some(own) = commits.next_if(|own| own.version <= state.base.version) {
            write(&mut space_now, &own.cells);
            if !own.cells.is_empty() {
                version = version.next();
            }
            after.push(Step::Own(own));
        }
        let at = (state.base.version, state.base.segment);
        let cells = missing(&mut space_now, state);
        // The version in which the run begins says where it comes from.
        if !cells.is_empty() || at == began {
            version = version.next();
        }
        bases.push((state.base.clone(), version));
        match at <= began {
            true => before.push((cells, at == began)),
            false if cells.is_empty() => {}
            false => after.push(Step::Read(cells)),
        }
    }
    after.extend(commits.map(Step::Own));
    let begin = about.begin.clone();
    let deed = format!("reel import of run {} of {}", about.run, begin.space);
    let origin = Origin {
        here: run,
        there: about.run,
        begin,
        bases,
        file: checked.digest,
        exported: about.at,
        redacted: about.redacted.clone(),
    };
    for (mut cells, is_began) in before {
        if is_began {
            let value = values::store(store.blobs(), &origin.to_bytes()).map_err(PutError::Keep)?;
            cells.push(Cell { family: family::ORIGIN, key: ORIGIN_KEY.to_vec().into(), value });
        }
        if !cells.is_empty() {
            head = commit(store, clock, &deed, (space, head), cells)?;
        }
    }
    let begin =
        RunBegin { content, space: space.clone(), segment: head.segment, version: head.version, ..origin.begin };
    let version = head.version;
    let frames = file.frames.iter().map(|frame| Frame { run, ..frame.clone() }).collect();
    store.append(Submission { run, begun: Some(begin), frames, commit: None, ending: None })?;
    let ending = about.end.clone().unwrap_or_else(|| cut_off(checked));
    finish(store, clock, &deed, (run, space, head), after, ending)?;
    Ok(Imported { run, space: space.clone(), version })
}

/// The commits of the run, what else it read between them, and its end.
fn finish(
    store: &Store,
    clock: &Arc<dyn Clock>,
    deed: &str,
    (run, space, mut head): (RunId, &SpaceName, Head),
    steps: Vec<Step<'_>>,
    end: RunEnd,
) -> Result<(), PutError> {
    let last = match end.disposition {
        Disposition::Committed { commit, .. } => Some(commit),
        _ => None,
    };
    let mut made = None;
    let mut open = Some(end);
    for step in steps {
        match step {
            Step::Read(cells) => head = commit(store, clock, deed, (space, head), cells)?,
            Step::Own(own) => {
                let ending = match Some(own.number) == last {
                    true => open.take().map(|end| ending(end, made)),
                    false => None,
                };
                let commit = Some(proposal(space, head, own));
                let receipt = store.append(Submission { run, begun: None, frames: Vec::new(), commit, ending })?;
                if let Some((number, version)) = receipt.committed {
                    made = Some((number, version));
                    head.version = version;
                }
            }
        }
    }
    let Some(end) = open else { return Ok(()) };
    // Its last commit wrote nothing here.
    let nothing = |_| {
        let (number, version, at, cells) = (Default::default(), head.version, end.at, Vec::new());
        proposal(space, head, &Committed { number, version, at, cells })
    };
    let commit = last.map(nothing);
    let ending = Some(ending(end, made));
    store.append(Submission { run, begun: None, frames: Vec::new(), commit, ending })?;
    Ok(())
}

/// How a run ended that was cut off there. Nothing goes on with it here.
fn cut_off(checked: &Checked) -> RunEnd {
    let frames = &checked.file.frames;
    RunEnd {
        at: frames.last().map_or(checked.file.about.begin.at, |frame| frame.closed),
        outcome: Outcome::HostFailure { message: "it was cut off before it was exported".to_owned() },
        disposition: Disposition::Aborted,
        events: frames.last().map_or(0, |frame| frame.next().0),
        logged_bytes: frames.iter().map(|frame| u64::from(frame.raw_len)).sum(),
        written_bytes: 0,
        memory: None,
    }
}

fn ending(end: RunEnd, made: Option<(reel_abi::id::CommitNo, Version)>) -> Ending {
    let otherwise = match (end.disposition, made) {
        (Disposition::Partly { .. }, Some((commit, version))) => Disposition::Partly { commit, version },
        (Disposition::Lost { .. }, _) => Disposition::Lost { again: None },
        _ => Disposition::Aborted,
    };
    let RunEnd { at, outcome, events, logged_bytes, written_bytes, memory, .. } = end;
    Ending { at, outcome, events, logged_bytes, written_bytes, memory, otherwise }
}

fn proposal(space: &SpaceName, base: Head, own: &Committed) -> Proposal {
    Proposal {
        at: own.at,
        space: space.clone(),
        base,
        reads: Default::default(),
        cells: aside(own.cells.clone()),
        counters: Vec::new(),
        outbox: Vec::new(),
        others: Vec::new(),
        joined: Default::default(),
    }
}

fn commit(
    store: &Store,
    clock: &Arc<dyn Clock>,
    deed: &str,
    (space, head): (&SpaceName, Head),
    cells: Vec<Cell>,
) -> Result<Head, PutError> {
    Ok(commit_counted(store, clock, deed, (space, head), aside(cells), Vec::new())?.1)
}

/// What lies about a guest goes where nobody looks for guests.
fn aside(mut cells: Vec<Cell>) -> Vec<Cell> {
    for cell in &mut cells {
        if cell.family == family::RESIDENT {
            cell.family = family::ASIDE;
        }
    }
    cells.sort_by(|one, other| (one.family, &one.key).cmp(&(other.family, &other.key)));
    cells
}

type Cells = BTreeMap<(u8, Vec<u8>), CellValue>;

fn write(now: &mut Cells, cells: &[Cell]) {
    for Cell { family, key, value } in cells {
        now.insert((*family, key.0.clone()), value.clone());
    }
}

/// What has to be written so that the state shows what was read there.
fn missing(now: &mut Cells, state: &State) -> Vec<Cell> {
    let mut wanted: Cells = BTreeMap::new();
    for range in &state.ranges {
        let from = (range.family, range.from.0.clone());
        let until = match &range.until {
            Some(until) => (range.family, until.0.clone()),
            None => (range.family.saturating_add(1), Vec::new()),
        };
        if from < until {
            wanted.extend(now.range(from..until).map(|(key, _)| (key.clone(), CellValue::Tombstone)));
        }
    }
    write(&mut wanted, &state.cells);
    let there = |key: &(u8, Vec<u8>)| now.get(key).cloned().unwrap_or(CellValue::Tombstone);
    let wanted: Cells = wanted.into_iter().filter(|(key, value)| there(key) != *value).collect();
    now.extend(wanted.clone());
    wanted.into_iter().map(|((family, key), value)| Cell { family, key: key.into(), value }).collect()
}
