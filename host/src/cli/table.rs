//! Columns that stand below each other.

use std::io::{self, Write};

use super::escape::is_plain;

/// A cell: what is shown, and how many columns of the terminal it takes.
pub struct Cell {
    text: String,
    width: usize,
}

impl Cell {
    /// A cell with plain text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { width: width(&text), text }
    }

    /// How many columns of the terminal it takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The same in colour.
    #[must_use]
    pub fn painted(self, paint: impl FnOnce(&str) -> String) -> Self {
        Self { text: paint(&self.text), ..self }
    }
}

/// Rows of cells. Memory grows with the rows; use it where there is a bound on them.
pub struct Table {
    rows: Vec<Vec<Cell>>,
    right: &'static [usize],
}

impl Table {
    /// A table whose columns `right` (by index) hold numbers.
    pub fn new(right: &'static [usize]) -> Self {
        Self { rows: Vec::new(), right }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes the rows.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &Cell| cell.width).max();
        let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - cell.width);
                if column > 0 {
                    line.push_str("  ");
                }
                if self.right.contains(&column) {
                    line.push_str(&gap);
                    line.push_str(&cell.text);
                } else {
                    line.push_str(&cell.text);
                    line.push_str(&gap);
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Columns that text takes: two for the wide characters of East Asia and for pictures, as terminals do.
fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
            | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
    };
    text.chars().filter(|c| is_plain(*c)).map(|c| if wide(c) { 2 } else { 1 }).sum()
}
