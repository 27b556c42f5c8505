//! What a query wants of a table: columns, and conditions that narrow what is read. A condition that makes no sense here is passed over, because
//! SQLite checks all of them again.

use rusqlite::types::Value;

use super::times;

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Like a pattern of `GLOB`.
    Glob,
}

/// A condition.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Index of the column.
    pub column: usize,
    /// How.
    pub op: Op,
    /// With what.
    pub value: Value,
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All of these hold.
    pub conditions: Vec<Condition>,
    /// A bit for each column that is looked at.
    pub used: u64,
}

impl Wanted {
    /// Whether a column is looked at.
    pub fn uses(&self, column: usize) -> bool {
        self.used & 1 << column.min(63) != 0
    }

    fn of(&self, column: usize) -> impl Iterator<Item = (Op, &Value)> {
        self.conditions.iter().filter(move |of| of.column == column).map(|of| (of.op, &of.value))
    }

    /// The text that a column is to have.
    pub fn text(&self, column: usize) -> Option<&str> {
        self.of(column).find_map(|(op, value)| match (op, value) {
            (Op::Eq, Value::Text(text)) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The bytes that a column is to have, be they text or not.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.of(column).find_map(|(op, value)| match (op, value) {
            (Op::Eq, Value::Text(text)) => Some(text.as_bytes()),
            (Op::Eq, Value::Blob(bytes)) => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// What the text of a column begins with at least.
    pub fn prefix(&self, column: usize) -> Option<&str> {
        self.of(column).find_map(|(op, value)| match (op, value) {
            (Op::Eq, Value::Text(text)) => Some(text.as_str()),
            (Op::Glob, Value::Text(text)) => Some(text.split(['*', '?', '[']).next().unwrap_or_default()),
            _ => None,
        })
    }

    /// From where to where a number may be, the end excluded.
    pub fn range(&self, column: usize) -> (u64, u64) {
        let (mut from, mut until) = (0, u64::MAX);
        for (op, value) in self.of(column) {
            let Value::Integer(number) = value else { continue };
            // Nothing that is counted is below zero.
            let Ok(number) = u64::try_from(*number) else {
                if matches!(op, Op::Eq | Op::Lt | Op::Le) {
                    return (0, 0);
                }
                continue;
            };
            match op {
                Op::Eq => (from, until) = (from.max(number), until.min(number.saturating_add(1))),
                Op::Gt => from = from.max(number.saturating_add(1)),
                Op::Ge => from = from.max(number),
                Op::Lt => until = until.min(number),
                Op::Le => until = until.min(number.saturating_add(1)),
                Op::Glob => {}
            }
        }
        (from, until)
    }

    /// From where to where a time may be, by its text and by its number; the end excluded.
    pub fn times(&self, text: usize, nanos: usize) -> (u64, u64) {
        let (mut from, mut until) = self.range(nanos);
        for (op, value) in self.of(text) {
            let Value::Text(text) = value else { continue };
            let first = times::first_from(text);
            match (op, first) {
                (Op::Eq, Some(first)) => (from, until) = (from.max(first), until.min(first.saturating_add(1))),
                (Op::Gt | Op::Ge, Some(first)) => from = from.max(first),
                (Op::Lt, Some(first)) => until = until.min(first),
                (Op::Le, Some(first)) => until = until.min(first.saturating_add(1)),
                (Op::Eq | Op::Gt | Op::Ge, None) => return (0, 0),
                (Op::Lt | Op::Le, None) | (Op::Glob, _) => {}
            }
        }
        (from, until)
    }
}
