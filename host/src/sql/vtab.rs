//! The tables as virtual tables of SQLite. The only `unsafe` code of `sql`: the traits of rusqlite are unsafe to implement, because SQLite takes the
//! structures by the address of their first field.

use std::ffi::c_int;
use std::sync::Arc;

use rusqlite::Error;
use rusqlite::types::Value;
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, VTab, VTabConnection, VTabCursor, sqlite3_vtab, sqlite3_vtab_cursor,
};

use super::error::SqlError;
use super::table::{Narrows, Rows, Table};
use super::view::View;
use super::wanted::{Condition, Op, Wanted};

/// A row of a table that is read as a whole costs so much.
const WHOLE: f64 = 1e9;

/// What a table is made of.
pub type Source = (Arc<View>, &'static Table);

/// A table.
#[repr(C)]
pub struct Tab {
    base: sqlite3_vtab,
    view: Arc<View>,
    table: &'static Table,
}

/// A place in a table.
#[repr(C)]
pub struct Cursor {
    base: sqlite3_vtab_cursor,
    view: Arc<View>,
    table: &'static Table,
    rows: Option<Box<dyn Rows>>,
    number: i64,
}

fn failed(view: &View, error: SqlError) -> Error {
    Error::ModuleError(view.fail(error))
}

#[expect(unsafe_code, reason = "a trait of rusqlite: SQLite finds the structure by its first field")]
// SAFETY: `Tab` is `repr(C)` and begins with the `sqlite3_vtab` that SQLite expects; it borrows nothing.
unsafe impl VTab<'_> for Tab {
    type Aux = Source;
    type Cursor = Cursor;

    fn connect(_: &mut VTabConnection, aux: Option<&Source>, _: &[&[u8]]) -> rusqlite::Result<(String, Self)> {
        let (view, table) = aux.ok_or_else(|| Error::ModuleError("a table without a view".into()))?;
        Ok((table.declared(), Self { base: sqlite3_vtab::default(), view: Arc::clone(view), table }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<()> {
        let mut plan = String::new();
        let (mut cost, mut argument) = (WHOLE, 0);
        let constraints: Vec<_> =
            info.constraints().map(|of| (of.column(), of.operator(), of.is_usable())).enumerate().collect();
        for (index, (column, operator, usable)) in constraints {
            let Ok(column) = usize::try_from(column) else { continue };
            let narrows = self.table.narrowed_by.iter().find(|(narrowing, _)| *narrowing == column);
            let (Some((_, narrows)), Some(op), true) = (narrows, known(&operator), usable) else { continue };
            // A comparison that takes other texts as equal would lose rows.
            if info.collation(index).is_ok_and(|collation| collation != "BINARY") {
                continue;
            }
            argument += 1;
            info.constraint_usage(index).set_argv_index(argument);
            plan.push_str(&format!("{column}:{},", op as u8));
            cost /= match (narrows, op) {
                (Narrows::ToOne, Op::Eq) => 1e6,
                (Narrows::ToPart, Op::Eq) | (Narrows::ToOne, _) => 100.0,
                (Narrows::ToPart, _) => 10.0,
            };
        }
        info.set_idx_str(&format!("{}|{plan}", info.col_used()));
        info.set_estimated_cost(cost.max(1.0));
        info.set_estimated_rows((cost / 10.0).max(1.0) as i64);
        Ok(())
    }

    fn open(&mut self) -> rusqlite::Result<Cursor> {
        let (view, table) = (Arc::clone(&self.view), self.table);
        Ok(Cursor { base: sqlite3_vtab_cursor::default(), view, table, rows: None, number: 0 })
    }
}

const OPS: [Op; 6] = [Op::Eq, Op::Gt, Op::Ge, Op::Lt, Op::Le, Op::Glob];

fn known(operator: &IndexConstraintOp) -> Option<Op> {
    match operator {
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Some(Op::Eq),
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Some(Op::Gt),
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Some(Op::Ge),
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Some(Op::Lt),
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Some(Op::Le),
        IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GLOB => Some(Op::Glob),
        _ => None,
    }
}

/// What [`VTab::best_index`] has written down, with the values.
fn wanted(plan: &str, args: &Filters<'_>) -> rusqlite::Result<Wanted> {
    let (used, plan) = plan.split_once('|').unwrap_or_default();
    let mut conditions = Vec::new();
    for (index, part) in plan.split_terminator(',').enumerate() {
        let Some((column, op)) = part.split_once(':') else { continue };
        let (Ok(column), Some(op)) = (column.parse(), op.parse().ok().and_then(|op: usize| OPS.get(op))) else {
            continue;
        };
        conditions.push(Condition { column, op: *op, value: args.get::<Value>(index)? });
    }
    Ok(Wanted { conditions, used: used.parse().unwrap_or(u64::MAX) })
}

#[expect(unsafe_code, reason = "a trait of rusqlite: SQLite finds the structure by its first field")]
// SAFETY: `Cursor` is `repr(C)` and begins with the `sqlite3_vtab_cursor` that SQLite expects; it borrows nothing.
unsafe impl VTabCursor for Cursor {
    fn filter(&mut self, _: c_int, plan: Option<&str>, args: &Filters<'_>) -> rusqlite::Result<()> {
        let wanted = wanted(plan.unwrap_or_default(), args)?;
        // What was read before is let go of first.
        self.rows = None;
        self.number = 0;
        // Nothing is equal to NULL, greater or less.
        if wanted.conditions.iter().any(|condition| condition.value == Value::Null) {
            return Ok(());
        }
        self.rows = Some((self.table.open)(&self.view, wanted).map_err(|error| failed(&self.view, error))?);
        self.next()
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        self.number += 1;
        match rows.advance() {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.rows = None;
                Ok(())
            }
            Err(error) => Err(failed(&self.view, error)),
        }
    }

    fn eof(&self) -> bool {
        self.rows.is_none()
    }

    fn column(&self, context: &mut Context, index: c_int) -> rusqlite::Result<()> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let value = rows.column(usize::try_from(index).unwrap_or(usize::MAX));
        context.set_result(&value.map_err(|error| failed(&self.view, error))?)
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.number)
    }
}
