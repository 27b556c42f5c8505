//! `reel fork`: a space that begins as another one was.

use reel_abi::id::{SpaceName, WallTime};
use reel_store::AppendError;
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::moment;
use super::when::SpaceAt;
use crate::port::Clock;
use crate::world::clock::HostClock;

/// Make a space that begins as another one was at some moment; neither sees the other's later changes
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN]: now, or at a version, tag, time or event (main@17, main@release, main@3d, main@12@7)
    #[arg(value_name = "SPACE[@WHEN]")]
    from: SpaceAt,
    /// Name of the new space
    name: SpaceName,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    space: &'a str,
    version: u64,
    source: &'a str,
    source_version: u64,
}

/// Makes the space and prints its version.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (store, source) = (&database.store, &args.from.space);
    let from = args.from.head(store)?;
    let made = store.fork(source, from, &args.name, WallTime(HostClock::new().wall()));
    let head = made.map_err(|error| match error {
        AppendError::Exists { .. } if args.name == *source => {
            Failure::new(Exit::EXISTS, format!("a fork of {source} needs another name than {source}")).hint(format!(
                "to bring {source} itself back to version {}: reel rollback {source} --to {}",
                from.version, from.version
            ))
        }
        error => error.into(),
    })?;
    if args.json {
        let (space, version) = (args.name.as_str(), head.version.0);
        json::line(io.out, &Json { space, version, source: source.as_str(), source_version: from.version.0 })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{}", moment::name(&args.name, head))?;
    writeln!(io.err, "{} begins as {}", args.name, moment::name(source, from))?;
    Ok(Exit::OK)
}
