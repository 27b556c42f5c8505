//! The store from outside: against a model, under damage, under crashes, under load.
#![allow(clippy::unwrap_used, clippy::disallowed_macros, clippy::disallowed_methods)]

mod backups;
mod blobs;
mod branches;
mod callbacks;
mod concurrency;
mod crash;
mod damage;
mod flat;
mod interleavings;
mod isolation;
mod model;
mod opening;
mod ordered;
mod ordered_model;
mod retention;
mod runs;
mod scans;
mod several;
mod support;
mod txn;
