//! WASI translated into Reel's vocabulary: one file per interface, named as in `wit/`.
//!
//! Each function does the same: turn the arguments into a request, pass it through the gate, turn the reply into what the interface wants. No
//! function touches the world or the space but inside of a pass; a test reads these files and holds them to that.

pub mod bindings;
#[expect(clippy::module_inception, reason = "named as the interface is")]
pub mod calls;
mod cli;
mod clocks;
mod filesystem;
mod filesystem_types;
pub mod handles;
pub mod heard;
pub mod http;
mod io;
mod keyvalue;
mod keyvalue_draft;
mod keyvalue_guest;
mod keyvalue_store;
mod limiter;
mod messages;
pub mod messaging;
pub mod named;
mod poll;
mod random;
pub mod refused;
pub mod session;
pub mod sockets;
mod stdio;
mod streams;
mod transaction;
