//! `wasi:http`: requests that a guest answers, and requests that it makes.
//!
//! Messages are plain data behind handles. A body that comes in is read from a port, piece by piece, each an event; one that goes out is collected
//! here until it may leave: an answer with the commit, a request to others once it is durable that it will be sent.

mod bodies;
mod fields;
mod messages;
pub mod outgoing_handler;
mod outparam;
pub mod state;
mod words;
