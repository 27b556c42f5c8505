//! A run executed again for what its log does not keep: the payloads that it made, and its memories at an event.

use std::sync::Arc;

use reel_abi::id::{RunId, Seq};
use reel_abi::outcome::RunBegin;
use reel_store::{RunRecord, Store};

use super::Engines;
use super::replay::{ReplayError, ReplayReport, ReplayRequest, Verdict, replay_kept};
use super::reproduce::origin::{self, AsItRan};
use crate::calls::session::Console;
use crate::engine::memory::GuestMemories;
use crate::gate::Hears;
use crate::port::Clock;

/// The memories of a guest where a replay has stopped.
#[derive(Debug, Clone)]
pub struct Kept {
    /// All of them.
    pub(super) memories: GuestMemories,
    /// How many of them are the guest's own, and not there to get at its state.
    pub(super) own: usize,
}

impl Kept {
    /// Bytes of each memory, in order of their creation.
    pub fn sizes(&self) -> Vec<u64> {
        self.memories.sizes().into_iter().take(self.own).map(|bytes| bytes as u64).collect()
    }

    /// `len` bytes of a memory from an address on; fewer at its end.
    pub fn bytes(&self, memory: usize, from: u64, len: usize) -> Vec<u8> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.memories.bytes(memory, from..from.saturating_add(len))
    }
}

/// Executes a run again up to an event, touching nothing real.
pub async fn recall(
    store: &Store,
    engines: &Engines,
    run: RunId,
    until: Option<Seq>,
    clock: Arc<dyn Clock>,
    hears: Option<Hears>,
) -> Result<(Verdict, Option<Kept>), ReplayError> {
    let request = ReplayRequest { run, until, with: None, keep_payload: false };
    let (ReplayReport { verdict, .. }, kept) =
        replay_kept(store, engines, request, clock, Console::default(), &|| (), hears).await?;
    Ok((verdict, kept))
}

/// A run as it was when it ran, which may have been elsewhere: the database as it sees it, its number and its begin.
pub fn as_it_ran(store: &Store, record: &RunRecord) -> Result<(Store, RunId, RunBegin), ReplayError> {
    let AsItRan { store, run, begin, .. } = origin::as_it_ran(store, record)?;
    Ok((store, run, begin))
}
