//! How a run began and how it ended.

use std::fmt;

use crate::id::{CommitNo, Digest, RunId, SegmentId, SpaceName, Version, WallTime};
use crate::limits::{LimitKind, Limits};
use crate::trace::Trace;
use crate::{wire_enum, wire_struct};

wire_struct! {
    /// A host directory laid under the guest's tree.
    pub struct DirGrant {
        /// Absolute path on the host at the time of the run.
        pub host: String,
        /// Path in the guest's tree.
        pub guest: String,
        /// Whether writes are refused.
        pub read_only: bool,
    }
}

wire_struct! {
    /// All that a replay needs to know before the first event.
    pub struct RunBegin {
        /// Wall-clock time of the begin.
        pub at: WallTime,
        /// Digest of the component's bytes as they were given.
        pub component: Digest,
        /// Name of the blob that lists the blocks of those bytes: an encoded [`crate::content::Content`].
        pub content: Digest,
        /// What the user called it: a path or name, for people only.
        pub name: String,
        /// `argv`, the program's name first.
        pub args: Vec<String>,
        /// Environment variables.
        pub env: Vec<(String, String)>,
        /// Host directories.
        pub dirs: Vec<DirGrant>,
        /// Places in the network, each `HOST:PORT` as it was granted.
        pub net: Vec<String>,
        /// Guests that it may call.
        pub calls: Vec<SpaceName>,
        /// Bounds of the run.
        pub limits: Limits,
        /// The space the run works in.
        pub space: SpaceName,
        /// Segment of the space that is read.
        pub segment: SegmentId,
        /// Version of the space that is read.
        pub version: Version,
        /// Whether the transaction commits although the program ends with a failure code.
        pub commit_on_failure: bool,
        /// The engine and its settings, in words; a replay under another engine says so when it diverges.
        pub engine: String,
        /// The trace that it belongs to.
        pub trace: Option<Trace>,
    }
}

wire_enum! {
    /// How guest code ended.
    pub enum Outcome {
        /// The program ended by itself, with this exit code.
        1 => Exit {
            /// 0 is success.
            code: u32,
        },
        /// WebAssembly trapped.
        2 => Trap {
            /// The trap in the words of the engine.
            message: String,
            /// Frames of guest code, innermost first.
            backtrace: Vec<String>,
        },
        /// A bound of the run was reached.
        3 => Limit {
            /// Which one.
            kind: LimitKind,
            /// Its value.
            limit: u64,
        },
        /// The user stopped the run.
        4 => Interrupted,
        /// The host could not go on (for example a full disk); the guest is not to blame.
        5 => HostFailure {
            /// Cause chain.
            message: String,
        },
        /// The program asked for its transaction to be dropped.
        6 => Aborted {
            /// Why, in its words.
            reason: String,
        },
    }
}

impl Outcome {
    /// Whether the outcome happened at an instruction that no event fixes (a deadline, an interrupt, a failing host).
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Exit { .. } | Self::Trap { .. } | Self::Aborted { .. } => false,
            Self::Limit { kind, .. } => *kind == LimitKind::Deadline,
            Self::Interrupted | Self::HostFailure { .. } => true,
        }
    }

    /// Whether this is the program's own success.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exit { code: 0 })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit { code } => write!(f, "exit {code}"),
            Self::Trap { message, .. } => write!(f, "trap: {message}"),
            Self::Limit { kind, limit } => write!(f, "limit {kind} of {limit}{} reached", kind.unit()),
            Self::Interrupted => write!(f, "interrupted"),
            Self::HostFailure { message } => write!(f, "host failure: {message}"),
            Self::Aborted { reason } => write!(f, "aborted: {reason}"),
        }
    }
}

wire_enum! {
    /// What became of a run's transaction.
    pub enum Disposition {
        /// Its writes are a version of the space.
        1 => Committed {
            /// Place in the database's chain.
            commit: CommitNo,
            /// The new version of the space; the one it read if it wrote nothing.
            version: Version,
        },
        /// Nothing of it is visible but its record.
        2 => Aborted,
        /// What it committed on the way is visible, what followed its last commit is not.
        3 => Partly {
            /// Its last commit.
            commit: CommitNo,
            /// The version of the space that it made.
            version: Version,
        },
        /// Another transaction changed what it had read; nothing of it is visible, and it was executed again.
        4 => Lost {
            /// The run that took its place; none if it was given up.
            again: Option<RunId>,
        },
    }
}

wire_struct! {
    /// What is known of a run when it is over.
    pub struct RunEnd {
        /// Wall-clock time of the end.
        pub at: WallTime,
        /// How the guest ended.
        pub outcome: Outcome,
        /// What became of its transaction.
        pub disposition: Disposition,
        /// Number of events, marks included.
        pub events: u64,
        /// Encoded bytes of the events, before compression.
        pub logged_bytes: u64,
        /// Bytes of file content, stdout and stderr written by the guest.
        pub written_bytes: u64,
        /// Digest of all linear memories at the end, in order of their creation; absent after a cut or where not taken.
        pub memory: Option<u64>,
    }
}
