//! What differs between two versions, of one space or of two: files by path, keys by bucket. The work is that of what changed, not of what there is,
//! but for files that a run made in several commits or that have several names: for their paths all names are looked through.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::record::{CellValue, family};
use reel_abi::types::NodeKind;
use reel_store::{BLOCK_BYTES, Head, Store};

use super::cells::Cells;
use super::diff_messages::{MessageChange, messages};
use super::files_at::LookError;
use super::keys_at::split_key;
use super::paths::{Paths, names, split};
use crate::txn::node::{Entry, Node, block_key};

/// Blocks fetched at a time.
const BATCH: usize = 1024;

/// What differs.
pub struct Difference {
    /// The one side.
    pub old: Cells,
    /// The other.
    pub new: Cells,
    /// Files, directories and links, in the order of their paths.
    pub paths: Vec<PathChange>,
    /// Keys, in the order of buckets and keys.
    pub keys: Vec<KeyChange>,
    /// Messages, in the order of their ids.
    pub messages: Vec<MessageChange>,
    /// Files and links that were written again as they were.
    pub touched: u64,
}

/// A path that leads to something else.
#[derive(Debug, Clone, PartialEq)]
pub struct PathChange {
    /// Where it is, or was if it is nowhere any more. Without `/` at its ends.
    pub path: String,
    /// Where the same file, directory or link was before, if elsewhere.
    pub from: Option<String>,
    /// What was there.
    pub old: Option<Node>,
    /// What is there.
    pub new: Option<Node>,
    /// Whether the bytes of the file, or the target of the link, differ.
    pub rewritten: bool,
}

/// A key that has another value.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyChange {
    /// The bucket.
    pub bucket: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
    /// What it had.
    pub old: Option<CellValue>,
    /// What it has.
    pub new: Option<CellValue>,
}

/// A key of a space: family and bytes.
type Key = (u8, Vec<u8>);

/// Compares two versions. `progress` gets how many names were looked at for the paths of files.
pub fn diff(store: &Store, old: Head, new: Head, progress: &mut dyn FnMut(u64)) -> Result<Difference, LookError> {
    let changed = store.changed(old, new)?;
    between(store, Cells::at(store, old)?, Cells::at(store, new)?, &changed, progress)
}

/// The same for two states of which it is known which cells may differ: sorted, each once.
pub fn between(
    store: &Store,
    old: Cells,
    new: Cells,
    changed: &[(u8, Vec<u8>)],
    progress: &mut dyn FnMut(u64),
) -> Result<Difference, LookError> {
    let compare = Compare { store, old: &old, new: &new, changed };
    let (paths, touched) = compare.paths(progress)?;
    let keys = compare.keys()?;
    let messages = messages(store, &old.view, &new.view, compare.of(family::QUEUE))?;
    Ok(Difference { old, new, paths, keys, messages, touched })
}

struct Compare<'a> {
    store: &'a Store,
    old: &'a Cells,
    new: &'a Cells,
    changed: &'a [Key],
}

/// Names by their paths, and the nodes that they lead to.
type ByPath = BTreeMap<String, u64>;

impl Compare<'_> {
    fn of(&self, family: u8) -> impl Iterator<Item = &[u8]> {
        let start = self.changed.partition_point(|(other, _)| *other < family);
        self.changed[start..].iter().take_while(move |(other, _)| *other == family).map(|(_, key)| key.as_slice())
    }

    fn keys(&self) -> Result<Vec<KeyChange>, LookError> {
        let mut keys = Vec::new();
        for cell in self.of(family::KEY_VALUE) {
            let Some((bucket, key)) = split_key(cell) else { continue };
            let (old, new) = (self.old.view.get(family::KEY_VALUE, cell)?, self.new.view.get(family::KEY_VALUE, cell)?);
            if old != new {
                keys.push(KeyChange { bucket: bucket.to_vec(), key: key.to_vec(), old, new });
            }
        }
        Ok(keys)
    }

    fn paths(&self, progress: &mut dyn FnMut(u64)) -> Result<(Vec<PathChange>, u64), LookError> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for cell in self.of(family::ENTRY) {
            let (parent, name) = split(cell)?;
            let (old, new) = (self.old.entry(parent, &name)?, self.new.entry(parent, &name)?);
            if old != new {
                before.extend(old.map(|entry| (parent, name.clone(), entry)));
                after.extend(new.map(|entry| (parent, name, entry)));
            }
        }
        let named: BTreeSet<u64> = after.iter().map(|(_, _, entry)| entry.node).collect();
        let (mut wanted, mut linked) = (BTreeSet::new(), BTreeSet::new());
        for cell in self.of(family::NODE) {
            let Some(id) = cell.try_into().ok().map(u64::from_be_bytes).filter(|id| *id != 0) else { continue };
            let (Some(old), Some(new)) = (self.old.node(id)?, self.new.node(id)?) else { continue };
            let several = new.links > 1;
            if new.kind != NodeKind::Directory && old != new && (several || !named.contains(&id)) {
                wanted.insert(id);
                linked.extend(several.then_some(id));
            }
        }
        for (node, found) in names(self.store, self.new, &wanted, &linked, progress)? {
            for (parent, name) in found {
                // A name that changed is there already.
                if let Some(entry) = self.old.entry(parent, &name)?.filter(|entry| entry.node == node) {
                    before.push((parent, name.clone(), entry.clone()));
                    after.push((parent, name, entry));
                }
            }
        }
        self.matched(by_path(self.old, before)?, by_path(self.new, after)?)
    }

    /// First directories that moved, because what is in them moved with them and is not told; then what has the same path, then what is the
    /// same under another, then the rest.
    fn matched(&self, mut before: ByPath, mut after: ByPath) -> Result<(Vec<PathChange>, u64), LookError> {
        let (mut changes, mut touched) = (Vec::new(), 0);
        let places: BTreeMap<u64, String> = before.iter().map(|(path, node)| (*node, path.clone())).collect();
        for (path, node) in after.clone() {
            let Some(from) = places.get(&node).filter(|from| **from != path) else { continue };
            if self.new.node(node)?.is_some_and(|node| node.kind == NodeKind::Directory) {
                before.remove(from);
                after.remove(&path);
                changes.push(self.change(path, Some(from.clone()), Some(node), Some(node))?);
            }
        }
        let both: Vec<String> = before.keys().filter(|path| after.contains_key(*path)).cloned().collect();
        for path in both {
            let (Some(old), Some(new)) = (before.remove(&path), after.remove(&path)) else { continue };
            let change = self.change(path, None, Some(old), Some(new))?;
            match (&change.old, &change.new) {
                (Some(old), Some(new)) if old.kind == new.kind && !change.rewritten => {
                    touched += u64::from(new.kind != NodeKind::Directory);
                }
                _ => changes.push(change),
            }
        }
        let mut moved: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        before.iter().rev().for_each(|(path, node)| moved.entry(*node).or_default().push(path.clone()));
        for (path, node) in after {
            let from = moved.get_mut(&node).and_then(Vec::pop);
            let old = from.as_ref().and_then(|from| before.remove(from));
            changes.push(self.change(path, from, old, Some(node))?);
        }
        for (path, node) in before {
            changes.push(self.change(path, None, Some(node), None)?);
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((changes, touched))
    }

    fn change(
        &self,
        path: String,
        from: Option<String>,
        old: Option<u64>,
        new: Option<u64>,
    ) -> Result<PathChange, LookError> {
        let gone = |id: u64| LookError::Failed(format!("/{path}: node {id} is missing from the space"));
        let old = old.map(|id| self.old.node(id)?.ok_or_else(|| gone(id))).transpose()?;
        let new = new.map(|id| self.new.node(id)?.ok_or_else(|| gone(id))).transpose()?;
        let rewritten = match (&old, &new) {
            (Some(old), Some(new)) => {
                old.kind != new.kind || !self.same(old, new).map_err(|error| error.about(&path))?
            }
            _ => true,
        };
        Ok(PathChange { path, from, old, new, rewritten })
    }

    /// Whether two nodes of a kind hold the same.
    fn same(&self, old: &Node, new: &Node) -> Result<bool, LookError> {
        match new.kind {
            NodeKind::File if old.size != new.size => Ok(false),
            NodeKind::File if old.content == new.content => {
                let content = new.content.to_be_bytes();
                let start =
                    self.changed.partition_point(|(f, key)| (*f, key.as_slice()) < (family::BLOCK, &content[..]));
                let blocks = self.changed[start..]
                    .iter()
                    .take_while(|(f, key)| *f == family::BLOCK && key.starts_with(&content));
                for (_, key) in blocks {
                    if !self
                        .same_block(self.old.view.get(family::BLOCK, key)?, self.new.view.get(family::BLOCK, key)?)?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            NodeKind::File => self.same_blocks(old.content, new.content, new.size),
            NodeKind::Symlink => Ok(old.target == new.target),
            _ => Ok(true),
        }
    }

    fn same_blocks(&self, old: u64, new: u64, size: u64) -> Result<bool, LookError> {
        let last = size.div_ceil(BLOCK_BYTES as u64);
        let mut from = 0;
        while from < last {
            let until = last.min(from + BATCH as u64);
            let fetch = |cells: &Cells, content| -> Result<BTreeMap<u64, CellValue>, LookError> {
                let (from, until) = (block_key(content, from), block_key(content, until));
                let blocks = cells.view.scan(family::BLOCK, &from, Some(&until), BATCH)?;
                let index = |key: Vec<u8>| Some(u64::from_be_bytes(*key.last_chunk::<8>()?));
                Ok(blocks.into_iter().filter_map(|(key, value)| Some((index(key)?, value))).collect())
            };
            let (old, mut new) = (fetch(self.old, old)?, fetch(self.new, new)?);
            for (index, value) in old {
                if !self.same_block(Some(value), new.remove(&index))? {
                    return Ok(false);
                }
            }
            for value in new.into_values() {
                if !self.same_block(None, Some(value))? {
                    return Ok(false);
                }
            }
            from = until;
        }
        Ok(true)
    }

    /// Zeros at the end of a block need not be there.
    fn same_block(&self, old: Option<CellValue>, new: Option<CellValue>) -> Result<bool, LookError> {
        if old == new {
            return Ok(true);
        }
        let bytes = |cells: &Cells, value: Option<CellValue>| -> Result<Vec<u8>, LookError> {
            let mut bytes = value.map_or(Ok(Vec::new()), |value| cells.bytes(&value))?;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            Ok(bytes)
        };
        Ok(bytes(self.old, old)? == bytes(self.new, new)?)
    }
}

fn by_path(cells: &Cells, names: Vec<(u64, String, Entry)>) -> Result<ByPath, LookError> {
    let mut paths = Paths::new(cells);
    names.iter().for_each(|(parent, name, entry)| paths.learn(*parent, name, entry));
    let mut found = BTreeMap::new();
    for (parent, name, entry) in names {
        if let Some(path) = paths.path(parent, &name)? {
            found.insert(path, entry.node);
        }
    }
    Ok(found)
}
