//! `reel fork`: a space that begins as another one was.

use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_store::{AppendError, Store};
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::ids::EventRef;
use super::io::Io;
use super::json;
use super::live;
use super::moment;
use super::residents::{farewell, interrupt, with_household};
use super::when::{Moment, SpaceAt};
use crate::port::Clock;
use crate::runtime::resident::CallError;
use crate::runtime::resident::cells::call_begin;
use crate::world::clock::HostClock;

/// Make a space that begins as another one was at some moment; neither sees the other's later changes
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN]: now, or at a version, tag, time or event (main@17, main@release, main@3d, main@12@7). From the middle of a call of a resident,
    /// the fork does what the call did until that event, and lives on from there
    #[arg(value_name = "SPACE[@WHEN]")]
    from: SpaceAt,
    /// Name of the new space
    name: SpaceName,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// A fork that is told of in words.
    pub fn of(from: SpaceAt, name: SpaceName) -> Self {
        Self { from, name, json: false }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    space: &'a str,
    version: u64,
    source: &'a str,
    source_version: u64,
}

/// Makes the space and prints its version.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (store, source) = (&database.store, &args.from.space);
    if let Some(event) = within_call(args, store)? {
        return fork_within(args, event, database, flag, io);
    }
    let from = args.from.head(store)?;
    let made = match database.household() {
        Some(household) => live::block_on(household.fork_at(source, from, &args.name))?,
        None => Ok(None),
    };
    let made = match made {
        Ok(None) => store.fork(source, from, &args.name, WallTime(HostClock::new().wall())),
        Ok(Some(head)) => Ok(head),
        Err(CallError::Append(error)) => Err(error),
        Err(error) => return Err(error.into()),
    };
    let head = made.map_err(|error| match error {
        AppendError::Exists { .. } if args.name == *source => {
            Failure::new(Exit::EXISTS, format!("a fork of {source} needs another name than {source}")).hint(format!(
                "to bring {source} itself back to version {}: reel rollback {source} --to {}",
                from.version, from.version
            ))
        }
        error => error.into(),
    })?;
    database.look_at_timers(&args.name);
    if args.json {
        let (space, version) = (args.name.as_str(), head.version.0);
        json::line(io.out, &Json { space, version, source: source.as_str(), source_version: from.version.0 })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{}", moment::name(&args.name, head))?;
    writeln!(io.err, "{} begins as {}", args.name, moment::name(source, from))?;
    Ok(Exit::OK)
}

/// The event, if it lies in the middle of a call of the space's resident.
fn within_call(args: &Args, store: &Store) -> Result<Option<EventRef>, Failure> {
    let Some(Moment::Event(event)) = args.from.when.as_ref().map(|when| &when.moment) else { return Ok(None) };
    let record = event.run.find(store)?;
    let over = record.end.as_ref().is_some_and(|end| event.seq.next().0 >= end.events);
    let call = call_begin(store, record.run)?.filter(|call| call.after.is_some());
    Ok((record.begin.space == args.from.space && call.is_some() && !over).then_some(*event))
}

fn fork_within(args: &Args, event: EventRef, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let run = event.run.find(&database.store)?.run;
    let progress = Arc::new(database.progress(io.look.err_terminal));
    let report = with_household(database, |household| {
        live::block_on(async {
            let stop = interrupt(database, progress);
            let report = household.fork_within(run, event.seq.next(), &args.name, stop).await;
            household.rest().await;
            report
        })
    })??;
    database.look_at_timers(&args.name);
    let exit = farewell(&report, &args.name, flag, io)?;
    let head = moment::newest(&database.store, &args.name)?;
    if args.json {
        let (space, version) = (args.name.as_str(), head.version.0);
        let source = args.from.space.as_str();
        json::line(io.out, &Json { space, version, source, source_version: report_base(&database.store, run)? })?;
        return Ok(exit);
    }
    writeln!(io.out, "{}", moment::name(&args.name, head))?;
    let results = report.results.as_deref().unwrap_or("nothing");
    writeln!(
        io.err,
        "{} did what run {run} did up to event {}, and lived on: it gave {results}",
        args.name, event.seq
    )?;
    Ok(exit)
}

fn report_base(store: &Store, run: RunId) -> Result<u64, Failure> {
    Ok(store.run(run)?.map_or(0, |record| record.begin.version.0))
}
