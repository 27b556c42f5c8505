//! Answers as [Apache Parquet](https://parquet.apache.org/docs/file-format/): columns of one type each, in groups of rows, compressed.
//!
//! Values in SQLite have types, columns of an answer do not. What a column holds is told by the first group of rows: integers, numbers, text (UTF-8) or
//! bytes, each or NULL. A value that comes later and is none of that is an error that says how to ask instead; nothing is turned into something else.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use rusqlite::types::{Value, ValueRef};

/// Rows of a group.
const ROWS: usize = 65_536;

/// Bytes of text in a group, after which it ends earlier.
const BYTES: usize = 32 << 20;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Real,
    Text,
    Bytes,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Integer(_) => Some(Self::Integer),
            Value::Real(_) => Some(Self::Real),
            Value::Text(_) => Some(Self::Text),
            Value::Blob(_) => Some(Self::Bytes),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Integer => "integers",
            Self::Real => "numbers",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    fn holds(self, other: Self) -> bool {
        self == other || (self, other) == (Self::Real, Self::Integer)
    }
}

/// A file that is being written.
#[derive(Default)]
pub struct File {
    names: Vec<String>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    open: Option<(SerializedFileWriter<Vec<u8>>, Vec<Kind>)>,
}

impl File {
    /// A row; one without values only tells the names of the columns.
    pub fn row(&mut self, names: &[String], values: &[ValueRef<'_>], out: &mut dyn Write) -> io::Result<()> {
        if self.names.is_empty() {
            names.clone_into(&mut self.names);
        } else if self.names != names {
            return Err(wrong("a file of Parquet has the answer to one question; ask the second one by itself"));
        }
        if values.is_empty() {
            return Ok(());
        }
        for value in values {
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
                self.bytes += bytes.len();
            }
        }
        let row = values.iter().map(|value| match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(*number),
            ValueRef::Real(number) => Value::Real(*number),
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        });
        self.rows.push(row.collect());
        if self.rows.len() >= ROWS || self.bytes >= BYTES { self.group(out) } else { Ok(()) }
    }

    /// All that is left, and the end of the file.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        self.group(out)?;
        if let Some((file, _)) = self.open.take() {
            out.write_all(&file.into_inner().map_err(failed)?)?;
        }
        Ok(())
    }

    /// Writes the rows that are there.
    fn group(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let (file, kinds) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(begin(&self.names, &rows)?),
        };
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = file.next_row_group().map_err(failed)?;
        for (column, kind) in kinds.iter().enumerate() {
            let there = || rows.iter().filter_map(|row| row.get(column)).filter(|value| **value != Value::Null);
            if let Some(other) = there().filter_map(Kind::of).find(|other| !kind.holds(*other)) {
                let name = &self.names[column];
                let (kind, other) = (kind.name(), other.name());
                return Err(wrong(&format!(
                    "the column {name} has {kind} and also {other}; say what it is: CAST({name} AS TEXT)"
                )));
            }
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.get(column) != Some(&Value::Null))).collect();
            let mut writer =
                group.next_column().map_err(failed)?.ok_or_else(|| io::Error::other("a column is missing"))?;
            let written = match kind {
                Kind::Integer => {
                    let values: Vec<i64> = there()
                        .filter_map(|value| if let Value::Integer(number) = value { Some(*number) } else { None })
                        .collect();
                    writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
                }
                Kind::Real => {
                    let values: Vec<f64> = there()
                        .filter_map(|value| match value {
                            Value::Real(number) => Some(*number),
                            #[expect(clippy::cast_precision_loss, reason = "as SQLite compares them")]
                            Value::Integer(number) => Some(*number as f64),
                            _ => None,
                        })
                        .collect();
                    writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)
                }
                Kind::Text | Kind::Bytes => {
                    let values: Vec<ByteArray> = there()
                        .filter_map(|value| match value {
                            Value::Text(text) => Some(ByteArray::from(text.as_str())),
                            Value::Blob(bytes) => Some(ByteArray::from(bytes.clone())),
                            _ => None,
                        })
                        .collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
                }
            };
            written.map_err(failed)?;
            writer.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        file.flush()?;
        // Where things lie is counted by the writer itself, not by what it writes to.
        out.write_all(&std::mem::take(file.inner_mut()))
    }
}

/// A file whose columns have the types of these rows.
fn begin(names: &[String], rows: &[Vec<Value>]) -> io::Result<(SerializedFileWriter<Vec<u8>>, Vec<Kind>)> {
    let kinds: Vec<Kind> = (0..names.len())
        .map(|column| {
            let kinds = rows.iter().filter_map(|row| row.get(column)).filter_map(Kind::of);
            kinds.reduce(|one, other| if other.holds(one) { other } else { one }).unwrap_or(Kind::Text)
        })
        .collect();
    let fields = names.iter().zip(&kinds).map(|(name, kind)| {
        let (physical, logical) = match kind {
            Kind::Integer => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Bytes => (Physical::BYTE_ARRAY, None),
        };
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        column.with_logical_type(logical).build().map(Arc::new).map_err(failed)
    });
    let schema = Type::group_type_builder("answer").with_fields(fields.collect::<io::Result<_>>()?).build();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let file = SerializedFileWriter::new(Vec::new(), Arc::new(schema.map_err(failed)?), Arc::new(properties));
    Ok((file.map_err(failed)?, kinds))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what)
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
