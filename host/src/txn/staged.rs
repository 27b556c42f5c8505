//! What an open transaction would change, as cells of its space and as entries of the outbox.
//!
//! Host directories are flushed by state, not by history: the outbox says what each path shall be in the end.
//!
//! ```text
//!  guest did                       outbox says
//!  mv a b; write b; rm -r d        absent d/x, absent d, absent a, file b = (bytes)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::id::WallTime;
use reel_abi::record::{Cell, CellValue, Chunk, HostChange, family};
use reel_abi::types::NodeKind;
use reel_abi::wire::Wire;
use reel_store::{BLOCK_BYTES, Blobs, Counter};

use super::blocks::Block;
use super::files::Files;
use super::lower::{HostLower, Lower};
use super::node::{Node, ROOT, Times, block_key, entry_key, node_key};
use super::tree::{Held, Tree};
use super::values::{self, INLINE_BYTES};
use crate::gate::Halt;

impl Files {
    /// The cells of the space that this transaction changes, sorted by family and key, and by how many the number of its files does.
    pub fn cells(&mut self) -> Result<(Vec<Cell>, Option<Counter>), Halt> {
        let Some(tree) = self.trees.first() else { return Ok(Default::default()) };
        let Lower::Space(snapshot) = &tree.lower else { return Ok(Default::default()) };
        let (own, mut cells) = (tree.own, BTreeMap::new());
        for (&dir, names) in &tree.names {
            for name in names.dirty.keys() {
                let key = entry_key(dir, name);
                let value = match names.known.get(name).and_then(Option::as_ref) {
                    Some(entry) => inline(entry.to_bytes()),
                    None if dir >= own => continue,
                    None if snapshot.peek(family::ENTRY, &key)?.is_some() => CellValue::Tombstone,
                    None => continue,
                };
                cells.insert((family::ENTRY, key), value);
            }
        }
        let mut contents = BTreeSet::new();
        for (&id, held) in tree.nodes.iter().filter(|(_, held)| held.dirty || held.touched) {
            let Held { node, dirty, .. } = held;
            if id >= own && node.links == 0 {
                continue;
            }
            if node.kind == NodeKind::Directory && id < own {
                let Node { accessed, modified, changed, .. } = *node;
                let times = match node.links {
                    0 if snapshot.peek(family::TIMES, &node_key(id))?.is_none() => None,
                    0 => Some(CellValue::Tombstone),
                    _ => Some(inline(Times { accessed, modified, changed }.to_bytes())),
                };
                cells.extend(times.map(|times| ((family::TIMES, node_key(id)), times)));
            }
            if !dirty {
                continue;
            }
            let value = match node.links {
                0 => CellValue::Tombstone,
                _ => inline(node.to_bytes()),
            };
            if node.links > 0 {
                contents.insert(node.content);
            }
            cells.insert((family::NODE, node_key(id)), value);
        }
        for ((content, index), block) in tree.blocks.changed().filter(|((content, _), _)| contents.contains(content)) {
            let value = match block {
                Block::Dirty(bytes) => values::store(self.store.blobs(), bytes)?,
                Block::Spilled(digest, len) => CellValue::Blob { digest: *digest, len: *len },
                Block::Absent => CellValue::Tombstone,
                Block::Clean(_) => continue,
            };
            cells.insert((family::BLOCK, block_key(content, index)), value);
        }
        let counter = Counter { family: family::NODE, key: node_key(0), add: self.made };
        let cell = |((family, key), value): ((u8, Vec<u8>), CellValue)| Cell { family, key: key.into(), value };
        Ok((cells.into_iter().map(cell).collect(), (self.made != 0).then_some(counter)))
    }

    /// The changes to each granted directory since the last commit of the run, in the order of the grants; empty where there are none.
    pub fn host_changes(&mut self) -> Result<Vec<Vec<HostChange>>, Halt> {
        let (mut all, mut sending) = (Vec::new(), vec![BTreeMap::new()]);
        for (tree, sent) in self.trees.iter().zip(&self.sent).skip(1) {
            let changes = changes(tree, self.store.blobs())?;
            let now: BTreeMap<String, HostChange> =
                changes.iter().map(|change| (path(change).to_owned(), change.clone())).collect();
            // What an earlier transaction has made and this one has taken away again never was below.
            let lost = sent.iter().filter(|(path, change)| !absent(change) && !now.contains_key(*path));
            let lost = lost.map(|(path, _)| HostChange::Absent { path: path.clone() });
            let (mut gone, rest): (Vec<_>, Vec<_>) =
                changes.into_iter().filter(|change| sent.get(path(change)) != Some(change)).partition(absent);
            gone.extend(lost);
            gone.sort_by_key(|change| std::cmp::Reverse(path(change).matches('/').count()));
            sending.push(now);
            all.push(gone.into_iter().chain(rest).collect());
        }
        self.sending = Some(sending);
        Ok(all)
    }
}

fn path(change: &HostChange) -> &str {
    match change {
        HostChange::Absent { path }
        | HostChange::Directory { path }
        | HostChange::File { path, .. }
        | HostChange::Symlink { path, .. }
        | HostChange::Link { path, .. } => path,
    }
}

fn absent(change: &HostChange) -> bool {
    matches!(change, HostChange::Absent { .. })
}

/// Removals deepest first, then directories shallow first, then files and links.
fn changes(tree: &Tree, blobs: &Blobs) -> Result<Vec<HostChange>, Halt> {
    let Lower::Host(host) = &tree.lower else { return Ok(Vec::new()) };
    let (mut gone, mut dirs, mut files) = (BTreeSet::new(), Vec::new(), Vec::new());
    let (mut links, mut named) = (Vec::new(), BTreeMap::<u64, String>::new());
    let mut now = BTreeMap::new();
    walk(tree, ROOT, "", &mut now);
    for (&dir, names) in &tree.names {
        if let Some(origin) = host.origin(dir) {
            gone.extend(names.dirty.keys().map(|name| join(origin, name)));
        }
    }
    for (path, (id, kind)) in &now {
        let origin = host.origin(*id);
        if origin.is_some_and(|origin| origin != path.as_str()) {
            gone.extend(origin.map(str::to_owned));
        }
        let stays = origin == Some(path.as_str());
        let Some(held) = tree.nodes.get(id) else { continue };
        match kind {
            NodeKind::Directory if !stays => dirs.push(HostChange::Directory { path: path.clone() }),
            NodeKind::Symlink if !stays => {
                files.push(HostChange::Symlink { path: path.clone(), target: held.node.target.clone() });
            }
            NodeKind::File if named.contains_key(id) => {
                links.push(HostChange::Link { path: path.clone(), to: named[id].clone() })
            }
            NodeKind::File if !stays || held.dirty => {
                named.insert(*id, path.clone());
                files.push(file(tree, path, &held.node, blobs)?);
            }
            _ => {}
        }
    }
    // A file that replaces a file, or a directory that stays one, needs no removal before it.
    gone.retain(|path| now.get(path).is_none_or(|(id, kind)| !same_kind_below(tree, host, path, *id, *kind)));
    let mut gone: Vec<String> = gone.into_iter().collect();
    gone.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    dirs.sort_by_key(|change| if let HostChange::Directory { path } = change { path.matches('/').count() } else { 0 });
    let gone = gone.into_iter().map(|path| HostChange::Absent { path });
    Ok(gone.chain(dirs).chain(files).chain(links).collect())
}

/// Whether what lay under a path is known to be of the kind that shall be there now.
fn same_kind_below(tree: &Tree, host: &HostLower, path: &str, id: u64, kind: NodeKind) -> bool {
    if host.origin(id) == Some(path) {
        return true;
    }
    kind == NodeKind::File
        && !tree.nodes.iter().any(|(&other, held)| host.origin(other) == Some(path) && held.node.kind != NodeKind::File)
}

fn walk(tree: &Tree, dir: u64, path: &str, now: &mut BTreeMap<String, (u64, NodeKind)>) {
    let mut open = vec![(dir, path.to_owned())];
    while let Some((dir, path)) = open.pop() {
        for (name, entry) in tree.names.get(&dir).into_iter().flat_map(|names| &names.known) {
            let Some(entry) = entry else { continue };
            let path = join(&path, name);
            now.insert(path.clone(), (entry.node, entry.kind));
            if entry.kind == NodeKind::Directory {
                open.push((entry.node, path));
            }
        }
    }
}

fn file(tree: &Tree, path: &str, node: &Node, blobs: &Blobs) -> Result<HostChange, Halt> {
    let mut chunks = Vec::new();
    let known: BTreeMap<u64, &Block> = tree.blocks.of_content(node.content).collect();
    for index in 0..node.size.div_ceil(BLOCK_BYTES as u64) {
        let want = (node.size - index * BLOCK_BYTES as u64).min(BLOCK_BYTES as u64) as u32;
        let chunk = match known.get(&index) {
            Some(Block::Dirty(bytes)) => {
                let bytes = &bytes[..bytes.len().min(want as usize)];
                match bytes.len() {
                    0 => None,
                    len if len <= INLINE_BYTES => Some(Chunk::Inline { bytes: bytes.to_vec().into() }),
                    len => Some(Chunk::Blob { digest: put(blobs, bytes)?, len: len as u32 }),
                }
            }
            Some(Block::Spilled(digest, len)) => Some(Chunk::Blob { digest: *digest, len: want.min(*len) }),
            Some(Block::Absent) => None,
            Some(Block::Clean(_)) | None => tree.lower.chunk(node.content, index, want),
        };
        let have = match &chunk {
            None => 0,
            Some(Chunk::Inline { bytes }) => bytes.len() as u64,
            Some(Chunk::Blob { len, .. }) => u64::from(*len),
            Some(Chunk::Zero { len }) => *len,
        };
        chunks.extend(chunk);
        zeros(&mut chunks, u64::from(want) - have.min(u64::from(want)));
    }
    Ok(HostChange::File { path: path.to_owned(), chunks, modified: Some(WallTime(node.modified.0)) })
}

fn zeros(chunks: &mut Vec<Chunk>, more: u64) {
    match chunks.last_mut() {
        _ if more == 0 => {}
        Some(Chunk::Zero { len }) => *len += more,
        _ => chunks.push(Chunk::Zero { len: more }),
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn inline(bytes: Vec<u8>) -> CellValue {
    CellValue::Inline { bytes: bytes.into() }
}

fn put(blobs: &Blobs, bytes: &[u8]) -> Result<reel_abi::id::Digest, Halt> {
    blobs.put(bytes.to_vec()).map_err(|e| Halt::host("keeping written bytes", &e))
}
