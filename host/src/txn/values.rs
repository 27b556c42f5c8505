//! Values as cells hold them: small ones in the cell, larger ones as one blob, the largest as a list of blocks.

use reel_abi::content::Content;
use reel_abi::id::Digest;
use reel_abi::record::CellValue;
use reel_abi::wire::Wire;
use reel_store::{AppendError, BLOCK_BYTES, Blobs};

use super::lower::blob;
use crate::gate::Halt;

/// Values up to this many bytes stand in the commit record itself; larger ones become blobs, durable before it.
pub const INLINE_BYTES: usize = 4096;

/// Makes a cell's value of bytes.
pub fn store(blobs: &Blobs, bytes: &[u8]) -> Result<CellValue, Halt> {
    let keeping = |e: AppendError| Halt::host("keeping written bytes", &e);
    Ok(match bytes.len() {
        0..=INLINE_BYTES => CellValue::Inline { bytes: bytes.to_vec().into() },
        len if len <= BLOCK_BYTES => {
            CellValue::Blob { digest: blobs.put(bytes.to_vec()).map_err(keeping)?, len: len as u32 }
        }
        len => CellValue::Content { digest: keep(blobs, bytes).map_err(keeping)?, len: len as u64 },
    })
}

/// The bytes of a cell's value; none for a tombstone.
pub fn load(blobs: &Blobs, value: &CellValue) -> Result<Option<Vec<u8>>, Halt> {
    Ok(match value {
        CellValue::Inline { bytes } => Some(bytes.0.clone()),
        CellValue::Blob { digest, .. } => Some(blob(blobs, digest)?),
        CellValue::Content { digest, len } => {
            let listing = blob(blobs, digest)?;
            let listing = Content::from_bytes(&listing).map_err(|e| Halt::host("the list of a value's blocks", &e))?;
            let mut bytes = Vec::with_capacity(usize::try_from(*len).unwrap_or(0).min(1 << 26));
            for block in &listing.blocks {
                bytes.extend_from_slice(&blob(blobs, block)?);
            }
            Some(bytes)
        }
        CellValue::Tombstone => None,
    })
}

/// How many bytes the value has.
pub fn len(value: &CellValue) -> u64 {
    match value {
        CellValue::Inline { bytes } => bytes.len() as u64,
        CellValue::Blob { len, .. } => u64::from(*len),
        CellValue::Content { len, .. } => *len,
        CellValue::Tombstone => 0,
    }
}

/// Keeps bytes as blocks and gives the name of their list.
pub fn keep(blobs: &Blobs, bytes: &[u8]) -> Result<Digest, AppendError> {
    let blocks = bytes.chunks(BLOCK_BYTES).map(Digest::of).collect();
    let listing = Content { len: bytes.len() as u64, block_len: BLOCK_BYTES as u32, blocks }.to_bytes();
    let name = Digest::of(&listing);
    if blobs.contains(&name).unwrap_or(false) {
        return Ok(name);
    }
    for block in bytes.chunks(BLOCK_BYTES) {
        blobs.put(block.to_vec())?;
    }
    blobs.put(listing)
}
