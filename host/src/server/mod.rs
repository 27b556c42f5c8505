//! HTTP in front of the guests of a database.
//!
//! ```text
//! connection ──> routes ──> guest ──> runtime::handlers ──> answer, once it is durable
//! ```
//!
//! As many threads as the machine has cores take connections, each with an event loop of its own; a request is executed by the thread of its
//! connection, or at the home of its guest ([`homes`]). What is under way at once is bounded: who comes beyond it is told so (503) before anything is set aside for them.

mod answers;
mod connection;
mod front;
pub mod health;
mod homes;
mod metrics;
mod reply;
pub mod routes;
mod secure;
pub mod tally;
mod traces;

pub use front::{Front, FrontError, FrontSettings, Signposts};
