//! `reel checkpoint`: keeps what a resident is now, so that it comes back without replaying its calls.

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

/// Keep what a resident is now, so that it comes back without replaying its calls; this happens by itself, too, when there are many
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
It prints the version of the space that the checkpoint is (session@12). By themselves they come when a replay since the last one would cost 500 calls, \
10,000 events or 250 ms of the guest's work, and when a guest leaves the memory of `reel serve` with a replay of 16 calls, 500 events or 5 ms. A \
guest of which `reel inspect` says `snapshot: no` has none (exit code 121); it comes back by its calls.")]
pub struct Args {
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
}

/// Makes the checkpoint and prints the version of the space that it is.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let head = with_household(database, |household| live::block_on(household.checkpoint(&args.name)))??;
    match args.json {
        true => json::line(io.out, &Json { guest: args.name.as_str(), version: head.version.0 })?,
        false => writeln!(io.out, "{}", moment::name(&args.name, head))?,
    }
    Ok(Exit::OK)
}
