//! `files_history`: every change of a file, as its space sees it.

use std::sync::Arc;

use reel_abi::id::SpaceName;
use reel_abi::types::NodeKind;
use reel_store::{Head, Made, ReadError, VersionRecord};
use rusqlite::types::Value;

use super::files::{CONTENT_BYTES, kind, read};
use super::kv_history::fitting;
use super::versions::{before, line, spaces};
use crate::runtime::diff::diff;
use crate::runtime::files_at::{FilesAt, LookError};
use crate::runtime::past::{Found, Subject, past};
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, bytes, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;
use crate::txn::node::Node;

const SPACE: usize = 0;
const PATH: usize = 1;
const VERSION: usize = 3;
const RUN: usize = 6;
const CONTENT: usize = 12;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space that sees it"),
    column("path", "TEXT", "its path, without / at its beginning"),
    column("change", "TEXT", "made, changed, moved or removed"),
    column("version", "INTEGER", "the version that it is part of"),
    column("at", "TEXT", "when it was committed, UTC"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("run", "INTEGER", "the run that did it"),
    column("commit_no", "INTEGER", "its commit"),
    column("written_in", "TEXT", "the space in which it was done: this one, or one that it was forked from"),
    column("kind", "TEXT", "file, dir or link: what is there since, or what was removed"),
    column("size", "INTEGER", "bytes of the file since then; NULL if there is none"),
    column("previous_size", "INTEGER", "bytes of the file before; NULL if there was none"),
    column("content", "", "the content of a file of up to 64 MiB since then, text or BLOB"),
    column("moved_from", "TEXT", "where it was before, if it was moved"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "files_history",
    says: "every change of a path that the newest version of a space has behind it, through forks and rollbacks",
    columns: COLUMNS,
    narrowed_by: &[
        (SPACE, Narrows::ToPart),
        (VERSION, Narrows::ToPart),
        (4, Narrows::ToPart),
        (5, Narrows::ToPart),
        (RUN, Narrows::ToPart),
        (PATH, Narrows::ToOne),
    ],
    open,
};

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, SPACE).into_iter();
    let mut versions: Option<(SpaceName, std::vec::IntoIter<(SpaceName, VersionRecord)>)> = None;
    Ok(Batches::boxed(move || {
        loop {
            view.check()?;
            let Some((space, left)) = &mut versions else {
                let Some((space, head)) = spaces.next() else { return Ok(None) };
                let mut line = fitting(line(&view, &space, head)?, &wanted);
                if let Some(path) = wanted.text(PATH) {
                    let changed = changed(&view, &space, head, path)?;
                    line.retain(|(origin, record)| changed.contains(&(origin.clone(), record.version.0)));
                }
                versions = Some((space, line.into_iter()));
                continue;
            };
            match left.next() {
                Some((origin, record)) => return version(&view, space, &origin, &record, &wanted).map(Some),
                None => versions = None,
            }
        }
    }))
}

/// The versions that changed a path: only these have to be compared.
fn changed(view: &View, space: &SpaceName, head: Head, path: &str) -> Result<Vec<(SpaceName, u64)>, SqlError> {
    let subject = Subject::Path(path.to_owned());
    let steps = past(&view.store, space, head, &subject, usize::MAX)?;
    let by_commit = steps.into_iter().filter(|step| {
        matches!(step.made, Made::Commit { .. })
            && !matches!((&step.before, &step.after), (Found::Nothing, Found::Nothing))
    });
    Ok(by_commit.map(|step| (step.space, step.version.0)).collect())
}

/// What one version changed.
fn version(
    view: &View,
    space: &SpaceName,
    origin: &SpaceName,
    record: &VersionRecord,
    wanted: &Wanted,
) -> Result<Vec<Row>, SqlError> {
    let Made::Commit { commit, run } = record.made else { return Ok(Vec::new()) };
    let store = &view.store;
    let (Some(old), Some(new)) =
        (store.head_at(origin, before(record.version))?, store.head_at(origin, record.version)?)
    else {
        return Ok(Vec::new());
    };
    let difference = match diff(store, old, new, &mut |_| ()) {
        // What was there before is not known any more.
        Err(LookError::Read(ReadError::Pruned { .. })) => return Ok(Vec::new()),
        difference => difference?,
    };
    let mut files = None;
    let mut rows = Vec::new();
    for change in difference.paths {
        if wanted.text(PATH).is_some_and(|path| path != change.path) {
            continue;
        }
        let word = match (&change.old, &change.new) {
            (_, None) => "removed",
            (Some(_), Some(_)) if change.from.is_some() => "moved",
            (Some(_), Some(_)) => "changed",
            (None, Some(_)) => "made",
        };
        let is_file = |node: &Option<Node>| node.clone().filter(|node| node.kind == NodeKind::File);
        let (size, previous) = (is_file(&change.new).map(|node| node.size), is_file(&change.old).map(|node| node.size));
        let content = match size.filter(|size| wanted.uses(CONTENT) && *size <= CONTENT_BYTES) {
            Some(size) => {
                if files.is_none() {
                    files = Some(FilesAt::new(store, new)?);
                }
                match &mut files {
                    Some(files) => {
                        let place = files.find(&change.path, false)?;
                        bytes(read(files, place, size)?)
                    }
                    None => Value::Null,
                }
            }
            None => Value::Null,
        };
        let node = change.new.as_ref().or(change.old.as_ref());
        rows.push(vec![
            text(space.as_str()),
            text(change.path),
            text(word),
            int(record.version.0),
            text(exact(record.at.0)),
            int(record.at.0),
            int(run.0),
            int(commit.0),
            text(origin.as_str()),
            maybe(node, |node| text(kind(node.kind))),
            maybe(size, int),
            maybe(previous, int),
            content,
            maybe(change.from, text),
        ]);
    }
    Ok(rows)
}
