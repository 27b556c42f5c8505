//! Where commands write: stdout carries data, stderr talk. The same command writes to this process's streams, or to those of
//! another process that it serves.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::{Deserialize, Serialize};

use crate::world::{console, process};

/// The two streams of a command.
pub struct Io<'a> {
    /// Data.
    pub out: &'a mut dyn Write,
    /// Talk.
    pub err: &'a mut dyn Write,
    /// What the streams lead to.
    pub look: Look,
}

/// What the streams lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Whether data may be coloured.
    pub out_colour: bool,
    /// Whether talk may be coloured.
    pub err_colour: bool,
    /// Whether a person reads the data.
    pub out_terminal: bool,
    /// Whether a person reads the talk.
    pub err_terminal: bool,
    /// Whether a person types.
    pub in_terminal: bool,
}

impl Look {
    /// That of this process, as `NO_COLOR` and `TERM` allow.
    pub fn here() -> Self {
        let (out_terminal, err_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let plain = process::env("NO_COLOR").is_some_and(|value| !value.is_empty())
            || process::env("TERM").is_some_and(|term| term == "dumb");
        let in_terminal = console::is_stdin_terminal();
        let (out_colour, err_colour) = (out_terminal && !plain, err_terminal && !plain);
        Self { out_colour, err_colour, out_terminal, err_terminal, in_terminal }
    }
}

impl Io<'_> {
    /// A line of advice or warning for the person at the terminal. Nothing is to be done if it cannot be written.
    pub fn warn(&mut self, text: &str) {
        let word = super::style::Paint(self.look.err_colour).warning("warning:");
        drop(writeln!(self.err, "{word} {}", super::escape::Safe(text)));
    }
}

/// Runs something with the streams of this process; what is left in buffers is written before it returns.
pub fn with_streams<T>(deed: impl FnOnce(&mut Io<'_>) -> T) -> (T, io::Result<()>) {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout());
    let mut err = io::stderr();
    let result = deed(&mut Io { out: &mut out, err: &mut err, look: Look::here() });
    let flushed = out.flush();
    // Whatever could not be written shall not be tried again when the buffer is dropped.
    drop(out.into_parts());
    (result, flushed)
}
