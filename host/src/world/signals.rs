//! Signals that ask this process to stop.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Set by the first SIGINT or SIGTERM, for code that waits without an event loop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether the user has asked this process to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// File size limit exceeded (Linux).
const SIGXFSZ: i32 = 25;

/// Ends at the first SIGINT or SIGTERM. Until it is first polled, signals have their usual effect; after the first one, the next ends the process
/// at once with `code`, whatever it is busy with.
pub async fn interrupt(code: i32) {
    let (tell, told) = oneshot::channel();
    let wait = async move {
        let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            return pending().await;
        };
        // A file size limit shall be an error of the write that meets it, not the end of the process.
        let _limit = signal(SignalKind::from_raw(SIGXFSZ));
        let mut tell = Some(tell);
        loop {
            select! { _ = int.recv() => {}, _ = term.recv() => {} }
            ASKED.store(true, Ordering::Relaxed);
            match tell.take() {
                Some(tell) => drop(tell.send(())),
                None => std::process::exit(code),
            }
        }
    };
    // A thread of its own: the other may be in a call that does not return.
    std::thread::spawn(move || {
        if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
            runtime.block_on(wait);
        }
    });
    if told.await.is_err() {
        pending::<()>().await;
    }
}
