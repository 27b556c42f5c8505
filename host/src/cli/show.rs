//! `reel show`: one event with all its bytes.

use std::io::{self, Write};
use std::sync::Arc;

use reel_abi::id::{EventId, Seq};
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use reel_store::RunRecord;

use super::database::Opened;
use super::describe;
use super::escape::Quoted;
use super::exit::Exit;
use super::failure::Failure;
use super::hexdump;
use super::ids::EventRef;
use super::io::Io;
use super::json::{self, Event};
use super::marks;
use super::replay;
use super::style::Paint;
use crate::calls::session::Console;
use crate::runtime::{ReplayRequest, Verdict, examine};
use crate::world::clock::HostClock;

/// Print one event with all its arguments, its reply and its bytes
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// RUN@SEQ, for example 12@7 or last@0
    event: EventRef,
    /// Write just the bytes of the event to stdout
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the event.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let (id, record) = args.event.find(store)?;
    let Some(mut event) = examine::event(store, id.run, id.seq)? else { return Err(missing(database, id)) };
    marks::complete(&mut event, &record);
    let mut absent = None;
    let mut payload = None;
    if examine::needs_replay(&event) {
        match replayed(database, &record, id, io) {
            Ok(bytes) => payload = Some(bytes),
            Err(why) => absent = Some(why),
        }
    }
    examine::fill(store, &mut event, payload.as_deref())?;
    if let Some(why) = &absent {
        if args.raw {
            return Err(Failure::new(Exit::NO_REPLAY, format!("the bytes of {id} are not in the log, and {why}")));
        }
        io.warn(&format!("the bytes of {id} are not in the log, and {why}"));
    }
    if args.raw {
        let Some(bytes) = bytes_of(&event) else {
            return Err(Failure::not_found(format!("{id} ({}) has no bytes", event.name)));
        };
        io.out.write_all(bytes)?;
    } else if args.json {
        json::line(io.out, &Event { run: id.run, seq: id.seq, event: &event })?;
    } else {
        page(io.out, id, &event, Paint(io.look.out_colour))?;
    }
    Ok(Exit::OK)
}

/// Why there is no such event.
fn missing(database: &Opened, id: EventId) -> Failure {
    let frames = match database.store.frames(id.run, Seq(0)) {
        Ok(frames) => frames,
        Err(error) => return error.into(),
    };
    match frames.iter().find(|frame| (frame.first.0..frame.next().0).contains(&id.seq.0)) {
        Some(frame) => super::log::damaged(frame, "its frame cannot be read"),
        None => {
            let logged = frames.last().map_or(0, |frame| frame.next().0);
            Failure::not_found(format!("run {} has {logged} events, there is no {id}", id.run))
        }
    }
}

/// The bytes of an event, which the guest makes again when it is executed again; or why not, in words.
fn replayed(database: &Opened, record: &RunRecord, id: EventId, io: &Io<'_>) -> Result<Vec<u8>, String> {
    if database.is_busy() {
        return Err("the replay that brings them back needs the database for itself; ask again later".into());
    }
    replay::check(record).map_err(|_| "no guest made this run, so that it cannot be replayed".to_owned())?;
    let request = ReplayRequest { run: id.run, until: Some(id.seq.next()), with: None, keep_payload: true };
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("replaying up to {id}"));
    let report = replay::once(database, record, request, Console::default(), Arc::new(HostClock::new()));
    progress.finish();
    let report = report.map_err(|failure| format!("the replay that brings them back failed: {}", failure.words()))?;
    if let Verdict::Diverged(divergence) = &report.verdict {
        return Err(format!("the replay that brings them back diverged at {}@{}", id.run, divergence.mismatch.seq));
    }
    match report.payload {
        Some((seq, bytes)) if seq == id.seq => Ok(bytes),
        _ => Err("the replay did not bring them back".into()),
    }
}

/// The first bytes in the reply, else in the request.
fn bytes_of(event: &EventView) -> Option<&[u8]> {
    fn first(value: &Value) -> Option<&[u8]> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::List(values) => values.iter().find_map(first),
            Value::Record(fields) => fields.iter().find_map(|(_, value)| first(value)),
            _ => None,
        }
    }
    first(&event.reply).or_else(|| event.request.iter().find_map(|(_, value)| first(value)))
}

/// The event in full.
pub fn page(out: &mut dyn Write, id: EventId, event: &EventView, paint: Paint) -> io::Result<()> {
    writeln!(out, "{id}  {}  {}", paint.bold(event.name), paint.dim(event.class.word()))?;
    for (name, value) in &event.request {
        field(out, name, value, 2)?;
    }
    field(out, "->", &event.reply, 2)
}

/// A named value, whole, with what is in it below it.
fn field(out: &mut dyn Write, name: &str, value: &Value, indent: usize) -> io::Result<()> {
    let space = " ".repeat(indent);
    match value {
        Value::Bytes(bytes) => {
            writeln!(out, "{space}{name:18} {} bytes", bytes.len())?;
            hexdump::write(out, bytes, &format!("{space}  "))
        }
        Value::Text(text) => writeln!(out, "{space}{name:18} {}", Quoted(text, usize::MAX)),
        Value::List(values) if values.iter().any(is_deep) || values.len() > 8 => {
            writeln!(out, "{space}{name:18} {} elements", values.len())?;
            let mut elements = values.iter().enumerate();
            elements.try_for_each(|(index, value)| field(out, &format!("[{index}]"), value, indent + 2))
        }
        Value::Record(fields) => {
            writeln!(out, "{space}{name}")?;
            fields.iter().try_for_each(|(name, value)| field(out, name, value, indent + 2))
        }
        Value::Failure(inner) => writeln!(out, "{space}{name:18} error {}", describe::short(inner)),
        Value::Unit => writeln!(out, "{space}{name:18} done"),
        plain => writeln!(out, "{space}{name:18} {}", describe::short(plain)),
    }
}

fn is_deep(value: &Value) -> bool {
    matches!(value, Value::Bytes(_) | Value::Record(_) | Value::List(_) | Value::Text(_))
}
