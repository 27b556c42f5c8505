//! `wasi:sockets`. What is behind these calls while a run lives is in [`crate::sockets`]; in a replay there is nothing, and the log says what came of them.
//!
//! Handles are made after a reply has told which they are, so that they are the same whether the reply comes from the world or from the log.

mod lookup;
mod network;
pub mod state;
mod streams;
mod tcp;
mod udp;
mod words;
