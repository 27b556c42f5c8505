//! `reel stop` and `reel start`: whether a guest takes calls.

use reel_abi::id::SpaceName;
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::live;
use super::moment;
use super::residents::with_household;

/// Let a guest take no calls; what it is stays, and `reel start` lets it take calls again
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
It waits for a call that is under way, and prints the version of the space that it makes. Calls are refused from then on, with exit code 121. A call \
that sleeps and timers that are due wait, too, and are gone on with after `reel start`. To stop a guest that is stopped does nothing.")]
pub struct StopArgs {
    /// The guest
    name: SpaceName,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Let a stopped guest take calls again
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "It prints the version of the space that it makes. To start a guest that is not stopped does nothing."
)]
pub struct StartArgs {
    /// The guest
    name: SpaceName,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    version: u64,
    state: &'static str,
}

/// Stops the guest.
pub fn stop(args: &StopArgs, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    set(&args.name, true, args.json, database, io)
}

/// Starts the guest.
pub fn start(args: &StartArgs, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    set(&args.name, false, args.json, database, io)
}

fn set(name: &SpaceName, stopped: bool, json: bool, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let head = with_household(database, |household| live::block_on(household.set_stopped(name, stopped)))??;
    let state = if stopped { "stopped" } else { "idle" };
    match json {
        true => json::line(io.out, &Json { guest: name.as_str(), version: head.version.0, state })?,
        false => writeln!(io.out, "{}", moment::name(name, head))?,
    }
    Ok(Exit::OK)
}
