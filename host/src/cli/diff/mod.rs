//! `reel diff`: what differs between two moments of a space, or of two spaces.

mod json;
mod lines;
mod page;

use reel_abi::id::SpaceName;
use reel_abi::types::NodeKind;
use reel_store::Head;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::moment;
use super::when::{Other, SpaceAt};
use crate::runtime::diff::{Difference, KeyChange, PathChange, diff};
use crate::runtime::diff_messages::MessageChange;
use crate::runtime::files_at::LookError;
use crate::txn::node::Node;

/// Larger files are not compared by line; keeps memory and time bounded.
const TEXT_BYTES: u64 = 1 << 20;

/// Show what differs between two moments of a space, or two spaces: files by line, directories, links, keys, messages
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Moments: a version (main@17), tag (main@release), time (main@3d, main@14:05) or event (main@12@7)."
)]
pub struct Args {
    /// The old side
    #[arg(value_name = "SPACE[@WHEN]")]
    old: SpaceAt,
    /// The new side: SPACE[@WHEN], or @WHEN of the same space; without it, the newest version
    #[arg(value_name = "SPACE[@WHEN] | @WHEN")]
    new: Option<Other>,
    /// Only which files and keys differ, one a line
    #[arg(long)]
    summary: bool,
    /// One JSON object a line, the counts last
    #[arg(long)]
    json: bool,
}

/// A side of the comparison.
struct Side<'a> {
    space: &'a SpaceName,
    head: Head,
}

impl Side<'_> {
    fn name(&self) -> String {
        moment::name(self.space, self.head)
    }
}

/// How many things of which kind changed in which way.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    changed: u64,
    added: u64,
    removed: u64,
    renamed: u64,
}

/// All counts of a comparison.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    /// Files and links.
    files: Counts,
    directories: Counts,
    keys: Counts,
    messages: Counts,
    lines_added: u64,
    lines_removed: u64,
    touched: u64,
}

/// In which way something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Changed,
    Added,
    Removed,
    Renamed,
}

impl Way {
    fn of_path(change: &PathChange) -> Self {
        match change {
            PathChange { from: Some(_), .. } => Self::Renamed,
            PathChange { old: None, .. } => Self::Added,
            PathChange { new: None, .. } => Self::Removed,
            _ => Self::Changed,
        }
    }

    fn of_key(change: &KeyChange) -> Self {
        match change {
            KeyChange { old: None, .. } => Self::Added,
            KeyChange { new: None, .. } => Self::Removed,
            _ => Self::Changed,
        }
    }

    fn of_message(change: &MessageChange) -> Self {
        match change {
            MessageChange { old: None, .. } => Self::Added,
            MessageChange { new: None, .. } => Self::Removed,
            _ => Self::Changed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
        }
    }
}

impl Counts {
    fn add(&mut self, way: Way) {
        *match way {
            Way::Changed => &mut self.changed,
            Way::Added => &mut self.added,
            Way::Removed => &mut self.removed,
            Way::Renamed => &mut self.renamed,
        } += 1;
    }
}

impl Totals {
    fn of(difference: &Difference) -> Self {
        let mut totals = Self { touched: difference.touched, ..Self::default() };
        for change in &difference.paths {
            let kind = change.new.as_ref().or(change.old.as_ref()).map(|node| node.kind);
            let counts = if kind == Some(NodeKind::Directory) { &mut totals.directories } else { &mut totals.files };
            counts.add(Way::of_path(change));
        }
        difference.keys.iter().for_each(|change| totals.keys.add(Way::of_key(change)));
        difference.messages.iter().for_each(|change| totals.messages.add(Way::of_message(change)));
        totals
    }
}

/// Compares and prints.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let new = match &args.new {
        Some(other) => other.beside(&args.old),
        None => SpaceAt { space: args.old.space.clone(), when: None },
    };
    let (old, new) = (
        Side { space: &args.old.space, head: args.old.head(store)? },
        Side { space: &new.space, head: new.head(store)? },
    );
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("comparing {} and {}", old.name(), new.name()));
    let difference = diff(store, old.head, new.head, &mut |_| ());
    progress.finish();
    let difference = difference.map_err(|error| failed(&format!("{} and {}", old.name(), new.name()), &error))?;
    match args.json {
        true => json::write(args, &old, &new, &difference, io)?,
        false => page::write(args, &old, &new, &difference, io)?,
    }
    Ok(Exit::OK)
}

/// An error with what it is about.
fn failed(what: &str, error: &LookError) -> Failure {
    match error {
        LookError::Read(error) => error.clone().into(),
        other => {
            Failure::new(Exit::DATABASE, format!("{what}: {other}")).hint("`reel verify` tells how far the damage goes")
        }
    }
}

/// Both contents of a changed file.
enum Contents {
    /// They are texts, or nothing.
    Text(Vec<u8>, Vec<u8>),
    /// At least one is no text.
    Binary,
    /// At least one is too large to be compared by line.
    Large,
}

/// The contents of a file on both sides, as far as it was one there.
fn contents(difference: &Difference, change: &PathChange) -> Result<Contents, Failure> {
    let file = |node: &&Node| node.kind == NodeKind::File;
    let (old, new) = (change.old.as_ref().filter(file), change.new.as_ref().filter(file));
    if old.into_iter().chain(new).any(|node| node.size > TEXT_BYTES) {
        return Ok(Contents::Large);
    }
    let unread = |error: LookError| failed(&format!("/{}", change.path), &error);
    let old = old.map_or(Ok(Vec::new()), |node| difference.old.content(node)).map_err(unread)?;
    let new = new.map_or(Ok(Vec::new()), |node| difference.new.content(node)).map_err(unread)?;
    match lines::is_binary(&old) || lines::is_binary(&new) {
        true => Ok(Contents::Binary),
        false => Ok(Contents::Text(old, new)),
    }
}
