//! The command line as a whole: what there is, and what runs it.

use std::ffi::OsString;
use std::io::Write;
use std::panic;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reel_store::Store;

use super::database::{DatabaseArgs, Opened, Running};
use super::escape::Safe;
use super::exit::{self, Exit};
use super::failure::Failure;
use super::io::{Io, with_streams};
use super::{
    admin, call, checkpoint, compact, completions, deploy, diff, fork, fs, gc, history, inspect, kv, log, memory,
    outbox, ps, replay, resume, rollback, run, runs, serve, show, spaces, stop, tag, verify,
};
use crate::world::process;

/// Runs WebAssembly programs as transactions, records all they do, and replays it exactly
#[derive(Debug, Parser)]
#[command(name = "reel", version, after_help = exit::HELP, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Deploy(Box<deploy::Args>),
    Call(call::Args),
    Ps(ps::Args),
    Memory(memory::Args),
    Checkpoint(checkpoint::Args),
    Stop(stop::StopArgs),
    Start(stop::StartArgs),
    Serve(serve::Args),
    Runs(runs::Args),
    Log(log::Args),
    Show(show::Args),
    Replay(replay::Args),
    Resume(resume::Args),
    Spaces(spaces::Args),
    History(history::Args),
    Diff(diff::Args),
    Fork(fork::Args),
    Rollback(rollback::Args),
    Tag(tag::Args),
    Fs(fs::Args),
    Kv(kv::Args),
    Outbox(outbox::Args),
    Verify(verify::Args),
    Gc(gc::Args),
    Compact(compact::Args),
    Inspect(inspect::Args),
    Completions(completions::Args),
}

/// The program `reel`.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("no words");
        if reel_store::tells_panics() {
            tracing::debug!("caught where a file is read: {what}{place}");
            return;
        }
        let text = format!("error: this is a defect of reel, please report it: {}{place}\n", Safe(what));
        drop(std::io::stderr().write_all(text.as_bytes()));
    }));
    // Dropping the database, too, may panic: all of it is inside.
    let exit = panic::catch_unwind(|| start(process::args())).unwrap_or(Exit::HOST);
    exit.into()
}

fn start(args: Vec<OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::USAGE } else { Exit::OK };
            drop(error.print());
            return exit;
        }
    };
    super::trace::install();
    let (exit, flushed) = with_streams(|io| {
        let done = cli.execute(io);
        shown(done, io)
    });
    match flushed.map_err(Failure::from) {
        Err(failure) if !failure.is_silent() => {
            drop(with_streams(|io| failure.show(io)));
            failure.exit()
        }
        _ => exit,
    }
}

/// The code of a command that is over; a failure has been shown.
fn shown(done: Result<Exit, Failure>, io: &mut Io<'_>) -> Exit {
    done.unwrap_or_else(|failure| {
        failure.show(io);
        failure.exit()
    })
}

/// What came of asking for the database.
enum Access {
    Opened(Opened),
    Answered(Result<Exit, Failure>),
}

impl From<Store> for Access {
    fn from(store: Store) -> Self {
        Self::Opened(store.into())
    }
}

impl Cli {
    /// The command of another process, if its arguments make sense.
    pub fn parse(args: &[String]) -> Option<Self> {
        Self::try_parse_from(std::iter::once("reel").chain(args.iter().map(String::as_str))).ok()
    }

    /// Whether this command is done for another process.
    pub fn is_served(&self, household: bool) -> bool {
        match &self.command {
            Command::Call(_) | Command::Checkpoint(_) | Command::Stop(_) | Command::Start(_) => household,
            // It compiles and replays, which only those do for others who keep guests awake.
            Command::Memory(_) => household,
            Command::Runs(_) | Command::Log(_) | Command::Show(_) | Command::Spaces(_) => true,
            Command::Fork(_) | Command::Rollback(_) | Command::Tag(_) => true,
            Command::History(_) | Command::Diff(_) | Command::Kv(_) | Command::Ps(_) => true,
            Command::Fs(args) => args.only_reads(),
            Command::Run(_) | Command::Replay(_) | Command::Resume(_) | Command::Verify(_) => false,
            Command::Inspect(_) | Command::Completions(_) | Command::Outbox(_) => false,
            Command::Gc(_) | Command::Compact(_) | Command::Deploy(_) | Command::Serve(_) => false,
        }
    }

    /// Whether it makes no difference if it is done twice: it only reads.
    pub fn may_be_repeated(&self) -> bool {
        let call =
            matches!(&self.command, Command::Call(_) | Command::Checkpoint(_) | Command::Stop(_) | Command::Start(_));
        !call && !matches!(&self.command, Command::Fork(_) | Command::Rollback(_) | Command::Tag(_))
    }

    /// Does the command for another process, up to showing its failure; nothing if it is not served.
    pub fn answer(&self, database: &Opened, io: &mut Io<'_>) -> Option<Exit> {
        let done = self.read(database, io)?;
        Some(shown(done, io))
    }

    fn read(&self, database: &Opened, io: &mut Io<'_>) -> Option<Result<Exit, Failure>> {
        match &self.command {
            Command::Runs(args) => Some(runs::execute(args, database, io)),
            Command::Log(args) => Some(log::execute(args, database, io)),
            Command::Show(args) => Some(show::execute(args, database, io)),
            Command::Spaces(args) => Some(spaces::execute(args, database, &self.database.flag(), io)),
            Command::History(args) => Some(history::execute(args, database, io)),
            Command::Diff(args) => Some(diff::execute(args, database, io)),
            Command::Call(args) => Some(call::execute(args, database, &self.database.flag(), io)),
            Command::Checkpoint(args) => Some(checkpoint::execute(args, database, io)),
            Command::Stop(args) => Some(stop::stop(args, database, io)),
            Command::Start(args) => Some(stop::start(args, database, io)),
            Command::Ps(args) => Some(ps::execute(args, database, io)),
            Command::Memory(args) => Some(memory::execute(args, database, io)),
            Command::Kv(args) => Some(kv::execute(args, database, io)),
            Command::Fork(args) => Some(fork::execute(args, database, &self.database.flag(), io)),
            Command::Rollback(args) => Some(rollback::execute(args, database, &self.database.flag(), io)),
            Command::Tag(args) => Some(tag::execute(args, database, &self.database.flag(), io)),
            Command::Fs(args) => args.read(database, io),
            Command::Run(_) | Command::Replay(_) | Command::Resume(_) | Command::Verify(_) => None,
            Command::Inspect(_) | Command::Completions(_) | Command::Outbox(_) => None,
            Command::Gc(_) | Command::Compact(_) | Command::Deploy(_) | Command::Serve(_) => None,
        }
    }

    fn execute(&self, io: &mut Io<'_>) -> Result<Exit, Failure> {
        match &self.command {
            Command::Run(args) => run::execute(args, &self.database, io),
            Command::Deploy(args) => deploy::execute(args, &self.database, io),
            Command::Serve(args) => serve::execute(args, &self.database, io),
            Command::Replay(args) => replay::execute(args, &self.database, io),
            Command::Resume(args) => resume::execute(args, &self.database, io),
            Command::Verify(args) => verify::execute(args, &self.database, io),
            Command::Outbox(args) => outbox::execute(args, &self.database, io),
            Command::Gc(args) => gc::execute(args, &self.database, io),
            Command::Compact(args) => compact::execute(args, &self.database, io),
            Command::Inspect(args) => inspect::execute(args, io),
            Command::Completions(args) => completions::execute(args, io),
            Command::Fs(args) if !args.only_reads() => args.execute(&self.database, io),
            _ => self.read_or_ask(io),
        }
    }

    /// Reads the database, or lets the process read that has it open.
    fn read_or_ask(&self, io: &mut Io<'_>) -> Result<Exit, Failure> {
        let dir = self.database.dir();
        match self.database.open_or(io, |io| admin::ask(&dir, io).map(Access::Answered))? {
            Access::Answered(done) => done,
            Access::Opened(database) => {
                // A pager may hold this command, and the database with it, for as long as somebody reads.
                let _server = admin::serve(&database.store, Running::default());
                self.read(&database, io).unwrap_or(Ok(Exit::HOST))
            }
        }
    }
}
