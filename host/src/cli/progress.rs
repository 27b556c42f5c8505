//! A line on the terminal for work that takes longer than a moment; nothing anywhere else.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::escape::Safe;

/// Work shorter than this is not talked about.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often the line is written anew.
const STEP: Duration = Duration::from_millis(200);

/// The line. It goes when the work is finished or this is dropped.
pub struct Progress {
    shared: Option<Arc<Shared>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    finished: Mutex<bool>,
    changed: Condvar,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// A line that will be shown only if `terminal`.
    pub fn new(terminal: bool) -> Self {
        Self { shared: terminal.then(Arc::default), thread: Mutex::new(None) }
    }

    /// The work begins; `doing` says which.
    pub fn begin(&self, doing: &str) {
        let Some(shared) = &self.shared else { return };
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            *shared.finished.lock().unwrap_or_else(PoisonError::into_inner) = false;
            let (shared, doing) = (Arc::clone(shared), doing.to_owned());
            *thread = Some(std::thread::spawn(move || shared.talk(&doing)));
        }
    }

    /// So much of it is done.
    pub fn update(&self, done: u64, total: u64) {
        let Some(shared) = &self.shared else { return };
        shared.done.store(done, Ordering::Relaxed);
        shared.total.store(total, Ordering::Relaxed);
    }

    /// The work is done and the line gone when this returns.
    pub fn finish(&self) {
        let Some(shared) = &self.shared else { return };
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        *shared.finished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        shared.changed.notify_all();
        drop(thread.join());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn talk(&self, doing: &str) {
        let (mut wait, mut waited, mut shown) = (PATIENCE, Duration::ZERO, None);
        loop {
            let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
            let timed = self.changed.wait_timeout_while(finished, wait, |finished| !*finished);
            if *timed.unwrap_or_else(PoisonError::into_inner).0 {
                break;
            }
            waited += wait;
            wait = STEP;
            let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
            let part = match total {
                0 => format!("{}s", waited.as_secs()),
                total => format!("{}%", done.min(total) * 100 / total),
            };
            if shown.as_ref() != Some(&part) {
                drop(write!(io::stderr(), "\r\x1b[K{} ... {part}", Safe(doing)));
            }
            shown = Some(part);
        }
        if shown.is_some() {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}
