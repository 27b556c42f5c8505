//! `reel rollback`: brings a space back to what it was, by adding a version.

use reel_abi::id::{SpaceName, WallTime};
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::moment;
use super::when::When;
use crate::port::Clock;
use crate::world::clock::HostClock;

/// Bring a space back to an earlier state by adding a version that equals it; what came between stays in its history
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The space
    space: SpaceName,
    /// A version (17), tag, time (3d, 14:05, 2026-01-31T14:05:09Z) or event (RUN@SEQ: the last version that the run had then)
    #[arg(long, value_name = "WHEN")]
    to: When,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    space: &'a str,
    version: u64,
    to: u64,
    before: u64,
    undo: &'a str,
}

/// Adds the version and prints it; `flag` is what makes another command look at the same database.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (store, space) = (&database.store, &args.space);
    let before = moment::newest(store, space)?;
    let to = moment::find(store, space, Some(&args.to))?;
    let head = match to == before {
        true => before,
        false => store.rollback(space, before, to, WallTime(HostClock::new().wall()))?,
    };
    database.look_at_timers(space);
    let undo = format!("reel rollback {space} --to {}{flag}", before.version);
    if args.json {
        let (version, to, before) = (head.version.0, to.version.0, before.version.0);
        json::line(io.out, &Json { space: space.as_str(), version, to, before, undo: &undo })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{}", moment::name(space, head))?;
    if head == before {
        writeln!(io.err, "{space} stands at version {} already; nothing was done", head.version)?;
    } else {
        writeln!(io.err, "{space} is as it was at version {}\nto undo this: {undo}", to.version)?;
    }
    Ok(Exit::OK)
}
