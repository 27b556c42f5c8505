//! The command line: one file per command, and the only part of Reel that prints.
//!
//! Commands write data to one stream and talk to another ([`io`]), fail with a page ([`failure`]) and end with a code of one table ([`exit`]).
//! Those that only read are functions of a database and two streams, so that a process that has the database open can serve others
//! ([`admin`]).

mod admin;
mod app;
mod brought;
mod call;
mod cargo;
mod checkpoint;
mod compact;
mod completions;
mod copies;
mod database;
mod dates;
mod debug;
mod deploy;
mod describe;
mod diff;
mod divergence;
mod escape;
mod exit;
mod export;
mod failure;
mod follow;
mod fork;
mod fs;
mod gc;
mod grants;
mod hexdump;
mod history;
mod ids;
mod impact;
mod import;
mod inspect;
mod io;
mod json;
mod kv;
mod limits;
mod lineage;
mod live;
mod log;
mod marks;
mod memory;
mod moment;
mod near;
mod outbox;
mod program;
mod progress;
mod ps;
mod queue;
mod replay;
mod residents;
mod resume;
mod retry;
mod rollback;
mod run;
mod runs;
mod serve;
mod serving;
mod show;
mod spaces;
mod sql;
mod state;
mod stop;
mod style;
mod table;
mod tag;
mod trace;
mod trapped;
mod units;
mod verify;
mod when;
mod why;

pub use app::main;
