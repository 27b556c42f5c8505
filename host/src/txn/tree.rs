//! One file tree as the run sees it: an overlay of nodes, names and blocks on a lower layer.

use std::collections::BTreeMap;

use reel_abi::limits::LimitKind;
use reel_abi::types::{FsCode, NodeKind, WallReading};
use reel_store::{BLOCK_BYTES, Store};

use super::blocks::{Block, BlockId, Blocks};
use super::fault::FileResult;
use super::journal::{Before, Journal, Thing};
use super::lower::Lower;
use super::node::{Entry, NODES_PER_RUN, Node, ROOT};
use crate::gate::{Gate, Halt};

/// Clean nodes and names kept in memory before they are forgotten (of a space; what was seen of a host directory is kept).
const CLEAN_NODES: usize = 65_536;

/// Longest path below a granted directory, in bytes; a little less than Linux takes.
const HOST_PATH_BYTES: usize = 4000;

/// A node in the overlay.
#[derive(Clone)]
pub(super) struct Held {
    pub node: Node,
    pub dirty: bool,
    /// A directory of which only the times have changed.
    pub touched: bool,
}

impl Held {
    fn clean(node: Node) -> Self {
        Self { node, dirty: false, touched: false }
    }
}

/// What is known of a directory's names. `None` means that there is none, either below or any more.
#[derive(Default)]
pub(super) struct Names {
    pub known: BTreeMap<String, Option<Entry>>,
    /// Names whose meaning differs from the one below.
    pub dirty: BTreeMap<String, ()>,
    /// Whether `known` has all names of the lower layer.
    pub complete: bool,
}

/// A tree.
pub struct Tree {
    pub(super) lower: Lower,
    pub(super) nodes: BTreeMap<u64, Held>,
    pub(super) names: BTreeMap<u64, Names>,
    pub(super) blocks: Blocks,
    /// Whether changes are refused.
    pub read_only: bool,
    /// The first number of the nodes that this transaction has made.
    pub(super) own: u64,
    pub(super) next: u64,
    end: u64,
    journal: Journal,
    /// Bytes of the paths of directories that the run has made or moved.
    path_lens: BTreeMap<u64, usize>,
    /// Nodes and names learnt from below since clean ones were last forgotten.
    learnt: usize,
}

impl Tree {
    /// The tree over `lower`; `first` is the first of the [`NODES_PER_RUN`] node numbers it may give to new nodes.
    pub fn new(lower: Lower, read_only: bool, first: u64) -> Self {
        let (nodes, names, blocks) = Default::default();
        let journal = if matches!(lower, Lower::Host(_)) { Journal::begun() } else { Journal::default() };
        Self {
            lower,
            nodes,
            names,
            blocks,
            read_only,
            own: first,
            next: first,
            end: first.saturating_add(NODES_PER_RUN),
            journal,
            path_lens: BTreeMap::new(),
            learnt: 0,
        }
    }

    /// Gives new nodes numbers from here on.
    pub(super) fn number_from(&mut self, first: u64) {
        (self.next, self.end) = (first, first.saturating_add(NODES_PER_RUN));
    }

    /// A number for a new node or content.
    pub fn number(&mut self) -> Result<u64, Halt> {
        if self.next >= self.end {
            return Err(Halt::Limit { kind: LimitKind::SpaceFiles, limit: NODES_PER_RUN });
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// The node, which must exist: handles and names point at nothing else.
    pub fn node(&mut self, gate: &mut Gate, id: u64) -> FileResult<&Node> {
        self.load(gate, id)?;
        Ok(&self.nodes[&id].node)
    }

    /// The node, to be changed.
    pub fn node_mut(&mut self, gate: &mut Gate, id: u64) -> FileResult<&mut Node> {
        Ok(&mut self.held_mut(gate, id, |held| held.dirty = true)?.node)
    }

    /// Gives a directory new times of change, because of a name in it. That reads nothing which another transaction could change.
    pub fn touch(&mut self, gate: &mut Gate, dir: u64, now: WallReading) -> FileResult<()> {
        let held = self.held_mut(gate, dir, |held| held.touched = true)?;
        (held.node.modified, held.node.changed) = (now, now);
        Ok(())
    }

    /// The directory's times, to be changed.
    pub fn times_mut(&mut self, gate: &mut Gate, dir: u64) -> FileResult<&mut Node> {
        Ok(&mut self.held_mut(gate, dir, |held| held.touched = true)?.node)
    }

    fn held_mut(&mut self, gate: &mut Gate, id: u64, change: impl FnOnce(&mut Held)) -> FileResult<&mut Held> {
        self.load(gate, id)?;
        let Some(held) = self.nodes.get_mut(&id) else { return Err(FsCode::NoEntry.into()) };
        if self.journal.wants(Thing::Node(id)) {
            self.journal.note(Before::Node(id, Some(held.clone())));
        }
        change(held);
        Ok(held)
    }

    /// Adds a new node under a new number.
    pub fn add(&mut self, node: Node) -> Result<u64, Halt> {
        let id = self.number()?;
        let content = id;
        if self.journal.wants(Thing::Node(id)) {
            self.journal.note(Before::Node(id, None));
        }
        self.nodes.insert(id, Held { dirty: true, ..Held::clean(Node { content, ..node }) });
        Ok(id)
    }

    /// What a name means in a directory.
    pub fn lookup(&mut self, gate: &mut Gate, dir: u64, name: &str) -> FileResult<Option<Entry>> {
        if let Some(names) = self.names.get(&dir) {
            match names.known.get(name) {
                Some(entry) => return Ok(entry.clone()),
                None if names.complete => return Ok(None),
                None => {}
            }
        }
        let found = self.lower.entry(gate, dir, name)?;
        self.forget_clean();
        let entry = found.map(|(entry, node)| {
            if let Some(mut node) = node {
                node.content = entry.node;
                self.nodes.insert(entry.node, Held::clean(node));
            }
            entry
        });
        self.names.entry(dir).or_default().known.insert(name.to_owned(), entry.clone());
        Ok(entry)
    }

    /// Refuses a name under which a host could not reach the node: its path would be too long there.
    pub fn check_path(&mut self, dir: u64, name: &str, entry: &Entry) -> FileResult<()> {
        let Lower::Host(host) = &self.lower else { return Ok(()) };
        let above = self.path_lens.get(&dir).copied().or_else(|| host.origin(dir).map(str::len)).unwrap_or(0);
        let len = above + 1 + name.len();
        if len > HOST_PATH_BYTES {
            return Err(FsCode::NameTooLong.into());
        }
        if entry.kind == NodeKind::Directory {
            self.path_lens.insert(entry.node, len);
        }
        Ok(())
    }

    /// Gives a name a meaning, or takes it away.
    pub fn set_name(&mut self, dir: u64, name: &str, entry: Option<Entry>) {
        let names = self.names.entry(dir).or_default();
        if self.journal.wants(Thing::Name(dir, name.to_owned())) {
            let (known, dirty) = (names.known.get(name).cloned(), names.dirty.contains_key(name));
            self.journal.note(Before::Name(dir, name.to_owned(), known, dirty));
        }
        names.known.insert(name.to_owned(), entry);
        names.dirty.insert(name.to_owned(), ());
    }

    /// All names of a directory, sorted by bytes.
    pub fn list(&mut self, gate: &mut Gate, dir: u64) -> FileResult<Vec<(String, Entry)>> {
        if !self.names.get(&dir).is_some_and(|names| names.complete) {
            let names = self.names.entry(dir).or_default();
            let below = self.lower.list(gate, dir, &names.known)?;
            for (name, entry) in below {
                names.known.entry(name).or_insert(Some(entry));
            }
            names.complete = true;
        }
        let names = &self.names[&dir].known;
        Ok(names.iter().filter_map(|(name, entry)| Some((name.clone(), entry.clone()?))).collect())
    }

    /// Whether a directory has no names.
    pub fn is_empty(&mut self, gate: &mut Gate, dir: u64) -> FileResult<bool> {
        Ok(self.list(gate, dir)?.is_empty())
    }

    /// Whether `dir` is `above` or lies somewhere in it.
    pub fn is_within(&mut self, gate: &mut Gate, dir: u64, above: u64) -> FileResult<bool> {
        let mut at = dir;
        loop {
            if at == above {
                return Ok(true);
            }
            match self.node(gate, at)?.parent {
                0 => return Ok(false),
                parent => at = parent,
            }
        }
    }

    /// Up to `len` bytes of a file from `offset`, fewer at its end.
    pub fn read(&mut self, gate: &mut Gate, store: &Store, id: u64, offset: u64, len: usize) -> FileResult<Vec<u8>> {
        self.pin(gate, store, id)?;
        let Node { size, content, .. } = *self.node(gate, id)?;
        let end = size.min(offset.saturating_add(len as u64));
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let (index, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
            let want = (BLOCK_BYTES - within).min((end - at) as usize);
            let have = bytes.len();
            self.with_block(gate, store, (content, index), |block| {
                let from = within.min(block.len());
                bytes.extend_from_slice(&block[from..(within + want).min(block.len()).max(from)]);
            })?;
            bytes.resize(have + want, 0);
            at += want as u64;
        }
        Ok(bytes)
    }

    /// Writes bytes into a file, which grows as needed; what lies between its end and `offset` reads as zeros.
    pub fn write(
        &mut self,
        gate: &mut Gate,
        store: &Store,
        id: u64,
        offset: u64,
        bytes: &[u8],
        now: WallReading,
    ) -> FileResult<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(FsCode::FileTooLarge)?;
        self.check_size(gate, end)?;
        self.pin(gate, store, id)?;
        let node = self.node_mut(gate, id)?;
        let (content, size) = (node.content, node.size);
        node.size = size.max(end);
        (node.modified, node.changed) = (now, now);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (index, within) = (at / BLOCK_BYTES as u64, (at % BLOCK_BYTES as u64) as usize);
            let count = (BLOCK_BYTES - within).min(rest.len());
            let beyond = index * BLOCK_BYTES as u64 >= size;
            self.note_block(store, (content, index))?;
            let block = self.blocks.change((content, index), store.blobs(), || {
                let whole = within == 0 && count == BLOCK_BYTES;
                if beyond || whole { Ok(None) } else { self.lower.block(gate, store, content, index) }
            })?;
            if block.len() < within {
                block.resize(within, 0);
            }
            let overlap = (block.len() - within).min(count);
            block[within..within + overlap].copy_from_slice(&rest[..overlap]);
            if overlap < count {
                block.reserve_exact(if within + count > BLOCK_BYTES / 4 {
                    BLOCK_BYTES - block.len()
                } else {
                    count - overlap
                });
                block.extend_from_slice(&rest[overlap..count]);
            }
            (at, rest) = (at + count as u64, &rest[count..]);
        }
        Ok(())
    }

    /// Cuts or lengthens a file.
    pub fn set_size(&mut self, gate: &mut Gate, store: &Store, id: u64, size: u64, now: WallReading) -> FileResult<()> {
        self.check_size(gate, size)?;
        let fresh = if size == 0 { Some(self.number()?) } else { None };
        if fresh.is_none() {
            self.pin(gate, store, id)?;
        }
        let node = self.node_mut(gate, id)?;
        let (content, old) = (node.content, node.size);
        node.size = size;
        (node.modified, node.changed) = (now, now);
        if let Some(fresh) = fresh {
            node.content = fresh;
            return self.drop_blocks(store, content, 0);
        }
        if size >= old {
            return Ok(());
        }
        let kept = size.div_ceil(BLOCK_BYTES as u64);
        self.drop_blocks(store, content, kept)?;
        for index in self.lower.blocks_from(content, kept)? {
            self.note_block(store, (content, index))?;
            self.blocks.erase((content, index));
        }
        let within = (size % BLOCK_BYTES as u64) as usize;
        if within > 0 {
            let index = size / BLOCK_BYTES as u64;
            self.note_block(store, (content, index))?;
            let below = || self.lower.block(gate, store, content, index);
            self.blocks.change((content, index), store.blobs(), below)?.truncate(within);
        }
        Ok(())
    }

    /// Makes sure that a file's bytes and length are those of one moment, whatever happens on the host from now on.
    pub fn pin(&mut self, gate: &mut Gate, store: &Store, id: u64) -> FileResult<()> {
        let Node { kind, content, .. } = *self.node(gate, id)?;
        let from_host = matches!(&self.lower, Lower::Host(host) if host.origin(content).is_some());
        if kind != NodeKind::File || !from_host {
            return Ok(());
        }
        if self.lower.captured_len(content).is_some() {
            return Ok(());
        }
        self.lower.pin(gate, store, content)?;
        if let (Some(len), Some(held)) = (self.lower.captured_len(content), self.nodes.get_mut(&id)) {
            held.node.size = len;
        }
        Ok(())
    }

    /// Shows the bytes of a block, empty for a hole.
    fn with_block(
        &mut self,
        gate: &mut Gate,
        store: &Store,
        id: (u64, u64),
        mut show: impl FnMut(&[u8]),
    ) -> FileResult<()> {
        match self.blocks.get(id) {
            Some(Block::Clean(bytes) | Block::Dirty(bytes)) => show(bytes),
            Some(Block::Absent) => show(&[]),
            Some(Block::Spilled(digest, _)) => show(&super::lower::blob(store.blobs(), digest)?),
            None => {
                let bytes = self.lower.block(gate, store, id.0, id.1)?.unwrap_or_default();
                show(&bytes);
                self.blocks.remember(id, bytes);
            }
        }
        Ok(())
    }

    fn check_size(&self, gate: &Gate, size: u64) -> FileResult<()> {
        if size > gate.limits().file_bytes { Err(FsCode::FileTooLarge.into()) } else { Ok(()) }
    }

    fn load(&mut self, gate: &mut Gate, id: u64) -> FileResult<()> {
        if self.nodes.contains_key(&id) {
            return Ok(());
        }
        let Some(mut node) = self.lower.node(gate, id)? else { return Err(FsCode::NoEntry.into()) };
        self.forget_clean();
        if matches!(self.lower, Lower::Host(_)) {
            node.content = id;
        }
        self.nodes.insert(id, Held::clean(node));
        Ok(())
    }

    /// Keeps memory bounded however many files of a space a run looks at.
    fn forget_clean(&mut self) {
        if matches!(self.lower, Lower::Host(_)) {
            return;
        }
        // Counted, not measured: what is dirty stays, and looking through it at every step would cost its square.
        self.learnt += 1;
        if self.learnt <= CLEAN_NODES {
            return;
        }
        self.learnt = 0;
        self.nodes.retain(|_, held| held.dirty || held.touched);
        self.names.retain(|_, names| {
            names.complete = false;
            names.known.retain(|name, _| names.dirty.contains_key(name));
            !names.known.is_empty()
        });
    }
}

impl Tree {
    /// Sets a savepoint above all others.
    pub(super) fn mark(&mut self) {
        self.journal.mark();
    }

    /// Drops savepoints from a place on.
    pub(super) fn release(&mut self, place: usize) {
        self.journal.release(place + self.base_marks());
    }

    /// Goes back to a savepoint by its place; it stays, later ones go.
    pub(super) fn roll_back(&mut self, place: usize) {
        self.undo_from(place + self.base_marks());
    }

    /// A granted directory has a savepoint at the begin of each transaction, because its overlay outlives them.
    fn base_marks(&self) -> usize {
        usize::from(matches!(self.lower, Lower::Host(_)))
    }

    fn undo_from(&mut self, place: usize) {
        for before in self.journal.take_back(place) {
            match before {
                Before::Node(id, Some(held)) => drop(self.nodes.insert(id, held)),
                Before::Node(id, None) => drop(self.nodes.remove(&id)),
                Before::Block(id, block) => self.blocks.put_back(id, block),
                Before::Name(dir, name, known, dirty) => {
                    let names = self.names.entry(dir).or_default();
                    if !dirty {
                        names.dirty.remove(&name);
                    }
                    match known {
                        Some(known) => drop(names.known.insert(name, known)),
                        None => {
                            names.known.remove(&name);
                            names.complete = false;
                        }
                    }
                }
            }
        }
    }

    /// Begins the next transaction over another layer, which has what was committed.
    pub(super) fn begin_over(&mut self, lower: Lower) {
        self.lower = lower;
        (self.nodes, self.names, self.blocks) = Default::default();
        self.journal = Journal::default();
        self.own = self.next;
    }

    /// Begins the next transaction over the same host directory, with what was changed.
    pub(super) fn begin_after(&mut self) {
        self.journal = Journal::begun();
    }

    /// Begins the next transaction over the same host directory, without what was changed.
    pub(super) fn begin_again(&mut self) {
        self.undo_from(0);
        self.journal = Journal::begun();
    }

    /// Writes down a block before it is changed. Large changes of the run are moved out of memory for it.
    fn note_block(&mut self, store: &Store, id: BlockId) -> Result<(), Halt> {
        if !self.journal.wants(Thing::Block(id)) {
            return Ok(());
        }
        let before = match self.blocks.get(id) {
            None | Some(Block::Clean(_)) => None,
            Some(Block::Absent) => Some(Block::Absent),
            Some(Block::Spilled(digest, len)) => Some(Block::Spilled(*digest, *len)),
            Some(Block::Dirty(bytes)) => {
                let put = store.blobs().put(bytes.clone()).map_err(|e| Halt::host("keeping written bytes", &e))?;
                Some(Block::Spilled(put, bytes.len() as u32))
            }
        };
        self.journal.note(Before::Block(id, before));
        Ok(())
    }

    fn drop_blocks(&mut self, store: &Store, content: u64, from: u64) -> FileResult<()> {
        let changed: Vec<u64> = self.blocks.of_content(content).map(|(index, _)| index).collect();
        for index in changed.into_iter().filter(|index| *index >= from) {
            self.note_block(store, (content, index))?;
        }
        self.blocks.drop_from(content, from);
        Ok(())
    }
}

/// The number of the root, for callers outside.
pub const fn root() -> u64 {
    ROOT
}
