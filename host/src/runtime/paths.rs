//! From nodes back to paths. Names lead to nodes and not the other way round, so a path is found where something else tells it: in the entries
//! that changed, in the commit that made the file, and where all else fails by looking through all names there are.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::outcome::Disposition;
use reel_abi::record::{CellValue, family};
use reel_abi::types::NodeKind;
use reel_abi::wire::Wire;
use reel_store::Store;

use super::cells::Cells;
use super::files_at::LookError;
use crate::txn::node::{Entry, NODES_PER_RUN, ROOT, entry_key};

/// Names fetched at a time.
const BATCH: usize = 4096;

/// Directories above each other that are climbed; stops a damaged tree that goes in a circle.
const DEPTH: usize = 1 << 20;

/// A name in a directory.
pub type Name = (u64, String);

/// The paths of a space at a version.
pub struct Paths<'a> {
    cells: &'a Cells,
    /// Directory -> its name, as far as it is known.
    names: BTreeMap<u64, Name>,
    /// Directories of which all names are in `names`.
    looked: BTreeSet<u64>,
    known: BTreeMap<u64, Option<String>>,
}

impl<'a> Paths<'a> {
    /// Those of `cells`.
    pub fn new(cells: &'a Cells) -> Self {
        Self { cells, names: BTreeMap::new(), looked: BTreeSet::new(), known: BTreeMap::new() }
    }

    /// Tells what a name means, which saves looking for it.
    pub fn learn(&mut self, parent: u64, name: &str, entry: &Entry) {
        if entry.kind == NodeKind::Directory {
            self.names.insert(entry.node, (parent, name.to_owned()));
        }
    }

    /// The path of a name, without `/` at its ends; nothing if it does not hang below the root.
    pub fn path(&mut self, parent: u64, name: &str) -> Result<Option<String>, LookError> {
        Ok(self
            .directory(parent)?
            .map(|above| if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }))
    }

    fn directory(&mut self, id: u64) -> Result<Option<String>, LookError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let (mut at, mut names) = (id, Vec::new());
        while at != ROOT && names.len() < DEPTH {
            let Some((parent, name)) = self.name(at)? else { break };
            names.push(name);
            at = parent;
        }
        names.reverse();
        let path = (at == ROOT).then(|| names.join("/"));
        self.known.insert(id, path.clone());
        Ok(path)
    }

    /// The name of a directory.
    fn name(&mut self, id: u64) -> Result<Option<Name>, LookError> {
        let parent = match self.cells.node(id)? {
            Some(node) if node.kind == NodeKind::Directory => node.parent,
            _ => return Ok(None),
        };
        if let Some((above, name)) = self.names.get(&id)
            && *above == parent
            && self.cells.entry(parent, name)?.is_some_and(|entry| entry.node == id)
        {
            return Ok(Some((parent, name.clone())));
        }
        if self.looked.insert(parent) {
            let (from, until) = (entry_key(parent, ""), (parent + 1).to_be_bytes());
            scan(self.cells, from, Some(&until), &mut |parent, name, entry| {
                self.names.insert(entry.node, (parent, name));
                Ok(())
            })?;
        }
        Ok(self.names.get(&id).filter(|(above, _)| *above == parent).cloned())
    }
}

/// Goes over the names of a space.
fn scan(
    cells: &Cells,
    mut from: Vec<u8>,
    until: Option<&[u8]>,
    each: &mut dyn FnMut(u64, String, Entry) -> Result<(), LookError>,
) -> Result<(), LookError> {
    loop {
        let batch = cells.view.scan(family::ENTRY, &from, until, BATCH)?;
        let Some((last, _)) = batch.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in batch {
            let (parent, name) = split(&key)?;
            each(parent, name, cells.small(&value)?)?;
        }
    }
}

/// The directory and the name in the key of an entry.
pub fn split(key: &[u8]) -> Result<Name, LookError> {
    let wrong = || LookError::Failed("a name of the space is not as it should be".into());
    let (parent, name) = key.split_first_chunk::<8>().ok_or_else(wrong)?;
    Ok((u64::from_be_bytes(*parent), String::from_utf8(name.to_vec()).map_err(|_| wrong())?))
}

/// All names that lead to some files and links. `linked` are those of them that have more than one name. `progress` gets the names that
/// were looked at.
pub fn names(
    store: &Store,
    cells: &Cells,
    wanted: &BTreeSet<u64>,
    linked: &BTreeSet<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<BTreeMap<u64, Vec<Name>>, LookError> {
    let mut found: BTreeMap<u64, Vec<Name>> = BTreeMap::new();
    let runs: BTreeSet<u64> = wanted.difference(linked).map(|id| id / NODES_PER_RUN).collect();
    for run in runs {
        for (id, name) in made_by(store, run) {
            let holds = wanted.contains(&id) && !linked.contains(&id) && !found.contains_key(&id);
            if holds && cells.entry(name.0, &name.1)?.is_some_and(|entry| entry.node == id) {
                found.insert(id, vec![name]);
            }
        }
    }
    let mut missing: BTreeSet<u64> = wanted.iter().filter(|id| !found.contains_key(id)).copied().collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let mut looked = 0;
    let mut until_all = |parent: u64, name: String, entry: Entry| {
        looked += 1;
        progress(looked);
        if missing.contains(&entry.node) {
            found.entry(entry.node).or_default().push((parent, name));
            if !linked.contains(&entry.node) {
                missing.remove(&entry.node);
            }
        }
        Ok(())
    };
    scan(cells, Vec::new(), None, &mut until_all)?;
    Ok(found)
}

/// The names that a run gave in its last commit. It only helps: what cannot be read, or was made otherwise, is looked for.
fn made_by(store: &Store, run: u64) -> Vec<(u64, Name)> {
    let Ok(Some(record)) = store.run(reel_abi::id::RunId(run)) else { return Vec::new() };
    let Some(Disposition::Committed { commit, .. } | Disposition::Partly { commit, .. }) =
        record.end.map(|end| end.disposition)
    else {
        return Vec::new();
    };
    let Ok(Some(commit)) = store.commit(commit) else { return Vec::new() };
    let cells = commit.spaces.into_iter().flat_map(|space| space.cells).filter(|cell| cell.family == family::ENTRY);
    cells
        .filter_map(|cell| {
            let CellValue::Inline { bytes } = &cell.value else { return None };
            Some((Entry::from_bytes(bytes).ok()?.node, split(&cell.key).ok()?))
        })
        .collect()
}
