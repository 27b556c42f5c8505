//! `kv_history`: every value that a key had, as its space sees it.

use std::sync::Arc;

use reel_abi::id::SpaceName;
use reel_abi::record::{CellValue, family};
use reel_store::{Change, Head, Made, ReadError, VersionRecord};
use rusqlite::types::Value;

use super::kv::value;
use super::versions::{before, line, spaces};
use crate::runtime::cells::{Cells, length};
use crate::runtime::keys_at::{cell_key, split_key};
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, bytes, column, int, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

const SPACE: usize = 0;
const BUCKET: usize = 1;
const KEY: usize = 2;
const VERSION: usize = 3;
const RUN: usize = 6;
const VALUE: usize = 9;
const PREVIOUS: usize = 11;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space that sees it"),
    column("bucket", "", "the bucket, text or BLOB"),
    column("key", "", "the key, text or BLOB"),
    column("version", "INTEGER", "the version that it is part of"),
    column("at", "TEXT", "when it was committed, UTC"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("run", "INTEGER", "the run that wrote it"),
    column("commit_no", "INTEGER", "its commit"),
    column("written_in", "TEXT", "the space in which it was written: this one, or one that it was forked from"),
    column("value", "", "the value since then, text or BLOB; NULL if it was removed"),
    column("bytes", "INTEGER", "bytes of the value; NULL if it was removed"),
    column("previous", "", "the value before; NULL if there was none, or if retention has removed it"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "kv_history",
    says: "every change of a key that the newest version of a space has behind it, through forks and rollbacks",
    columns: COLUMNS,
    narrowed_by: &[
        (SPACE, Narrows::ToPart),
        (BUCKET, Narrows::ToPart),
        (KEY, Narrows::ToOne),
        (VERSION, Narrows::ToPart),
        (4, Narrows::ToPart),
        (5, Narrows::ToPart),
        (RUN, Narrows::ToPart),
    ],
    open,
};

/// Changes of one key that are read.
const CHANGES: usize = 1_000_000;

/// The commits of a space, those of its origins among them.
type Commits = std::vec::IntoIter<(SpaceName, VersionRecord)>;

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, SPACE).into_iter();
    let mut commits: Option<(SpaceName, Head, Commits)> = None;
    Ok(Batches::boxed(move || {
        loop {
            view.check()?;
            let Some((space, head, line_left)) = &mut commits else {
                let Some((space, head)) = spaces.next() else { return Ok(None) };
                if let (Some(bucket), Some(key)) = (wanted.bytes(BUCKET), wanted.bytes(KEY)) {
                    return one(&view, &space, head, (bucket, key), &wanted).map(Some);
                }
                let line = fitting(line(&view, &space, head)?, &wanted);
                commits = Some((space, head, line.into_iter()));
                continue;
            };
            match line_left.next() {
                Some((origin, record)) => return commit(&view, space, *head, &origin, &record, &wanted).map(Some),
                None => commits = None,
            }
        }
    }))
}

/// The versions that conditions leave.
pub fn fitting(mut line: Vec<(SpaceName, VersionRecord)>, wanted: &Wanted) -> Vec<(SpaceName, VersionRecord)> {
    let (versions, times, runs) = (wanted.range(VERSION), wanted.times(4, 5), wanted.range(RUN));
    line.retain(|(_, VersionRecord { version, at, made })| match made {
        Made::Commit { run, .. } => {
            (versions.0..versions.1).contains(&version.0)
                && (times.0..times.1).contains(&at.0)
                && (runs.0..runs.1).contains(&run.0)
        }
        _ => false,
    });
    line
}

/// The history of one key, by its own index.
fn one(
    view: &View,
    space: &SpaceName,
    head: Head,
    (bucket, key): (&[u8], &[u8]),
    wanted: &Wanted,
) -> Result<Vec<Row>, SqlError> {
    let cells = Cells::at(&view.store, head)?;
    let changes = view.store.key_history(head, family::KEY_VALUE, &cell_key(bucket, key), CHANGES)?;
    let mut rows = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let Change { space: origin, version, at, commit, run, value: cell } = change;
        let older = changes.get(index + 1).map(|older| &older.value);
        let previous = match older {
            Some(older) => value(&cells, older, wanted.uses(PREVIOUS))?,
            None => Value::Null,
        };
        let seen = Seen { space, origin, version: version.0, at: at.0, run: run.0, commit: commit.0 };
        rows.push(row(&seen, bucket, key, (cell, value(&cells, cell, wanted.uses(VALUE))?), previous));
    }
    Ok(rows)
}

/// What one commit changed.
fn commit(
    view: &View,
    space: &SpaceName,
    head: Head,
    origin: &SpaceName,
    record: &VersionRecord,
    wanted: &Wanted,
) -> Result<Vec<Row>, SqlError> {
    let Made::Commit { commit, run } = record.made else { return Ok(Vec::new()) };
    let written = match view.store.commit(commit) {
        Err(ReadError::Pruned { .. }) => None,
        written => written?,
    };
    let Some(written) = written else { return Ok(Vec::new()) };
    let cells = Cells::at(&view.store, head)?;
    let mut earlier = None;
    let mut rows = Vec::new();
    let here = written.spaces.into_iter().filter(|it| it.space == *origin && it.version == record.version);
    for cell in here.flat_map(|change| change.cells).filter(|cell| cell.family == family::KEY_VALUE) {
        let Some((bucket, key)) = split_key(&cell.key) else { continue };
        let wants = |column, bytes: &[u8]| wanted.bytes(column).is_none_or(|wanted| wanted == bytes);
        if !wants(BUCKET, bucket) || !wants(KEY, key) {
            continue;
        }
        let previous = if wanted.uses(PREVIOUS) {
            if earlier.is_none() {
                earlier = Some(at(view, origin, record)?);
            }
            match earlier.as_ref().and_then(Option::as_ref) {
                Some(earlier) => match earlier.view.get(family::KEY_VALUE, &cell.key)? {
                    Some(older) => value(earlier, &older, true)?,
                    None => Value::Null,
                },
                None => Value::Null,
            }
        } else {
            Value::Null
        };
        let seen = Seen { space, origin, version: record.version.0, at: record.at.0, run: run.0, commit: commit.0 };
        rows.push(row(&seen, bucket, key, (&cell.value, value(&cells, &cell.value, wanted.uses(VALUE))?), previous));
    }
    Ok(rows)
}

/// The space before a version; nothing if retention has removed that.
fn at(view: &View, space: &SpaceName, record: &VersionRecord) -> Result<Option<Cells>, SqlError> {
    let Some(head) = view.store.head_at(space, before(record.version))? else { return Ok(None) };
    match view.store.view(head) {
        Ok(_) => Ok(Some(Cells::at(&view.store, head)?)),
        Err(ReadError::Pruned { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Seen<'a> {
    space: &'a SpaceName,
    origin: &'a SpaceName,
    version: u64,
    at: u64,
    run: u64,
    commit: u64,
}

fn row(seen: &Seen<'_>, bucket: &[u8], key: &[u8], (cell, value): (&CellValue, Value), previous: Value) -> Row {
    vec![
        text(seen.space.as_str()),
        bytes(bucket.to_vec()),
        bytes(key.to_vec()),
        int(seen.version),
        text(exact(seen.at)),
        int(seen.at),
        int(seen.run),
        int(seen.commit),
        text(seen.origin.as_str()),
        value,
        if *cell == CellValue::Tombstone { Value::Null } else { int(length(cell)) },
        previous,
    ]
}
