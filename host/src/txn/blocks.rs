//! Blocks of file content that the run has read or written, bounded in memory.
//!
//! Dirty blocks beyond the bound are put into the blob store early: it is content-addressed, so that this shows nothing to anybody and an aborted
//! run leaves only garbage. Clean blocks beyond the bound are forgotten.

use std::collections::BTreeMap;

use reel_abi::id::Digest;
use reel_store::{BLOCK_BYTES, Blobs};

use super::lower::blob;
use crate::gate::Halt;

/// Bytes of dirty blocks in memory before they are put into the blob store.
const DIRTY_BYTES: usize = 8 << 20;

/// Bytes of clean blocks in memory before they are forgotten.
const CLEAN_BYTES: usize = 32 << 20;

/// A block as the overlay has it.
#[derive(Debug)]
pub enum Block {
    /// As below.
    Clean(Vec<u8>),
    /// Changed; at most [`BLOCK_BYTES`], what is missing is zeros.
    Dirty(Vec<u8>),
    /// Changed and moved out.
    Spilled(Digest, u32),
    /// Zeros, whatever lies below.
    Absent,
}

/// Content number and index.
pub type BlockId = (u64, u64);

/// The blocks of one tree.
#[derive(Default)]
pub struct Blocks {
    map: BTreeMap<BlockId, Block>,
    dirty: usize,
    clean: usize,
}

impl Blocks {
    /// The block, if the overlay knows it.
    pub fn get(&self, id: BlockId) -> Option<&Block> {
        self.map.get(&id)
    }

    /// Remembers a block as it is below.
    pub fn remember(&mut self, id: BlockId, bytes: Vec<u8>) {
        if self.clean + bytes.len() > CLEAN_BYTES {
            self.map.retain(|_, block| !matches!(block, Block::Clean(_)));
            self.clean = 0;
        }
        self.clean += bytes.len();
        self.map.insert(id, Block::Clean(bytes));
    }

    /// The bytes of a block to be changed. `below` is asked for what they are when the overlay does not know.
    pub fn change<E: From<Halt>>(
        &mut self,
        id: BlockId,
        blobs: &Blobs,
        below: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<&mut Vec<u8>, E> {
        if !matches!(self.map.get(&id), Some(Block::Dirty(_))) {
            let bytes = match self.map.remove(&id) {
                Some(Block::Clean(bytes)) => {
                    self.clean -= bytes.len();
                    bytes
                }
                Some(Block::Spilled(digest, _)) => blob(blobs, &digest)?,
                Some(Block::Absent) => Vec::new(),
                Some(Block::Dirty(bytes)) => bytes,
                None => below()?.unwrap_or_default(),
            };
            if self.dirty + BLOCK_BYTES > DIRTY_BYTES {
                self.spill(blobs)?;
            }
            self.dirty += BLOCK_BYTES;
            self.map.insert(id, Block::Dirty(bytes));
        }
        match self.map.get_mut(&id) {
            Some(Block::Dirty(bytes)) => Ok(bytes),
            _ => Err(Halt::Host("a block is lost".into()).into()),
        }
    }

    /// Makes a block what it was before a change.
    pub(super) fn put_back(&mut self, id: BlockId, before: Option<Block>) {
        self.forget(id);
        if let Some(block) = before {
            self.map.insert(id, block);
        }
    }

    /// Makes a block zeros.
    pub fn erase(&mut self, id: BlockId) {
        self.forget(id);
        self.map.insert(id, Block::Absent);
    }

    /// Drops all knowledge of the content's blocks from `from` on.
    pub fn drop_from(&mut self, content: u64, from: u64) {
        let ids: Vec<BlockId> = self.map.range((content, from)..=(content, u64::MAX)).map(|(id, _)| *id).collect();
        for id in ids {
            self.forget(id);
        }
    }

    /// Everything changed, in order of content and index.
    pub fn changed(&self) -> impl Iterator<Item = (BlockId, &Block)> {
        self.map.iter().filter(|(_, block)| !matches!(block, Block::Clean(_))).map(|(id, block)| (*id, block))
    }

    /// What the overlay knows of one content, in order of index.
    pub fn of_content(&self, content: u64) -> impl Iterator<Item = (u64, &Block)> {
        self.map.range((content, 0)..=(content, u64::MAX)).map(|(id, block)| (id.1, block))
    }

    fn forget(&mut self, id: BlockId) {
        match self.map.remove(&id) {
            Some(Block::Clean(bytes)) => self.clean -= bytes.len(),
            Some(Block::Dirty(_)) => self.dirty -= BLOCK_BYTES,
            Some(Block::Spilled(..) | Block::Absent) | None => {}
        }
    }

    fn spill(&mut self, blobs: &Blobs) -> Result<(), Halt> {
        for block in self.map.values_mut() {
            if let Block::Dirty(bytes) = block {
                let bytes = std::mem::take(bytes);
                let len = bytes.len() as u32;
                let digest = blobs.put(bytes).map_err(|e| Halt::host("keeping written bytes", &e))?;
                *block = Block::Spilled(digest, len);
            }
        }
        self.dirty = 0;
        Ok(())
    }
}
