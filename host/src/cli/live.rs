//! What `run` and `resume` have in common: the world a live guest gets, and what is said when it is over.

use std::future::Future;
use std::io;
use std::sync::Arc;

use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_store::Store;

use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::progress::Progress;
use super::style::Paint;
use crate::calls::session::Console;
use crate::port::{HostDir, Output};
use crate::runtime::joined::Guests;
use crate::runtime::{HttpWorld, RunReport, Surroundings, outbox};
use crate::world::client::RealClient;
use crate::world::clock::HostClock;
use crate::world::entropy::KernelEntropy;
use crate::world::net::HostNetwork;
use crate::world::signals;

/// The world for one guest. The progress line goes before the guest shows anything.
pub fn surroundings(
    console: Console,
    dirs: Vec<Box<dyn HostDir>>,
    callees: &Arc<Guests>,
    progress: &Arc<Progress>,
) -> Surroundings {
    let after = |inner: Option<Box<dyn Output>>| -> Option<Box<dyn Output>> {
        Some(Box::new(AfterProgress { inner: inner?, progress: Arc::clone(progress) }))
    };
    let Console { stdin, stdout, stderr, echo } = console;
    let console = Console { stdin, stdout: after(stdout), stderr: after(stderr), echo };
    Surroundings {
        clock: Arc::new(HostClock::new()),
        entropy: Box::new(KernelEntropy::new()),
        console,
        dirs,
        http: HttpWorld::asking(Arc::new(RealClient)),
        network: Arc::new(HostNetwork),
        callees: Some(Arc::clone(callees)),
    }
}

/// Ends when the user wants the guest to stop. It is waited for from the guest's first pause on.
pub async fn interrupt(progress: Arc<Progress>) {
    progress.finish();
    signals::interrupt(i32::from(Exit::INTERRUPTED.0)).await;
}

/// Runs a future of the runtime to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the event loop: {e}")))?;
    Ok(runtime.block_on(future))
}

/// Carries out what an earlier process left in the outbox, and says what still cannot be.
pub fn deliver_rest(store: &Store, io: &mut Io<'_>) -> Result<(), Failure> {
    for error in outbox::deliver_rest(store)? {
        io.warn(&error.to_string());
    }
    Ok(())
}

/// What to say when a run is over.
pub struct Farewell<'a> {
    /// The run.
    pub report: &'a RunReport,
    /// How it began.
    pub begin: &'a RunBegin,
    /// Say only what went wrong with the host.
    pub quiet: bool,
    /// What makes a `reel` command look at the same database.
    pub flag: &'a str,
}

impl Farewell<'_> {
    /// Says it, and gives the code to end with.
    pub fn say(&self, io: &mut Io<'_>) -> Exit {
        let Self { report, quiet, .. } = self;
        let outcome = &report.end.outcome;
        if !quiet && (io.look.err_terminal || !outcome.is_success()) {
            drop(io.err.write_all(self.text(io).as_bytes()));
        }
        let mut exit = Exit::of(outcome);
        if let Some(undelivered) = &report.undelivered {
            Failure::of(Exit::HOST, undelivered).show(io);
            exit = if exit == Exit::OK { Exit::HOST } else { exit };
        }
        exit
    }

    fn text(&self, io: &Io<'_>) -> String {
        let Self { report, begin, flag, .. } = self;
        let (run, end) = (report.run, &report.end);
        let paint = Paint(io.look.err_colour);
        let outcome = Safe(&end.outcome.to_string()).to_string();
        let outcome = if end.outcome.is_success() { paint.good(&outcome) } else { paint.error(&outcome) };
        let became = match &end.disposition {
            Disposition::Committed { version, .. } if *version == begin.version => "nothing written".to_owned(),
            Disposition::Committed { version, .. } => format!("committed {}@{version}", begin.space),
            Disposition::Partly { version, .. } => {
                format!("committed {}@{version} on its way, the rest rolled back", begin.space)
            }
            Disposition::Lost { again: Some(again) } => {
                format!("overtaken by another transaction; run {again} took its place")
            }
            Disposition::Lost { again: None } => "overtaken by other transactions, and given up".to_owned(),
            Disposition::Aborted => "rolled back".to_owned(),
        };
        let mut text = format!("run {run}: {outcome}; {became}. ");
        text.push_str(&paint.dim(&format!("reel log {run}{flag} | reel replay {run}{flag}")));
        text.push('\n');
        for request in &report.escaped {
            text.push_str(&format!("    this had left: {}\n", Safe(request)));
        }
        if let Outcome::Trap { backtrace, .. } = &end.outcome {
            text.push_str(&super::trapped::lines(backtrace));
        }
        text
    }
}

/// Output that clears the progress line first.
struct AfterProgress {
    inner: Box<dyn Output>,
    progress: Arc<Progress>,
}

impl Output for AfterProgress {
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        self.progress.finish();
        self.inner.show(bytes, patience)
    }

    fn is_terminal(&self) -> bool {
        self.inner.is_terminal()
    }
}
