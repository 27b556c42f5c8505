//! Calls from guest to guest, as parts of the caller's transaction.
//!
//! ```text
//! caller (a command, request, message or call: a run in its space)
//!   │ guest.call                                the reply is in the log, a replay of the caller takes it from there
//!   v
//! Caller ── granted, no circle, not too deep ──> Joint: what the transaction has in other spaces
//!                                                  member: a transaction over one space, kept from call to call
//!                                                  runs: one for each call, over but without a fate
//!   ...
//! the caller's commit: Joint::join makes one proposal of all of it, with what was read in each space; the store lets it through if nothing of
//! that was written since, in one row that also ends the runs; else all of it is dropped, and the caller is executed again, and so is who it calls.
//! ```
//!
//! - **A call** is a fresh instance of a guest that was deployed as a handler, over the member's transaction, and a run with its own events:
//!   `call.begin` ([`Entry::Joined`](reel_abi::resident::Entry)), what it does, `call.return`, `run.end`. A trap, a limit, an abort or a returned error
//!   drops what it did, and what those did whom it called, and is an answer to the caller.
//! - **A later call** to the same guest sees what the ones before did. So a replay of it executes those before first, on the same transaction: `after`
//!   names the one before it in time, whatever became of it, and `standing` how many of them are not undone. What a call leaves behind beside its writes
//!   (what was captured of directories, numbers of files) is thereby the same as it was.
//! - **Savepoints** of the caller hold for the other spaces too: going back to one undoes the calls since.
//! - **What is dropped in the middle**, by a deadline or an interrupt further out, ends as far as its frames were closed. If that was further in than
//!   the deadline that fired, its transaction is gone with it, and the caller is stopped with the same limit.
//! - **After a crash** nothing of a joint is left. A run that goes on from its log and has called others is rolled back at its end.

mod caller;
mod execute;
mod guests;
mod joining;
mod joint;
mod replaying;

pub use guests::Guests;
pub(super) use joint::Joint;
pub(super) use replaying::{Again, Replaying, replay_joined};
