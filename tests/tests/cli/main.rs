//! The command line, as a user meets it: every command with what it prints, what it says and how it ends.

mod backups;
mod bad_input;
mod copies;
mod following;
mod guests;
mod help;
mod looking;
mod memory;
mod outbox;
mod pipes;
mod residents;
mod running;
mod served;
mod sharing;
mod spaces;
