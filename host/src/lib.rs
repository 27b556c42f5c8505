//! Reel: a host that runs WebAssembly guests as database transactions and can replay every one of them.
//!
//! Low to high, and arrows only point down: [`net`] (what of the network a guest was granted) ·
//! [`port`] (what lies outside, as traits) · [`sockets`] (those of a guest) · [`gate`] (the one door for host calls) ·
//! [`txn`] (what the open transaction has changed) · [`world`] (the only part with ambient authority) · [`calls`] (WASI translated
//! into Reel's vocabulary) · [`engine`] (the only wasmtime configuration) · [`runtime`] (run, replay, resume, commit) · [`sql`]
//! (all of it as tables) · [`lineage`] (where values come from) · [`debug`] (stepping through a run) · [`cli`].

pub mod calls;
pub mod cli;
pub mod debug;
pub mod engine;
pub mod gate;
pub mod lineage;
pub mod net;
pub mod port;
pub mod runtime;
pub mod server;
pub mod sockets;
pub mod sql;
pub mod txn;
pub mod world;
