//! The memories of a resident in the past. It is brought back from the log, touching nothing real, and adds nothing to it.
//!
//! ```text
//! version       checkpoint ── replayed calls ──┤                    as it was between two calls
//! event         checkpoint ── replayed calls ── half a call ──┤     as it was when the guest asked the host for that: the answer is not there yet
//! ```
//!
//! The one who is awake, if one is, knows nothing of it.

use std::sync::Arc;

use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::resident::Life;
use reel_abi::vocabulary::CallBegins;
use reel_store::RunRecord;

use super::calling::CallError;
use super::cells::Lodging;
use super::household::Household;
use super::instance::Ready;
use super::replaying::before;
use super::waking::{Again, WakeError, wake, words};
use crate::calls::session::Console;
use crate::engine::memory::GuestMemories;
use crate::runtime::drive::Stop;
use crate::runtime::prepare::kept;
use crate::runtime::run::GateOptions;

/// The memories of a guest at a moment.
pub struct Remembered {
    memories: GuestMemories,
    ready: Arc<Ready>,
    birth: RunId,
}

impl Remembered {
    /// Bytes of each memory, in order of their creation; without one that was added to get at the guest's state.
    pub fn sizes(&self) -> Vec<u64> {
        let own = self.ready.plan.as_ref().map_or(usize::MAX, |plan| plan.memories.len());
        self.memories.sizes().into_iter().take(own).map(|bytes| bytes as u64).collect()
    }

    /// `len` bytes of a memory from an address on; zeros where it has none.
    pub fn bytes(&self, memory: usize, from: u64, len: usize) -> Vec<u8> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut bytes = self.memories.bytes(memory, from..from.saturating_add(len));
        bytes.resize(len, 0);
        bytes
    }
}

impl Household {
    /// The memories as they were after the last call of a life.
    ///
    /// # Errors
    /// `Wake` if the log does not bring it back.
    pub async fn remember(&self, lodging: &Lodging, life: &Life) -> Result<Remembered, CallError> {
        let guest = &lodging.guest;
        let ready = self.ready_then(guest.component, guest.content, guest.limits.stack_bytes)?;
        let woken = wake(&self.store, &ready, lodging, life, &self.clock).await?;
        Ok(Remembered { memories: woken.instance.memories().clone(), ready, birth: life.birth })
    }

    /// The memories as they were when the guest asked for an event of a call; at its end mark, as the call left them. Before the birth there are none.
    ///
    /// # Errors
    /// `Wake` if the log does not bring it back, or has no such event.
    pub async fn remember_within(
        &self,
        record: &RunRecord,
        call: &CallBegins,
        seq: Seq,
    ) -> Result<Remembered, CallError> {
        let (run, begin) = (record.run, &record.begin);
        let ready = self.ready_then(begin.component, begin.content, begin.limits.stack_bytes)?;
        let (instance, life) = before(&self.store, &ready, begin.component, begin, call, &self.clock).await?.unzip();
        let options = GateOptions { until: Some(seq), ..GateOptions::default() };
        let born = life.as_ref().map(|life| life.born);
        let again = Again { store: &self.store, run, born, clock: &self.clock, console: Console::default(), options };
        let relived = again.relive(&ready, instance).await?;
        match relived.stop {
            Stop::Until(at) if at == seq => {}
            stop => return Err(WakeError::Stopped { run, why: words(&stop) }.into()),
        }
        Ok(Remembered { memories: relived.memories, ready, birth: life.map_or(run, |life| life.birth) })
    }

    /// The memories that the same guest was born with; none if it was not born to the end.
    ///
    /// # Errors
    /// `Wake` if the birth cannot be replayed.
    pub async fn remember_birth(&self, of: &Remembered) -> Result<Remembered, CallError> {
        let (store, console, options) = (&self.store, Console::default(), GateOptions::default());
        let again = Again { store, run: of.birth, born: None, clock: &self.clock, console, options };
        let memories = again.relive(&of.ready, None).await?.memories;
        Ok(Remembered { memories, ready: Arc::clone(&of.ready), birth: of.birth })
    }

    fn ready_then(&self, component: Digest, content: Digest, stack: u64) -> Result<Arc<Ready>, CallError> {
        let bytes = kept(&self.store, component, content)?;
        self.ready_of(component, &bytes, stack, &|| ())
    }
}
