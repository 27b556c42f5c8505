//! `reel resume`: goes on with a run that was cut off by a crash.

use std::sync::Arc;

use super::admin;
use super::database::{DatabaseArgs, Running};
use super::exit::Exit;
use super::failure::Failure;
use super::grants;
use super::ids::RunRef;
use super::io::Io;
use super::live::{self, Farewell};
use super::progress::Progress;
use super::residents::{farewell, household};
use super::run::overtaken;
use crate::runtime::resident::Habits;
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
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = database.open(io)?;
    let record = args.run.find(&store)?;
    let (run, begin) = (record.run, record.begin);
    if let Some(end) = record.end {
        let what = format!("run {run} is over ({}); only a run that was cut off can be resumed", end.outcome);
        return Err(Failure::new(Exit::NO_REPLAY, what).hint(format!("to see it again: reel replay {run}")));
    }
    let server = admin::serve(&store, Running { from: None, resumed: Some(run) });
    live::deliver_rest(&store, io)?;
    if call_begin(&store, run)?.is_some() {
        let household = household(&store, Habits::default());
        let stop = live::interrupt(Arc::new(Progress::new(io.look.err_terminal && !args.quiet)));
        let report = live::block_on(async {
            let report = household.resume(run, stop).await;
            household.rest().await;
            report
        })??;
        let exit = farewell(&report, &begin.space, &database.flag(), io)?;
        if let Some(results) = report.results.filter(|results| !results.is_empty()) {
            writeln!(io.out, "{results}")?;
        }
        drop(server);
        return Ok(exit);
    }
    let dirs = grants::open(&begin.dirs)?;
    let engines = Engines::for_commands(begin.limits.stack_bytes)
        .map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))?;
    let progress = Arc::new(Progress::new(io.look.err_terminal && !args.quiet));
    let world = live::surroundings(dirs, &progress);
    let on_compile = || progress.begin(&format!("compiling {}", begin.name));
    let stop = live::interrupt(Arc::clone(&progress));
    let report = live::block_on(resume(&store, &engines, run, world, stop, &on_compile))?;
    progress.finish();
    let report = report?;
    if let Some(what) = &report.conflict {
        return Err(overtaken(run, &begin.space, what));
    }
    let exit = Farewell { report: &report, begin: &begin, quiet: args.quiet, flag: &database.flag() }.say(io);
    drop(server);
    Ok(exit)
}
