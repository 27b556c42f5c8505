//! What the library has to say beside its results: warnings, one a line, on stderr. `REEL_LOG` (`error`, `warn`, `info`, `debug`, `trace`) asks for
//! more or less.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::dates;
use super::escape::Safe;
use super::json;
use crate::port::Clock;
use crate::world::clock::HostClock;
use crate::world::process;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for people
    Text,
    /// One JSON object a line
    Json,
}

static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Writes events so from now on.
pub fn write_as(format: Format) {
    AS_JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Sends warnings to stderr.
pub fn install() {
    let asked = process::env("REEL_LOG").and_then(|level| level.parse().ok());
    // Only the first one counts, and only tests have more.
    let level = asked.unwrap_or(LevelFilter::WARN);
    drop(tracing::subscriber::set_global_default(Lines { level, last: Mutex::default() }));
}

/// How many different lines are remembered, so that none of them is written again.
const REMEMBERED: usize = 16;

/// Writes each event as a line. Spans are not kept: nothing makes any.
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
    fields: Vec<(&'static str, Said)>,
}

enum Said {
    Number(u64),
    Text(String),
    Other(String),
}

impl Visit for Words {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Said::Number(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name, Said::Text(value.to_owned()))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, Said::Other(format!("{value:?}")))),
        }
    }
}

impl Words {
    /// `warning: words field=value`
    fn text(&self, level: &str) -> String {
        let mut fields = String::new();
        for (name, said) in &self.fields {
            // Writing to a string cannot fail.
            let _ = match said {
                Said::Number(number) => write!(fields, " {name}={number}"),
                Said::Text(text) => write!(fields, " {name}={text:?}"),
                Said::Other(text) => write!(fields, " {name}={text}"),
            };
        }
        format!("{level}: {}{}\n", Safe(&self.message), Safe(&fields))
    }

    /// `{"time": ..., "level": "warn", "message": ..., field: value}`
    fn json(&self, level: &Level) -> Vec<u8> {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), dates::exact(HostClock::new().wall()).into());
        object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        object.insert("message".into(), self.message.as_str().into());
        for (name, said) in &self.fields {
            let value = match said {
                Said::Number(number) => (*number).into(),
                Said::Text(text) | Said::Other(text) => text.as_str().into(),
            };
            object.insert((*name).to_owned(), value);
        }
        let mut line = Vec::new();
        // Writing to memory cannot fail.
        let _ = json::line(&mut line, &object);
        line
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
        let text = words.text(level);
        // What is asked for is all written, what goes wrong once.
        if *event.metadata().level() <= Level::WARN && !self.is_new(&text) {
            return;
        }
        let line =
            if AS_JSON.load(Ordering::Relaxed) { words.json(event.metadata().level()) } else { text.into_bytes() };
        drop(std::io::stderr().write_all(&line));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
