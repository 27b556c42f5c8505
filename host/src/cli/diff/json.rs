//! A comparison for programs: an object for each path and key, and one with the counts.

use reel_abi::message::Place;
use reel_abi::record::CellValue;
use reel_abi::types::NodeKind;
use reel_abi::value::Value;
use serde::Serialize;

use super::lines::{self, Hunk};
use super::{Args, Contents, Counts, Side, Totals, Way, contents};
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{self, Bytes};
use crate::runtime::cells::{Cells, length};
use crate::runtime::diff::{Difference, KeyChange, PathChange};
use crate::runtime::diff_messages::MessageChange;
use crate::txn::node::Node;

/// Larger values are told by their length alone.
const VALUE_BYTES: u64 = 64 << 10;

#[derive(Serialize)]
struct Item<'a> {
    kind: &'static str,
    size: u64,
    target: Option<&'a str>,
}

impl<'a> Item<'a> {
    fn of(node: &'a Node) -> Self {
        let target = (node.kind == NodeKind::Symlink).then_some(node.target.as_str());
        Self { kind: node.kind.word(), size: node.size, target }
    }
}

#[derive(Serialize)]
struct Path<'a> {
    what: &'static str,
    change: &'static str,
    path: &'a str,
    from: Option<&'a str>,
    old: Option<Item<'a>>,
    new: Option<Item<'a>>,
    binary: bool,
    large: bool,
    lines_added: Option<u64>,
    lines_removed: Option<u64>,
    hunks: Option<Vec<Part>>,
}

#[derive(Serialize)]
struct Part {
    old_start: usize,
    old_lines: usize,
    new_start: usize,
    new_lines: usize,
    lines: Vec<String>,
}

impl Part {
    fn of(hunk: &Hunk<'_>) -> Self {
        let line = |(mark, line): &(lines::Mark, &[u8])| format!("{}{}", mark.sign(), String::from_utf8_lossy(line));
        Self {
            old_start: hunk.old.start + 1,
            old_lines: hunk.old.len(),
            new_start: hunk.new.start + 1,
            new_lines: hunk.new.len(),
            lines: hunk.lines.iter().map(line).collect(),
        }
    }
}

#[derive(Serialize)]
struct Key {
    what: &'static str,
    change: &'static str,
    bucket: String,
    key: Bytes,
    old: Option<Bytes>,
    new: Option<Bytes>,
    old_len: Option<u64>,
    new_len: Option<u64>,
}

#[derive(Serialize)]
struct Message<'a> {
    what: &'static str,
    id: String,
    topic: &'a str,
    old: Option<&'static str>,
    new: Option<&'static str>,
}

#[derive(Serialize)]
struct Summary<'a> {
    what: &'static str,
    old: Version<'a>,
    new: Version<'a>,
    files: Count,
    directories: Count,
    keys: Count,
    messages: Count,
    lines_added: u64,
    lines_removed: u64,
    touched: u64,
}

#[derive(Serialize)]
struct Version<'a> {
    space: &'a str,
    version: u64,
}

#[derive(Serialize)]
struct Count {
    changed: u64,
    added: u64,
    removed: u64,
    renamed: u64,
}

impl From<Counts> for Count {
    fn from(counts: Counts) -> Self {
        let Counts { changed, added, removed, renamed } = counts;
        Self { changed, added, removed, renamed }
    }
}

/// Writes it.
pub fn write(
    args: &Args,
    old: &Side<'_>,
    new: &Side<'_>,
    difference: &Difference,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let mut totals = Totals::of(difference);
    for change in &difference.paths {
        path(args, difference, change, &mut totals, io)?;
    }
    for change in &difference.keys {
        key(args, difference, change, io)?;
    }
    for MessageChange { id, topic, old, new } in &difference.messages {
        let state = |place: &Option<Place>| place.map(crate::cli::queue::word);
        json::line(io.out, &Message { what: "message", id: id.to_string(), topic, old: state(old), new: state(new) })?;
    }
    let version = |side: &Side<'_>| side.head.version.0;
    let summary = Summary {
        what: "summary",
        old: Version { space: old.space.as_str(), version: version(old) },
        new: Version { space: new.space.as_str(), version: version(new) },
        files: totals.files.into(),
        directories: totals.directories.into(),
        keys: totals.keys.into(),
        messages: totals.messages.into(),
        lines_added: totals.lines_added,
        lines_removed: totals.lines_removed,
        touched: totals.touched,
    };
    json::line(io.out, &summary)?;
    Ok(())
}

fn path(
    args: &Args,
    difference: &Difference,
    change: &PathChange,
    totals: &mut Totals,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let is_file = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.kind == NodeKind::File);
    let mut line = Path {
        what: "path",
        change: Way::of_path(change).word(),
        path: &change.path,
        from: change.from.as_deref(),
        old: change.old.as_ref().map(Item::of),
        new: change.new.as_ref().map(Item::of),
        binary: false,
        large: false,
        lines_added: None,
        lines_removed: None,
        hunks: None,
    };
    if !args.summary && change.rewritten && (is_file(&change.old) || is_file(&change.new)) {
        match contents(difference, change)? {
            Contents::Binary => line.binary = true,
            Contents::Large => line.large = true,
            Contents::Text(old, new) => {
                let lines = lines::compare(&old, &new);
                totals.lines_added += lines.added;
                totals.lines_removed += lines.removed;
                line.hunks = Some(lines.hunks.iter().map(Part::of).collect());
                (line.lines_added, line.lines_removed) = (Some(lines.added), Some(lines.removed));
            }
        }
    }
    json::line(io.out, &line)?;
    Ok(())
}

fn key(args: &Args, difference: &Difference, change: &KeyChange, io: &mut Io<'_>) -> Result<(), Failure> {
    let value = |cells: &Cells, value: &Option<CellValue>| -> Option<Bytes> {
        let value = value.as_ref().filter(|value| !args.summary && length(value) <= VALUE_BYTES)?;
        Some(Bytes(Value::Bytes(cells.bytes(value).ok()?)))
    };
    let line = Key {
        what: "key",
        change: Way::of_key(change).word(),
        bucket: String::from_utf8_lossy(&change.bucket).into_owned(),
        key: Bytes(Value::Bytes(change.key.clone())),
        old: value(&difference.old, &change.old),
        new: value(&difference.new, &change.new),
        old_len: change.old.as_ref().map(length),
        new_len: change.new.as_ref().map(length),
    };
    json::line(io.out, &line)?;
    Ok(())
}
