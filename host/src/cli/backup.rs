//! `reel backup`: a copy of the database, which is one itself, made and brought up to date while others work.

use std::path::PathBuf;

use reel_store::{Backup, BackupError};
use serde::Serialize;

use super::brought::Brought;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::units;
use crate::world::process;

/// Copy the database into a directory, or bring a copy there up to date, while others go on working
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel backup /backups/orders          # all of it the first time, then what is new
  reel restore /backups/orders --db orders

The copy holds the log and the payloads, and is a database itself: `reel --db DIR verify` checks it, `reel --db DIR sql` asks it. What
writes into it (a run, a fork) makes it another database, which no backup goes on from.")]
pub struct Args {
    /// Directory of the copy; made if it is not there
    dir: PathBuf,
    /// Print what was copied as JSON
    #[arg(long)]
    json: bool,
}

/// What was copied.
#[derive(Serialize)]
pub struct Json {
    rows: u64,
    row_bytes: u64,
    payloads: u64,
    payload_bytes: u64,
    through_row: u64,
}

impl From<&Backup> for Json {
    fn from(done: &Backup) -> Self {
        let Backup { rows, row_bytes, payloads, payload_bytes, through } = *done;
        Self { rows, row_bytes, payloads, payload_bytes, through_row: through.0 }
    }
}

/// Copies what is new.
pub fn execute(args: &Args, brought: &Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let progress = database.progress(io.look.err_terminal);
    progress.begin("backing up");
    let mut told = |done, total| progress.update(done, total);
    let done = database.store.backup(&brought.path(&args.dir), &process::description(), &mut told);
    progress.finish();
    let done = done?;
    match args.json {
        true => json::line(io.out, &Json::from(&done))?,
        false => writeln!(io.out, "{} in {}", in_words(&done), args.dir.display())?,
    }
    Ok(Exit::OK)
}

/// What was copied.
pub fn in_words(done: &Backup) -> String {
    let Backup { rows, row_bytes, payloads, payload_bytes, through } = done;
    match (rows, payloads) {
        (0, 0) => format!("nothing new: all up to row {through} is"),
        _ => format!(
            "{rows} rows ({}) and {payloads} payloads ({}) copied: all up to row {through} is",
            units::bytes(*row_bytes),
            units::bytes(*payload_bytes)
        ),
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Open(error) => error.into(),
            BackupError::Read(error) => error.into(),
            BackupError::Write(_) => Self::of(Exit::DATABASE, &error)
                .hint("what was copied stays; make room, and the next backup goes on from there"),
            BackupError::OtherHistory { .. } | BackupError::Gap { .. } | BackupError::Exists { .. } => {
                Self::of(Exit::EXISTS, &error)
            }
            BackupError::Itself { .. } => Self::of(Exit::USAGE, &error),
            BackupError::Empty { .. } => Self::of(Exit::DATABASE, &error),
        }
    }
}
