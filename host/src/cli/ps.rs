//! `reel ps`: the guests that were deployed, and how they stand.

use reel_abi::resident::{Guest, GuestKind, OnCrash};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::style::Paint;
use super::table::{Cell, Table};
use super::units::Size;
use crate::runtime::resident::cells::{Lodging, guests};

/// List the guests that were deployed: what they are, how often they were called, and how they stand
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
STATE    idle: it takes calls; stopped: it takes none until `reel start`
VERSION  of its space: calls, checkpoints, `reel stop` and `reel start` make them
CALLS    that committed since it was deployed, also those before it was forked
MEMORY   at the newest checkpoint; nothing while there is none")]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    kind: &'static str,
    state: &'static str,
    version: u64,
    calls: u64,
    last_run: Option<u64>,
    checkpoint_run: Option<u64>,
    memory_bytes: Option<u64>,
    program: &'a str,
    component: String,
    deployed: Time,
    on_crash: &'static str,
}

fn state(stopped: bool) -> &'static str {
    if stopped { "stopped" } else { "idle" }
}

fn kind(guest: &Guest) -> &'static str {
    match guest.kind {
        GuestKind::Resident => "resident",
    }
}

/// Lists the guests by name.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[3, 4, 5]);
    let head = ["GUEST", "KIND", "STATE", "VERSION", "CALLS", "MEMORY", "DEPLOYED (UTC)", "PROGRAM"];
    table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (name, Lodging { head, guest, life, checkpoint, stopped }) in guests(&database.store)? {
        let memory = checkpoint.as_ref().map(|checkpoint| checkpoint.memories.iter().sum::<u64>());
        if args.json {
            let line = Json {
                guest: name.as_str(),
                kind: kind(&guest),
                state: state(stopped),
                version: head.version.0,
                calls: life.as_ref().map_or(0, |life| life.calls),
                last_run: life.as_ref().map(|life| life.last.0),
                checkpoint_run: checkpoint.as_ref().map(|checkpoint| checkpoint.after.0),
                memory_bytes: memory,
                program: &guest.program,
                component: guest.component.to_string(),
                deployed: Time(guest.at.0),
                on_crash: match guest.on_crash {
                    OnCrash::Abort => "abort",
                    OnCrash::Resume => "resume",
                },
            };
            json::line(io.out, &line)?;
            continue;
        }
        table.row([
            Cell::new(name.as_str()),
            Cell::new(kind(&guest)),
            Cell::new(state(stopped)),
            Cell::new(head.version.to_string()),
            Cell::new(life.map_or(0, |life| life.calls).to_string()),
            Cell::new(memory.map(|bytes| Size(bytes).to_string()).unwrap_or_default()),
            Cell::new(dates::short(guest.at.0)),
            Cell::new(guest.program),
        ]);
    }
    if !args.json {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}
