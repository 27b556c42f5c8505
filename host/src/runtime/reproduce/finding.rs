//! Which payloads cells and events need.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::content::Content;
use reel_abi::id::Digest;
use reel_abi::record::{Cell, CellValue};
use reel_abi::reproducer::Packed;
use reel_abi::wire::Wire;
use reel_store::Store;

use super::taking::ExportError;

/// The payload that a cell names.
pub(super) fn of_cell(cell: &Cell) -> Option<Digest> {
    match &cell.value {
        CellValue::Blob { digest, .. } | CellValue::Content { digest, .. } => Some(*digest),
        CellValue::Inline { .. } | CellValue::Tombstone => None,
    }
}

/// The blocks that a payload lists, if it is a list.
pub(super) fn listed(bytes: &[u8]) -> Vec<Digest> {
    Content::from_bytes(bytes).map(|content| content.blocks).unwrap_or_default()
}

/// The payloads, and those that they list, packed.
pub(super) fn packed(
    store: &Store,
    wanted: impl IntoIterator<Item = Digest>,
) -> Result<BTreeMap<Digest, Packed>, ExportError> {
    let mut open: BTreeSet<Digest> = wanted.into_iter().collect();
    let mut found = BTreeMap::new();
    while let Some(digest) = open.pop_first() {
        let Some(bytes) = store.blobs().get(&digest)? else { return Err(ExportError::Missing(digest)) };
        // Whether bytes are a list nobody says; those that are none list nothing that is there.
        for block in listed(&bytes) {
            if !found.contains_key(&block) && store.blobs().contains(&block)? {
                open.insert(block);
            }
        }
        found.insert(digest, Packed::of(&bytes)?);
    }
    Ok(found)
}
