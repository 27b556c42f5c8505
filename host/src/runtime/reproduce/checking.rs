//! Whether a file is what it says: looked at whole before anything of it is used.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::content::Content;
use reel_abi::event::decode;
use reel_abi::frame::FRAME_MAX_BYTES;
use reel_abi::id::{Digest, Seq};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::reproducer::{BLOB_MAX_BYTES, COMPONENT_MAX_BYTES, Reproducer, ReproducerError, State};
use reel_abi::vocabulary::CallBegins;
use reel_abi::wire::Wire;
use reel_store::BLOCK_BYTES;
use thiserror::Error;

use crate::engine::component::kind;
use crate::runtime::handlers::occasion;

/// Numbers of runs, versions and segments are below this, as in the log.
const NUMBERS_END: u64 = 1 << 62;

/// Bytes of memory that somebody else's run may ask for.
const MEMORY_BYTES: u64 = 4 << 30;

/// Bytes of stack that it may have.
const STACK_BYTES: u64 = 64 << 20;

/// Elements of tables that it may have.
const TABLE_ELEMENTS: u64 = 100_000_000;

/// Open resources that it may have.
const OPEN_HANDLES: u64 = 10_000_000;

/// What a run of one transaction reads and writes; memories and the cells of residents are no part of a reproducer.
const FAMILIES: [u8; 7] =
    [family::ENTRY, family::NODE, family::BLOCK, family::KEY_VALUE, family::TIMES, family::RESIDENT, family::QUEUE];

/// Why a file is refused.
#[derive(Debug, Error)]
pub enum BadFile {
    /// Its bytes are none of a reproducer.
    #[error(transparent)]
    Bytes(#[from] ReproducerError),
    /// It says what cannot be.
    #[error("{0}")]
    Nonsense(String),
}

/// A reproducer that was checked.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What is in it.
    pub file: Reproducer,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The component, as it was given.
    pub component: Vec<u8>,
    /// Digest of the whole file.
    pub digest: Digest,
}

/// Checks a file.
pub fn check(bytes: &[u8]) -> Result<Checked, BadFile> {
    let file = Reproducer::from_file(bytes)?;
    let component = file.component.unpack("the component", COMPONENT_MAX_BYTES)?;
    let begin = &file.about.begin;
    if Digest::of(&component) != begin.component {
        return Err(nonsense("the component has another digest than the run says"));
    }
    kind(&component).map_err(|error| nonsense(format!("the component: {error}")))?;
    numbers(&file)?;
    limits(&file)?;
    let blobs = blobs(&file)?;
    let read = file.states.iter().map(|state| &state.cells);
    for cells in read.chain(file.commits.iter().map(|commit| &commit.cells)) {
        check_cells(cells, &blobs)?;
    }
    file.states.iter().try_for_each(check_ranges)?;
    events(&file)?;
    Ok(Checked { component, digest: Digest::of(bytes), bytes: bytes.to_vec(), file })
}

fn nonsense(what: impl Into<String>) -> BadFile {
    BadFile::Nonsense(what.into())
}

/// Runs, versions and segments.
fn numbers(file: &Reproducer) -> Result<(), BadFile> {
    let begin = &file.about.begin;
    let bases = file.states.iter().flat_map(|state| [state.base.segment.0, state.base.version.0]);
    let commits = file.commits.iter().flat_map(|commit| [commit.number.0, commit.version.0]);
    let own = [file.about.run.0, begin.segment.0, begin.version.0];
    if bases.chain(commits).chain(own).any(|number| number >= NUMBERS_END) {
        return Err(nonsense("a number is larger than any that Reel gives"));
    }
    let bases: BTreeSet<_> = file.states.iter().map(|state| (state.base.version, state.base.segment)).collect();
    if bases.len() != file.states.len() {
        return Err(nonsense("what was read at a version is there twice"));
    }
    if !bases.contains(&(begin.version, begin.segment)) {
        return Err(nonsense("what the run read when it began is not there"));
    }
    let mut last = begin.version;
    for commit in &file.commits {
        if commit.version <= last {
            return Err(nonsense("what the run committed is not in order"));
        }
        last = commit.version;
    }
    Ok(())
}

/// What the run may use of this machine.
fn limits(file: &Reproducer) -> Result<(), BadFile> {
    let limits = &file.about.begin.limits;
    let bounds = [
        ("bytes of memory", limits.memory_bytes, MEMORY_BYTES),
        ("bytes of stack", limits.stack_bytes, STACK_BYTES),
        ("elements of tables", limits.table_elements, TABLE_ELEMENTS),
        ("open handles", limits.open_handles, OPEN_HANDLES),
    ];
    for (what, wanted, most) in bounds {
        if wanted > most {
            return Err(nonsense(format!("the run may use {wanted} {what}, and at most {most} are given to a file")));
        }
    }
    Ok(())
}

/// What is known of a payload.
struct Payload {
    len: u64,
    /// The bytes of what it lists, if it is a list of blocks that are all there.
    lists: Option<u64>,
}

/// Unpacks each payload, one at a time.
fn blobs(file: &Reproducer) -> Result<BTreeMap<Digest, Payload>, BadFile> {
    let (mut found, mut lists) = (BTreeMap::new(), Vec::new());
    for packed in &file.blobs {
        let bytes = packed.unpack("a payload", BLOB_MAX_BYTES)?;
        let digest = Digest::of(&bytes);
        if let Ok(list) = Content::from_bytes(&bytes) {
            lists.push((digest, list));
        }
        if found.insert(digest, Payload { len: bytes.len() as u64, lists: None }).is_some() {
            return Err(nonsense(format!("the payload {digest} is there twice")));
        }
    }
    for (digest, list) in lists {
        let last = list.blocks.len().saturating_sub(1);
        let whole = |(index, block): (usize, &Digest)| {
            let len = found.get(block)?.len;
            let fits = if index < last { len == BLOCK_BYTES as u64 } else { len <= BLOCK_BYTES as u64 };
            fits.then_some(len)
        };
        let lens: Option<Vec<u64>> = list.blocks.iter().enumerate().map(whole).collect();
        let sum = lens.map(|lens| lens.into_iter().sum::<u64>());
        let sum = sum.filter(|sum| *sum == list.len && list.block_len as usize == BLOCK_BYTES);
        if let Some(payload) = found.get_mut(&digest) {
            payload.lists = sum;
        }
    }
    Ok(found)
}

fn check_cells(cells: &[Cell], blobs: &BTreeMap<Digest, Payload>) -> Result<(), BadFile> {
    if !cells.is_sorted_by(|a, b| (a.family, &a.key) < (b.family, &b.key)) {
        return Err(nonsense("cells are not sorted, or there twice"));
    }
    for cell in cells {
        if !FAMILIES.contains(&cell.family) {
            return Err(nonsense(format!("a cell is of family {}, of which no reproducer has any", cell.family)));
        }
        if cell.family == family::ENTRY && !is_name(cell.key.get(8..).unwrap_or_default()) {
            return Err(nonsense(format!("{:?} is no name of a file", cell.key)));
        }
        let (digest, right) = match &cell.value {
            CellValue::Inline { .. } | CellValue::Tombstone => continue,
            CellValue::Blob { digest, len } => {
                (digest, blobs.get(digest).is_some_and(|blob| blob.len == u64::from(*len)))
            }
            CellValue::Content { digest, len } => {
                (digest, blobs.get(digest).is_some_and(|blob| blob.lists == Some(*len)))
            }
        };
        if !right {
            return Err(nonsense(format!("the payload {digest} that a cell names is not there, or is another one")));
        }
    }
    Ok(())
}

fn is_name(name: &[u8]) -> bool {
    let text = std::str::from_utf8(name);
    text.is_ok_and(|text| !matches!(text, "" | "." | "..") && !text.contains(['/', '\0']))
}

fn check_ranges(state: &State) -> Result<(), BadFile> {
    for range in &state.ranges {
        if !FAMILIES.contains(&range.family) {
            return Err(nonsense(format!("a range is of family {}, of which no reproducer has any", range.family)));
        }
    }
    Ok(())
}

/// The frames follow each other, are those of the run, and can be read.
fn events(file: &Reproducer) -> Result<(), BadFile> {
    let mut next = Seq(0);
    for frame in &file.frames {
        if frame.run != file.about.run || frame.first != next || frame.count == 0 {
            return Err(nonsense(format!("the events do not go on with event {next} of the run")));
        }
        if frame.raw_len as usize > FRAME_MAX_BYTES {
            return Err(nonsense(format!("a frame of {} bytes is longer than any", frame.raw_len)));
        }
        let raw = frame.unpack().map_err(ReproducerError::from)?;
        let events = decode(frame, &raw).map_err(|error| nonsense(format!("the events from {next} on: {error}")))?;
        drop(events);
        if next == Seq(0)
            && let Some(call) = reel_abi::event::decode_first::<CallBegins>(&raw)
            && !occasion::is_one(&call)
        {
            return Err(nonsense("the run is a call within a life or a transaction that the file does not hold"));
        }
        next = frame.next();
    }
    if next == Seq(0) {
        return Err(nonsense("it has no events"));
    }
    Ok(())
}
