//! What can be done with guests: run them as transactions, replay them, look at what they did.
//!
//! ```text
//!  bytes ──prepare──> component ──drive──> outcome ──conclude──> commit or abort, outbox
//!                                   │
//!                                 session: gate (live | replay | resume), files, console
//! ```

mod again;
pub mod cells;
mod closing;
mod commit_point;
pub mod diff;
pub mod diff_messages;
pub mod drive;
pub mod engines;
pub mod examine;
pub mod files_at;
pub mod handlers;
pub mod import;
pub mod joined;
pub mod keys_at;
mod landed;
pub mod named;
pub mod outbox;
pub mod past;
pub mod paths;
pub mod prepare;
pub mod reached;
pub mod recall;
pub mod replay;
pub mod reproduce;
pub mod resident;
pub mod retry;
pub mod run;
mod session;
mod sink;
mod source;
pub mod subscribers;
pub mod target;
pub mod turns;

pub use engines::Engines;
pub use replay::{ReplayReport, ReplayRequest, Verdict, replay};
pub use run::{HttpWorld, RunError, RunReport, RunRequest, Surroundings, run, run_prepared};
