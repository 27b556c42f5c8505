//! `reel spaces`: what spaces there are, where they stand, and where they come from.

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::record::{CellValue, family};
use reel_abi::wire::Wire;
use reel_store::{Head, Made, Store, VersionRecord};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::moment;
use super::style::Paint;
use super::table::{Cell, Table};
use crate::port::Clock;
use crate::world::clock::HostClock;

/// List the spaces, their versions and what they were forked from
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Give up the name of a space; its versions stay, and so does what was forked from it
    #[arg(long, value_name = "SPACE")]
    remove: Option<SpaceName>,
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
    by: Option<String>,
    fork_of: Option<&'a str>,
    fork_version: Option<u64>,
    files: Option<u64>,
    keys: Option<u64>,
}

impl Args {
    /// Whether it changes nothing.
    pub fn only_reads(&self) -> bool {
        self.remove.is_none()
    }
}

/// Lists the spaces by name, or removes one.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match &args.remove {
        None => list(args, &database.store, io),
        Some(space) => remove(args, space, &database.store, flag, io),
    }
}

fn list(args: &Args, store: &Store, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[1, 5, 6]);
    let head = ["SPACE", "VERSION", "CHANGED (UTC)", "BY", "FORK OF", "FILES", "KEYS"];
    table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (space, head) in store.spaces()? {
        let history = store.history(&space)?;
        let (newest, origin) = (history.last(), fork(&history));
        let (files, keys) = (count(store, head, family::NODE, &[0; 8]), count(store, head, family::KEY_VALUE, b""));
        if args.json {
            let line = Json {
                space: space.as_str(),
                version: head.version.0,
                changed: newest.map(|newest| Time(newest.at.0)),
                run: newest
                    .and_then(|newest| if let Made::Commit { run, .. } = newest.made { Some(run.0) } else { None }),
                by: newest.map(|newest| by(&newest.made)),
                fork_of: origin.map(|(source, _)| source.as_str()),
                fork_version: origin.map(|(_, version)| version),
                files,
                keys,
            };
            json::line(io.out, &line)?;
            continue;
        }
        let number = |count: Option<u64>| Cell::new(count.map(|count| count.to_string()).unwrap_or_default());
        table.row([
            Cell::new(space.as_str()),
            Cell::new(head.version.to_string()),
            Cell::new(newest.map(|newest| dates::short(newest.at.0)).unwrap_or_default()),
            Cell::new(newest.map(|newest| by(&newest.made)).unwrap_or_default()),
            Cell::new(origin.map(|(source, version)| format!("{source}@{version}")).unwrap_or_default()),
            number(files),
            number(keys),
        ]);
    }
    if !args.json {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}

/// What made a version, in words.
pub fn by(made: &Made) -> String {
    match made {
        Made::Commit { run, .. } => format!("run {run}"),
        Made::Fork { source, version } => format!("fork of {source}@{version}"),
        Made::Rollback { to } => format!("rollback to {to}"),
    }
}

/// From where a space was forked last.
fn fork(history: &[VersionRecord]) -> Option<(&SpaceName, u64)> {
    history.iter().rev().find_map(|record| match &record.made {
        Made::Fork { source, version } => Some((source, version.0)),
        _ => None,
    })
}

/// A counter of a space. It stands beside a list: where it cannot be read, nothing is told.
fn count(store: &Store, head: Head, family: u8, key: &[u8]) -> Option<u64> {
    match store.view(head).ok()?.get(family, key).ok()? {
        None => Some(0),
        Some(CellValue::Inline { bytes }) => u64::from_bytes(&bytes.0).ok(),
        Some(_) => None,
    }
}

#[derive(Serialize)]
struct Removed<'a> {
    space: &'a str,
    version: u64,
    tags: Vec<&'a str>,
    forks: Vec<&'a str>,
    undo: &'a str,
}

fn remove(args: &Args, space: &SpaceName, store: &Store, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let head = moment::newest(store, space)?;
    store.remove_space(space, WallTime(HostClock::new().wall()))?;
    let tags = store.tags()?;
    let tags: Vec<&str> = tags.iter().filter(|tag| tag.space == *space).map(|tag| tag.tag.as_str()).collect();
    let mut forks = store.spaces()?;
    forks.retain(|(name, _)| {
        let history = store.history(name).unwrap_or_default();
        fork(&history).is_some_and(|(source, _)| source == space)
    });
    let forks: Vec<&str> = forks.iter().map(|(name, _)| name.as_str()).collect();
    let named = moment::name(space, head);
    let undo = format!("reel fork {named} {space}{flag}");
    if args.json {
        json::line(io.out, &Removed { space: space.as_str(), version: head.version.0, tags, forks, undo: &undo })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{named}")?;
    writeln!(io.err, "the name {space} is given up; its versions stay, {named} is the newest")?;
    for (what, names) in [("tags of them", tags), ("forks of them", forks)] {
        if !names.is_empty() {
            writeln!(io.err, "{what} stay: {}", names.join(", "))?;
        }
    }
    writeln!(io.err, "to undo this: {undo}")?;
    Ok(Exit::OK)
}
