//! `reel restore`: makes a database of a backup, and checks it.

use std::path::PathBuf;

use reel_store::Store;
use serde::Serialize;

use super::backup::{self, in_words};
use super::database::{DatabaseArgs, Opened};
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::progress::Progress;
use super::verify;
use crate::world::process;

/// Make a database of a backup: copies it, makes the state from the log, and verifies all of it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel restore /backups/orders --db orders
  reel rollback orders --to 14:05 --db orders     # and back to a moment before the accident

There must be no database yet where `--db` says. Exit code 12: the restored database is not sound.")]
pub struct Args {
    /// Directory of the backup
    backup: PathBuf,
    /// Do not verify it
    #[arg(long)]
    unchecked: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json {
    #[serde(flatten)]
    copied: backup::Json,
    sound: Option<bool>,
}

/// Restores; the database has to be new.
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (dir, owner) = (database.dir(), process::description());
    let progress = Progress::here(io.look.err_terminal);
    progress.begin("restoring");
    let done = reel_store::restore(&args.backup, &dir, &owner, &mut |done, total| progress.update(done, total));
    progress.finish();
    let done = done?;
    let opened = Opened::new(Store::open_existing(&dir, &owner)?);
    opened.store.settle()?;
    let problems = match args.unchecked {
        true => None,
        false => Some(verify::problems(&opened, io)?),
    };
    let sound = problems.as_ref().map(Vec::is_empty);
    match args.json {
        true => json::line(io.out, &Json { copied: backup::Json::from(&done), sound })?,
        false => {
            let found = match sound {
                Some(true) => ", and it is sound",
                Some(false) => ", and it is not sound",
                None => "",
            };
            writeln!(io.out, "{} in {}{found}", in_words(&done), dir.display())?;
        }
    }
    for problem in problems.iter().flatten() {
        writeln!(io.err, "problem: {problem}")?;
    }
    Ok(if sound == Some(false) { Exit::PROBLEMS } else { Exit::OK })
}
