//! Recorded runs against changed code: what would have become of them.
//!
//! ```text
//! run in the log
//!   │ replay, with the other component      the same to the end ──────────────────────────────> same
//!   v the first difference
//!   │ replay, as it was                     what it did to its space, said, sent, answered; what came in from others
//!   v
//!   │ retry, with the other component       gate/retry: from the log as long as it asks the same, then from what came in
//!   v
//! two sets of effects, compared ──> fixed, broken, outcome, effects, output; or new-request, cannot: stopped
//! ```
//!
//! - **The state** is that of the space when the run began: a view of that version, and a transaction over it that nobody commits. Payloads stay in
//!   memory ([`reel_store::Store::aside`]). Nothing is written, no name is made, no run is numbered.
//! - **The outside** is what the log tells of it (`gate/past.rs`, `world`): a request to others gets the answer that the same request had, and one that
//!   was never made is stopped before it leaves.
//! - **A resident** is what its life has made it: the other component lives that again, and where a call of it becomes another one, its memory is what
//!   that makes of it (`lives`).
//! - **What cannot be had** is said (`Verdict::Cannot`): a commit on the way after the record was left, more of a body than was read then, calls from
//!   guest to guest where they differ.

mod case;
mod effects;
mod lives;
mod one;
mod programs;
mod world;

pub use effects::{Answer, Changes, Two};
pub use one::{Retried, Retrier, Verdict};
pub use programs::Program;
