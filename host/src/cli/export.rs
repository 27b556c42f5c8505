//! `reel export`: a run with exactly what it read, in one file.

use std::path::PathBuf;
use std::sync::Arc;

use reel_abi::id::{RunId, Seq};
use reel_store::Store;

use super::brought::Brought;
use super::database::Opened;
use super::divergence;
use super::exit::Exit;
use super::failure::{Failure, no_such_run};
use super::ids::RunRef;
use super::io::Io;
use super::live::block_on;
use super::replay;
use super::style::Paint;
use super::units;
use crate::calls::session::Console;
use crate::runtime::reproduce::{BadFile, Checked, ExportError, ExportRequest, PutError, Redaction, export, put};
use crate::runtime::{Engines, ReplayRequest, Verdict};
use crate::world::clock::HostClock;
use crate::world::disk;
use crate::world::scratch::Scratch;

/// Write a run with exactly what it read into one file, which replays anywhere
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel export 17 > bug.reel
  reel export last -o bug.reel --redact header:authorization --redact env:TOKEN --redact users/anna

The file is replayed before it is written. Exit code 11: it would not replay, or what is to be redacted cannot be, and nothing is written.")]
pub struct Args {
    /// The run, or `last`
    run: RunRef,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the values of KEY (or BUCKET/KEY), header:NAME or env:NAME by as many other bytes, wherever they stand; repeat it for several
    #[arg(long, value_name = "WHAT")]
    redact: Vec<Redaction>,
}

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        Brought::place()
    }
}

/// Exports the run.
pub fn execute(args: &Args, brought: &Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if args.output.is_none() && io.look.out_terminal {
        return Err(Failure::usage("a reproducer is no text for a terminal")
            .hint("write it to a file: `-o bug.reel`, or `> bug.reel`"));
    }
    let store = &database.store;
    let record = args.run.find(store)?;
    replay::check(&record)?;
    let run = record.run;
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("exporting run {run}"));
    let engines = engines(record.begin.limits.stack_bytes)?;
    let build = format!("reel {}", env!("CARGO_PKG_VERSION"));
    let request = ExportRequest { run, redact: args.redact.clone(), build };
    let taken = block_on(export(store, &engines, request, Arc::new(HostClock::new()), &|| ()))?;
    let proven = taken.map_err(|error| failed(error, io)).and_then(|checked| prove(checked, io));
    progress.finish();
    let checked = proven.map_err(|failure| match args.redact.is_empty() {
        true => failure,
        false => failure.hint("nothing was written; name less to be redacted, or other keys"),
    })?;
    match &args.output {
        Some(path) => disk::write_private(&brought.path(path), &checked.bytes)
            .map_err(|error| Failure::file(Exit::HOST, "write", path, &error))?,
        None => io.out.write_all(&checked.bytes)?,
    }
    let file = &checked.file;
    let cells: usize = file.states.iter().map(|state| state.cells.len()).sum();
    let size = units::bytes(checked.bytes.len() as u64);
    let to = args.output.as_ref().map(|path| format!(" to {}", path.display())).unwrap_or_default();
    writeln!(io.err, "run {run}: {cells} cells read, {size}{to}; it replays")?;
    Ok(Exit::OK)
}

/// An engine for a run of somebody else.
pub fn engines(stack_bytes: u64) -> Result<Engines, Failure> {
    Engines::for_commands(stack_bytes).map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))
}

/// Replays a file in a database of its own.
pub fn replayed(
    checked: &Checked,
    request: impl FnOnce(RunId) -> ReplayRequest,
    console: Console,
    clock: Arc<dyn crate::port::Clock>,
) -> Result<crate::runtime::ReplayReport, Failure> {
    let room = Scratch::new().map_err(|error| {
        Failure::new(Exit::HOST, format!("no directory for a database: {}", super::failure::plain(&error)))
    })?;
    let store = Store::open(&room.path().join("db"), "a replay of a file")?;
    let now: Arc<dyn crate::port::Clock> = Arc::new(HostClock::new());
    let imported = put(&store, checked, &checked.file.about.begin.space, &now).map_err(unput)?;
    let record = store.run(imported.run)?.ok_or_else(|| no_such_run(imported.run))?;
    let database = Opened::new(store);
    replay::once(&database, &record, request(imported.run), console, clock)
}

/// Whether the file does what the run did.
fn prove(checked: Checked, io: &mut Io<'_>) -> Result<Checked, Failure> {
    let run = checked.file.about.run;
    let request = |run| ReplayRequest { run, until: None, with: None, keep_payload: false };
    let report = replayed(&checked, request, Console::default(), Arc::new(HostClock::new()))?;
    match report.verdict {
        Verdict::Diverged(divergence) => {
            divergence::show(io.err, run, &divergence, Paint(io.look.err_colour))?;
            let at = divergence.mismatch.seq;
            let what = match checked.file.about.redacted.is_empty() {
                true => format!("the reproducer of run {run} does not replay: it diverges at event {at}"),
                false => format!("without what is to be redacted, run {run} does something else from event {at} on"),
            };
            Err(Failure::new(Exit::NO_REPLAY, what))
        }
        _ => Ok(checked),
    }
}

/// The page for a run that cannot be exported.
fn failed(error: ExportError, io: &mut Io<'_>) -> Failure {
    let what = error.to_string();
    match error {
        ExportError::NoSuchRun(run) => no_such_run(run),
        ExportError::Replay(error) => error.into(),
        ExportError::Read(error) => error.into(),
        ExportError::Prepare(error) => error.into(),
        ExportError::Diverged(run, Seq(_), divergence) => {
            drop(divergence::show(io.err, run, &divergence, Paint(io.look.err_colour)));
            Failure::new(Exit::NO_REPLAY, what)
        }
        ExportError::Joined { caller, .. } => {
            Failure::new(Exit::NO_REPLAY, what).hint(format!("export the caller: `reel export {caller}`"))
        }
        ExportError::Missing(_) => Failure::new(Exit::DATABASE, what),
        _ => Failure::new(Exit::NO_REPLAY, what),
    }
}

/// The page for a file that is none, or no good one.
pub fn bad(path: &std::path::Path, error: &BadFile) -> Failure {
    Failure::new(Exit::UNFIT, format!("{} is no reproducer that can be used", path.display()))
        .at(error.to_string())
        .hint("nothing of it was imported or executed")
}

/// The page for a file that could not be imported.
pub fn unput(error: PutError) -> Failure {
    match error {
        PutError::Read(error) => error.into(),
        PutError::Append(error) => error.into(),
        PutError::Bytes(_) => Failure::of(Exit::UNFIT, &error),
        PutError::Commit(_) | PutError::Keep(_) => Failure::of(Exit::DATABASE, &error),
    }
}
