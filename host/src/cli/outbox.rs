//! `reel outbox`: writes to host directories that are durable but have not arrived.

use reel_abi::id::CommitNo;
use serde::Serialize;

use super::database::Opened;
use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::style::Paint;
use super::table::{Cell, Table};
use crate::runtime::outbox;

/// List, retry or give up writes to host directories that have not arrived
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Try now to carry out what is there
    #[arg(long, conflicts_with = "drop")]
    retry: bool,
    /// Give up the writes of this commit
    #[arg(long, value_name = "COMMIT")]
    drop: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    commit: u64,
    directory: &'a str,
    changes: usize,
}

/// Does what is asked, then lists what is left.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    if args.retry {
        for error in outbox::deliver_rest(store)? {
            io.warn(&error.to_string());
        }
    }
    if let Some(number) = args.drop {
        let commit = CommitNo(number);
        if !store.undelivered()?.iter().any(|(waiting, _)| *waiting == commit) {
            let text = format!("commit {number} has nothing in the outbox");
            return Err(Failure::new(Exit::USAGE, text).hint("`reel outbox` lists what is there"));
        }
        outbox::abandon(store, commit)?;
    }
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[0, 2]);
    table.row(["COMMIT", "DIRECTORY", "CHANGES"].map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (commit, entries) in store.undelivered()? {
        for entry in entries {
            let (directory, changes) = (entry.dir.host.as_str(), entry.changes.len());
            if args.json {
                json::line(io.out, &Json { commit: commit.0, directory, changes })?;
                continue;
            }
            table.row([
                Cell::new(commit.to_string()),
                Cell::new(Safe(directory).to_string()),
                Cell::new(changes.to_string()),
            ]);
        }
    }
    if !args.json {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}
