//! One file tree as the run sees it: an overlay of nodes, names and blocks on a lower layer.

use std::collections::BTreeMap;

use reel_abi::limits::LimitKind;
use reel_abi::types::{FsCode, NodeKind, WallReading};
use reel_store::{BLOCK_BYTES, Store};

use super::blocks::{Block, Blocks};
use super::fault::FileResult;
use super::lower::Lower;
use super::node::{Entry, NODES_PER_RUN, Node, ROOT};
use crate::gate::{Gate, Halt};

/// Clean nodes and names kept in memory before they are forgotten (of a space; what was seen of a host directory is kept).
const CLEAN_NODES: usize = 65_536;

/// Longest path below a granted directory, in bytes; a little less than Linux takes.
const HOST_PATH_BYTES: usize = 4000;

/// A node in the overlay.
pub(super) struct Held {
    pub node: Node,
    pub dirty: bool,
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
    next: u64,
    end: u64,
    /// Bytes of the paths of directories that the run has made or moved.
    path_lens: BTreeMap<u64, usize>,
    /// Nodes and names learnt from below since clean ones were last forgotten.
    learnt: usize,
}

impl Tree {
    /// The tree over `lower`; `first` is the first of the [`NODES_PER_RUN`] node numbers it may give to new nodes.
    pub fn new(lower: Lower, read_only: bool, first: u64) -> Self {
        let (nodes, names, blocks) = Default::default();
        Self {
            lower,
            nodes,
            names,
            blocks,
            read_only,
            next: first,
            end: first.saturating_add(NODES_PER_RUN),
            path_lens: BTreeMap::new(),
            learnt: 0,
        }
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
        self.load(gate, id)?;
        match self.nodes.get_mut(&id) {
            Some(held) => {
                held.dirty = true;
                Ok(&mut held.node)
            }
            None => Err(FsCode::NoEntry.into()),
        }
    }

    /// Adds a new node under a new number.
    pub fn add(&mut self, node: Node) -> Result<u64, Halt> {
        let id = self.number()?;
        let content = id;
        self.nodes.insert(id, Held { node: Node { content, ..node }, dirty: true });
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
                self.nodes.insert(entry.node, Held { node, dirty: false });
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
            self.blocks.drop_from(content, 0);
            return Ok(());
        }
        if size >= old {
            return Ok(());
        }
        let kept = size.div_ceil(BLOCK_BYTES as u64);
        self.blocks.drop_from(content, kept);
        for index in self.lower.blocks_from(content, kept)? {
            self.blocks.erase((content, index));
        }
        let within = (size % BLOCK_BYTES as u64) as usize;
        if within > 0 {
            let index = size / BLOCK_BYTES as u64;
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
        self.nodes.insert(id, Held { node, dirty: false });
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
        self.nodes.retain(|_, held| held.dirty);
        self.names.retain(|_, names| {
            names.complete = false;
            names.known.retain(|name, _| names.dirty.contains_key(name));
            !names.known.is_empty()
        });
    }
}

/// The number of the root, for callers outside.
pub const fn root() -> u64 {
    ROOT
}
