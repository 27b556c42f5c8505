//! Residents: guests that keep their memory between calls.
//!
//! ```text
//!   life    birth ── call ── call ── call        each a run, a transaction and a version of the space; a chain through `call.begin`
//!                             │                  committed calls only: what trapped or was overtaken never happened
//!                         checkpoint             memory pages, handles and what the host keeps, as cells of the space
//!
//!   awake   an instance in this process that has lived through the chain
//!   asleep  nothing but the space; waking = instantiate, put the checkpoint over it, replay the calls since
//! ```
//!
//! All that makes a resident lies in its space, so a fork or rollback of the space is one of the resident: whoever calls it next finds another
//! last call in the space than the instance has lived to, and wakes it anew. An instance is never the only place of anything.
//!
//! `household` keeps the instances, in its `habits`, `calling` makes a call a transaction, `waking` brings one back, `instance` is the engine's side of
//! one, `function` finds exports and reads their arguments, `deploying` puts a guest into its space, `cells` are what lies there,
//! `remembering` looks at memories of the past, `needed` says what of the past a resident is made of.

pub mod calling;
mod capture;
pub mod cells;
pub mod checkpoint;
pub mod cron;
pub mod delivery;
pub mod deploying;
pub(super) mod enact;
mod entering;
mod forking;
pub mod function;
pub mod going_on;
pub mod habits;
mod handing;
pub mod household;
pub(super) mod instance;
pub mod needed;
pub(crate) mod preparing;
pub mod queue;
pub mod receiving;
pub mod remembering;
pub(crate) mod replaying;
pub mod schedule;
mod seats;
mod table;
pub mod tending;
pub mod timers;
pub mod waking;

pub use calling::{CallError, CallReport, CallRequest};
pub use deploying::{DeployError, DeployRequest};
pub use habits::{Debt, Habits};
pub use household::Household;
pub use tending::Presence;
