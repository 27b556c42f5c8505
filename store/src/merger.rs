//! The thread that merges what was committed last with what was committed before, while the disk is busy with the next batch.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::store::Shared;
use crate::threads;

/// The merger's state of work.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    stop: bool,
    thread: Option<JoinHandle<()>>,
}

impl Merging {
    /// Has it done.
    pub(crate) fn begin(&self, shared: &Arc<Shared>) {
        let mut state = self.lock();
        state.wanted = true;
        if state.thread.is_none() && !state.stop {
            let shared = shared.clone();
            state.thread = Some(threads::spawn("reel-merger", move || shared.merging.run(&shared)));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.stop = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn run(&self, shared: &Shared) {
        loop {
            let idle = |state: &mut State| !state.wanted && !state.stop;
            let mut state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.stop {
                return;
            }
            state.wanted = false;
            drop(state);
            // Readers get in between two.
            while shared.live.write().merge_oldest() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
