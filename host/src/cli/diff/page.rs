//! A comparison for people: in the unified style, with what is no text told in words. The counts come last.

use std::io::Write;

use reel_abi::message::Place;
use reel_abi::record::CellValue;
use reel_abi::types::NodeKind;

use super::lines::{self, Hunk, Mark};
use super::{Args, Contents, Counts, Side, Totals, Way, contents};
use crate::cli::escape::{Quoted, QuotedBytes, Safe, SafeBytes};
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::style::Paint;
use crate::cli::units;
use crate::runtime::cells::{Cells, length};
use crate::runtime::diff::{Difference, KeyChange, PathChange};
use crate::runtime::diff_messages::MessageChange;
use crate::txn::node::Node;

/// Characters or bytes of a key or value that a line shows.
const SHOWN: usize = 120;

/// Writes it.
pub fn write(
    args: &Args,
    old: &Side<'_>,
    new: &Side<'_>,
    difference: &Difference,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let mut totals = Totals::of(difference);
    let paint = Paint(io.look.out_colour);
    let mut page = Page { out: io.out, paint, old: old.name(), new: new.name(), difference };
    for change in &difference.paths {
        match args.summary {
            true => page.line(change)?,
            false => page.path(change, &mut totals)?,
        }
    }
    let mut bucket = None;
    for change in &difference.keys {
        if bucket != Some(&change.bucket) {
            bucket = Some(&change.bucket);
            let name = shown(&change.bucket);
            writeln!(page.out, "{}", page.paint.bold(&format!("bucket {name}")))?;
        }
        page.key(change, args.summary)?;
    }
    for change in &difference.messages {
        page.message(change)?;
    }
    writeln!(io.out, "{}", counted(&totals, args.summary))?;
    Ok(())
}

struct Page<'a> {
    out: &'a mut dyn Write,
    paint: Paint,
    old: String,
    new: String,
    difference: &'a Difference,
}

impl Page<'_> {
    /// One line for a message: what became of it.
    fn message(&mut self, MessageChange { id, topic, old, new }: &MessageChange) -> Result<(), Failure> {
        let state = |place: &Option<Place>| place.map_or("nothing", crate::cli::queue::word);
        let became = format!("{} -> {}", state(old), state(new));
        Ok(writeln!(self.out, "{}  {became}", self.paint.bold(&format!("message {id} of {}", Safe(topic))))?)
    }

    /// One line for a path: in which way, where, how large.
    fn line(&mut self, change: &PathChange) -> Result<(), Failure> {
        let way = Way::of_path(change);
        let size = |node: &Node| match node.kind {
            NodeKind::File => units::bytes(node.size),
            kind => word(kind).to_owned(),
        };
        let sizes = match (&change.old, &change.new) {
            (Some(old), Some(new)) if change.rewritten => format!("  {} -> {}", size(old), size(new)),
            (Some(node), _) | (_, Some(node)) => format!("  {}", size(node)),
            (None, None) => String::new(),
        };
        let from = change.from.as_ref().map(|from| format!("/{} -> ", Safe(from))).unwrap_or_default();
        let word = format!("{:8}", way.word());
        let word = match way {
            Way::Added => self.paint.good(&word),
            Way::Removed => self.paint.error(&word),
            Way::Changed | Way::Renamed => self.paint.hint(&word),
        };
        writeln!(self.out, "{word} {from}/{}{sizes}", Safe(&change.path))?;
        Ok(())
    }

    /// A path with what differs in it.
    fn path(&mut self, change: &PathChange, totals: &mut Totals) -> Result<(), Failure> {
        let path = Safe(&change.path).to_string();
        if let Some(from) = &change.from {
            let kind = change.new.as_ref().map_or("", |node| word(node.kind));
            self.head(&format!("renamed {kind} /{} -> /{path}", Safe(from)))?;
            if !change.rewritten {
                return Ok(());
            }
        }
        match (&change.old, &change.new) {
            (Some(old), Some(new)) if old.kind != new.kind => {
                self.head(&format!("/{path}: {} became {}", described(old), described(new)))?;
            }
            (Some(old), Some(new)) if new.kind == NodeKind::Symlink => {
                let (old, new) = (Safe(&old.target), Safe(&new.target));
                self.head(&format!("link /{path}: {old} -> {new}"))?;
            }
            (Some(node), None) if node.kind != NodeKind::File => {
                self.head(&format!("removed {}", named(node, &path)))?
            }
            (None, Some(node)) if node.kind != NodeKind::File => self.head(&format!("new {}", named(node, &path)))?,
            (None, None) => {}
            _ => self.file(change, &path, totals)?,
        }
        Ok(())
    }

    fn file(&mut self, change: &PathChange, path: &str, totals: &mut Totals) -> Result<(), Failure> {
        let what = match contents(self.difference, change)? {
            Contents::Text(old, new) => return self.text(change, path, &old, &new, totals),
            Contents::Binary => "binary file",
            Contents::Large => "large file",
        };
        let size = |node: &Node| units::bytes(node.size);
        let words = match (&change.old, &change.new) {
            (Some(old), Some(new)) => format!("{what} /{path}: {} -> {}", size(old), size(new)),
            (None, Some(new)) => format!("new {what} /{path}: {}", size(new)),
            (Some(old), None) => format!("removed {what} /{path}: {}", size(old)),
            (None, None) => return Ok(()),
        };
        self.head(&words)
    }

    fn text(
        &mut self,
        change: &PathChange,
        path: &str,
        old: &[u8],
        new: &[u8],
        totals: &mut Totals,
    ) -> Result<(), Failure> {
        let before = change.from.as_ref().map_or_else(|| path.to_owned(), |from| Safe(from).to_string());
        let side = |there: bool, name: &str, path: &str| {
            if there { format!("{name}:/{path}") } else { "/dev/null".to_owned() }
        };
        let (from, to) = (side(change.old.is_some(), &self.old, &before), side(change.new.is_some(), &self.new, path));
        self.head(&format!("--- {from}"))?;
        self.head(&format!("+++ {to}"))?;
        let lines = lines::compare(old, new);
        totals.lines_added += lines.added;
        totals.lines_removed += lines.removed;
        lines.hunks.iter().try_for_each(|hunk| self.hunk(hunk))
    }

    fn hunk(&mut self, hunk: &Hunk<'_>) -> Result<(), Failure> {
        let range = |lines: &std::ops::Range<usize>| match lines.len() {
            // The line before a place that has none itself.
            0 => format!("{},0", lines.start),
            1 => format!("{}", lines.start + 1),
            count => format!("{},{count}", lines.start + 1),
        };
        let head = format!("@@ -{} +{} @@", range(&hunk.old), range(&hunk.new));
        writeln!(self.out, "{}", self.paint.hint(&head))?;
        for (mark, line) in &hunk.lines {
            let (line, ended) = match line.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (*line, false),
            };
            let text = format!("{}{}", mark.sign(), SafeBytes(line));
            let text = match mark {
                Mark::Both => text,
                Mark::Old => self.paint.error(&text),
                Mark::New => self.paint.good(&text),
            };
            writeln!(self.out, "{text}")?;
            if !ended {
                writeln!(self.out, "{}", self.paint.dim("\\ No newline at end of file"))?;
            }
        }
        Ok(())
    }

    fn key(&mut self, change: &KeyChange, summary: bool) -> Result<(), Failure> {
        let (way, key) = (Way::of_key(change), shown(&change.key));
        let old = change.old.as_ref().map(|value| value_of(&self.difference.old, value));
        let new = change.new.as_ref().map(|value| value_of(&self.difference.new, value));
        let text = match (way, old, new) {
            _ if summary => format!("{:8} {key}", way.word()),
            (_, Some(old), Some(new)) => format!("~ {key}: {old} -> {new}"),
            (_, None, Some(new)) => format!("+ {key}: {new}"),
            (_, Some(old), None) => format!("- {key}: {old}"),
            (_, None, None) => return Ok(()),
        };
        let text = match way {
            Way::Added => self.paint.good(&text),
            Way::Removed => self.paint.error(&text),
            Way::Changed | Way::Renamed => text,
        };
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    fn head(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{}", self.paint.bold(text))?;
        Ok(())
    }
}

/// A key or name as a line shows it.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => Quoted(text, SHOWN).to_string(),
        Err(_) => QuotedBytes(bytes, SHOWN).to_string(),
    }
}

/// A value as a line shows it; its length only if it is not small, or cannot be read.
fn value_of(cells: &Cells, value: &CellValue) -> String {
    match value {
        CellValue::Inline { bytes } => shown(bytes),
        CellValue::Blob { .. } => match cells.bytes(value) {
            Ok(bytes) => shown(&bytes),
            Err(_) => format!("<{} bytes that cannot be read>", length(value)),
        },
        _ => format!("<{} bytes>", length(value)),
    }
}

fn word(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Directory => "directory",
        NodeKind::File => "file",
        NodeKind::Symlink => "link",
        _ => "thing",
    }
}

fn described(node: &Node) -> String {
    match node.kind {
        NodeKind::File => format!("a file of {}", units::bytes(node.size)),
        NodeKind::Symlink => format!("a link to {}", Safe(&node.target)),
        kind => format!("a {}", word(kind)),
    }
}

fn named(node: &Node, path: &str) -> String {
    match node.kind {
        NodeKind::Directory => format!("directory /{path}"),
        NodeKind::Symlink => format!("link /{path} -> {}", Safe(&node.target)),
        kind => format!("{} /{path}", word(kind)),
    }
}

/// `2 files changed, 1 added; 10 lines added, 2 removed; 3 keys changed`
fn counted(totals: &Totals, summary: bool) -> String {
    let mut parts = vec![
        some("file", "files", totals.files),
        some("directory", "directories", totals.directories),
        some("key", "keys", totals.keys),
        some("message", "messages", totals.messages),
    ];
    if !summary {
        let (added, removed) = (totals.lines_added, totals.lines_removed);
        parts.insert(1, some("line", "lines", Counts { added, removed, ..Counts::default() }));
    }
    parts.retain(|part| !part.is_empty());
    let mut text = if parts.is_empty() { "no difference".to_owned() } else { parts.join("; ") };
    match totals.touched {
        0 => {}
        1 => text.push_str("; 1 file written again as it was"),
        count => text.push_str(&format!("; {count} files written again as they were")),
    }
    text
}

fn some(one: &str, many: &str, counts: Counts) -> String {
    let Counts { changed, added, removed, renamed } = counts;
    let mut parts = [(changed, "changed"), (added, "added"), (removed, "removed"), (renamed, "renamed")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| (count, format!("{count} {word}")))
        .collect::<Vec<_>>();
    if let Some((count, text)) = parts.first_mut() {
        let noun = if *count == 1 { one } else { many };
        *text = text.replacen(' ', &format!(" {noun} "), 1);
    }
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_words() {
        let mut totals = Totals::default();
        assert_eq!(counted(&totals, false), "no difference");
        totals.files = Counts { changed: 1, added: 2, removed: 0, renamed: 3 };
        (totals.lines_added, totals.lines_removed) = (7, 1);
        totals.keys = Counts { removed: 1, ..Counts::default() };
        assert_eq!(
            counted(&totals, false),
            "1 file changed, 2 added, 3 renamed; 7 lines added, 1 removed; 1 key removed"
        );
        totals.touched = 2;
        totals.keys = Counts::default();
        totals.files = Counts { added: 2, ..Counts::default() };
        assert_eq!(counted(&totals, true), "2 files added; 2 files written again as they were");
    }
}
