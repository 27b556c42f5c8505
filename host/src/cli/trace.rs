//! What the library has to say beside its results: warnings, one a line, on stderr. `REEL_LOG` (`error`, `warn`, `info`, `debug`, `trace`) asks for
//! more or less.

use std::fmt;
use std::io::Write;

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
    drop(tracing::subscriber::set_global_default(Lines(asked.unwrap_or(LevelFilter::WARN))));
}

/// Writes each event as `warning: words field=value`. Spans are not kept: nothing makes any.
struct Lines(LevelFilter);

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
        *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
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
        drop(std::io::stderr().write_all(line.as_bytes()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
