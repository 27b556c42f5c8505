//! The real world: the only part of Reel with ambient authority (clocks, entropy, terminals, host files).
//!
//! Everything in here implements a port of [`crate::port`] or is asked for by the command line; nothing in here decides anything.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "this is the one module that may touch the world"
)]

pub mod certificates;
pub mod client;
pub mod clock;
pub mod console;
pub mod disk;
pub mod entropy;
pub mod export;
pub mod hostdir;
pub mod incoming;
pub mod listening;
pub mod net;
pub mod process;
pub mod scratch;
pub mod signals;
pub mod socket;
pub mod terminal;
