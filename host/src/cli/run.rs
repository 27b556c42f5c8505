//! `reel run`: runs a guest as a transaction.

use std::path::PathBuf;
use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName};

use super::brought::Brought;
use super::copies::Copies;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::grants::{self, DirArg, EnvArg};
use super::io::Io;
use super::limits::LimitArgs;
use super::live::{self, Farewell};
use super::program;
use super::residents::{callees, interrupt};
use crate::net::grants::Grant;
use crate::runtime::{Engines, RunError, RunRequest, run};

/// Run a WebAssembly program as a transaction, and record all it does
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel run app.wasm
  reel run app.wasm --dir ./data::/data --env LANG -- --verbose /data/in.csv
  reel run fetch.wasm --net example.com:443 --net listen:127.0.0.1:8080
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
    /// Let the guest reach a place in the network: HOST is a name, *.NAME, an address, a block such as 10.0.0.0/8, or *; PORT a number or *. With
    /// `listen:` before it, let it listen at that address. It has no other network
    #[arg(long, value_name = "[listen:]HOST:PORT")]
    net: Vec<Grant>,
    /// Let the guest call another by its name, as a part of its transaction; repeat it for several. It can call no others
    #[arg(long = "call", value_name = "GUEST")]
    calls: Vec<SpaceName>,
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

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        self.limits.limits()?;
        let brought = Brought::grants(&self.env, &self.dirs)?;
        Ok(brought.with(Some(program::find(&self.program, self.bin.as_deref(), self.quiet)?)))
    }
}

/// Runs the program; the exit code is its own.
pub fn execute(
    args: &Args,
    mut brought: Brought,
    database: &Opened,
    flag: &str,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let limits = args.limits.limits()?;
    let program = brought.take_program()?;
    let mut argv = vec![program.base_name()];
    argv.extend(args.args.iter().cloned());
    let store = &database.store;
    database.deliver_rest(io)?;
    let engines = Engines::for_commands(limits.stack_bytes)
        .map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))?;
    let request = RunRequest {
        name: program.name(),
        bytes: program.bytes,
        args: argv,
        dirs: brought.dirs(),
        env: brought.env,
        net: args.net.iter().map(Grant::to_string).collect(),
        calls: args.calls.clone(),
        limits,
        space: args.space.clone(),
        commit_on_failure: args.commit_on_failure,
        hold_output: args.hold_output || args.copies > 1,
    };
    if args.copies > 1 {
        let copies = Copies { database, engines: &engines, request, count: args.copies, quiet: args.quiet };
        return copies.run(io, &program.path);
    }
    let progress = Arc::new(database.progress(io.look.err_terminal && !args.quiet));
    let dirs = grants::open(&request.dirs)?;
    let world = live::surroundings(database.console(), dirs, &callees(store), &progress);
    let on_compile = || progress.begin(&format!("compiling {}", program.path.display()));
    let stop = interrupt(database, Arc::clone(&progress));
    let report = live::block_on(run(store, &engines, request.clone(), world, stop, &on_compile))?;
    progress.finish();
    let report = report.map_err(|error| failed(error, &request.name))?;
    database.has_committed(&report.posted, &report.timed);
    if let Some(what) = &report.conflict {
        return Err(overtaken(report.run, &request.space, what));
    }
    Ok(match &store.run(report.run)? {
        Some(record) => Farewell { report: &report, begin: &record.begin, quiet: args.quiet, flag }.say(io),
        None => Exit::of(&report.end.outcome),
    })
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
