//! What a table is: its columns with their meaning, which of them narrow what is read, and how its rows are made.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value};

use super::error::SqlError;
use super::view::View;
use super::wanted::Wanted;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What is in it: `INTEGER`, `TEXT`, `BLOB`, or nothing where it can be either.
    pub kind: &'static str,
    /// What it means.
    pub says: &'static str,
}

/// A column; for tables.
pub const fn column(name: &'static str, kind: &'static str, says: &'static str) -> Column {
    Column { name, kind, says }
}

/// How much a condition on a column narrows what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrows {
    /// To what one run, path or key has.
    ToOne,
    /// To a part.
    ToPart,
}

/// Begins to read rows.
pub type Open = fn(&Arc<View>, Wanted) -> Result<Box<dyn Rows>, SqlError>;

/// A table.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What a row is.
    pub says: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// Columns by which less is read, if they are compared.
    pub narrowed_by: &'static [(usize, Narrows)],
    /// Makes its rows.
    pub open: Open,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Table {
    /// The table in SQL.
    pub fn declared(&self) -> String {
        let columns = self.columns.iter().map(|Column { name, kind, .. }| match *kind {
            "" => format!("  \"{name}\""),
            kind => format!("  \"{name}\" {kind}"),
        });
        format!("CREATE TABLE {}(\n{}\n)", self.name, columns.collect::<Vec<_>>().join(",\n"))
    }
}

/// The rows of a table, one after the other.
pub trait Rows: Send {
    /// Goes to the next row; `false` if there is none.
    fn advance(&mut self) -> Result<bool, SqlError>;

    /// A column of the row.
    fn column(&self, index: usize) -> Result<ToSqlOutput<'_>, SqlError>;
}

/// A row that is made as a whole.
pub type Row = Vec<Value>;

/// Rows that are made some at a time.
pub struct Batches<F> {
    more: F,
    made: VecDeque<Row>,
    row: Row,
}

impl<F: FnMut() -> Result<Option<Vec<Row>>, SqlError> + Send + 'static> Batches<F> {
    /// Rows as `more` makes them, until it gives none.
    pub fn boxed(more: F) -> Box<dyn Rows> {
        Box::new(Self { more, made: VecDeque::new(), row: Row::new() })
    }
}

impl<F: FnMut() -> Result<Option<Vec<Row>>, SqlError> + Send> Rows for Batches<F> {
    fn advance(&mut self) -> Result<bool, SqlError> {
        while self.made.is_empty() {
            match (self.more)()? {
                Some(rows) => self.made.extend(rows),
                None => return Ok(false),
            }
        }
        self.row = self.made.pop_front().unwrap_or_default();
        Ok(true)
    }

    fn column(&self, index: usize) -> Result<ToSqlOutput<'_>, SqlError> {
        Ok(self.row.get(index).map_or(ToSqlOutput::Owned(Value::Null), |value| ToSqlOutput::Borrowed(value.into())))
    }
}

/// A number.
pub fn int(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Text.
pub fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// Something, or nothing.
pub fn maybe<T>(value: Option<T>, make: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, make)
}

/// Bytes as text, if they are.
pub fn bytes(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(error) => Value::Blob(error.into_bytes()),
    }
}
