//! Checkpoints as cells: what was captured becomes a version of the space, made by a run of the host's own.

use std::sync::Arc;

use reel_abi::id::{Digest, RunId, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, Checkpoint, Guest, Life, page_key, page_of};
use reel_abi::vocabulary::{RunBegins, RunEnds};
use reel_abi::wire::Wire;
use reel_store::{AppendError, Blobs, Counter, Ending, Head, Proposal, ReadError, Store, Submission, View};
use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};

use super::capture::{CaptureError, Captured};
use super::cells::{CellsError, cell};
use crate::engine::config::description;
use crate::engine::image::{PAGE, PageAt};
use crate::engine::instrument::INSTRUMENT_VERSION;
use crate::gate::recorder::Recorder;
use crate::gate::{Gate, GateSettings, Halt, Mode};
use crate::port::Clock;
use crate::runtime::sink::{LogSink, Remainder};
use crate::txn::values::{self, keep};

/// Bytes of pages in a commit record; more than that, and each page becomes a payload of its own.
const RECORD_BYTES: usize = 4 << 20;

/// How hard pages are packed: the level of Zstandard that costs least.
const LEVEL: i32 = 1;

/// Pages that are read at a time.
const PAGES: usize = 1024;

/// What the run of a checkpoint is called.
pub const NAME: &str = "checkpoint";

/// Why a checkpoint was not kept.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The resident cannot be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The space cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written down.
    #[error("{0}")]
    Halt(Halt),
    /// The log cannot be written, or the guest was replaced or rolled back meanwhile.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// What is to be kept, and of whom.
pub(crate) struct Keeping {
    pub name: SpaceName,
    /// A version of the space in which the call is that it was captured after.
    pub base: Head,
    pub guest: Guest,
    pub life: Life,
    pub captured: Captured,
}

/// Makes a checkpoint a version of its space. Returns when it is durable; the version that it made.
pub(crate) fn store(store: &Store, clock: &Arc<dyn Clock>, keeping: &Keeping) -> Result<Head, CheckpointError> {
    let Keeping { name, base, guest, life, captured } = keeping;
    let blobs = store.blobs();
    let mut cells = pages(blobs, captured).map_err(CheckpointError::Halt)?;
    if captured.anew {
        forget_others(&store.view(*base)?, &mut cells)?;
    }
    let checkpoint = Checkpoint {
        birth: life.birth,
        after: life.last,
        calls: life.calls,
        component: guest.component,
        prepared: INSTRUMENT_VERSION,
        memories: captured.memories.clone(),
        residue: captured.residue.clone(),
    };
    cells.insert(0, cell(blobs, CHECKPOINT_KEY, &checkpoint).map_err(CheckpointError::Halt)?);
    commit(store, clock, NAME, name, *base, cells).map(|(_, head)| head)
}

/// Makes cells of a guest a version of its space, by a run of the host's own that goes by the name of the deed.
pub(crate) fn commit(
    store: &Store,
    clock: &Arc<dyn Clock>,
    deed: &str,
    name: &SpaceName,
    base: Head,
    cells: Vec<Cell>,
) -> Result<(RunId, Head), CheckpointError> {
    commit_counted(store, clock, deed, (name, base), cells, Vec::new())
}

/// The same with counters.
pub(crate) fn commit_counted(
    store: &Store,
    clock: &Arc<dyn Clock>,
    deed: &str,
    (name, base): (&SpaceName, Head),
    cells: Vec<Cell>,
    counters: Vec<Counter>,
) -> Result<(RunId, Head), CheckpointError> {
    let at = WallTime(clock.wall());
    let run = store.next_run();
    let begin = begin(deed, name, base, at, keep(store.blobs(), b"")?);
    let (frames, usage) = record(store, run, &begin, clock).map_err(CheckpointError::Halt)?;
    let mut reads = reel_store::ReadSet::default();
    reads.key(family::RESIDENT, reel_abi::resident::GUEST_KEY);
    let space = name.clone();
    let (outbox, others) = Default::default();
    let commit = Proposal { at, space, base, reads, cells, counters, outbox, others, joined: Default::default() };
    let ending = Ending {
        at,
        outcome: Outcome::Exit { code: 0 },
        events: usage.events,
        logged_bytes: usage.logged_bytes,
        written_bytes: 0,
        memory: None,
        otherwise: Disposition::Aborted,
    };
    let submission = Submission { run, begun: Some(begin), frames, commit: Some(commit), ending: Some(ending) };
    let receipt = store.append(submission)?;
    let version = receipt.committed.map_or(base.version, |(_, version)| version);
    Ok((run, Head { segment: base.segment, version }))
}

/// How a run of the host's own begins.
pub(super) fn begin(deed: &str, name: &SpaceName, base: Head, at: WallTime, content: Digest) -> RunBegin {
    RunBegin {
        at,
        component: Digest::of(b""),
        content,
        name: deed.to_owned(),
        args: vec![name.to_string()],
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        limits: Limits::default(),
        space: name.clone(),
        segment: base.segment,
        version: base.version,
        commit_on_failure: false,
        engine: description(),
        trace: None,
    }
}

/// The events of such a run: that it began and ended.
pub(super) fn record(
    store: &Store,
    run: RunId,
    begin: &RunBegin,
    clock: &Arc<dyn Clock>,
) -> Result<(Vec<reel_abi::record::Frame>, crate::gate::Usage), Halt> {
    let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
    let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
    let settings = GateSettings {
        limits: begin.limits.clone(),
        clock: Arc::clone(clock),
        until: None,
        keep_payload: false,
        hears: None,
    };
    let mut gate = Gate::new(mode, settings);
    gate.pass(RunBegins {}, |_, _| Ok(()))?;
    gate.finish(RunEnds { outcome: Outcome::Exit { code: 0 }, memory: None })?;
    let Remainder { frames, .. } = sink.finish()?;
    Ok((frames, gate.usage()))
}

/// The captured pages as cells.
fn pages(blobs: &Blobs, captured: &Captured) -> Result<Vec<Cell>, Halt> {
    let mut cells = Vec::with_capacity(captured.pages.len() + 1);
    let mut bytes = 0;
    let mut packer = Compressor::new(LEVEL).map_err(|e| Halt::host("packing a page", &e))?;
    for (at, page) in &captured.pages {
        let packed = pack(&mut packer, page)?;
        bytes += packed.len();
        let value = match bytes > RECORD_BYTES && packed.len() > 64 {
            true => {
                let len = packed.len() as u32;
                let digest = blobs.put(packed).map_err(|e| Halt::host("keeping a page", &e))?;
                CellValue::Blob { digest, len }
            }
            false => CellValue::Inline { bytes: packed.into() },
        };
        cells.push(Cell { family: family::PAGE, key: page_key(at.memory, at.page).into(), value });
    }
    Ok(cells)
}

/// What other checkpoints have left in the version that is viewed goes, but for what is captured now.
fn forget_others(view: &View, cells: &mut Vec<Cell>) -> Result<(), ReadError> {
    let captured = cells.len();
    for key in page_keys(view)? {
        if cells[..captured].binary_search_by(|cell| (*cell.key).cmp(&key)).is_err() {
            cells.push(Cell { family: family::PAGE, key: key.into(), value: CellValue::Tombstone });
        }
    }
    cells.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(())
}

/// Nothing for zeros, all bytes where packing does not pay, else a Zstandard block.
fn pack(packer: &mut Compressor<'_>, page: &[u8; PAGE]) -> Result<Vec<u8>, Halt> {
    if page.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    let packed = packer.compress(page).map_err(|e| Halt::host("packing a page", &e))?;
    Ok(if packed.len() < PAGE { packed } else { page.to_vec() })
}

fn unpack(unpacker: &mut Decompressor<'_>, bytes: &[u8]) -> Result<Box<[u8; PAGE]>, String> {
    let mut page = Box::new([0; PAGE]);
    match bytes.len() {
        0 => {}
        PAGE => page.copy_from_slice(bytes),
        _ => {
            let len = unpacker.decompress_to_buffer(bytes, &mut page[..]).map_err(|e| e.to_string())?;
            if len != PAGE {
                return Err(format!("a page of {len} bytes"));
            }
        }
    }
    Ok(page)
}

/// All pages that the checkpoints of a space have in the version that is viewed.
pub(crate) fn kept_pages<'a>(
    blobs: &'a Blobs,
    view: &'a View,
) -> impl Iterator<Item = Result<(PageAt, Box<[u8; PAGE]>), CaptureError>> + 'a {
    let failed = |why: String| CaptureError::Added(format!("a page of the checkpoint cannot be read: {why}"));
    let mut from = Some(Vec::new());
    let mut unpacker = None;
    let batches = std::iter::from_fn(move || {
        if unpacker.is_none() {
            match Decompressor::new() {
                Ok(made) => unpacker = Some(made),
                Err(error) => return Some(vec![Err(failed(error.to_string()))]),
            }
        }
        let unpacker = unpacker.as_mut()?;
        let batch = match view.scan(family::PAGE, &from.take()?, None, PAGES) {
            Ok(batch) => batch,
            Err(error) => return Some(vec![Err(failed(error.to_string()))]),
        };
        from = batch.last().filter(|_| batch.len() == PAGES).map(|(last, _)| [last.as_slice(), &[0]].concat());
        let page = |(key, value): (Vec<u8>, CellValue)| {
            let (memory, page) = page_of(&key).ok_or_else(|| failed("its name is none".into()))?;
            let bytes = values::load(blobs, &value).map_err(|halt| failed(halt.to_string()))?.unwrap_or_default();
            Ok((PageAt { memory, page }, unpack(unpacker, &bytes).map_err(failed)?))
        };
        Some(batch.into_iter().map(page).collect::<Vec<_>>())
    });
    batches.flatten()
}

/// The keys of all pages in a version: they belong to an earlier life when another begins.
pub(crate) fn page_keys(view: &View) -> Result<Vec<Vec<u8>>, ReadError> {
    let (mut keys, mut from) = (Vec::new(), Vec::new());
    loop {
        let batch = view.scan(family::PAGE, &from, None, PAGES)?;
        let done = batch.len() < PAGES;
        keys.extend(batch.into_iter().map(|(key, _)| key));
        match keys.last() {
            Some(last) if !done => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(keys),
        }
    }
}

/// The checkpoints of a space, the newest first, each with the version in which it is; nothing for one that was taken away or is none.
pub(crate) fn earlier(store: &Store, head: Head, limit: usize) -> Result<Vec<(Head, Option<Checkpoint>)>, CellsError> {
    let mut found = Vec::new();
    for change in store.key_history(head, family::RESIDENT, CHECKPOINT_KEY, limit)? {
        let bytes = values::load(store.blobs(), &change.value).ok().flatten();
        let checkpoint = bytes.and_then(|bytes| Checkpoint::from_bytes(&bytes).ok());
        if let Some(at) = store.head_at(&change.space, change.version)? {
            found.push((at, checkpoint));
        }
    }
    Ok(found)
}
