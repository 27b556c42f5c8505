//! What the library has to say beside its results: warnings, one a line, on stderr. `REEL_LOG` asks for more.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt as output};

use super::escape::Safe;
use crate::world::process;

/// Sends warnings to stderr.
pub fn install() {
    let filter = EnvFilter::new(process::env("REEL_LOG").unwrap_or_else(|| "warn".to_owned()));
    let subscriber = output().with_env_filter(filter).with_writer(std::io::stderr).event_format(Line).finish();
    // Only the first one counts, and only tests have more.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// `warning: words (field=value)`
struct Line;

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

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "note",
            Level::DEBUG | Level::TRACE => "debug",
        };
        writeln!(writer, "{level}: {}{}", Safe(&words.message), Safe(&words.fields))
    }
}
