//! `reel run --copies N`: one program many times at once, each time as a transaction of its own.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::grants;
use super::io::Io;
use super::live;
use super::progress::Progress;
use super::residents::{callees, interrupt};
use super::run::failed;
use crate::calls::session::Console;
use crate::runtime::joined::Guests;
use crate::runtime::prepare::{Prepared, prepare};
use crate::runtime::{Engines, RunError, RunReport, RunRequest, run_prepared};
use reel_abi::outcome::Disposition;

/// Copies that are under way at once, each on a thread.
const AT_ONCE: u32 = 64;

/// The copies of a program.
pub struct Copies<'a> {
    /// Where they work.
    pub database: &'a Opened,
    /// What executes them.
    pub engines: &'a Engines,
    /// What each does, but for the number in its arguments.
    pub request: RunRequest,
    /// How many.
    pub count: u32,
    /// Say only what went wrong with the host.
    pub quiet: bool,
}

/// What became of all of them.
#[derive(Default)]
struct Tally {
    /// Copies that were begun.
    begun: u32,
    committed: u32,
    attempts: u32,
    /// The copies that did not end well, by number.
    failed: Vec<(u32, Result<RunReport, RunError>)>,
}

impl Copies<'_> {
    /// Runs them. The exit code is that of the first one, by number, which did not end well.
    pub fn run(&self, io: &mut Io<'_>, path: &Path) -> Result<Exit, Failure> {
        let store = &self.database.store;
        let progress = Arc::new(self.database.progress(io.look.err_terminal && !self.quiet));
        let on_compile = || progress.begin(&format!("compiling {}", path.display()));
        let prepared = prepare(store, self.engines, &self.request.bytes, &on_compile);
        let prepared = prepared.map_err(|error| failed(error.into(), &self.request.name))?;
        progress.finish();
        let callees = callees(store);
        let (next, tally) = (AtomicU32::new(1), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            let worker = || self.work(&prepared, &callees, &progress, &next, &tally);
            let workers: Vec<_> = (0..self.count.min(AT_ONCE)).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(Failure::new(Exit::HOST, "a thread of the host ended early")))
            })
        })?;
        self.say(io, tally.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one copy after the other, until the user wants no more.
    fn work(
        &self,
        prepared: &Prepared,
        callees: &Arc<Guests>,
        progress: &Arc<Progress>,
        next: &AtomicU32,
        tally: &Mutex<Tally>,
    ) -> Result<(), Failure> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number > self.count || self.database.is_asked_to_stop() {
                return Ok(());
            }
            let argument = |argument: &String| argument.replace("{}", &number.to_string());
            let args = self.request.args.iter().map(argument).collect();
            let request = RunRequest { args, ..self.request.clone() };
            let console = Console { stdin: None, ..self.database.console() };
            let world = live::surroundings(console, grants::open(&request.dirs)?, callees, progress);
            let stop = interrupt(self.database, Arc::clone(progress));
            let report =
                live::block_on(run_prepared(&self.database.store, self.engines, prepared, request, world, stop))?;
            if let Ok(report) = &report {
                self.database.has_committed(&report.posted, &report.timed);
            }
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.begun += 1;
            tally.attempts += report.as_ref().map_or(1, |report| report.attempts);
            tally.committed += u32::from(report.as_ref().is_ok_and(is_committed));
            if !report.as_ref().is_ok_and(is_well) {
                tally.failed.push((number, report));
            }
        }
    }

    fn say(&self, io: &mut Io<'_>, mut tally: Tally) -> Result<Exit, Failure> {
        tally.failed.sort_by_key(|(number, _)| *number);
        let mut exit = Exit::OK;
        for (number, result) in tally.failed {
            let code = match result {
                Err(error) => return Err(failed(error, &self.request.name)),
                Ok(RunReport { run, conflict: Some(what), .. }) => {
                    io.warn(&format!("copy {number}, run {run}: overtaken by others until it was given up: {what}"));
                    Exit::CONFLICT
                }
                Ok(report) => {
                    if !self.quiet {
                        io.warn(&format!("copy {number}, run {}: {}", report.run, report.end.outcome));
                    }
                    match (&report.undelivered, Exit::of(&report.end.outcome)) {
                        (Some(undelivered), code) => {
                            io.warn(&undelivered.to_string());
                            if code == Exit::OK { Exit::HOST } else { code }
                        }
                        (None, code) => code,
                    }
                }
            };
            exit = if exit == Exit::OK { code } else { exit };
        }
        let Tally { begun, committed, attempts, .. } = tally;
        if !self.quiet {
            let (not, again) = (begun - committed, attempts - begun);
            let words = format!(
                "{begun} runs in {}: {committed} committed, {not} not; {again} times one was overtaken and executed again",
                self.request.space
            );
            writeln!(io.err, "{words}")?;
        }
        let missing = self.count - begun;
        if missing > 0 {
            io.warn(&format!("interrupted; {missing} copies were not begun"));
            exit = if exit == Exit::OK { Exit::INTERRUPTED } else { exit };
        }
        Ok(exit)
    }
}

/// Whether there is nothing to say of a copy.
fn is_well(report: &RunReport) -> bool {
    is_committed(report) && report.end.outcome.is_success() && report.conflict.is_none() && report.undelivered.is_none()
}

fn is_committed(report: &RunReport) -> bool {
    matches!(report.end.disposition, Disposition::Committed { .. })
}
