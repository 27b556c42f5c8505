//! The memory of a guest at a stop, as windows of bytes, and looking for some in it.

use crate::runtime::recall::Kept;

/// Bytes that are looked through at a time.
const WINDOW: usize = 1 << 20;

/// The memories of a guest at an event: as they were when it asked for that.
#[derive(Debug, Clone)]
pub struct Memory(pub Kept);

impl Memory {
    /// The first address from `from` on where a memory has these bytes.
    pub fn find(&self, memory: usize, from: u64, needle: &[u8]) -> Option<u64> {
        let size = *self.0.sizes().get(memory)?;
        let (mut at, overlap) = (from, needle.len().saturating_sub(1));
        while !needle.is_empty() && at < size {
            let bytes = self.0.bytes(memory, at, WINDOW + overlap);
            if let Some(place) = bytes.windows(needle.len()).position(|window| window == needle) {
                return Some(at + place as u64);
            }
            at += WINDOW as u64;
        }
        None
    }
}
