//! Nodes and directory entries as they lie in the cells of a space.
//!
//! ```text
//! ENTRY  parent:8 name          -> child node, kind
//! NODE   node:8                 -> Node;   node 0 -> Census of the whole space
//! BLOCK  content:8 index:8      -> bytes, short blocks stand for zeros behind them
//! TIMES  node:8                 -> Times of a directory since a name in it has changed; they stand above those in its node
//! ```
//!
//! A file names its content by a number of its own, so that truncation to nothing is one new number instead of a tombstone a block.

use reel_abi::types::{NodeKind, Stat, WallReading};
use reel_abi::wire_struct;

/// The root directory of every tree.
pub const ROOT: u64 = 1;

/// How many node numbers one run can hand out; they are made of the run's number and a count, so that no two runs meet.
pub const NODES_PER_RUN: u64 = 1 << 24;

wire_struct! {
    /// A file, directory or symbolic link.
    pub struct Node {
        /// What it is.
        pub kind: NodeKind,
        /// Bytes of a file or link.
        pub size: u64,
        /// Number under which its blocks lie.
        pub content: u64,
        /// Names that lead to it.
        pub links: u64,
        /// The directory that holds it, for directories; else 0.
        pub parent: u64,
        /// Last access: set with the content, not by reading.
        pub accessed: WallReading,
        /// Last change of content.
        pub modified: WallReading,
        /// Last change of metadata.
        pub changed: WallReading,
        /// Where a symbolic link points, else empty.
        pub target: String,
    }
}

impl Node {
    /// A new node with all times the same.
    pub fn new(kind: NodeKind, now: WallReading) -> Self {
        let (size, content, links, parent) = (0, 0, 1, 0);
        Self { kind, size, content, links, parent, accessed: now, modified: now, changed: now, target: String::new() }
    }

    /// The same with the times of a directory in which a name has changed.
    #[must_use]
    pub fn dated(self, times: Times) -> Self {
        let Times { accessed, modified, changed } = times;
        Self { accessed, modified, changed, ..self }
    }

    /// What a guest sees of it.
    pub fn stat(&self) -> Stat {
        Stat {
            kind: self.kind,
            links: self.links,
            size: self.size,
            accessed: self.accessed,
            modified: self.modified,
            changed: self.changed,
        }
    }
}

wire_struct! {
    /// A name's meaning.
    pub struct Entry {
        /// The node.
        pub node: u64,
        /// What it is; never changes for a node.
        pub kind: NodeKind,
    }
}

wire_struct! {
    /// Times of a directory: in a cell of their own, so that two transactions that change different names in it do not meet.
    pub struct Times {
        /// Last access.
        pub accessed: WallReading,
        /// Last change of a name.
        pub modified: WallReading,
        /// Last change of a name or of metadata.
        pub changed: WallReading,
    }
}

wire_struct! {
    /// Counts over a whole space.
    pub struct Census {
        /// Files, directories and links.
        pub nodes: u64,
    }
}

/// Key of a directory entry.
pub fn entry_key(parent: u64, name: &str) -> Vec<u8> {
    let mut key = parent.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

/// Key of a node.
pub fn node_key(node: u64) -> Vec<u8> {
    node.to_be_bytes().to_vec()
}

/// Key of a block.
pub fn block_key(content: u64, index: u64) -> Vec<u8> {
    let mut key = content.to_be_bytes().to_vec();
    key.extend_from_slice(&index.to_be_bytes());
    key
}
