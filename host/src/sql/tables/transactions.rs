//! `transactions`: the versions of all spaces, and what made them.

use std::sync::Arc;

use reel_abi::id::CommitNo;
use reel_store::{Made, ReadError, VersionRecord};
use rusqlite::types::Value;

use super::versions::{history, spaces};
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

const SPACE: usize = 0;
const VERSION: usize = 1;
const CELLS: usize = 9;
const OUTBOX: usize = 10;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space"),
    column("version", "INTEGER", "the version that it made"),
    column("at", "TEXT", "when it was made, UTC"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("kind", "TEXT", "commit, fork or rollback"),
    column("commit_no", "INTEGER", "its place in the chain of commits; one commit can make versions of several spaces"),
    column("run", "INTEGER", "the run that committed"),
    column("source", "TEXT", "the space that was forked"),
    column("source_version", "INTEGER", "the version that was forked or rolled back to"),
    column("cells", "INTEGER", "how many cells of the space it changed; NULL if retention has removed that"),
    column("outbox", "INTEGER", "how many directories of the host it wrote to; NULL if retention has removed that"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "transactions",
    says: "versions of spaces: commits, forks and rollbacks",
    columns: COLUMNS,
    narrowed_by: &[
        (SPACE, Narrows::ToPart),
        (VERSION, Narrows::ToPart),
        (2, Narrows::ToPart),
        (3, Narrows::ToPart),
        (6, Narrows::ToPart),
    ],
    open,
};

/// Rows made at a time.
const BATCH: usize = 256;

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, SPACE).into_iter();
    let ((low, high), (first, last), runs) = (wanted.range(VERSION), wanted.times(2, 3), wanted.range(6));
    let mut left: Option<(String, std::vec::IntoIter<VersionRecord>)> = None;
    Ok(Batches::boxed(move || {
        loop {
            view.check()?;
            let Some((space, records)) = &mut left else {
                let Some((space, head)) = spaces.next() else { return Ok(None) };
                let mut records = history(&view, &space, head)?;
                records.retain(|VersionRecord { version, at, made }| {
                    let run = if let Made::Commit { run, .. } = made { Some(run.0) } else { None };
                    (low..high).contains(&version.0)
                        && (first..last).contains(&at.0)
                        && (runs == (0, u64::MAX) || run.is_some_and(|run| (runs.0..runs.1).contains(&run)))
                });
                left = Some((space.to_string(), records.into_iter()));
                continue;
            };
            let some: Vec<VersionRecord> = records.by_ref().take(BATCH).collect();
            if some.is_empty() {
                left = None;
                continue;
            }
            let rows = some.iter().map(|record| row(&view, space, record, &wanted));
            return rows.collect::<Result<_, _>>().map(Some);
        }
    }))
}

fn row(view: &View, space: &str, record: &VersionRecord, wanted: &Wanted) -> Result<Row, SqlError> {
    let VersionRecord { version, at, made } = record;
    let (kind, commit, run, source, seen) = match made {
        Made::Commit { commit, run } => ("commit", Some(*commit), Some(run.0), None, None),
        Made::Fork { source, version } => ("fork", None, None, Some(source.to_string()), Some(version.0)),
        Made::Rollback { to } => ("rollback", None, None, Some(space.to_owned()), Some(to.0)),
    };
    let (cells, outbox) = match commit {
        Some(commit) if wanted.uses(CELLS) || wanted.uses(OUTBOX) => written(view, commit, space)?,
        _ => (Value::Null, Value::Null),
    };
    Ok(vec![
        text(space),
        int(version.0),
        text(exact(at.0)),
        int(at.0),
        text(kind),
        maybe(commit, |commit| int(commit.0)),
        maybe(run, int),
        maybe(source, text),
        maybe(seen, int),
        cells,
        outbox,
    ])
}

fn written(view: &View, commit: CommitNo, space: &str) -> Result<(Value, Value), SqlError> {
    let record = match view.store.commit(commit) {
        Err(ReadError::Pruned { .. }) => None,
        record => record?,
    };
    let Some(record) = record else { return Ok((Value::Null, Value::Null)) };
    let cells = record.spaces.iter().filter(|change| change.space.as_str() == space);
    let cells = cells.map(|change| change.cells.len() as u64).sum();
    Ok((int(cells), int(record.outbox.len() as u64)))
}
