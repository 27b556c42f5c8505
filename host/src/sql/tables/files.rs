//! `files`: files, directories and links at a version.

use std::sync::Arc;

use reel_abi::types::NodeKind;
use rusqlite::types::Value;

use super::kv::version;
use super::versions::spaces;
use crate::runtime::files_at::{FilesAt, LookError};
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Rows, Table, bytes, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;
use crate::txn::files::Place;

const SPACE: usize = 0;
const VERSION: usize = 1;
const PATH: usize = 2;
const CONTENT: usize = 8;

/// Longest content that is shown; a longer one is `reel fs cat`'s.
pub const CONTENT_BYTES: u64 = 64 << 20;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space"),
    column("version", "INTEGER", "the version: the newest, or the one that version = N asks for"),
    column("path", "TEXT", "its path, without / at its beginning"),
    column("kind", "TEXT", "file, dir or link"),
    column("size", "INTEGER", "bytes of a file"),
    column("modified", "TEXT", "when its content was last changed, UTC"),
    column("modified_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("target", "TEXT", "where a link points"),
    column("content", "", "the content of a file of up to 64 MiB, text or BLOB"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "files",
    says: "files, directories and links of all spaces, now or at a version",
    columns: COLUMNS,
    narrowed_by: &[(SPACE, Narrows::ToPart), (VERSION, Narrows::ToPart), (PATH, Narrows::ToOne)],
    open,
};

/// The word for a kind.
pub fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Directory => "dir",
        NodeKind::File => "file",
        NodeKind::Symlink => "link",
        _ => "other",
    }
}

/// A directory or name that is still to be looked at.
struct Pending {
    path: String,
    above: Place,
    name: String,
}

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, SPACE).into_iter();
    let at = version(&wanted, VERSION);
    let mut here: Option<(String, u64, FilesAt, Vec<Pending>)> = None;
    Ok(Batches::boxed(move || {
        loop {
            view.check()?;
            let Some((space, version, files, pending)) = &mut here else {
                let Some((space, _)) = spaces.next() else { return Ok(None) };
                let Some(head) = view.head(&space, at)? else { continue };
                let mut files = FilesAt::new(&view.store, head)?;
                let pending = begin(&mut files, &wanted)?;
                here = Some((space.to_string(), head.version.0, files, pending));
                continue;
            };
            let Some(Pending { path, above, name }) = pending.pop() else {
                here = None;
                continue;
            };
            let place = files.child(above, &name)?;
            let stat = files.stat(place)?;
            if stat.kind == NodeKind::Directory && descends(&path, &wanted) {
                push(pending, files, place, &path)?;
            }
            let target = match stat.kind {
                NodeKind::Symlink => files.readlink(above, &name).ok(),
                _ => None,
            };
            let shown = wanted.uses(CONTENT) && stat.kind == NodeKind::File && stat.size <= CONTENT_BYTES;
            let content = if shown { bytes(read(files, place, stat.size)?) } else { Value::Null };
            return Ok(Some(vec![vec![
                text(space.as_str()),
                int(*version),
                text(path),
                text(kind(stat.kind)),
                if stat.kind == NodeKind::File { int(stat.size) } else { Value::Null },
                text(exact(stat.modified.0)),
                int(stat.modified.0),
                maybe(target, text),
                content,
            ]]));
        }
    }))
}

/// Where to begin: at the one path that is asked for, at the directory of all that are, or at the root.
fn begin(files: &mut FilesAt, wanted: &Wanted) -> Result<Vec<Pending>, SqlError> {
    let mut pending = Vec::new();
    let gone = |error: &LookError| matches!(error, LookError::Code(_));
    let known = wanted.text(PATH).map(|path| path.rsplit_once('/').unwrap_or(("", path)));
    let dir = match (known, wanted.prefix(PATH)) {
        (Some((above, _)), _) => above.to_owned(),
        (None, Some(prefix)) => prefix.rsplit_once('/').map_or("", |(above, _)| above).to_owned(),
        (None, None) => String::new(),
    };
    // A path through a link is none of the paths that are told.
    let mut place = files.find("", false)?;
    for name in dir.split('/').filter(|name| !name.is_empty()) {
        place = match files.child(place, name) {
            Ok(place) => place,
            Err(error) if gone(&error) => return Ok(pending),
            Err(error) => return Err(error.into()),
        };
        if files.kind(place)? != NodeKind::Directory {
            return Ok(pending);
        }
    }
    match known {
        Some((_, name)) if !name.is_empty() => match files.child(place, name) {
            Ok(_) => pending.push(Pending { path: joined(&dir, name), above: place, name: name.to_owned() }),
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error.into()),
        },
        Some(_) => {}
        None => push(&mut pending, files, place, &dir)?,
    }
    Ok(pending)
}

/// Whether there may be wanted paths below a directory.
fn descends(path: &str, wanted: &Wanted) -> bool {
    match (wanted.text(PATH), wanted.prefix(PATH)) {
        (Some(_), _) => false,
        (None, Some(prefix)) => {
            let below = format!("{path}/");
            below.starts_with(prefix) || prefix.starts_with(&below)
        }
        (None, None) => true,
    }
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

/// Puts the names of a directory on the stack, so that the first comes off first.
fn push(pending: &mut Vec<Pending>, files: &mut FilesAt, dir: Place, above: &str) -> Result<(), SqlError> {
    for (name, _) in files.list(dir)?.into_iter().rev() {
        pending.push(Pending { path: joined(above, &name), above: dir, name });
    }
    Ok(())
}

/// The content of a file.
pub fn read(files: &mut FilesAt, place: Place, size: u64) -> Result<Vec<u8>, SqlError> {
    let mut content = Vec::new();
    while (content.len() as u64) < size {
        let piece = files.read(place, content.len() as u64, 1 << 20)?;
        if piece.is_empty() {
            break;
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}
