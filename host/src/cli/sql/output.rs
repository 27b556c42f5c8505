//! Answers as people and programs read them: a table, JSON, CSV, Parquet. Nothing that a guest has written reaches a terminal unescaped.

use std::io::{self, Write};

use rusqlite::types::ValueRef;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::parquet;
use crate::cli::escape::{Safe, is_plain};
use crate::cli::json;
use crate::cli::table::{Cell, Table};
use crate::sql::values::base64;

/// Rows that are laid below each other at once. Those that follow get widths of their own.
const ROWS: usize = 1000;

/// Characters of a value that a table shows.
const SHOWN: usize = 72;

/// How answers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Columns.
    Table,
    /// One JSON object a line.
    Json,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet, for files.
    Parquet,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("{text:?} is no mode; there are table, json and csv")),
        }
    }
}

/// An answer on its way out.
pub struct Output {
    mode: Mode,
    names: Vec<String>,
    begun: bool,
    table: Vec<Vec<(String, bool)>>,
    file: parquet::File,
}

impl Output {
    /// One that is shown in that way.
    pub fn new(mode: Mode) -> Self {
        Self { mode, names: Vec::new(), begun: false, table: Vec::new(), file: parquet::File::default() }
    }

    /// Whether the next row is written at once.
    pub fn shows_now(&self) -> bool {
        self.mode != Mode::Table || self.table.len() + 1 >= ROWS
    }

    /// A row; one without values only tells the names of the columns.
    pub fn row(&mut self, names: &[String], values: &[ValueRef<'_>], out: &mut dyn Write) -> io::Result<()> {
        if self.mode == Mode::Parquet {
            return self.file.row(names, values, out);
        }
        if !self.begun || self.names != names {
            self.write(out)?;
            names.clone_into(&mut self.names);
            self.begun = true;
            if self.mode == Mode::Csv {
                csv(self.names.iter().map(|name| Some(name.clone())), out)?;
            }
        }
        if values.is_empty() {
            return Ok(());
        }
        match self.mode {
            Mode::Json => json::line(out, &Object { names: &self.names, values }),
            Mode::Csv => csv(values.iter().map(|value| plain(*value)), out),
            Mode::Table | Mode::Parquet => {
                self.table.push(values.iter().map(|value| shown(*value)).collect());
                if self.table.len() >= ROWS { self.write(out) } else { Ok(()) }
            }
        }
    }

    /// All that is left.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.mode == Mode::Parquet {
            return self.file.finish(out);
        }
        self.write(out)
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.table);
        let widths: Vec<usize> = (0..self.names.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| Cell::new(text).width());
                cells.chain([Cell::new(self.names[column].as_str()).width()]).max().unwrap_or(0)
            })
            .collect();
        let mut table = Table::new(&[]);
        table.row(self.names.iter().map(|name| Cell::new(Safe(name).to_string())).collect::<Vec<_>>());
        for row in rows {
            let cells = row.into_iter().zip(&widths).map(|((text, right), width)| {
                let gap = width.saturating_sub(Cell::new(text.as_str()).width());
                Cell::new(if right { format!("{}{text}", " ".repeat(gap)) } else { text })
            });
            table.row(cells.collect::<Vec<_>>());
        }
        table.write(out)
    }
}

/// A value in a table, and whether it stands at the right.
fn shown(value: ValueRef<'_>) -> (String, bool) {
    match value {
        ValueRef::Null => (String::new(), false),
        ValueRef::Integer(number) => (number.to_string(), true),
        ValueRef::Real(number) => (number.to_string(), true),
        ValueRef::Text(text) => (cut(&Safe(&String::from_utf8_lossy(text)).to_string()), false),
        ValueRef::Blob(bytes) => (cut(&format!("x'{}'", hex(&bytes[..bytes.len().min(SHOWN)]))), false),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

struct Object<'a> {
    names: &'a [String],
    values: &'a [ValueRef<'a>],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.names.iter().zip(self.values) {
            map.serialize_entry(name, &Value(*value))?;
        }
        map.end()
    }
}

struct Value<'a>(ValueRef<'a>);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Null => serializer.serialize_unit(),
            ValueRef::Integer(number) => serializer.serialize_i64(number),
            ValueRef::Real(number) => serializer.serialize_f64(number),
            ValueRef::Text(text) => serializer.serialize_str(&String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("len", &bytes.len())?;
                map.serialize_entry("base64", &base64(bytes))?;
                map.end()
            }
        }
    }
}

/// A value as CSV has it; bytes that are no text as Base64. Nothing for NULL, which is an empty field without quotes.
fn plain(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(base64(bytes)),
    }
}

/// A line of RFC 4180, but that it ends as lines do here. Control characters but for line ends are escaped: a file of it may be shown at a terminal.
fn csv(fields: impl Iterator<Item = Option<String>>, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for (index, field) in fields.enumerate() {
        if index > 0 {
            line.push(',');
        }
        let Some(field) = field else { continue };
        let safe: String = field
            .chars()
            .map(
                |c| if c == '\n' || is_plain(c) { c.to_string() } else { Safe(c.encode_utf8(&mut [0; 4])).to_string() },
            )
            .collect();
        if safe.is_empty() || safe.contains([',', '"', '\n', '\r']) {
            line.push_str(&format!("\"{}\"", safe.replace('"', "\"\"")));
        } else {
            line.push_str(&safe);
        }
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_quoted_where_it_must() {
        let mut out = Vec::new();
        let fields = [Some("a,b"), None, Some(""), Some("say \"x\""), Some("\u{1b}[31m"), Some("1\n2")];
        csv(fields.into_iter().map(|field| field.map(str::to_owned)), &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "\"a,b\",,\"\",\"say \"\"x\"\"\",\\x1b[31m,\"1\n2\"\n");
    }
}
