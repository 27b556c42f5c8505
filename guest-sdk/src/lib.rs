//! What the author of a guest imports to speak of its transaction: buckets of keys and values, messages, calls of other guests, savepoints, commits on the way, and an
//! end that keeps nothing.
//!
//! Nothing of it is needed. An ordinary WASI program is a guest: its run is one transaction, and its exit code decides whether it commits. A
//! program that uses this crate runs only where the interfaces `reel:guest` and `wasi:keyvalue` are (`reel inspect` shows what a program
//! imports); built for anything but WebAssembly it compiles, and each call panics.
//!
//! What can be begun here is a closure, so that nothing can be left open.
//!
//! ```no_run
//! use std::error::Error;
//! use reel_guest::{Bucket, savepoint};
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let stock = Bucket::open("stock")?;
//!     let taken = savepoint(|| -> Result<(), Box<dyn Error>> {
//!         for part in ["frame", "wheel", "wheel"] {
//!             if stock.increment(part, -1)? < 0 {
//!                 return Err(format!("no {part} is left").into());
//!             }
//!         }
//!         Ok(())
//!     });
//!     match taken {
//!         Ok(()) => println!("a bicycle"),
//!         // The parts that were taken until then are back.
//!         Err(why) => println!("no bicycle: {why}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A transaction reads the space as it was when it began, with what it has written itself, and everything it does counts as done at one moment:
//! that of its commit. If another has changed by then what it read, it conflicts. So what would be a compare-and-swap elsewhere is here a
//! [`Bucket::get`] and a [`Bucket::set`].
//!
//! A panic ends a guest, within a closure as anywhere: it traps, and the host drops the open transaction.

mod bindings;
pub mod calls;
pub mod keyvalue;
pub mod messages;
pub mod transaction;

pub use calls::call;
pub use keyvalue::{Bucket, Past, Range, Scan};
pub use messages::Message;
pub use transaction::{Version, abort, commit, savepoint, transaction, version};
