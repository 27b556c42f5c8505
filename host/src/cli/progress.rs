//! A line on the terminal for work that takes longer than a moment; nothing anywhere else.

use std::io::Write;
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

/// Where the line is written.
type Words = Box<dyn Write + Send>;

struct Shared {
    words: Mutex<Words>,
    finished: Mutex<bool>,
    changed: Condvar,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// A line on a terminal.
    pub fn new(words: Words) -> Self {
        let (finished, changed, done, total) = Default::default();
        let shared = Shared { words: Mutex::new(words), finished, changed, done, total };
        Self { shared: Some(Arc::new(shared)), thread: Mutex::new(None) }
    }

    /// A line on this process's own terminal, if it has one.
    pub fn here(terminal: bool) -> Self {
        if terminal { Self::new(Box::new(std::io::stderr())) } else { Self::hidden() }
    }

    /// One that is never shown.
    pub fn hidden() -> Self {
        Self { shared: None, thread: Mutex::new(None) }
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
                self.say(&format!("\r\x1b[K{} ... {part}", Safe(doing)));
            }
            shown = Some(part);
        }
        if shown.is_some() {
            self.say("\r\x1b[K");
        }
    }

    fn say(&self, text: &str) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        drop(words.write_all(text.as_bytes()).and_then(|()| words.flush()));
    }
}
