//! `reel memory`: the memories of a resident in the past.

mod differ;
mod range;
mod strings;
mod summary;

use reel_abi::id::Seq;
use reel_store::Store;
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::hexdump;
use super::ids::EventRef;
use super::io::Io;
use super::json::{self, Bytes};
use super::live;
use super::moment;
use super::residents::with_household;
use super::when::{Moment, Other, SpaceAt};
use crate::runtime::resident::cells::{Lodging, call_begin, lodging};
use crate::runtime::resident::remembering::Remembered;
use crate::runtime::resident::{CallError, Household};
use range::{Part, Range};

/// Bytes that are looked at, or written, at a time; a multiple of a page.
const WINDOW: u64 = 64 << 10;

/// Show the memory of a resident as it was: how large, its bytes, its strings, or what differs from another moment
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel memory session                            how large its memories are, and what it has changed since its birth
  reel memory session@3d --strings 12            the texts that were in it three days ago
  reel memory session@17 --range 0x11a40+4KiB    a hex dump
  reel memory session@12@7 --diff @12@6          what run 12 changed between two of its events
The guest is brought back from its log, touching nothing real; nothing is added to the log. At an event in the middle of a call, memory is shown as \
it was when the guest asked for that event, before the answer; at the end mark, as the call left it, also if it was rolled back.")]
pub struct Args {
    /// NAME[@WHEN]: now, or at a version, tag, time or event (session@17, session@release, session@3d, session@12@7)
    #[arg(value_name = "NAME[@WHEN]")]
    at: SpaceAt,
    /// Only this memory, by its number from 0
    #[arg(long, value_name = "N")]
    memory: Option<u32>,
    /// Only these bytes, as a hex dump: FROM..TO or FROM+LEN (0x11a40..0x11b00, 64KiB+256); of memory 0 if none is named
    #[arg(long, value_name = "RANGE")]
    range: Option<Range>,
    /// The runs of at least MIN printable characters, with their addresses [default MIN: 6]
    #[arg(long, value_name = "MIN", num_args = 0..=1, default_missing_value = "6", value_parser = clap::value_parser!(u32).range(1..))]
    strings: Option<u32>,
    /// The bytes that are not as at this other moment: NAME[@WHEN], or @WHEN of the same guest
    #[arg(long, value_name = "OTHER", conflicts_with = "strings")]
    diff: Option<Other>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Write the bytes as they are to stdout; all of memory 0 if nothing is named
    #[arg(long, conflicts_with_all = ["strings", "diff", "json"])]
    raw: bool,
}

#[derive(Serialize)]
struct Json {
    memory: u32,
    from: u64,
    to: u64,
    bytes: Bytes,
}

/// Brings the guest back and shows its memories.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    with_household(database, |household| show(args, database, household, io))
}

fn show(args: &Args, database: &Opened, household: &Household, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let progress = database.progress(io.look.err_terminal);
    let bring_back = |at: &SpaceAt| {
        progress.begin(&format!("bringing {at} back"));
        let remembered = remember(at, &database.store, household);
        progress.finish();
        remembered
    };
    let now = bring_back(&args.at)?;
    if let Some(other) = &args.diff {
        let other = other.beside(&args.at);
        let sides = differ::Sides { old: bring_back(&other)?, new: now, names: (other, args.at.clone()) };
        differ::write(&sides, &parts(args, &sides.larger())?, args.json, io)?;
        return Ok(Exit::OK);
    }
    let all = parts(args, &now.sizes())?;
    if let Some(least) = args.strings {
        strings::write(&now, &all, least as usize, args.json, io)?;
    } else if args.range.is_some() || args.raw {
        all.iter().try_for_each(|part| dump(args, &now, part, io))?;
    } else {
        let birth = live::block_on(household.remember_birth(&now))??;
        summary::write(&now, &birth, &all, args.json, io)?;
    }
    Ok(Exit::OK)
}

/// The parts of memories that are wanted, of memories of these sizes.
fn parts(args: &Args, sizes: &[u64]) -> Result<Vec<Part>, Failure> {
    let one = args.memory.or((args.range.is_some() || args.raw).then_some(0));
    let Some(memory) = one else {
        return Ok((0..).zip(sizes).map(|(memory, len)| Part { memory, from: 0, to: *len }).collect());
    };
    let Some(len) = sizes.get(memory as usize).copied() else {
        let count = match sizes.len() {
            0 => "no memory".to_owned(),
            1 => "one memory, 0".to_owned(),
            count => format!("memories 0 to {}", count - 1),
        };
        let what = format!("{} has {count}: there is no memory {memory}", args.at);
        return Err(Failure::not_found(what).hint(format!("`reel memory {}` lists them", args.at)));
    };
    let whole = Part { memory, from: 0, to: len };
    let Some(range) = &args.range else { return Ok(vec![whole]) };
    match range.within(memory, len) {
        Some(part) => Ok(vec![part]),
        None => Err(Failure::not_found(format!("{range} reaches beyond memory {memory} of {}", args.at))
            .hint(format!("it ends at {len:#x} ({len} bytes)"))),
    }
}

fn dump(args: &Args, remembered: &Remembered, part: &Part, io: &mut Io<'_>) -> std::io::Result<()> {
    for window in part.windows() {
        let bytes = remembered.bytes(part.memory as usize, window.start, (window.end - window.start) as usize);
        if args.raw {
            io.out.write_all(&bytes)?;
        } else if args.json {
            let bytes = Bytes(reel_abi::value::Value::Bytes(bytes));
            json::line(io.out, &Json { memory: part.memory, from: window.start, to: window.end, bytes })?;
        } else {
            hexdump::write_from(io.out, window.start, &bytes, "")?;
        }
    }
    Ok(())
}

/// The memories of a guest at a moment.
fn remember(at: &SpaceAt, store: &Store, household: &Household) -> Result<Remembered, Failure> {
    if let Some(Moment::Event(event)) = at.when.as_ref().map(|when| &when.moment)
        && let Some(remembered) = within(at, *event, store, household)?
    {
        return Ok(remembered);
    }
    let head = at.head(store)?;
    let Some(lodging) = lodging(store, head)? else { return Err(nobody(at, store)?) };
    let Some(life) = &lodging.life else { return Err(CallError::Unborn(at.space.clone()).into()) };
    Ok(live::block_on(household.remember(&lodging, life))??)
}

/// Within a call of the guest; nothing if the event is of no call of it.
fn within(at: &SpaceAt, event: EventRef, store: &Store, household: &Household) -> Result<Option<Remembered>, Failure> {
    let (id, record) = event.find(store)?;
    let Some(call) = call_begin(store, id.run)?.filter(|_| record.begin.space == at.space) else { return Ok(None) };
    let logged = store.frames(id.run, Seq(0))?.last().map_or(Seq(0), |frame| frame.next());
    if id.seq >= logged {
        let what = format!("run {} has {logged} events, there is no {id}", id.run);
        return Err(Failure::not_found(what).hint(format!("`reel log {}` lists them", id.run)));
    }
    let cut = record.end.as_ref().filter(|end| end.outcome.is_cut() && id.seq.next() >= Seq(end.events));
    if let (Some(end), Some(before)) = (cut, id.seq.0.checked_sub(1)) {
        let what = format!("run {} was cut off ({}) at no particular instruction", id.run, end.outcome);
        return Err(Failure::new(Exit::NO_REPLAY, what)
            .hint(format!("{}@{}@{before} is the memory at the last event before", at.space, id.run)));
    }
    Ok(Some(live::block_on(household.remember_within(&record, &call, id.seq))??))
}

/// Why nobody lives in a space at a moment.
fn nobody(at: &SpaceAt, store: &Store) -> Result<Failure, Failure> {
    let space = &at.space;
    let now: Option<Lodging> = match store.head(space)? {
        Some(head) => lodging(store, head)?,
        None => None,
    };
    Ok(match now {
        None => CallError::NoSuchGuest(space.clone()).into(),
        Some(_) => {
            let what = match &at.when {
                Some(when) => format!("no guest was deployed as {space} yet at {when}"),
                None => format!("no guest was deployed as {space}"),
            };
            let newest = moment::newest(store, space)?.version;
            Failure::not_found(what)
                .hint(format!("it is there at {space}@{newest}; `reel history {space}` shows since when"))
        }
    })
}
