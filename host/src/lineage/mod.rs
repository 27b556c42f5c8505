//! Where a value comes from, and where it went: the runs and events that wrote it, what they had read before, who sent and who called, and the same
//! the other way round. It only reads the log and the spaces, and prints nothing.
//!
//! ```text
//! why       value ── written by ──> run, event ── had read ──> value ── written by ──> ...
//!                                        └── sent by, called by, after ──> run ── had read ──> ...
//! impact    value ── read by ──> run, event ── wrote after ──> value ── read by ──> ...
//! ```
//!
//! That a run has read something before it wrote says that it may have gone by it, not that it did.

mod graph;
mod impact;
mod touches;
mod why;

pub use graph::{Bounds, Edge, Graph, Name, Node, What};
pub use impact::impact;
pub use why::{LineageError, why};
