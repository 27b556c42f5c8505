//! Handlers: guests that answer each request with a fresh instance, as a transaction.
//!
//! ```text
//! request ──> guest of the route ──> run (again, if it was overtaken) ──> its end is durable ──> answer
//! ```
//!
//! An answer is shown to nobody before the row of the log that holds its run is on disk. A handler whose answer is a failure (5xx, an error, none)
//! commits nothing; the answer leaves all the same, once that is durable.

mod answering;
mod deploying;
mod going_on;
mod instances;
mod known;
pub(super) mod occasion;

pub use answering::{Answered, Arrived, HandleError, Handlers};
pub use deploying::DeployHandlerError;
pub use instances::{INSTANCES, Instances, OCCASIONS};
pub(super) use known::Known;
