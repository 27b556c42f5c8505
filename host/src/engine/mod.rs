//! The only place that configures wasmtime, compiles with it and links to it; the only `unsafe` code of Reel is in [`memory`],
//! `mapping`, `pagemap` and [`cache`].
//!
//! It knows nothing of the log: what a guest may call is handed in as [`crate::calls`], and what came of a call is handed out as data.

pub mod cache;
pub mod component;
pub mod config;
mod exit_code;
pub mod image;
pub mod inspect;
pub mod instrument;
pub mod linking;
mod mapping;
pub mod memory;
mod pagemap;
pub mod resident;
pub mod tracker;
