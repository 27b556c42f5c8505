//! `reel fs import`

use std::path::PathBuf;
use std::sync::Arc;

use reel_abi::outcome::Disposition;

use crate::cli::brought::Brought;
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::live;
use crate::cli::units;
use crate::cli::when::SpacePath;
use crate::runtime::import::{ImportError, ImportRequest, import};
use crate::world::clock::HostClock;
use crate::world::hostdir::GrantedDir;

/// Paths that were left out and are named.
const NAMED: usize = 20;

/// Put the files of a directory of the host into a space, as a run of its own
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Files that are there already are replaced, others stay.")]
pub struct Args {
    /// The directory to take them from
    #[arg(value_name = "HOSTDIR")]
    from: PathBuf,
    /// SPACE:PATH, the directory of the space that takes them; space and directory are made if there are none
    #[arg(value_name = "SPACE:PATH")]
    to: SpacePath,
}

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        if self.to.at.when.is_some() {
            return Err(Failure::usage(format!("{}: what was is not changed; leave the moment out", self.to)));
        }
        GrantedDir::open(&self.from).map_err(|e| Failure::file(Exit::UNFIT, "read", &self.from, &e))?;
        Brought::place()
    }
}

/// Imports the files, all or none.
pub fn execute(args: &Args, brought: &Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let from = GrantedDir::open(&brought.path(&args.from));
    let from = from.map_err(|e| Failure::file(Exit::UNFIT, "read", &args.from, &e))?;
    let store = &database.store;
    database.deliver_rest(io)?;
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("importing {}", args.from.display()));
    let command = ["reel", "fs", "import"].map(str::to_owned);
    let operands = [args.from.to_string_lossy().into_owned(), args.to.to_string()];
    let request = ImportRequest {
        name: "reel fs import",
        args: command.into_iter().chain(operands).collect(),
        space: args.to.at.space.clone(),
        to: &args.to.path,
        from: &from,
    };
    let imported = live::block_on(import(store, request, Arc::new(HostClock::new())))?;
    progress.finish();
    let imported = imported.map_err(|error| match error {
        ImportError::Run(error) => Failure::from(error),
        ImportError::Read(error) => Failure::from(error),
        error => Failure::of(Exit::HOST, &error).hint("nothing was imported"),
    })?;
    let report = &imported.report;
    if report.conflict.is_some() {
        return Err(Failure::new(Exit::CONFLICT, format!("another transaction committed to {}", args.to.at.space)));
    }
    for path in imported.skipped.iter().take(NAMED) {
        io.warn(&format!("left out {path}: no file, no directory, or a link that leads out"));
    }
    if imported.skipped.len() > NAMED {
        io.warn(&format!("left out {} more", imported.skipped.len() - NAMED));
    }
    let version = match &report.end.disposition {
        Disposition::Committed { version, .. } => format!("committed {}@{version}", args.to.at.space),
        _ => format!("rolled back: {}", report.end.outcome),
    };
    let (files, bytes) = (imported.files, units::bytes(imported.bytes));
    writeln!(io.err, "run {}: {files} files, {bytes}; {version}", report.run)?;
    Ok(Exit::of(&report.end.outcome))
}
