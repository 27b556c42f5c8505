//! The open transaction: what a run has changed and nobody else can see yet.
//!
//! ```text
//!  guest path ──resolve──> place (tree, node) ──tree──> overlay of this run
//!                                                        └─ lower: the space at its version, or a host directory as captured
//!  bucket, key ────────────────────> buckets ──────────> overlay of this run
//!                                                        └─ the space at its version, every read noted (snapshot)
//!  all of it: transaction ── savepoints, proposal, the next transaction
//! ```
//!
//! Pure but for the lower layers: it never reads a clock (times come through the gate) and never writes to the world. What it has changed
//! becomes cells of the space and entries of the outbox in [`staged`], and nothing else leaves it.

pub mod blocks;
pub mod buckets;
pub mod fault;
pub mod files;
mod files_names;
mod files_open;
mod journal;
pub mod lower;
pub mod messages;
pub mod node;
pub mod resolve;
pub mod snapshot;
pub mod staged;
pub mod transaction;
pub mod tree;
pub mod values;
