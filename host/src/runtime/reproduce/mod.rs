//! One-file reproducers: a run with exactly what it read, out of one database and into another.
//!
//! ```text
//! run ──replay through a handle that notes──> what it read ──> file ──check──> a space of its own, and the run in it
//!                                                                                  │
//!                                    replay: the space under the names and numbers of there (`origin`)
//! ```
//!
//! A file is somebody else's: nothing of it is believed before `checking` has seen all of it, and nothing is written before that.

mod checking;
mod finding;
pub mod origin;
mod putting;
mod redacting;
mod swapping;
mod taking;

pub use checking::{BadFile, Checked, check};
pub use origin::origin;
pub use putting::{Imported, PutError, put};
pub use redacting::{Redaction, Unredacted};
pub use taking::{ExportError, ExportRequest, export};
