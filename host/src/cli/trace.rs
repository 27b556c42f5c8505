//! What the library has to say beside its results: warnings, one a line, on stderr. `REEL_LOG` (`error`, `warn`, `info`, `debug`, `trace`) asks for
//! more or less.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::escape::Safe;
use crate::world::process;

/// Sends warnings to stderr.
pub fn install() {
    let asked = process::env("REEL_LOG").and_then(|level| level.parse().ok());
    // Only the first one counts, and only tests have more.
    let level = asked.unwrap_or(LevelFilter::WARN);
    drop(tracing::subscriber::set_global_default(Lines { level, last: Mutex::default() }));
}

/// How many different lines are remembered, so that none of them is written again.
const REMEMBERED: usize = 16;

/// Writes each event as `warning: words field=value`. Spans are not kept: nothing makes any.
struct Lines {
    level: LevelFilter,
    last: Mutex<Vec<String>>,
}

impl Lines {
    /// Whether a line is new; a full disk would say the same a thousand times.
    fn is_new(&self, line: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.iter().any(|known| known == line) {
            return false;
        }
        if last.len() == REMEMBERED {
            last.remove(0);
        }
        last.push(line.to_owned());
        true
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "note",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let line = format!("{level}: {}{}\n", Safe(&words.message), Safe(&words.fields));
        if self.is_new(&line) {
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
