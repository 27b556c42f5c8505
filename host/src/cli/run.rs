//! `reel run`: runs a guest as a transaction.

use std::path::PathBuf;
use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName};

use super::admin;
use super::copies::Copies;
use super::database::{DatabaseArgs, Running};
use super::exit::Exit;
use super::failure::Failure;
use super::grants::{self, DirArg, EnvArg};
use super::io::Io;
use super::limits::LimitArgs;
use super::live::{self, Farewell};
use super::program;
use super::progress::Progress;
use crate::runtime::{Engines, RunError, RunRequest, run};

/// Run a WebAssembly program as a transaction, and record all it does
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel run app.wasm
  reel run app.wasm --dir ./data::/data --env LANG -- --verbose /data/in.csv
  reel run ./my-package --space trial --deadline 30s --memory 256MiB")]
pub struct Args {
    /// A .wasm file (a WASI 0.2 component, or a WASI preview 1 module), or the directory of a Cargo package to build and run
    #[arg(value_name = "APP.wasm|DIR")]
    program: PathBuf,
    /// The space to work in; made at its first use
    #[arg(long, value_name = "NAME", default_value = "main")]
    space: SpaceName,
    /// Lay a directory of the host under the guest's tree; `:ro` for reading only. What the guest writes reaches it after the commit
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]")]
    dirs: Vec<DirArg>,
    /// Set an environment variable of the guest, or hand on the host's. It has no others
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvArg>,
    /// Commit also when the program ends with an exit code other than 0
    #[arg(long)]
    commit_on_failure: bool,
    /// Show what the program says only once it has ended; then it can be executed again when another transaction overtakes it
    #[arg(long)]
    hold_output: bool,
    /// Execute the program so many times at once, each time as a transaction of its own, with held output and no input. `{}` in its arguments
    /// stands for the number of the copy, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    copies: u32,
    /// Which program of a Cargo package with several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Say nothing about the run on stderr
    #[arg(long, short)]
    quiet: bool,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Runs the program; the exit code is its own.
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let limits = args.limits.limits()?;
    let env = grants::environment(&args.env)?;
    let dirs = grants::directories(&args.dirs)?;
    grants::open(&dirs)?;
    let program = program::find(&args.program, args.bin.as_deref(), args.quiet)?;
    let mut argv = vec![program.base_name()];
    argv.extend(args.args.iter().cloned());
    let store = database.create(io)?;
    let from = store.newest_run().unwrap_or_default().next();
    let server = admin::serve(&store, Running { from: Some(from), resumed: None });
    live::deliver_rest(&store, io)?;
    let engines = Engines::for_commands(limits.stack_bytes)
        .map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))?;
    let request = RunRequest {
        name: program.name(),
        bytes: program.bytes,
        args: argv,
        env,
        dirs,
        limits,
        space: args.space.clone(),
        commit_on_failure: args.commit_on_failure,
        hold_output: args.hold_output || args.copies > 1,
    };
    if args.copies > 1 {
        let copies = Copies { store: &store, engines: &engines, request, count: args.copies, quiet: args.quiet };
        let exit = copies.run(io, &program.path)?;
        drop(server);
        return Ok(exit);
    }
    let progress = Arc::new(Progress::new(io.look.err_terminal && !args.quiet));
    let world = live::surroundings(grants::open(&request.dirs)?, &progress);
    let on_compile = || progress.begin(&format!("compiling {}", program.path.display()));
    let stop = live::interrupt(Arc::clone(&progress));
    let report = live::block_on(run(&store, &engines, request.clone(), world, stop, &on_compile))?;
    progress.finish();
    let report = report.map_err(|error| failed(error, &request.name))?;
    if let Some(what) = &report.conflict {
        return Err(overtaken(report.run, &request.space, what));
    }
    let record = store.run(report.run)?;
    let exit = match &record {
        Some(record) => {
            let flag = database.flag();
            Farewell { report: &report, begin: &record.begin, quiet: args.quiet, flag: &flag }.say(io)
        }
        None => Exit::of(&report.end.outcome),
    };
    drop(server);
    Ok(exit)
}

/// The page for a run that there is not.
pub fn failed(error: RunError, name: &str) -> Failure {
    match error {
        RunError::Prepare(error) => Failure::from(error).at(name.to_owned()),
        error => error.into(),
    }
}

/// The page for a run that other transactions have overtaken, and that could not be executed again by itself.
pub fn overtaken(run: RunId, space: &SpaceName, what: &str) -> Failure {
    Failure::new(Exit::CONFLICT, format!("run {run} in {space} was overtaken by another transaction: {what}"))
        .hint("nothing of it is committed but what it committed itself on its way; run the program again, or with --hold-output, so that it can be executed again unnoticed")
}
