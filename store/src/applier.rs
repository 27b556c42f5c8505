//! The thread that writes slices to the state file, and the wait of those who are faster than it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::Fault;
use crate::live::HELD_BYTES;
use crate::state;
use crate::store::Shared;
use crate::threads;

/// A tail with no more rows and bytes than this is left in the log when the database is closed; reading it at the next
/// opening costs less than writing the state file now.
const LEFT_ROWS: usize = 256;
const LEFT_BYTES: usize = 1 << 20;

/// The applier's state of work.
#[derive(Debug, Default)]
pub(crate) struct Applying {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: bool,
    stop: bool,
    thread: Option<JoinHandle<()>>,
}

impl Applying {
    /// Has the frozen slice written.
    pub(crate) fn begin(&self, shared: &Arc<Shared>) {
        let mut state = self.lock();
        state.pending = true;
        if state.thread.is_none() {
            let shared = shared.clone();
            state.thread = Some(threads::spawn("reel-applier", move || shared.applying.run(&shared)));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits while too much is held in memory.
    pub(crate) fn wait_for_room(&self, shared: &Shared) {
        if shared.live.read().held() < HELD_BYTES {
            return;
        }
        let state = self.lock();
        let busy = |state: &mut State| state.pending;
        drop(self.changed.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Has everything written that is in memory now, and waits for it.
    pub(crate) fn settle(&self, shared: &Arc<Shared>) {
        let wait = || {
            let busy = |state: &mut State| state.pending;
            drop(self.changed.wait_while(self.lock(), busy).unwrap_or_else(PoisonError::into_inner));
        };
        wait();
        if shared.live.write().freeze() {
            self.begin(shared);
        }
        wait();
    }

    /// Waits for the slice that is being written, then writes the rest if it is worth it. No rows may come any more.
    pub(crate) fn finish(&self, shared: &Shared) {
        let thread = {
            let mut state = self.lock();
            state.stop = true;
            state.thread.take()
        };
        self.changed.notify_all();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let mut live = shared.live.write();
        while live.merge_oldest() {}
        let active = &live.active;
        let small =
            active.rows <= LEFT_ROWS && active.bytes.max(active.log_bytes) <= LEFT_BYTES && active.compiled.is_empty();
        // A slice that could not be written stays in the log, and nothing after it may be written either.
        if small || live.frozen.is_some() || shared.refused().is_some() {
            return;
        }
        if let Err(fault) = state::apply(&shared.state, active) {
            tracing::warn!("state not written, it will be made from the log: {fault}");
            return;
        }
        // One bounded step, so that processes that live for one command only get there too.
        shared.upkeep.notice(active);
        shared.upkeep.step(shared);
    }

    fn run(&self, shared: &Shared) {
        loop {
            while self.is_idle() && shared.upkeep.step(shared) {}
            let state = self.lock();
            let idle = |state: &mut State| !state.pending && !state.stop;
            let state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            if !state.pending {
                return;
            }
            drop(state);
            let written = catch_unwind(AssertUnwindSafe(|| self.write_frozen(shared)));
            match written {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => shared.refuse(&fault.to_string()),
                Err(_) => shared.refuse("writing the state panicked"),
            }
            // Under the lock, lest the committer's next freeze between these lines is missed.
            let mut state = self.lock();
            let mut live = shared.live.write();
            state.pending = shared.refused().is_none() && (live.frozen.is_some() || live.freeze_if_large());
            drop((state, live));
            self.changed.notify_all();
        }
    }

    fn write_frozen(&self, shared: &Shared) -> Result<(), Fault> {
        let Some(slice) = shared.live.read().frozen.clone() else { return Ok(()) };
        state::apply(&shared.state, &slice)?;
        shared.live.write().frozen = None;
        shared.upkeep.notice(&slice);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        let state = self.lock();
        !state.pending && !state.stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
