//! `reel ps`: the guests that were deployed, and how they stand.

use std::collections::BTreeMap;

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::resident::{Guest, GuestKind, OnCrash};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::residents::with_household;
use super::style::Paint;
use super::table::{Cell, Table};
use super::units::Size;
use crate::runtime::resident::Presence;
use crate::runtime::resident::cells::{Lodging, guests};
use crate::runtime::resident::going_on::CutOff;

/// List the guests that were deployed: what they are, how often they were called, and how they stand
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
STATE    idle: not in memory, comes back at its next call; awake: in memory, while `reel serve` runs; running: a call is being made; asleep: a call
         waits for a long time; cut off: a call was, and is gone on with by `reel serve` or the next call; stopped: no calls until `reel start`
VERSION  of its space: calls, checkpoints, `reel stop` and `reel start` make them
CALLS    that committed since it was deployed, also those before it was forked
DEBT     calls that are to be replayed when it comes back: those since its newest checkpoint, or since its birth
MEMORY   now if it is awake, or else at the newest checkpoint; nothing while there is none")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    version: u64,
    calls: u64,
    debt_calls: u64,
    last_run: Option<u64>,
    checkpoint_run: Option<u64>,
    memory_bytes: Option<u64>,
    program: &'a str,
    component: String,
    deployed: Time,
    on_crash: &'static str,
}

/// How a guest stands.
#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    Stopped,
    Awake(u64),
    Running,
    Asleep(WallTime),
    CutOff,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stopped => "stopped",
            Self::Awake(_) => "awake",
            Self::Running => "running",
            Self::Asleep(_) => "asleep",
            Self::CutOff => "cut off",
        }
    }

    fn until(self) -> Option<u64> {
        if let Self::Asleep(until) = self { Some(until.0) } else { None }
    }
}

/// How all guests stand that are neither idle nor stopped.
fn states(database: &Opened) -> Result<BTreeMap<SpaceName, State>, Failure> {
    let mut states = BTreeMap::new();
    for CutOff { run, name, until } in with_household(database, |household| household.cut_off(None))? {
        let state = match until {
            _ if database.running.has(run) => State::Running,
            Some(until) => State::Asleep(until),
            None => State::CutOff,
        };
        states.insert(name, state);
    }
    for (name, presence) in database.household().iter().flat_map(|household| household.presence()) {
        let state = match presence {
            Presence::Busy => State::Running,
            Presence::Awake(bytes) => State::Awake(bytes),
            Presence::Asleep(until) => State::Asleep(until),
        };
        states.insert(name, state);
    }
    Ok(states)
}

fn kind(guest: &Guest) -> &'static str {
    match guest.kind {
        GuestKind::Resident => "resident",
        GuestKind::Handler => "handler",
    }
}

/// Lists the guests by name.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let paint = Paint(io.look.out_colour);
    let states = states(database)?;
    let mut table = Table::new(&[3, 4, 5, 6]);
    let head = ["GUEST", "KIND", "STATE", "VERSION", "CALLS", "DEBT", "MEMORY", "DEPLOYED (UTC)", "PROGRAM"];
    table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (name, Lodging { head, guest, life, checkpoint, stopped, .. }) in guests(&database.store)? {
        let idle = if stopped { State::Stopped } else { State::Idle };
        let state = states.get(&name).copied().unwrap_or(idle);
        let then = checkpoint.as_ref().map(|checkpoint| checkpoint.memories.iter().sum());
        let memory = if let State::Awake(bytes) = state { Some(bytes) } else { then };
        let calls = life.as_ref().map_or(0, |life| life.calls);
        let of_life = checkpoint.as_ref().filter(|of| life.as_ref().is_some_and(|life| life.birth == of.birth));
        let debt = calls - of_life.map_or(0, |checkpoint| checkpoint.calls.min(calls));
        if args.json {
            let line = Json {
                guest: name.as_str(),
                kind: kind(&guest),
                state: state.word(),
                until: state.until().map(Time),
                version: head.version.0,
                calls,
                debt_calls: debt,
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
            Cell::new(state.word()),
            Cell::new(head.version.to_string()),
            Cell::new(calls.to_string()),
            Cell::new(debt.to_string()),
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
