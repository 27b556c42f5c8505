//! The page about a divergence: where, what the log says, what the guest asked now, what surrounds it, and the likely cause.
//!
//! ```text
//! diverged at 12@7
//!
//!   before   12@5  clock.wall          -> 2026-01-31T14:05:09.000000000Z
//!            12@6  fs.stat-at          dir=#3 path="ledger.csv" ...
//!   the log  12@7  fs.open             dir=#3 path="ledger.csv" ...
//!   now      12@7  fs.open             dir=#3 path="ledger.tmp" ...
//!   after    12@8  fs.write            ...
//! ```

use std::io::{self, Write};

use reel_abi::id::{RunId, Seq};
use reel_abi::vocabulary::EventView;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::describe::{line, width};
use super::json::Event;
use super::style::Paint;
use crate::gate::divergence::{Divergence, Mismatch};

/// Writes the page.
pub fn show(out: &mut dyn Write, run: RunId, divergence: &Divergence, paint: Paint) -> io::Result<()> {
    let Divergence { mismatch, before, after, hint } = divergence;
    let seq = mismatch.seq;
    writeln!(out, "{} at {run}@{seq}: {}\n", paint.error("diverged"), sentence(mismatch))?;
    let width = width(run, seq.0 + after.len() as u64);
    let mut row =
        |label: &str, seq: Seq, event: &EventView| writeln!(out, "  {label:9}{}", line(run, seq, event, width, paint));
    for (index, (seq, event)) in before.iter().enumerate() {
        row(if index == 0 { "before" } else { "" }, *seq, event)?;
    }
    if let Some(expected) = &mismatch.expected {
        row("the log", seq, expected)?;
    }
    row("now", seq, &mismatch.actual)?;
    for (index, (seq, event)) in after.iter().enumerate() {
        row(if index == 0 { "after" } else { "" }, *seq, event)?;
    }
    writeln!(out, "\n{} {}", paint.hint("hint:"), hint.sentence())
}

/// What is different, in a few words.
fn sentence(mismatch: &Mismatch) -> String {
    match (&mismatch.unreadable, &mismatch.expected) {
        (Some(reason), _) => format!("the log cannot be read here: {reason}"),
        (None, None) => "the log has ended, but the guest goes on".to_owned(),
        (None, Some(_)) if mismatch.same_request => "the same request got another reply".to_owned(),
        (None, Some(expected)) if expected.name == mismatch.actual.name => {
            format!("the guest asked for {} with something else", expected.name)
        }
        (None, Some(expected)) => {
            format!("the log has {}, the guest asked for {}", expected.name, mismatch.actual.name)
        }
    }
}

/// The page as JSON.
pub struct Page<'a> {
    /// The run.
    pub run: RunId,
    /// What was found.
    pub divergence: &'a Divergence,
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Divergence { mismatch, before, after, hint } = self.divergence;
        let event = |seq: Seq, event| Event { run: self.run, seq, event };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &mismatch.seq.0)?;
        map.serialize_entry("what", &sentence(mismatch))?;
        map.serialize_entry("expected", &mismatch.expected.as_ref().map(|view| event(mismatch.seq, view)))?;
        map.serialize_entry("actual", &event(mismatch.seq, &mismatch.actual))?;
        map.serialize_entry("same_request", &mismatch.same_request)?;
        map.serialize_entry("before", &before.iter().map(|(seq, view)| event(*seq, view)).collect::<Vec<_>>())?;
        map.serialize_entry("after", &after.iter().map(|(seq, view)| event(*seq, view)).collect::<Vec<_>>())?;
        map.serialize_entry("hint", hint.sentence())?;
        map.end()
    }
}
