//! What lies in the cells of a space at a version, below files and buckets. Looking at it makes no event.

use reel_abi::content::Content;
use reel_abi::record::{CellValue, family};
use reel_abi::types::{NodeKind, WallReading};
use reel_abi::wire::Wire;
use reel_store::{BLOCK_BYTES, Head, Store, View};

use super::files_at::LookError;
use crate::txn::lower::blob;
use crate::txn::node::{Entry, Node, ROOT, block_key, entry_key, node_key};

/// A space at a version.
#[derive(Debug, Clone)]
pub struct Cells {
    store: Store,
    /// The version.
    pub view: View,
}

impl Cells {
    /// The cells that a head shows.
    pub fn at(store: &Store, head: Head) -> Result<Self, LookError> {
        Ok(Self { store: store.clone(), view: store.view(head)? })
    }

    /// The cells that a view shows.
    pub fn of(store: &Store, view: View) -> Self {
        Self { store: store.clone(), view }
    }

    /// What a name means in a directory.
    pub fn entry(&self, parent: u64, name: &str) -> Result<Option<Entry>, LookError> {
        let value = self.view.get(family::ENTRY, &entry_key(parent, name))?;
        value.map(|value| self.small(&value)).transpose()
    }

    /// A file, directory or link. Times of directories are those of their making.
    pub fn node(&self, id: u64) -> Result<Option<Node>, LookError> {
        match self.view.get(family::NODE, &node_key(id))? {
            None if id == ROOT => Ok(Some(Node::new(NodeKind::Directory, WallReading(0)))),
            None => Ok(None),
            Some(value) => self.small(&value).map(Some),
        }
    }

    /// The same, with the times of a directory since a name in it has changed.
    pub fn dated(&self, id: u64) -> Result<Option<Node>, LookError> {
        let Some(node) = self.node(id)?.filter(|node| node.kind == NodeKind::Directory) else { return self.node(id) };
        match self.view.get(family::TIMES, &node_key(id))? {
            Some(times) => Ok(Some(node.dated(self.small(&times)?))),
            None => Ok(Some(node)),
        }
    }

    /// A value that is decoded.
    pub fn small<T: Wire>(&self, value: &CellValue) -> Result<T, LookError> {
        let CellValue::Inline { bytes } = value else {
            return Err(LookError::Failed("a name or node is no small value".into()));
        };
        T::from_bytes(bytes).map_err(|error| LookError::Failed(format!("a name or node of the space: {error}")))
    }

    /// The bytes of a value; none for one that was removed. As large as the value is: look at [`length`] before.
    pub fn bytes(&self, value: &CellValue) -> Result<Vec<u8>, LookError> {
        match value {
            CellValue::Inline { bytes } => Ok(bytes.0.clone()),
            CellValue::Blob { digest, .. } => Ok(blob(self.store.blobs(), digest)?),
            CellValue::Content { digest, .. } => {
                let listing = blob(self.store.blobs(), digest)?;
                let listing = Content::from_bytes(&listing);
                let listing =
                    listing.map_err(|error| LookError::Failed(format!("the list of a value's blocks: {error}")))?;
                let mut bytes = Vec::new();
                for block in &listing.blocks {
                    bytes.extend_from_slice(&blob(self.store.blobs(), block)?);
                }
                Ok(bytes)
            }
            CellValue::Tombstone => Ok(Vec::new()),
        }
    }

    /// A block of a content, which stands for zeros behind it; empty for a hole.
    pub fn block(&self, content: u64, index: u64) -> Result<Vec<u8>, LookError> {
        match self.view.get(family::BLOCK, &block_key(content, index))? {
            Some(value) => self.bytes(&value),
            None => Ok(Vec::new()),
        }
    }

    /// All bytes of a file. As many as the node says: look at its size before.
    pub fn content(&self, file: &Node) -> Result<Vec<u8>, LookError> {
        let mut bytes = Vec::with_capacity(file.size as usize);
        for index in 0..file.size.div_ceil(BLOCK_BYTES as u64) {
            bytes.extend_from_slice(&self.block(file.content, index)?);
            bytes.resize((((index + 1) * BLOCK_BYTES as u64).min(file.size)) as usize, 0);
        }
        Ok(bytes)
    }
}

/// Bytes of a value.
pub fn length(value: &CellValue) -> u64 {
    match value {
        CellValue::Inline { bytes } => bytes.len() as u64,
        CellValue::Blob { len, .. } => u64::from(*len),
        CellValue::Content { len, .. } => *len,
        CellValue::Tombstone => 0,
    }
}
