//! Reel's words, without I/O: ids, the vocabulary of host calls, events, frames, records, limits, and the codec of all of them.
//!
//! This crate never reads a clock, a file or an environment variable, and allocates nothing that its input has not paid for.

pub mod bytes;
pub mod content;
pub mod event;
pub mod faults;
pub mod frame;
pub mod http;
pub mod id;
pub mod joined;
pub mod limits;
pub mod message;
pub mod net;
pub mod outcome;
pub mod record;
pub mod reproducer;
pub mod resident;
pub mod trace;
pub mod types;
pub mod value;
pub mod vocabulary;
pub mod wire;

/// Format of logs and databases that this build writes. A newer one is refused, an older one is read.
pub const FORMAT: u32 = 1;
