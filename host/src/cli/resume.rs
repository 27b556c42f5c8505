//! `reel resume`: goes on with a run that was cut off by a crash.

use std::sync::Arc;

use reel_abi::outcome::Outcome;
use reel_abi::resident::Entry;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::grants;
use super::ids::RunRef;
use super::io::Io;
use super::live::{self, Farewell};
use super::residents::{callees, farewell, interrupt, with_household};
use super::run::overtaken;
use crate::runtime::resident::cells::call_begin;
use crate::runtime::{Engines, replay::resume};

/// Go on with a run, or a call of a guest, that was cut off by a crash: replay to the end of its log, then live on
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run, or `last`
    run: RunRef,
    /// Say nothing about the run on stderr
    #[arg(long, short)]
    quiet: bool,
}

/// Goes on with the run; the exit code is the guest's own.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let record = args.run.find(store)?;
    let (run, begin) = (record.run, record.begin);
    let over = |outcome: &Outcome| {
        let what = format!("run {run} is over ({outcome}); only a run that was cut off can be resumed");
        Failure::new(Exit::NO_REPLAY, what).hint(format!("to see it again: reel replay {run}"))
    };
    if let Some(end) = record.end {
        return Err(over(&end.outcome));
    }
    let Some(_resuming) = database.running.resume(run) else {
        return Err(Failure::new(Exit::NO_REPLAY, format!("run {run} is under way; it was not cut off"))
            .hint(format!("to see how far it is: reel log {run} --follow")));
    };
    // Somebody may have been at it until now.
    if let Some(end) = store.run(run)?.and_then(|record| record.end) {
        return Err(over(&end.outcome));
    }
    database.deliver_rest(io)?;
    let call = call_begin(store, run)?;
    if let Some(Entry::Joined { caller, .. }) = call.as_ref().map(|call| &call.entry) {
        let what = format!("run {run} is a part of the transaction of run {caller}, and cannot go on by itself");
        return Err(Failure::new(Exit::NO_REPLAY, what).hint(format!("to see how far it came: reel replay {run}")));
    }
    let progress = Arc::new(database.progress(io.look.err_terminal && !args.quiet));
    let stop = interrupt(database, Arc::clone(&progress));
    if call.is_some() {
        let report = with_household(database, |household| {
            live::block_on(async {
                let report = household.resume(run, stop).await;
                household.rest().await;
                report
            })
        })??;
        let exit = farewell(&report, &begin.space, flag, io)?;
        if let Some(results) = report.results.filter(|results| !results.is_empty()) {
            writeln!(io.out, "{results}")?;
        }
        return Ok(exit);
    }
    let dirs = grants::open(&begin.dirs)?;
    let engines = Engines::for_commands(begin.limits.stack_bytes)
        .map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))?;
    let world = live::surroundings(database.console(), dirs, &callees(store), &progress);
    let on_compile = || progress.begin(&format!("compiling {}", begin.name));
    let report = live::block_on(resume(store, &engines, run, world, stop, &on_compile))?;
    progress.finish();
    let report = report?;
    database.has_committed(&report.posted, &report.timed);
    if let Some(what) = &report.conflict {
        return Err(overtaken(run, &begin.space, what));
    }
    Ok(Farewell { report: &report, begin: &begin, quiet: args.quiet, flag }.say(io))
}
