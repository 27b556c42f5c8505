//! What lies about a guest in its space.

use reel_abi::event::decode_first;
use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::record::{Cell, family};
use reel_abi::resident::{CHECKPOINT_KEY, Checkpoint, GIVEN_UP_KEY, GUEST_KEY, Guest, LIFE_KEY, Life, STOPPED_KEY};
use reel_abi::types::Data;
use reel_abi::vocabulary::{Call, CallBegins, CallReturns, CallSleeps, EventView};
use reel_abi::wire::{Reader, Wire, Writer};
use reel_store::{Blobs, Head, ReadError, Store, View};
use thiserror::Error;

use crate::gate::Halt;
use crate::txn::lower::blob;
use crate::txn::values;

/// Why a guest's cells cannot be read.
#[derive(Debug, Error)]
pub enum CellsError {
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is there is not what it should be.
    #[error("{0}")]
    Damaged(Halt),
}

/// What lies in a space about its guest.
#[derive(Debug, Clone)]
pub struct Lodging {
    /// The version that was looked at.
    pub head: Head,
    /// The guest.
    pub guest: Guest,
    /// Its life, if it has one.
    pub life: Option<Life>,
    /// Its newest checkpoint, if it is one.
    pub checkpoint: Option<Checkpoint>,
    /// Whether it takes no calls.
    pub stopped: bool,
    /// Calls without an end up to this run were given up.
    pub given_up: Option<RunId>,
}

/// What lies in a space at a version; nothing if no guest was deployed there.
pub fn lodging(store: &Store, head: Head) -> Result<Option<Lodging>, CellsError> {
    let view = store.view(head)?;
    let Some(guest) = read::<Guest>(store.blobs(), &view, GUEST_KEY)? else { return Ok(None) };
    let life = read(store.blobs(), &view, LIFE_KEY)?;
    let checkpoint = match read(store.blobs(), &view, CHECKPOINT_KEY) {
        // It only saves time: without it there are those before, and the calls.
        Err(CellsError::Damaged(_)) => None,
        read => read?,
    };
    let stopped = view.get(family::RESIDENT, STOPPED_KEY)?.is_some();
    let given_up = read(store.blobs(), &view, GIVEN_UP_KEY)?;
    Ok(Some(Lodging { head, guest, life, checkpoint, stopped, given_up }))
}

/// The life in a version of a space; nothing if nobody lives there, or the version is gone.
pub(super) fn life_at(store: &Store, head: Head) -> Result<Option<Life>, CellsError> {
    let view = store.view(head).map_err(CellsError::from);
    match view.and_then(|view| read(store.blobs(), &view, LIFE_KEY)) {
        Err(CellsError::Read(ReadError::Pruned { .. })) => Ok(None),
        life => life,
    }
}

/// The guest of a space as it is now.
pub fn guest_of(store: &Store, space: &SpaceName) -> Result<Option<Guest>, CellsError> {
    let Some(head) = store.head(space)? else { return Ok(None) };
    let view = store.view(head)?;
    read(store.blobs(), &view, GUEST_KEY)
}

/// All spaces that have a guest.
pub fn guests(store: &Store) -> Result<Vec<(SpaceName, Lodging)>, CellsError> {
    let mut found = Vec::new();
    for (space, head) in store.spaces()? {
        if let Some(lodging) = lodging(store, head)? {
            found.push((space, lodging));
        }
    }
    Ok(found)
}

fn read<T: Wire>(blobs: &Blobs, view: &View, key: &[u8]) -> Result<Option<T>, CellsError> {
    let Some(value) = view.get(family::RESIDENT, key)? else { return Ok(None) };
    let Some(bytes) = values::load(blobs, &value).map_err(CellsError::Damaged)? else { return Ok(None) };
    let what = T::from_bytes(&bytes).map_err(|e| CellsError::Damaged(Halt::host("what is kept of a guest", &e)))?;
    Ok(Some(what))
}

/// A cell that is kept of a guest.
pub fn cell(blobs: &Blobs, key: &[u8], what: &impl Wire) -> Result<Cell, Halt> {
    let mut writer = Writer::new();
    what.put(&mut writer);
    let value = values::store(blobs, writer.bytes())?;
    Ok(Cell { family: family::RESIDENT, key: key.to_vec().into(), value })
}

/// What the function of a call gave, in WAVE.
pub fn results(store: &Store, run: RunId) -> Result<Option<String>, CellsError> {
    let damaged = |e: &dyn std::error::Error| CellsError::Damaged(Halt::host("reading the log", e));
    for at in store.frames(run, Seq(0))?.into_iter().rev() {
        let frame = store.frame(&at)?;
        let raw = frame.unpack().map_err(|e| damaged(&e))?;
        let mut r = Reader::new(&raw);
        for _ in 0..frame.count {
            let mut ahead = r.clone();
            if ahead.u8("event") == Ok(CallReturns::CODE) {
                let CallReturns { results } = CallReturns::take(&mut ahead).map_err(|e| damaged(&e))?;
                let bytes = match results {
                    Data::Inline { bytes } => bytes.0,
                    Data::Blob { digest, .. } => blob(store.blobs(), &digest).map_err(CellsError::Damaged)?,
                };
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
            EventView::take(&mut r).map_err(|e| damaged(&e))?;
        }
    }
    Ok(None)
}

/// Until when a run sleeps: nothing unless that is the last that is logged of it.
pub fn sleeps_until(store: &Store, run: RunId) -> Result<Option<WallTime>, CellsError> {
    let Some(at) = store.frames(run, Seq(0))?.into_iter().next_back() else { return Ok(None) };
    let frame = store.frame(&at)?;
    let raw = frame.unpack().map_err(|e| CellsError::Damaged(Halt::host("reading the log", &e)))?;
    let mut r = Reader::new(&raw);
    for _ in 1..frame.count {
        EventView::take(&mut r).map_err(|e| CellsError::Damaged(Halt::host("reading the log", &e)))?;
    }
    let is_it = r.u8("event") == Ok(CallSleeps::CODE);
    Ok(CallSleeps::take(&mut r).ok().filter(|_| is_it).map(|sleeps| WallTime(sleeps.until.0)))
}

/// How the run of a call began; nothing if it is no call of a resident, or nothing of it is logged.
pub fn call_begin(store: &Store, run: RunId) -> Result<Option<CallBegins>, CellsError> {
    let Some(at) = store.frames(run, Seq(0))?.into_iter().next() else { return Ok(None) };
    let frame = store.frame(&at)?;
    let raw = frame.unpack().map_err(|e| CellsError::Damaged(Halt::host("reading the log", &e)))?;
    Ok(decode_first::<CallBegins>(&raw))
}
