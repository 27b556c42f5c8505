//! `reel spaces`: what spaces there are, and where they stand.

use serde::Serialize;

use reel_abi::id::RunId;
use reel_store::Made;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::style::Paint;
use super::table::{Cell, Table};

/// List the spaces and their versions
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    space: &'a str,
    version: u64,
    changed: Option<Time>,
    run: Option<u64>,
}

/// Lists the spaces by name.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[1, 3]);
    table.row(["SPACE", "VERSION", "CHANGED (UTC)", "BY RUN"].map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (space, head) in store.spaces()? {
        let newest = store.history(&space)?.pop().map(|made| {
            (
                match made.made {
                    Made::Commit { run, .. } => run,
                    _ => RunId(0),
                },
                made.at,
            )
        });
        if args.json {
            let changed = newest.map(|(_, at)| Time(at.0));
            let run = newest.map(|(run, _)| run.0);
            json::line(io.out, &Json { space: space.as_str(), version: head.version.0, changed, run })?;
            continue;
        }
        table.row([
            Cell::new(space.as_str()),
            Cell::new(head.version.to_string()),
            Cell::new(newest.map(|(_, at)| dates::short(at.0)).unwrap_or_default()),
            Cell::new(newest.map(|(run, _)| run.to_string()).unwrap_or_default()),
        ]);
    }
    if !args.json {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}
