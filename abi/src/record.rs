//! What a row of the log holds.
//!
//! ```text
//! row  = link:32 | item*            link = BLAKE3(link of the row before | the items' bytes)
//! item = tag:1 | fields             the tags and fields below, in the canonical codec of `wire`
//! ```
//!
//! One row is one batch of the committer: it is durable as a whole or not at all.

use crate::bytes::Bytes;
use crate::faults::Base;
use crate::id::{CommitNo, Digest, Position, RunId, SegmentId, Seq, SpaceName, TagName, Version, WallTime};
use crate::outcome::{DirGrant, RunBegin, RunEnd};
use crate::{wire_enum, wire_struct};

wire_struct! {
    /// A block of a run's events, compressed; see [`crate::frame`].
    pub struct Frame {
        /// The run.
        pub run: RunId,
        /// Place of its first event.
        pub first: Seq,
        /// How many events it holds, at least 1.
        pub count: u32,
        /// Wall-clock time when its first event was recorded.
        pub opened: WallTime,
        /// Wall-clock time when its last event was recorded.
        pub closed: WallTime,
        /// Bytes before compression.
        pub raw_len: u32,
        /// Zstandard block.
        pub packed: Bytes,
    }
}

wire_enum! {
    /// What a cell holds.
    pub enum CellValue {
        /// Small: here.
        1 => Inline {
            /// The value.
            bytes: Bytes,
        },
        /// Large: in the blobs.
        2 => Blob {
            /// Name of the blob.
            digest: Digest,
            /// Bytes.
            len: u32,
        },
        /// Absent from this version on.
        3 => Tombstone,
        /// Larger than a block: in the blobs, in pieces that an encoded [`crate::content::Content`] lists.
        4 => Content {
            /// Name of the blob that is the list.
            digest: Digest,
            /// Bytes of the whole value.
            len: u64,
        },
    }
}

wire_struct! {
    /// A change of one key of a space.
    pub struct Cell {
        /// Kind of state: a [`family`] number.
        pub family: u8,
        /// Key in the family.
        pub key: Bytes,
        /// New value.
        pub value: CellValue,
    }
}

/// Kinds of state in a space.
pub mod family {
    /// Directory entries: parent node (8 bytes, big endian) and name -> node.
    pub const ENTRY: u8 = 1;
    /// Nodes: node number (8 bytes, big endian) -> kind, size, times, links.
    pub const NODE: u8 = 2;
    /// File content: node number and block number (8 bytes each, big endian) -> block.
    pub const BLOCK: u8 = 3;
    /// Key-value buckets: length of the bucket's name (1 byte), name, key -> value. The empty key counts the keys of all buckets.
    pub const KEY_VALUE: u8 = 4;
    /// Times of directories, which change whenever a name in them does: node number (8 bytes, big endian) -> times.
    pub const TIMES: u8 = 5;
    /// The guest that was deployed in the space, and how it stands: see [`crate::resident`].
    pub const RESIDENT: u8 = 6;
    /// Memories at the newest checkpoint: memory (4 bytes, big endian) and page (8 bytes, big endian) -> its bytes.
    pub const PAGE: u8 = 7;
    /// Messages that were sent to the space and not taken yet: see [`crate::message`].
    pub const QUEUE: u8 = 8;
    /// Where a space was imported from: see [`crate::record::Origin`].
    pub const ORIGIN: u8 = 9;
    /// What an imported run has read of [`RESIDENT`]. Nobody lives in an imported space, so it lies apart.
    pub const ASIDE: u8 = 10;
}

/// Key of the [`Origin`] in [`family::ORIGIN`].
pub const ORIGIN_KEY: &[u8] = b"run";

wire_struct! {
    /// Where the run of an imported space comes from. A replay of it shows the guest the names and numbers of there.
    pub struct Origin {
        /// The run, as it is called here.
        pub here: RunId,
        /// As it was called there.
        pub there: RunId,
        /// How it began there.
        pub begin: RunBegin,
        /// The versions that it reads: as they were called there, and which they are here.
        pub bases: Vec<(Base, Version)>,
        /// Digest of the file.
        pub file: Digest,
        /// Wall-clock time of the export.
        pub exported: WallTime,
        /// What was redacted.
        pub redacted: Vec<String>,
    }
}

wire_struct! {
    /// The new version of one space. Its cells are sorted by family and key, each key once.
    pub struct SpaceChange {
        /// The space.
        pub space: SpaceName,
        /// Segment written to.
        pub segment: SegmentId,
        /// The version that these cells make.
        pub version: Version,
        /// What changes.
        pub cells: Vec<Cell>,
    }
}

wire_enum! {
    /// A piece of file content in an outbox entry.
    pub enum Chunk {
        /// That many zero bytes.
        1 => Zero {
            /// Bytes.
            len: u64,
        },
        /// Small: here.
        2 => Inline {
            /// The bytes.
            bytes: Bytes,
        },
        /// In the blobs; the first `len` bytes of it.
        3 => Blob {
            /// Name of the blob.
            digest: Digest,
            /// Bytes.
            len: u32,
        },
    }
}

wire_enum! {
    /// What one path of a host directory shall be. Safe to repeat: it names the end, not the way.
    pub enum HostChange {
        /// Nothing (a file or link is removed, a directory when empty).
        1 => Absent {
            /// Path below the grant.
            path: String,
        },
        /// A directory.
        2 => Directory {
            /// Path below the grant.
            path: String,
        },
        /// A file with this content.
        3 => File {
            /// Path below the grant.
            path: String,
            /// Content in order.
            chunks: Vec<Chunk>,
            /// Time of last modification, if the guest set it.
            modified: Option<WallTime>,
        },
        /// A symbolic link.
        4 => Symlink {
            /// Path below the grant.
            path: String,
            /// What it points to.
            target: String,
        },
        /// Another name of a file that an earlier change names or that is there.
        5 => Link {
            /// Path below the grant.
            path: String,
            /// The other name.
            to: String,
        },
    }
}

wire_struct! {
    /// An effect that leaves the machine once its commit is durable.
    pub struct OutboxEntry {
        /// The directory it goes to.
        pub dir: DirGrant,
        /// Removals first (deepest first), then directories (shallow first), then files and links.
        pub changes: Vec<HostChange>,
    }
}

wire_struct! {
    /// State, effects and history of one transaction, atomic because it is one item of one row.
    pub struct CommitRecord {
        /// Place in the database's chain.
        pub number: CommitNo,
        /// The run that made it.
        pub run: RunId,
        /// Wall-clock time of the commit.
        pub at: WallTime,
        /// The spaces it changed.
        pub spaces: Vec<SpaceChange>,
        /// Effects to carry out now.
        pub outbox: Vec<OutboxEntry>,
    }
}

wire_enum! {
    /// One thing in a row.
    #[allow(clippy::large_enum_variant, reason = "a run begins once; boxing it would cost every reader a word more")]
    pub enum LogItem {
        /// A run began.
        1 => Begun {
            /// The run.
            run: RunId,
            /// All that a replay needs.
            begin: RunBegin,
        },
        /// Events of a run.
        2 => Frame {
            /// The block.
            frame: Frame,
        },
        /// A transaction committed.
        3 => Commit {
            /// The record.
            record: CommitRecord,
        },
        /// A run is over.
        4 => Ended {
            /// The run.
            run: RunId,
            /// How.
            end: RunEnd,
        },
        /// All outbox entries of a commit were carried out.
        5 => Delivered {
            /// The commit.
            commit: CommitNo,
        },
        /// A space was made by its first run.
        6 => SpaceOpened {
            /// Its name.
            space: SpaceName,
            /// The segment that its head is on from now.
            segment: SegmentId,
            /// Version of the head at that moment.
            version: Version,
            /// Segment and version that lie under it.
            parent: Option<(SegmentId, Version)>,
        },
        /// A space was forked from a version, or rolled back to one: its head is on a new segment that shows what lies under it until
        /// it is written.
        7 => Branched {
            /// The space that stands there now.
            space: SpaceName,
            /// The new segment.
            segment: SegmentId,
            /// Version of the space at that moment: 0 for a new name, else one more than it had.
            version: Version,
            /// The space whose version lies under it; the same name for a rollback.
            source: SpaceName,
            /// Segment and version that lie under it.
            parent: (SegmentId, Version),
            /// Wall-clock time.
            at: WallTime,
        },
        /// A name of a space was given up. What was forked from it stays; made again, it goes on counting its versions.
        8 => SpaceRemoved {
            /// The name.
            space: SpaceName,
            /// Wall-clock time.
            at: WallTime,
        },
        /// A version got a name, or a name another version.
        9 => TagSet {
            /// The name.
            tag: TagName,
            /// The space.
            space: SpaceName,
            /// The segment that holds the version.
            segment: SegmentId,
            /// The version.
            version: Version,
            /// Wall-clock time.
            at: WallTime,
        },
        /// A tag was given up.
        10 => TagRemoved {
            /// The name.
            tag: TagName,
            /// Wall-clock time.
            at: WallTime,
        },
        /// Retention removed history.
        11 => Retained {
            /// What was asked for and what went.
            retention: Retention,
        },
    }
}

wire_struct! {
    /// What a retention removed: from here on, views and replays that need it are refused, and say why.
    pub struct Retention {
        /// Wall-clock time.
        pub at: WallTime,
        /// The policy, in the words of the command line.
        pub policy: String,
        /// Of each segment: versions below the border are gone, except for those that are kept (sorted).
        pub segments: Vec<Cut>,
        /// The runs whose events are gone are those below this number.
        pub runs_before: RunId,
        /// Rows up to this one are gone.
        pub rows_through: Position,
        /// Digest of the state that stands for these rows: the file `log/NNNNNNNN.base`. NNNNNNNN is the row that this state had reached when the file
        /// was written, which can be later than [`Retention::rows_through`].
        pub base: Digest,
    }
}

wire_struct! {
    /// What a retention left of one segment.
    pub struct Cut {
        /// The segment.
        pub segment: SegmentId,
        /// Versions below this one are gone.
        pub border: Version,
        /// Versions below the border that can still be read: tags, and what forks lie on. Sorted.
        pub kept: Vec<Version>,
    }
}

/// Where an item stands: row, and place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemAt {
    /// The row.
    pub row: Position,
    /// Index of the item in the row.
    pub index: u32,
}
