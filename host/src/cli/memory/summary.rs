//! How large memories are, and how much of them is in use.

use std::io;

use serde::Serialize;

use super::range::Part;
use crate::cli::io::Io;
use crate::cli::json;
use crate::cli::style::Paint;
use crate::cli::table::{Cell, Table};
use crate::cli::units::Size;
use crate::engine::image::PAGE;
use crate::runtime::resident::remembering::Remembered;

#[derive(Default, Serialize)]
struct Counts {
    memory: u32,
    bytes: u64,
    birth_bytes: u64,
    pages: u64,
    nonzero_pages: u64,
    changed_pages: u64,
}

/// Writes a line for each memory.
pub fn write(now: &Remembered, birth: &Remembered, parts: &[Part], as_json: bool, io: &mut Io<'_>) -> io::Result<()> {
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[0, 1, 2, 3, 4, 5]);
    let head = ["MEMORY", "SIZE", "AT BIRTH", "PAGES", "NOT ZERO", "NOT AS AT BIRTH"];
    table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    let born = birth.sizes();
    for part in parts {
        let counts =
            Counts { birth_bytes: born.get(part.memory as usize).copied().unwrap_or(0), ..count(now, birth, part) };
        if as_json {
            json::line(io.out, &counts)?;
        }
        table.row([
            Cell::new(counts.memory.to_string()),
            Cell::new(Size(counts.bytes).to_string()),
            Cell::new(Size(counts.birth_bytes).to_string()),
            Cell::new(counts.pages.to_string()),
            Cell::new(counts.nonzero_pages.to_string()),
            Cell::new(counts.changed_pages.to_string()),
        ]);
    }
    if as_json { Ok(()) } else { table.write(io.out) }
}

fn count(now: &Remembered, birth: &Remembered, part: &Part) -> Counts {
    let memory = part.memory as usize;
    let mut counts = Counts { memory: part.memory, bytes: part.to, ..Counts::default() };
    for window in part.windows() {
        let len = (window.end - window.start) as usize;
        let (bytes, born) = (now.bytes(memory, window.start, len), birth.bytes(memory, window.start, len));
        for (page, before) in bytes.chunks(PAGE).zip(born.chunks(PAGE)) {
            counts.pages += 1;
            counts.nonzero_pages += u64::from(page.iter().any(|byte| *byte != 0));
            counts.changed_pages += u64::from(page != before);
        }
    }
    counts
}
