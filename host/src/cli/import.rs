//! `reel import`: a reproducer becomes a run and a space of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reel_abi::id::SpaceName;
use reel_abi::reproducer::FILE_MAX_BYTES;

use super::brought::Brought;
use super::database::Opened;
use super::escape::Safe;
use super::exit::Exit;
use super::export::{bad, unput};
use super::failure::Failure;
use super::io::Io;
use super::program::Program;
use crate::port::Clock;
use crate::runtime::reproduce::{Checked, check, put};
use crate::world::clock::HostClock;
use crate::world::disk;

/// Put a reproducer into the database, as a run in a space of its own
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Nothing of it is executed, and no guest lives in the space: look at it with `log`, `show`, `replay`, `diff` and `fs`."
)]
pub struct Args {
    /// The file that `reel export` has written
    #[arg(value_name = "FILE.reel")]
    file: PathBuf,
    /// The name of the space; there must be none of that name [default: SPACE-RUN, as they were called there]
    #[arg(long = "as", value_name = "SPACE")]
    space: Option<SpaceName>,
}

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        let bytes = load(&self.file)?;
        Ok(Brought::default().with(Some(Program { path: self.file.clone(), bytes })))
    }
}

/// The bytes of a file.
fn load(path: &Path) -> Result<Vec<u8>, Failure> {
    disk::read_bounded(path, FILE_MAX_BYTES).map_err(|error| Failure::file(Exit::UNFIT, "read", path, &error))
}

/// A file, checked.
pub fn checked(path: &Path) -> Result<Checked, Failure> {
    check(&load(path)?).map_err(|error| bad(path, &error))
}

/// Imports the file, whole or not at all.
pub fn execute(args: &Args, mut brought: Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let file = brought.take_program()?;
    let checked = check(&file.bytes).map_err(|error| bad(&file.path, &error))?;
    let about = &checked.file.about;
    let space = match &args.space {
        Some(space) => space.clone(),
        None => name(about.begin.space.as_str(), about.run.0)?,
    };
    let clock: Arc<dyn Clock> = Arc::new(HostClock::new());
    let imported = put(&database.store, &checked, &space, &clock).map_err(unput)?;
    let redacted = match about.redacted.is_empty() {
        true => String::new(),
        false => format!("; redacted: {}", Safe(&about.redacted.join(", "))),
    };
    let (run, version, there) = (imported.run, imported.version, about.run);
    let origin = format!("run {there} of {}, exported by {}", about.begin.space, Safe(&about.build));
    writeln!(io.err, "run {run} in {space}@{version}: {origin}{redacted}")?;
    Ok(Exit::OK)
}

/// The name of the space if none is given.
fn name(space: &str, run: u64) -> Result<SpaceName, Failure> {
    let end = format!("-{run}");
    let begin = &space[..space.len().min(64 - end.len())];
    format!("{begin}{end}").parse().map_err(|error| Failure::usage(format!("{error}")))
}
