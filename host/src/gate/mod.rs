//! The gate: the one door between a guest and everything else.
//!
//! Every host call, of whatever interface, goes through [`Gate::pass`] (or [`Gate::pass_async`], the same for calls that wait). Live, replay and
//! resume are three modes of that one path (and [`retry`] is a fourth, for another component in the place of a recorded one):
//!
//! ```text
//!                 request                 live                       replay                          resume
//!  guest ──────────────────────> gate   do it, record it    observe, talk: reply from the log     as replay to the end
//!        <────────────────────── reply                      read, stage: do it again, compare     of the log, then live
//! ```
//!
//! A call may pass the gate again while it is being done (a file opened in a host directory looks at the host): the inner event then
//! comes before the outer one, live and in a replay alike.

pub mod commit;
pub mod cursor;
pub mod divergence;
pub mod halt;
mod passage;
pub mod past;
pub mod recorder;
mod retry;

pub use halt::Halt;
pub use passage::{Gate, GateSettings, Hears, Mode, Usage};
pub use retry::Retry;
