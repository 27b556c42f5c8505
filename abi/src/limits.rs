//! What a guest may use of the machine, each with its unit and the attack it stops. All of them are in a run's begin mark.

use crate::wire_struct;

wire_struct! {
    /// The bounds of one run. Reaching one ends the run with [`crate::outcome::Outcome::Limit`]; a file that would pass `file_bytes`, and a bucket that
    /// would pass `written_bytes` or `space_files`, are errors that the guest is told of.
    pub struct Limits {
        /// Bytes of all linear memories together; stops a memory bomb.
        pub memory_bytes: u64,
        /// Elements of all tables together; stops the same by `table.grow`.
        pub table_elements: u64,
        /// Milliseconds of wall-clock time for the whole run, 0 for none; stops an endless loop.
        pub deadline_millis: u64,
        /// Host calls of the run; stops a log flood by many small calls.
        pub host_calls: u64,
        /// Encoded bytes of events, before compression; stops a log flood by large ones.
        pub logged_bytes: u64,
        /// Bytes of file content, stdout and stderr that the run writes; stops a disk bomb.
        pub written_bytes: u64,
        /// Resources (descriptors, streams, pollables) open at once; stops exhaustion of host memory.
        pub open_handles: u64,
        /// Bytes of the guest's stack; stops unbounded recursion.
        pub stack_bytes: u64,
        /// Files, directories, keys and messages of one space, each kind; stops exhaustion by empty ones.
        pub space_files: u64,
        /// Bytes of one file; stops a sparse-file bomb.
        pub file_bytes: u64,
    }
}

const MIB: u64 = 1 << 20;

/// Bytes of a key in a bucket; a key stands in events, indexes and read sets as it is.
pub const KEY_BYTES: usize = 4096;

/// Bytes of a value in a bucket.
pub const VALUE_BYTES: usize = 64 << 20;

/// Bytes of a bucket's name, whose length is one byte in the keys of its cells.
pub const BUCKET_NAME_BYTES: usize = 255;

/// Savepoints set at once in a transaction; stops exhaustion of host memory.
pub const SAVEPOINTS: usize = 1024;

/// Bytes of a topic's name; stands in events and in each message.
pub const TOPIC_BYTES: usize = 255;

/// Bytes of the payload of a message; more than that belongs into a file or bucket, and its name into the message.
pub const MESSAGE_BYTES: usize = 1 << 20;

/// Bytes of all headers of a message, names and values.
pub const HEADER_BYTES: usize = 64 << 10;

/// Bytes of a message's key.
pub const MESSAGE_KEY_BYTES: usize = 1024;

/// Messages that one transaction may send, each counted once for every receiver; stops a flood that no single commit record should carry.
pub const MESSAGES: u64 = 100_000;

/// Milliseconds by which a message may be delayed: ten years.
pub const DELAY_MILLIS: u64 = 10 * 366 * 24 * 3_600_000;

/// Bytes that one transaction may hold in memory of small values and keys; a larger piece of work commits on its way.
pub const TRANSACTION_BYTES: u64 = 512 * MIB;

/// Calls of other guests within each other, the outermost transaction counted; stops unbounded recursion.
pub const CALL_DEPTH: usize = 8;

/// Calls of other guests in one transaction, each of which is a run that is held until the end; stops exhaustion of host memory.
pub const CALLS: usize = 10_000;

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1024 * MIB,
            table_elements: 1_000_000,
            deadline_millis: 0,
            host_calls: 100_000_000,
            logged_bytes: 4096 * MIB,
            written_bytes: 16_384 * MIB,
            open_handles: 10_000,
            stack_bytes: MIB,
            space_files: 10_000_000,
            file_bytes: 65_536 * MIB,
        }
    }
}

crate::wire_enum! {
    /// Which limit a run reached.
    pub enum LimitKind {
        /// [`Limits::memory_bytes`]
        1 => Memory,
        /// [`Limits::table_elements`]
        2 => Table,
        /// [`Limits::deadline_millis`]
        3 => Deadline,
        /// [`Limits::host_calls`]
        4 => HostCalls,
        /// [`Limits::logged_bytes`]
        5 => LoggedBytes,
        /// [`Limits::written_bytes`]
        6 => WrittenBytes,
        /// [`Limits::open_handles`]
        7 => OpenHandles,
        /// [`Limits::stack_bytes`]
        8 => Stack,
        /// [`Limits::space_files`]
        9 => SpaceFiles,
        /// [`Limits::file_bytes`]
        10 => FileBytes,
        /// [`TRANSACTION_BYTES`]
        11 => Transaction,
        /// [`MESSAGES`]
        60 => Messages,
    }
}

impl LimitKind {
    /// The command-line name of the limit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Table => "table-elements",
            Self::Deadline => "deadline",
            Self::HostCalls => "host-calls",
            Self::LoggedBytes => "logged-bytes",
            Self::WrittenBytes => "written-bytes",
            Self::OpenHandles => "open-handles",
            Self::Stack => "stack",
            Self::SpaceFiles => "space-files",
            Self::FileBytes => "file-bytes",
            Self::Transaction => "transaction-bytes",
            Self::Messages => "messages",
        }
    }
}

impl LimitKind {
    /// What the limit counts, to stand behind its value; empty where the name says it.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Deadline => " ms",
            Self::Memory
            | Self::LoggedBytes
            | Self::WrittenBytes
            | Self::Stack
            | Self::FileBytes
            | Self::Transaction => " bytes",
            Self::Table | Self::HostCalls | Self::OpenHandles | Self::SpaceFiles | Self::Messages => "",
        }
    }
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
