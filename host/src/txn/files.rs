//! File operations on places: what `wasi:filesystem` asks for, on the trees of a run.

use std::collections::BTreeMap;

use reel_abi::record::{HostChange, family};
use reel_abi::resident::HostPath;
use reel_abi::types::{FsCode, NewTime, NodeKind, Stat, WallReading};
use reel_store::Store;

use super::fault::FileResult;
use super::lower::Lower;
use super::node::node_key;
use super::snapshot::Snapshot;
use super::tree::Tree;
use crate::gate::Gate;
use crate::port::HostDir;

/// Stands for a time that nanoseconds since 1970 cannot express; setting it is refused.
pub const UNFIT: WallReading = WallReading(u64::MAX);

/// A node in one of the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which tree: 0 is the space, 1 and up are the grants in order.
    pub tree: usize,
    /// Which node in it.
    pub node: u64,
}

/// All file trees of a run.
pub struct Files {
    pub(super) store: Store,
    pub(super) trees: Vec<Tree>,
    /// Nodes of the space at the version that is read, once it was asked for.
    pub(super) census: Option<u64>,
    /// Nodes that this transaction has made, less those that it has removed.
    pub(super) made: i64,
    /// `made` at the savepoints.
    marks: Vec<i64>,
    /// What earlier transactions of the run have sent to each granted directory.
    pub(super) sent: Vec<BTreeMap<String, HostChange>>,
    /// What is in `sent` once the transaction has committed.
    pub(super) sending: Option<Vec<BTreeMap<String, HostChange>>>,
}

impl Files {
    /// The trees: that of the space first, then one for each granted directory.
    pub fn new(store: Store, trees: Vec<Tree>) -> Self {
        let sent = trees.iter().map(|_| BTreeMap::new()).collect();
        Self { store, trees, census: None, made: 0, marks: Vec::new(), sent, sending: None }
    }

    /// The roots, in the order of the trees.
    pub fn roots(&self) -> impl Iterator<Item = Place> + Clone + use<> {
        (0..self.trees.len()).map(|tree| Place { tree, node: super::tree::root() })
    }

    /// Whether changes of the place's tree are refused.
    pub fn is_read_only(&self, place: Place) -> bool {
        self.trees[place.tree].read_only
    }

    /// What a place is.
    pub fn kind(&mut self, gate: &mut Gate, place: Place) -> FileResult<NodeKind> {
        Ok(self.trees[place.tree].node(gate, place.node)?.kind)
    }

    /// Size, times and links of a place.
    pub fn stat(&mut self, gate: &mut Gate, place: Place) -> FileResult<Stat> {
        let tree = &mut self.trees[place.tree];
        let stat = tree.node(gate, place.node)?.stat();
        if let (Lower::Space(snapshot), NodeKind::Directory) = (&tree.lower, stat.kind) {
            snapshot.note(family::TIMES, &node_key(place.node));
        }
        Ok(stat)
    }

    /// Bytes of a file, and whether its end was reached.
    pub fn read(&mut self, gate: &mut Gate, place: Place, offset: u64, len: usize) -> FileResult<(Vec<u8>, bool)> {
        let tree = &mut self.trees[place.tree];
        if tree.node(gate, place.node)?.kind == NodeKind::Directory {
            return Err(FsCode::IsDirectory.into());
        }
        let bytes = tree.read(gate, &self.store, place.node, offset, len)?;
        let size = tree.node(gate, place.node)?.size;
        let ended = offset.saturating_add(bytes.len() as u64) >= size;
        Ok((bytes, ended))
    }

    /// Writes bytes into a file.
    pub fn write(&mut self, gate: &mut Gate, place: Place, offset: u64, bytes: &[u8]) -> FileResult<()> {
        gate.count_written(bytes.len() as u64)?;
        let now = gate.file_time()?;
        self.trees[place.tree].write(gate, &self.store, place.node, offset, bytes, now)
    }

    /// Writes bytes at a file's end, wherever it is now.
    pub fn append(&mut self, gate: &mut Gate, place: Place, bytes: &[u8]) -> FileResult<()> {
        let end = self.len(gate, place)?;
        self.write(gate, place, end, bytes)
    }

    /// Bytes of a file.
    pub fn len(&mut self, gate: &mut Gate, place: Place) -> FileResult<u64> {
        let tree = &mut self.trees[place.tree];
        tree.pin(gate, &self.store, place.node)?;
        Ok(tree.node(gate, place.node)?.size)
    }

    /// Cuts or lengthens a file.
    pub fn set_size(&mut self, gate: &mut Gate, place: Place, size: u64) -> FileResult<()> {
        let now = gate.file_time()?;
        self.trees[place.tree].set_size(gate, &self.store, place.node, size, now)
    }

    /// Sets the times of a place.
    pub fn set_times(
        &mut self,
        gate: &mut Gate,
        place: Place,
        accessed: &NewTime,
        modified: &NewTime,
    ) -> FileResult<()> {
        self.refuse_if_read_only(place)?;
        if [accessed, modified].contains(&&NewTime::At { time: UNFIT }) {
            return Err(FsCode::Overflow.into());
        }
        let now = gate.file_time()?;
        self.trees[place.tree].pin(gate, &self.store, place.node)?;
        let tree = &mut self.trees[place.tree];
        let node = match tree.node(gate, place.node)?.kind {
            NodeKind::Directory => tree.times_mut(gate, place.node)?,
            _ => tree.node_mut(gate, place.node)?,
        };
        if let Some(time) = pick(accessed, now) {
            node.accessed = time;
        }
        if let Some(time) = pick(modified, now) {
            node.modified = time;
        }
        node.changed = now;
        Ok(())
    }

    /// The names in a directory, with what they are.
    pub fn list(&mut self, gate: &mut Gate, place: Place) -> FileResult<Vec<(String, NodeKind)>> {
        let tree = &mut self.trees[place.tree];
        if tree.node(gate, place.node)?.kind != NodeKind::Directory {
            return Err(FsCode::NotDirectory.into());
        }
        let names = tree.list(gate, place.node)?;
        Ok(names.into_iter().map(|(name, entry)| (name, entry.kind)).collect())
    }

    /// Gives new nodes numbers from here on.
    pub fn number_from(&mut self, first: u64) {
        self.trees.iter_mut().for_each(|tree| tree.number_from(first));
    }

    /// The number that the next new node of the space gets.
    pub fn next_number(&self) -> u64 {
        self.trees.first().map_or(0, |tree| tree.next)
    }

    /// Sets a savepoint above all others.
    pub fn mark(&mut self) {
        self.marks.push(self.made);
        self.trees.iter_mut().for_each(Tree::mark);
    }

    /// Goes back to a savepoint by its place; it stays, later ones go.
    pub fn roll_back(&mut self, place: usize) {
        if let Some(made) = self.marks.get(place) {
            self.made = *made;
            self.marks.truncate(place + 1);
            self.trees.iter_mut().for_each(|tree| tree.roll_back(place));
        }
    }

    /// Drops savepoints from a place on.
    pub fn release(&mut self, place: usize) {
        self.marks.truncate(place);
        self.trees.iter_mut().for_each(|tree| tree.release(place));
    }

    /// Begins the next transaction on another snapshot of the space: what was changed is in it (`kept`), or is dropped.
    pub fn rebase(&mut self, snapshot: Snapshot, kept: bool) {
        (self.census, self.made) = (None, 0);
        self.marks.clear();
        if let (Some(sent), true) = (self.sending.take(), kept) {
            self.sent = sent;
        }
        for (index, tree) in self.trees.iter_mut().enumerate() {
            match (index, kept) {
                (0, _) => tree.begin_over(Lower::Space(snapshot.clone())),
                (_, true) => tree.begin_after(),
                (_, false) => tree.begin_again(),
            }
        }
    }

    /// Under which paths of granted directories the places lie, for a transaction that begins afresh. Those that the guest has made in this one
    /// have none.
    pub fn carried(&self, places: impl Iterator<Item = Place>) -> Vec<HostPath> {
        let mut paths = BTreeMap::new();
        for Place { tree, node } in places.filter(|place| place.tree > 0) {
            let Some(Lower::Host(host)) = self.trees.get(tree).map(|tree| &tree.lower) else { continue };
            if let Some(path) = host.origin(node) {
                paths.insert((tree as u32 - 1, node), path.to_owned());
            }
        }
        paths.into_iter().map(|((grant, node), path)| HostPath { grant, node, path }).collect()
    }

    /// Knows these nodes of granted directories from the beginning.
    pub fn carry(&mut self, paths: &[HostPath]) {
        for HostPath { grant, node, path } in paths {
            if let Some(Tree { lower: Lower::Host(host), .. }) = self.trees.get_mut(*grant as usize + 1) {
                host.carry(*node, path.clone());
            }
        }
    }

    /// The granted directories, for another attempt at the run.
    pub fn into_dirs(self) -> Vec<Option<Box<dyn HostDir>>> {
        let dir = |tree: Tree| match tree.lower {
            Lower::Host(host) => Some(host.into_dir()),
            Lower::Space(_) => None,
        };
        self.trees.into_iter().filter_map(dir).collect()
    }

    pub(super) fn refuse_if_read_only(&self, place: Place) -> FileResult<()> {
        if self.is_read_only(place) { Err(FsCode::NotPermitted.into()) } else { Ok(()) }
    }
}

fn pick(time: &NewTime, now: WallReading) -> Option<WallReading> {
    match time {
        NewTime::Keep => None,
        NewTime::Now => Some(now),
        NewTime::At { time } => Some(*time),
    }
}
