//! Byte strings too large for one blob: a list of blocks, itself kept as a blob.

use crate::id::Digest;
use crate::wire_struct;

wire_struct! {
    /// A long byte string in blocks. All blocks but the last have `block_len` bytes.
    pub struct Content {
        /// Bytes.
        pub len: u64,
        /// Bytes of a block.
        pub block_len: u32,
        /// Names of the blobs, in order.
        pub blocks: Vec<Digest>,
    }
}
