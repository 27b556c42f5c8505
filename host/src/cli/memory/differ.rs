//! What differs between the memories of two moments.

use std::io;

use reel_abi::value::Value;
use serde::Serialize;

use super::range::Part;
use crate::cli::hexdump;
use crate::cli::io::Io;
use crate::cli::json::{self, Bytes};
use crate::cli::style::Paint;
use crate::cli::when::SpaceAt;
use crate::runtime::resident::remembering::Remembered;

/// Bytes that are compared, and shown, as one.
const LINE: usize = 16;

/// Lines that are shown; the rest is counted.
const SHOWN_LINES: u64 = 256;

/// Two moments.
pub struct Sides {
    /// The old side.
    pub old: Remembered,
    /// The new side.
    pub new: Remembered,
    /// What they are called.
    pub names: (SpaceAt, SpaceAt),
}

impl Sides {
    /// For each memory of either side the size that it has on the side where it is larger.
    pub fn larger(&self) -> Vec<u64> {
        let (old, new) = (self.old.sizes(), self.new.sizes());
        let size = |sizes: &[u64], memory: usize| sizes.get(memory).copied().unwrap_or(0);
        (0..old.len().max(new.len())).map(|memory| size(&old, memory).max(size(&new, memory))).collect()
    }
}

/// Lines in a row that differ.
#[derive(Default)]
struct Run {
    from: u64,
    old: Vec<u8>,
    new: Vec<u8>,
    /// Its end; what is beyond the bytes that are kept is not shown.
    to: u64,
}

#[derive(Debug, Default, Serialize)]
struct Totals {
    what: &'static str,
    bytes: u64,
    ranges: u64,
    lines: u64,
    shown_lines: u64,
    old_sizes: Vec<u64>,
    new_sizes: Vec<u64>,
}

#[derive(Serialize)]
struct Json {
    what: &'static str,
    memory: u32,
    from: u64,
    to: u64,
    old: Bytes,
    new: Bytes,
}

/// Writes what differs in these parts. Bytes that a side does not have count as zeros.
pub fn write(sides: &Sides, parts: &[Part], as_json: bool, io: &mut Io<'_>) -> io::Result<()> {
    let (old_sizes, new_sizes) = (sides.old.sizes(), sides.new.sizes());
    let mut totals = Totals { what: "summary", old_sizes, new_sizes, ..Totals::default() };
    let paint = Paint(io.look.out_colour);
    if !as_json {
        writeln!(io.out, "{}", paint.bold(&format!("--- {}", sides.names.0)))?;
        writeln!(io.out, "{}", paint.bold(&format!("+++ {}", sides.names.1)))?;
    }
    for part in parts {
        let memory = part.memory as usize;
        let (old, new) = (totals.old_sizes.get(memory), totals.new_sizes.get(memory));
        if !as_json && old != new {
            let size = |size: Option<&u64>| size.map_or("is not there".to_owned(), |size| format!("has {size} bytes"));
            writeln!(io.out, "memory {memory} {}, then {}", size(old), size(new))?;
        }
        differences(sides, part, &mut totals, &mut |run| match as_json {
            true => json_of(part.memory, run, io),
            false => page_of(part.memory, run, paint, io),
        })?;
    }
    if as_json {
        return json::line(io.out, &totals);
    }
    let Totals { bytes, ranges, lines, shown_lines, .. } = totals;
    let rest = match lines - shown_lines {
        0 => String::new(),
        rest => format!("; {rest} of {lines} lines are not shown, --range shows others"),
    };
    let s = |count: u64| if count == 1 { "" } else { "s" };
    let differ = if bytes == 1 { "differs" } else { "differ" };
    writeln!(io.out, "{bytes} byte{} {differ}, in {ranges} range{}{rest}", s(bytes), s(ranges))
}

fn differences(
    sides: &Sides,
    part: &Part,
    totals: &mut Totals,
    show: &mut dyn FnMut(&Run) -> io::Result<()>,
) -> io::Result<()> {
    let memory = part.memory as usize;
    let mut run: Option<Run> = None;
    for window in part.windows() {
        let len = (window.end - window.start) as usize;
        let (old, new) = (sides.old.bytes(memory, window.start, len), sides.new.bytes(memory, window.start, len));
        if old == new {
            run.take().map_or(Ok(()), |run| show(&run))?;
            continue;
        }
        let lines = old.chunks(LINE).zip(new.chunks(LINE));
        for (at, (old, new)) in (window.start..).step_by(LINE).zip(lines) {
            if old == new {
                run.take().map_or(Ok(()), |run| show(&run))?;
                continue;
            }
            totals.lines += 1;
            totals.bytes += old.iter().zip(new).filter(|(old, new)| old != new).count() as u64;
            let run = run.get_or_insert_with(|| {
                totals.ranges += 1;
                Run { from: at, ..Run::default() }
            });
            run.to = at + old.len() as u64;
            if totals.shown_lines < SHOWN_LINES {
                totals.shown_lines += 1;
                run.old.extend_from_slice(old);
                run.new.extend_from_slice(new);
            }
        }
    }
    run.map_or(Ok(()), |run| show(&run))
}

fn json_of(memory: u32, run: &Run, io: &mut Io<'_>) -> io::Result<()> {
    if run.old.is_empty() {
        return Ok(());
    }
    let bytes = |bytes: &[u8]| Bytes(Value::Bytes(bytes.to_vec()));
    let Run { from, to, old, new } = run;
    json::line(io.out, &Json { what: "range", memory, from: *from, to: *to, old: bytes(old), new: bytes(new) })
}

fn page_of(memory: u32, run: &Run, paint: Paint, io: &mut Io<'_>) -> io::Result<()> {
    let Run { from, to, old, new } = run;
    if old.is_empty() {
        return Ok(());
    }
    writeln!(io.out, "{}", paint.dim(&format!("@@ memory {memory}, {from:#x}..{to:#x} @@")))?;
    for (sign, bytes) in [("-", old), ("+", new)] {
        for (at, row) in (*from..).step_by(LINE).zip(bytes.chunks(LINE)) {
            let line = format!("{sign} {}", hexdump::line(at, row));
            writeln!(io.out, "{}", if sign == "-" { paint.error(&line) } else { paint.good(&line) })?;
        }
    }
    Ok(())
}
