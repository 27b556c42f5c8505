//! `reel stop` and `reel start`: whether a guest takes calls.

use reel_abi::id::SpaceName;
use reel_store::Head;
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
that sleeps and timers that are due wait, too, and are gone on with after `reel start`; with --abort the call that sleeps is given up. To stop a guest \
that is stopped does nothing.")]
pub struct StopArgs {
    /// The guest
    name: SpaceName,
    /// Give up the call that sleeps or was cut off: the guest is as it was before that
    #[arg(long)]
    abort: bool,
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
    let head = with_household(database, |household| {
        live::block_on(async {
            match args.abort {
                true => household.stop_and_give_up(&args.name).await,
                false => household.set_stopped(&args.name, true).await,
            }
        })
    })??;
    show(&args.name, head, "stopped", args.json, io)
}

/// Starts the guest.
pub fn start(args: &StartArgs, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let head = with_household(database, |household| live::block_on(household.set_stopped(&args.name, false)))??;
    show(&args.name, head, "idle", args.json, io)
}

fn show(name: &SpaceName, head: Head, state: &'static str, json: bool, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match json {
        true => json::line(io.out, &Json { guest: name.as_str(), version: head.version.0, state })?,
        false => writeln!(io.out, "{}", moment::name(name, head))?,
    }
    Ok(Exit::OK)
}
