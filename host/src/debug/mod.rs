//! Stepping through a run, forward and backward: its events, and at each of them the space as it stood there, what the run had said, and its memory.
//! Nothing here knows of a terminal, and nothing here changes the database.
//!
//! ```text
//!  timeline   frames of the log, opened when they are looked at         an event, its time
//!  chronicle  one pass over the events                                  who wrote which name when, what was said until where
//!  past       a transaction that does again what the events say          files and keys at an event; back by its own savepoints
//!  payloads   one replay                                                the bytes that events only have digests of
//! ```

mod chronicle;
mod deed;
mod earlier;
mod enacting;
mod error;
mod hand;
mod memory;
mod name;
mod past;
mod payloads;
mod search;
mod stop;
mod timeline;

pub use chronicle::{Chronicle, Said};
pub use error::DebugError;
pub use memory::Memory;
pub use name::Name;
pub use past::{Past, Thing};
pub use payloads::Payloads;
pub use search::{Found, Quest};
pub use stop::{Again, Debugger, Held, Stop};
pub use timeline::Timeline;
