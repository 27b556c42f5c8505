//! The durable transaction log and the versioned spaces of a Reel database, on redb.
//!
//! Invariants:
//! - The log is the truth. A row is durable before anybody is told of it, and rows are never changed. Each carries a BLAKE3
//!   link over itself and the row before, because redb's own checksum does not withstand chosen content.
//! - State (cells, heads, indexes) is derived: it can be deleted at any time and is rebuilt from the log.
//! - A blob is durable before the row that names it.
//! - There is one order, that of the log, and each transaction is decided on against all that lies before it, durable or not.
//!   What is not durable is read only by who asks for it.
//! - What is committed but not yet in `state.redb` is read from memory; a reader never notices the difference.
//! - Whatever bytes a file holds, the answer is a typed error: never a panic, never unbounded work.
//!
//! This crate reads no clock and no environment, knows nothing of WebAssembly, and never interprets events.
//!
//! ```text
//! order, append ──decided, encoded──> open batch ──committer, one durable redb commit──> log/NNNNNNNN.redb
//!                                         │ absorb                                          │ on opening: rows after `applied`
//!                                         v                                                 │
//!                    pending slice (read by who begins at the newest)                       │
//!                                         │ when durable                                    v
//!                                 slices in memory <────────────────────────────────────────┘
//!                                         │ frozen when large, written sorted
//!                                         v
//!                                    state.redb        reads: pending slices if asked for, those in memory, state.redb
//! ```

mod answer;
mod applier;
mod audit;
mod backup;
mod batch;
mod blobs;
mod branching;
mod chain;
mod changed;
mod committer;
mod compare;
mod counting;
mod cuts;
mod deciding;
mod dir;
mod error;
#[cfg(test)]
mod failures;
mod flat;
mod gathering;
mod gone;
mod history;
mod lens;
mod live;
mod log;
mod merger;
mod opening;
mod pending;
mod prepared;
mod prune;
mod reading;
mod reading_state;
mod reads;
mod recent;
mod redb_file;
mod retention;
mod row;
mod runs;
mod scan;
mod sequencer;
mod slice;
mod spaces;
mod state;
mod store;
mod submission;
mod sweep;
mod tables;
mod tags;
mod tally;
mod threads;
mod upkeep;
mod verify;
mod view;
mod words;

pub use backup::{Backup, BackupError, BackupProgress, restore};
pub use blobs::{BLOCK_BYTES, Blobs};
pub use chain::Head;
pub use error::{AppendError, OpenError, ReadError};
pub use history::{Change, Made, VersionRecord};
pub use lens::{Noted, Seen, Shown};
pub use opening::Options;
pub use reading::Stretch;
pub use reads::ReadSet;
pub use redb_file::tells_panics;
pub use retention::{Policy, RetentionPlan, RetentionReport};
pub use runs::{FrameRef, RunRecord};
pub use store::Store;
pub use submission::{Counter, Elsewhere, Ending, Joined, JoinedRun, Part, Proposal, Receipt, Submission};
pub use tags::Tag;
pub use tally::Tally;
pub use verify::{Place, Problem, VerifyReport};
pub use view::{Overlay, View};
