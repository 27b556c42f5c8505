//! One process has the database open at a time. It does the commands of the others, over a socket beside the database: they send their arguments
//! and what they have brought along, and get back what the command writes and the code it ends with. `reel serve` does all of them; a process that
//! has something else to do those that look, and some that are done at once.
//!
//! ```text
//! request   length:4 | {"reel": version, "args": [...], "look": {...}, "brought": {...}, "program": [path, bytes]}        at most 16 MiB
//! answer    ( tag:1 | length:4 | bytes )*      1 = stdout, 2 = stderr, 3 = exit code (the last one), 4 = not served (the only one), 5 = it has begun,
//!                                              6 = the binary is wanted, 7 = signals are for the command now, 8 = stdin is wanted
//! meanwhile ( tag:1 | length:4 | bytes )*      8 = a piece of stdin, or its end, 9 = stdin cannot be read, 10 = stop; 1, 2 = the stream is closed
//! ```
//!
//! The binary follows its request, once it is wanted, without tag or length. Stdin comes a piece for each time that it is wanted, so that nothing is
//! taken from a terminal that no guest asked for.

mod asker;
mod client;
mod protocol;
mod server;

pub use asker::Asker;
pub use client::ask;
pub use server::serve;
