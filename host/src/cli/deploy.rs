//! `reel deploy`: puts a guest into a space, to be called.

use std::path::PathBuf;
use std::sync::Arc;

use reel_abi::id::SpaceName;
use reel_abi::resident::OnCrash;
use serde::Serialize;

use super::admin;
use super::database::{DatabaseArgs, Running};
use super::exit::Exit;
use super::failure::Failure;
use super::grants::{self, DirArg, EnvArg};
use super::io::Io;
use super::json;
use super::limits::LimitArgs;
use super::live;
use super::program;
use super::progress::Progress;
use super::residents::{farewell, household};
use crate::runtime::resident::{DeployRequest, Habits};

/// Put a component into a space as a guest that stays: it keeps its memory between calls, and each call is a transaction
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel deploy counter.wasm --as counter
  reel deploy ./my-package --as session --memory 256MiB --on-crash resume
It prints the version of the space that the guest begins with (counter@1). The limits hold for each call; those of memory, tables and handles also for \
what stays between calls. While `reel serve` runs, the database is taken: stop it to deploy. If the guest cannot be born, nothing has changed, and the \
exit code says why (118 to 125, as for `reel run`).")]
pub struct Args {
    /// A .wasm file (a WASI 0.2 component, or a WASI preview 1 module), or the directory of a Cargo package to build
    #[arg(value_name = "APP.wasm|DIR")]
    program: PathBuf,
    /// Name of the guest, and of its space. One that is there gets the new component and begins a new life, its files and buckets stay
    #[arg(long = "as", value_name = "NAME")]
    name: SpaceName,
    /// What becomes of a call that a crash of the host cut off: it is rolled back, or `reel serve` or the next `reel call` of the guest goes on with
    /// it where its log ends. A call that sleeps goes on in any case
    #[arg(long, value_name = "WHAT", default_value = "abort")]
    on_crash: OnCrashArg,
    /// Lay a directory of the host under the guest's tree; `:ro` for reading only. What the guest writes reaches it after the commit
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]")]
    dirs: Vec<DirArg>,
    /// Set an environment variable of the guest, or hand on the host's. It has no others
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvArg>,
    /// Which program of a Cargo package with several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OnCrashArg {
    Abort,
    Resume,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    version: u64,
    run: u64,
    component: String,
}

/// Deploys the guest and prints its name and version.
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let limits = args.limits.limits()?;
    let env = grants::environment(&args.env)?;
    let dirs = grants::directories(&args.dirs)?;
    grants::open(&dirs)?;
    let program = program::find(&args.program, args.bin.as_deref(), false)?;
    let store = database.create(io)?;
    let server = admin::serve(&store, Running::default());
    live::deliver_rest(&store, io)?;
    let request = DeployRequest {
        name: args.name.clone(),
        program: program.name(),
        bytes: program.bytes,
        env,
        dirs,
        limits,
        on_crash: match args.on_crash {
            OnCrashArg::Abort => OnCrash::Abort,
            OnCrashArg::Resume => OnCrash::Resume,
        },
    };
    let progress = Arc::new(Progress::new(io.look.err_terminal));
    let on_compile = || progress.begin(&format!("compiling {}", program.path.display()));
    let household = household(&store, Habits::default());
    let stop = live::interrupt(Arc::clone(&progress));
    let report = live::block_on(household.deploy(&request, stop, &on_compile))?;
    progress.finish();
    let report = report.map_err(|error| Failure::from(error).at(request.program.clone()))?;
    let exit = farewell(&report, &args.name, &database.flag(), io)?;
    if let Some(head) = store.head(&args.name)?.filter(|_| report.end.outcome.is_success()) {
        let component = reel_abi::id::Digest::of(&request.bytes).to_string();
        match args.json {
            true => {
                let (guest, version, run) = (args.name.as_str(), head.version.0, report.run.0);
                json::line(io.out, &Json { guest, version, run, component })?;
            }
            false => writeln!(io.out, "{}@{}", args.name, head.version)?,
        }
    }
    drop(server);
    Ok(exit)
}
