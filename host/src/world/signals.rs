//! Signals that ask this process to stop.

use std::future::pending;
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Once};

use tokio::runtime::Builder;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Whether the first SIGINT or SIGTERM has come.
static ASKED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Whether the user has asked this process to stop.
pub fn asked() -> bool {
    *ASKED.borrow()
}

/// File size limit exceeded (Linux).
const SIGXFSZ: i32 = 25;

/// From now on, the first SIGINT or SIGTERM does not end this process: see [`asked`]. The next one does, with `code`.
pub fn catch(code: i32) {
    // One thread for all who wait, and of its own: the others may be in a call that does not return.
    LISTENING.call_once(|| {
        let (listens, ready) = channel();
        drop(std::thread::spawn(move || listen(code, listens)));
        // From here on no signal has its usual effect, however late that thread gets a processor.
        let _ = ready.recv();
    });
}

/// What was to be stopped has been: the next signal is the first again.
pub fn forget() {
    ASKED.send_replace(false);
}

static LISTENING: Once = Once::new();

/// Ends at the first SIGINT or SIGTERM, or at once if that has come. Until it is first polled, signals have their usual effect; after the first one, the
/// next ends the process at once with `code`, whatever it is busy with.
pub async fn interrupt(code: i32) {
    let mut asked = ASKED.subscribe();
    catch(code);
    if asked.wait_for(|asked| *asked).await.is_err() {
        pending::<()>().await;
    }
}

fn listen(code: i32, listens: Sender<()>) {
    let wait = async move {
        let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            drop(listens);
            return pending().await;
        };
        // A file size limit shall be an error of the write that meets it, not the end of the process.
        let _limit = signal(SignalKind::from_raw(SIGXFSZ));
        let _ = listens.send(());
        loop {
            select! { _ = int.recv() => {}, _ = term.recv() => {} }
            if ASKED.send_replace(true) {
                std::process::exit(code);
            }
        }
    };
    if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
        runtime.block_on(wait);
    }
}

/// SIGHUPs, which do not end this process any more.
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// From now on they are caught. To be called where tokio runs.
    pub fn caught() -> Self {
        let signals = signal(SignalKind::hangup());
        Self(signals.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be waited for")).ok())
    }

    /// Calls `then` whenever one comes. Never ends.
    pub async fn each(mut self, mut then: impl FnMut()) {
        if let Some(signals) = &mut self.0 {
            while signals.recv().await.is_some() {
                then();
            }
        }
        pending().await
    }
}
