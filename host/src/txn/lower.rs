//! What lies under the overlay of a tree: a space at a version, or a host directory.
//!
//! A host directory is looked at through the gate: each look is an event, and what was seen once in a run is seen again in the same run and in
//! every replay. Nothing here changes anything.

use std::collections::BTreeMap;

use reel_abi::content::Content;
use reel_abi::id::Digest;
use reel_abi::record::{CellValue, Chunk, family};
use reel_abi::types::{Captured, FsCode, HostNode, NodeKind, WallReading};
use reel_abi::vocabulary::{HostCapture, HostList, HostStat};
use reel_abi::wire::Wire;
use reel_store::{BLOCK_BYTES, Blobs, Store};

use super::fault::{Fault, FileResult};
use super::node::{Entry, Node, ROOT, Times, block_key, entry_key, node_key};
use super::snapshot::Snapshot;
use crate::gate::{Gate, Halt};
use crate::port::HostDir;

/// How many names are fetched from the store at a time.
const LIST_BATCH: usize = 4096;

/// A captured file up to this size stands in its event.
const CAPTURE_INLINE_BYTES: usize = 4096;

/// A layer.
pub enum Lower {
    /// The space at the version that the run reads.
    Space(Snapshot),
    /// A granted directory.
    Host(HostLower),
}

/// A granted directory as it was looked at so far.
pub struct HostLower {
    grant: u32,
    /// Absent in a replay, where the log has all the answers.
    dir: Option<Box<dyn HostDir>>,
    /// Node number -> path below the grant.
    paths: BTreeMap<u64, String>,
    captured: BTreeMap<u64, Source>,
    next: u64,
}

enum Source {
    Inline(Vec<u8>),
    Blocks { blocks: Vec<Digest>, len: u64 },
}

impl HostLower {
    /// The directory of grant number `grant`. Its node numbers count from 2.
    pub fn new(grant: u32, dir: Option<Box<dyn HostDir>>) -> Self {
        let paths = BTreeMap::from([(ROOT, String::new())]);
        Self { grant, dir, paths, captured: BTreeMap::new(), next: ROOT + 1 }
    }

    /// The path below the grant from which a node came; nothing for nodes the run made.
    pub fn origin(&self, node: u64) -> Option<&str> {
        self.paths.get(&node).map(String::as_str)
    }

    /// The host directory, in live runs.
    pub fn dir(&self) -> Option<&dyn HostDir> {
        self.dir.as_deref()
    }

    /// The host directory, for another attempt.
    pub fn into_dir(self) -> Option<Box<dyn HostDir>> {
        self.dir
    }

    fn adopt(&mut self, path: String) -> u64 {
        let node = self.next;
        self.next += 1;
        self.paths.insert(node, path);
        node
    }

    /// Knows a node by a number from an earlier transaction.
    pub fn carry(&mut self, node: u64, path: String) {
        self.next = self.next.max(node + 1);
        self.paths.insert(node, path);
    }

    fn child(&self, parent: u64, name: &str) -> Option<String> {
        let parent = self.paths.get(&parent)?;
        Some(if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") })
    }

    fn stat(&self, gate: &mut Gate, path: &str) -> Result<Result<HostNode, FsCode>, Halt> {
        let call = HostStat { grant: self.grant, path: path.to_owned() };
        gate.pass(call, |_, _| Ok(self.live()?.stat(path)))
    }

    fn live(&self) -> Result<&dyn HostDir, Halt> {
        self.dir.as_deref().ok_or_else(|| Halt::Host("a replay wanted to look at a host directory".into()))
    }

    fn source(&mut self, gate: &mut Gate, blobs: &Blobs, node: u64) -> FileResult<&Source> {
        if !self.captured.contains_key(&node) {
            let Some(path) = self.paths.get(&node).cloned() else { return Err(FsCode::NoEntry.into()) };
            let call = HostCapture { grant: self.grant, path: path.clone() };
            let captured = gate.pass(call, |gate, _| match self.live()?.open(&path) {
                Ok(mut file) => capture(gate, &mut *file, blobs),
                Err(code) => Ok(Err(code)),
            })??;
            let source = match captured {
                Captured::Inline { bytes } => Source::Inline(bytes.0),
                Captured::Content { digest, .. } => {
                    let listing = blob(blobs, &digest)?;
                    let content =
                        Content::from_bytes(&listing).map_err(|e| Halt::host("list of a captured file", &e))?;
                    Source::Blocks { blocks: content.blocks, len: content.len }
                }
            };
            self.captured.insert(node, source);
        }
        Ok(&self.captured[&node])
    }
}

impl Lower {
    /// The meaning of a name in a directory that this layer has.
    pub fn entry(&mut self, gate: &mut Gate, parent: u64, name: &str) -> FileResult<Option<(Entry, Option<Node>)>> {
        match self {
            Self::Space(snapshot) => match read(snapshot, family::ENTRY, &entry_key(parent, name))? {
                None => Ok(None),
                Some(bytes) => Ok(Some((decode::<Entry>(&bytes)?, None))),
            },
            Self::Host(host) => {
                let Some(path) = host.child(parent, name) else { return Ok(None) };
                match host.stat(gate, &path)? {
                    Err(FsCode::NoEntry) => Ok(None),
                    Err(code) => Err(code.into()),
                    Ok(seen) => {
                        let entry = Entry { node: host.adopt(path), kind: seen.kind };
                        Ok(Some((entry, Some(host_node(parent, seen)))))
                    }
                }
            }
        }
    }

    /// A node of this layer.
    pub fn node(&mut self, gate: &mut Gate, id: u64) -> FileResult<Option<Node>> {
        match self {
            Self::Space(snapshot) => {
                let mut node = match read(snapshot, family::NODE, &node_key(id))? {
                    None if id == ROOT => Node::new(NodeKind::Directory, WallReading(0)),
                    None => return Ok(None),
                    Some(bytes) => decode::<Node>(&bytes)?,
                };
                if node.kind == NodeKind::Directory
                    && let Some(times) = snapshot.peek(family::TIMES, &node_key(id))?
                {
                    node = node.dated(decode::<Times>(&inline(times)?)?);
                }
                Ok(Some(node))
            }
            Self::Host(host) => {
                let Some(path) = host.paths.get(&id).cloned() else { return Ok(None) };
                match host.stat(gate, &path)? {
                    Err(FsCode::NoEntry) => Ok(None),
                    Err(code) => Err(code.into()),
                    Ok(seen) => Ok(Some(host_node(0, seen))),
                }
            }
        }
    }

    /// All names in a directory of this layer, with `known` naming those that need no new node number.
    pub fn list(
        &mut self,
        gate: &mut Gate,
        parent: u64,
        known: &BTreeMap<String, Option<Entry>>,
    ) -> FileResult<Vec<(String, Entry)>> {
        match self {
            Self::Space(snapshot) => {
                let (mut from, until) = (entry_key(parent, ""), (parent + 1).to_be_bytes());
                let mut names = Vec::new();
                loop {
                    let batch = snapshot.scan(family::ENTRY, &from, Some(&until), LIST_BATCH)?;
                    let Some((last, _)) = batch.last() else { return Ok(names) };
                    from = last.clone();
                    from.push(0);
                    for (key, value) in batch {
                        let name = String::from_utf8(key[8..].to_vec());
                        let name = name.map_err(|e| Halt::host("a name in the space", &e))?;
                        names.push((name, decode::<Entry>(&inline(value)?)?));
                    }
                }
            }
            Self::Host(host) => {
                let Some(path) = host.paths.get(&parent).cloned() else { return Ok(Vec::new()) };
                let call = HostList { grant: host.grant, path: path.clone() };
                let seen = gate.pass(call, |_, _| Ok(host.live()?.list(&path)))??;
                let mut names = Vec::with_capacity(seen.len());
                for entry in seen {
                    if !known.contains_key(&entry.name) {
                        let Some(path) = host.child(parent, &entry.name) else { continue };
                        names.push((entry.name, Entry { node: host.adopt(path), kind: entry.kind }));
                    }
                }
                Ok(names)
            }
        }
    }

    /// A block of a file's content; nothing where the file has a hole or ends.
    pub fn block(&mut self, gate: &mut Gate, store: &Store, content: u64, index: u64) -> FileResult<Option<Vec<u8>>> {
        match self {
            Self::Space(snapshot) => {
                // Whoever changes a block changes its file's node too; one note for the whole content keeps the set small.
                snapshot.note_range(family::BLOCK, &block_key(content, 0), &(content + 1).to_be_bytes());
                match snapshot.peek(family::BLOCK, &block_key(content, index))? {
                    Some(value) => Ok(super::values::load(store.blobs(), &value)?),
                    None => Ok(None),
                }
            }
            Self::Host(host) if !host.paths.contains_key(&content) => Ok(None),
            Self::Host(host) => match host.source(gate, store.blobs(), content)? {
                Source::Inline(bytes) => {
                    let block = bytes.chunks(BLOCK_BYTES).nth(index as usize);
                    Ok(block.map(<[u8]>::to_vec))
                }
                Source::Blocks { blocks, .. } => match blocks.get(index as usize) {
                    None => Ok(None),
                    Some(digest) => Ok(Some(blob(store.blobs(), digest)?)),
                },
            },
        }
    }

    /// A block of captured content as the outbox names it; nothing where there is a hole, or in a space.
    pub fn chunk(&self, content: u64, index: u64, len: u32) -> Option<Chunk> {
        let Self::Host(host) = self else { return None };
        match host.captured.get(&content)? {
            Source::Inline(bytes) => {
                let block = bytes.chunks(BLOCK_BYTES).nth(index as usize)?;
                Some(Chunk::Inline { bytes: block[..block.len().min(len as usize)].to_vec().into() })
            }
            Source::Blocks { blocks, len: whole } => {
                let left = whole.saturating_sub(index * BLOCK_BYTES as u64).min(u64::from(len));
                Some(Chunk::Blob { digest: *blocks.get(index as usize)?, len: left as u32 })
            }
        }
    }

    /// Indexes, from `from` on, of the blocks that this layer has of a content, ascending.
    pub fn blocks_from(&mut self, content: u64, from: u64) -> FileResult<Vec<u64>> {
        match self {
            Self::Space(snapshot) => {
                let (mut key, until) = (block_key(content, from), (content + 1).to_be_bytes());
                let mut indexes = Vec::new();
                loop {
                    let batch = snapshot.scan(family::BLOCK, &key, Some(&until), LIST_BATCH)?;
                    let Some((last, _)) = batch.last() else { return Ok(indexes) };
                    key = last.clone();
                    key.push(0);
                    for (key, _) in &batch {
                        let index = key.get(8..16).and_then(|bytes| bytes.try_into().ok());
                        indexes.push(
                            index.map(u64::from_be_bytes).ok_or_else(|| Halt::Host("a block's key is short".into()))?,
                        );
                    }
                }
            }
            Self::Host(host) => {
                let count = match host.captured.get(&content) {
                    None => 0,
                    Some(Source::Inline(bytes)) => bytes.len().div_ceil(BLOCK_BYTES) as u64,
                    Some(Source::Blocks { blocks, .. }) => blocks.len() as u64,
                };
                Ok((from..count).collect())
            }
        }
    }

    /// Makes sure that a file's content cannot change any more: it is captured, if it lies on the host. Gives its length in bytes if
    /// that was learnt.
    pub fn pin(&mut self, gate: &mut Gate, store: &Store, content: u64) -> FileResult<()> {
        match self {
            Self::Space(_) => Ok(()),
            Self::Host(host) => host.source(gate, store.blobs(), content).map(drop),
        }
    }

    /// The length in bytes of a captured file.
    pub fn captured_len(&self, content: u64) -> Option<u64> {
        let Self::Host(host) = self else { return None };
        match host.captured.get(&content)? {
            Source::Inline(bytes) => Some(bytes.len() as u64),
            Source::Blocks { len, .. } => Some(*len),
        }
    }
}

/// Reads a host file to its end and keeps it.
fn capture(gate: &Gate, file: &mut dyn std::io::Read, blobs: &Blobs) -> Result<Result<Captured, FsCode>, Halt> {
    let (mut blocks, mut len) = (Vec::new(), 0u64);
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        if std::io::Read::read_to_end(&mut std::io::Read::take(&mut *file, BLOCK_BYTES as u64), &mut block).is_err() {
            return Ok(Err(FsCode::Io));
        }
        let last = block.len() < BLOCK_BYTES;
        len += block.len() as u64;
        gate.check_deadline()?;
        if len > gate.limits().file_bytes {
            return Ok(Err(FsCode::FileTooLarge));
        }
        if last && blocks.is_empty() && block.len() <= CAPTURE_INLINE_BYTES {
            return Ok(Ok(Captured::Inline { bytes: block.into() }));
        }
        if !block.is_empty() {
            blocks.push(blobs.put(block).map_err(|e| Halt::host("keeping a host file", &e))?);
        }
        if last {
            break;
        }
    }
    let listing = Content { len, block_len: BLOCK_BYTES as u32, blocks }.to_bytes();
    let digest = blobs.put(listing).map_err(|e| Halt::host("keeping a host file", &e))?;
    Ok(Ok(Captured::Content { digest, len }))
}

fn host_node(parent: u64, seen: HostNode) -> Node {
    let HostNode { kind, size, accessed, modified, target } = seen;
    let parent = if kind == NodeKind::Directory { parent } else { 0 };
    Node { kind, size, content: 0, links: 1, parent, accessed, modified, changed: modified, target }
}

fn read(snapshot: &Snapshot, family: u8, key: &[u8]) -> FileResult<Option<Vec<u8>>> {
    Ok(snapshot.get(family, key)?.map(inline).transpose()?)
}

fn inline(value: CellValue) -> Result<Vec<u8>, Halt> {
    match value {
        CellValue::Inline { bytes } => Ok(bytes.0),
        CellValue::Blob { .. } | CellValue::Content { .. } | CellValue::Tombstone => {
            Err(Halt::Host("a name or node of the space is no small value".into()))
        }
    }
}

fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Fault> {
    T::from_bytes(bytes).map_err(|e| Halt::host("a name or node of the space", &e).into())
}

/// A blob that must be there.
pub fn blob(blobs: &Blobs, digest: &Digest) -> Result<Vec<u8>, Halt> {
    match blobs.get(digest) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Halt::Host(format!("blob {digest} is missing from the database"))),
        Err(error) => Err(Halt::host("reading a blob", &error)),
    }
}
