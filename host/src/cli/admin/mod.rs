//! One process has the database open at a time. It serves the others that only want to read, over a socket beside the database: they send
//! their arguments, and get back what the command writes and the code it ends with.
//!
//! ```text
//! request   length:4 | {"reel": version, "args": [...], "look": {...}}        at most 16 MiB
//! answer    ( tag:1 | length:4 | bytes )*      1 = stdout, 2 = stderr, 3 = exit code (the last one), 4 = not served (the only one)
//! ```

mod client;
mod protocol;
mod server;

pub use client::ask;
pub use server::{serve, serve_opened};
