//! A stop as lines for people. Whatever comes from a guest is escaped and cut.

use std::io;

use reel_abi::id::Seq;
use reel_store::RunRecord;

use super::walk::{Told, Walk, Window};
use crate::cli::dates;
use crate::cli::escape::{Quoted, QuotedBytes, Safe, SafeBytes};
use crate::cli::failure::Failure;
use crate::cli::hexdump;
use crate::cli::io::Io;
use crate::cli::show;
use crate::cli::style::Paint;
use crate::debug::{Held, Said, Stop, Thing};

/// Bytes of a value that a line shows.
const BYTES: usize = 64;

/// Characters of a name that a line shows.
const NAME: usize = 200;

/// Names that a page of a script shows.
const NAMES: usize = 40;

/// Lines of output that a page of a script shows.
const LINES: usize = 5;

/// The parts of a page.
pub struct Page {
    /// The event in full.
    pub event: Vec<String>,
    /// What changed, and what else there is.
    pub state: Vec<String>,
    /// What was said.
    pub said: Vec<String>,
    /// What cannot be shown.
    pub notes: Vec<String>,
}

impl Page {
    /// That of a stop. `names` and `lines` bound what is shown of state and output.
    pub fn of(stop: &Stop, record: &RunRecord, names: usize, lines: usize) -> Result<Self, Failure> {
        let mut event = Vec::new();
        let id = reel_abi::id::EventId { run: record.run, seq: stop.seq };
        show::page(&mut event, id, &stop.event, Paint(false))?;
        let mut event: Vec<String> = String::from_utf8_lossy(&event).lines().map(str::to_owned).collect();
        event.push(format!("  recorded           {}", dates::exact(stop.times.0.0)));
        let mut state = vec![format!("changed since version {}:{}", stop.base, none(stop.changed.is_empty()))];
        state.extend(stop.changed.iter().take(names).map(held));
        if stop.more || stop.changed.len() > names {
            state.push("  ...and more".into());
        }
        if !stop.others.is_empty() {
            state.push("beside that:".into());
            state.extend(stop.others.iter().take(names).map(held));
            if stop.others_more || stop.others.len() > names {
                state.push("  ...and more".into());
            }
        }
        let mut said = Vec::new();
        for (name, on) in ["stdout", "stderr"].into_iter().zip(&stop.said) {
            said.push(format!("{name}: {} bytes", on.len));
            said.extend(tail(on, lines));
        }
        let notes = stop.notes.iter().map(|note| format!("note: {}", Safe(note))).collect();
        Ok(Self { event, state, said, notes })
    }
}

fn none(empty: bool) -> &'static str {
    if empty { " nothing" } else { "" }
}

fn held(held: &Held) -> String {
    let name = held.name.to_string();
    let name: String = name.chars().take(NAME).collect();
    let at = held.at.map_or_else(String::new, |Seq(at)| format!("@{at}"));
    format!("  {at:6} {} {}", Safe(&name), thing(&held.thing))
}

fn thing(thing: &Result<Option<Thing>, String>) -> String {
    match thing {
        Err(why) => format!("cannot be shown: {}", Safe(why)),
        Ok(None) => "is not there".into(),
        Ok(Some(Thing::Directory)) => "directory".into(),
        Ok(Some(Thing::Link(target))) => format!("-> {}", Quoted(target, NAME)),
        Ok(Some(Thing::Bytes { len, first })) => {
            let shown = &first[..first.len().min(BYTES)];
            let text = match std::str::from_utf8(shown) {
                Ok(text) => Quoted(text, BYTES).to_string(),
                Err(_) => QuotedBytes(shown, BYTES).to_string(),
            };
            match shown.len() as u64 == *len {
                true => format!("= {text}"),
                false => format!("= {text}...({len} bytes)"),
            }
        }
    }
}

/// The last lines of what was said.
fn tail(said: &Said, lines: usize) -> Vec<String> {
    let text = said.tail.strip_suffix(b"\n").unwrap_or(&said.tail);
    if text.is_empty() {
        return Vec::new();
    }
    let all: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let shown = all.len().saturating_sub(lines);
    let mut shown: Vec<String> = all[shown..].iter().map(|line| format!("  {}", SafeBytes(line))).collect();
    if all.len() > lines || said.tail.len() as u64 != said.len {
        shown.insert(0, "  ...".into());
    }
    shown
}

/// Memory as a hex dump.
pub fn memory(window: &Window) -> Vec<String> {
    let Window { seq, memory, size, from, bytes } = window;
    let mut out = Vec::new();
    let head = format!("memory {memory} when the guest asked for event {seq}: {size} bytes");
    // Writing to memory cannot fail.
    drop(hexdump::write_from(&mut out, *from, bytes, "  "));
    std::iter::once(head).chain(String::from_utf8_lossy(&out).lines().map(str::to_owned)).collect()
}

/// Prints what is told.
pub fn write(told: &Told, walk: &Walk<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let lines = match told {
        Told::End => Vec::new(),
        Told::Words(words) => vec![Safe(words).to_string()],
        Told::Memory(window) => memory(window),
        Told::Stop(stop) => {
            let Page { event, state, said, notes } = Page::of(stop, walk.record(), NAMES, LINES)?;
            let below = state.into_iter().chain(said).chain(notes).map(|line| format!("  {line}"));
            event.into_iter().chain(below).collect()
        }
    };
    lines.iter().try_for_each(|line| writeln!(io.out, "{line}")).map_err(|error: io::Error| error.into())
}
