//! The log and all state as tables of SQL, read by SQLite through virtual tables.
//!
//! Invariants:
//! - Nothing is written, and nothing but the tables can be reached: the connection is one in memory, and an authorizer refuses all but reading.
//! - A query sees one state: the runs that had begun, the rows of the log that were durable and the versions that were the newest when its view
//!   was opened, whatever is committed meanwhile. It takes no lock that a commit waits for.
//! - What a table hands to SQLite is never less than what was asked for: each condition is checked again there, so that pushing it down is only
//!   a matter of time.
//! - All of it is bounded: text, depth, memory, and time by whoever may cancel it.
//!
//! ```text
//! query ── SQLite ── vtab ── tables/<name>.rs ── View ── store
//!            │        │         └── walk: frames of the log, by time or by run; trail: what the handles of a run stand for
//!            │        └── which conditions and columns are wanted: Wanted
//!            └── authorizer, limits, progress
//! ```

mod error;
mod query;
mod runs_where;
pub mod table;
mod tables;
pub mod times;
mod trail;
pub mod values;
mod view;
mod vtab;
mod walk;
mod wanted;

pub use error::SqlError;
pub use query::{Query, schema};
pub use runs_where::runs_where;
pub use table::{Column, Table};
pub use tables::ALL;
pub use view::View;
