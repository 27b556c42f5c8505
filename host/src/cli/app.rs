//! The command line as a whole: what there is, and what runs it.

use std::ffi::OsString;
use std::io::Write;
use std::panic;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reel_store::Store;

use super::brought::Brought;
use super::database::{DatabaseArgs, Opened};
use super::escape::Safe;
use super::exit::{self, Exit};
use super::failure::Failure;
use super::io::{Io, with_streams};
use super::{
    admin, backup, call, checkpoint, compact, completions, debug, deploy, diff, export, follow, fork, fs, gc, history,
    impact, import, inspect, kv, log, memory, outbox, ps, queue, replay, restore, resume, retry, rollback, run, runs,
    serve, show, spaces, sql, stop, tag, verify, why,
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
    /// What another process is asked for, if it is not what this one was.
    #[arg(skip)]
    said: Option<Vec<String>>,
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
    Sql(sql::Args),
    Show(show::Args),
    Debug(debug::Args),
    Replay(replay::Args),
    Retry(Box<retry::Args>),
    Resume(resume::Args),
    Export(export::Args),
    Import(import::Args),
    Spaces(spaces::Args),
    History(history::Args),
    Diff(diff::Args),
    Why(why::Args),
    Impact(impact::Args),
    Fork(fork::Args),
    Rollback(rollback::Args),
    Tag(tag::Args),
    Fs(fs::Args),
    Kv(kv::Args),
    Queue(queue::Args),
    Outbox(outbox::Args),
    Verify(verify::Args),
    Gc(gc::Args),
    Compact(compact::Args),
    Backup(backup::Args),
    Restore(restore::Args),
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

    /// Whether this command is done for another process by one that has this.
    pub fn is_served(&self, database: &Opened) -> bool {
        match &self.command {
            Command::Runs(_) | Command::Log(_) | Command::Show(_) | Command::Spaces(_) | Command::Sql(_) => true,
            Command::Fork(_) | Command::Rollback(_) | Command::Tag(_) => true,
            Command::History(_) | Command::Diff(_) | Command::Kv(_) | Command::Ps(_) => true,
            Command::Why(_) | Command::Impact(_) | Command::Debug(_) => true,
            Command::Queue(args) if args.only_reads() => true,
            Command::Fs(args) if args.only_reads() => true,
            Command::Serve(_) | Command::Restore(_) | Command::Inspect(_) | Command::Completions(_) => false,
            // They compile, take long or change much, which only those do for others who have nothing else to do.
            _ => database.serving.is_some(),
        }
    }

    /// Whether it may take as long as it likes.
    pub fn is_lasting(&self) -> bool {
        match &self.command {
            Command::Log(args) => args.follows(),
            Command::Sql(_) | Command::Debug(_) => true,
            Command::Run(_) | Command::Call(_) | Command::Resume(_) | Command::Deploy(_) | Command::Replay(_) => true,
            Command::Export(_) | Command::Import(_) | Command::Why(_) | Command::Impact(_) => true,
            Command::Retry(_) | Command::Verify(_) | Command::Gc(_) | Command::Compact(_) | Command::Stop(_) => true,
            Command::Backup(_) => true,
            Command::Fs(args) => !args.only_reads(),
            _ => false,
        }
    }

    /// Whether it makes no difference if it is done twice: it only reads.
    pub fn may_be_repeated(&self) -> bool {
        match &self.command {
            Command::Queue(args) => args.only_reads(),
            Command::Fs(args) => args.only_reads(),
            Command::Spaces(args) => args.only_reads(),
            Command::Debug(args) => args.only_reads(),
            Command::Runs(_) | Command::Log(_) | Command::Show(_) | Command::Ps(_) | Command::Sql(_) => true,
            Command::History(_) | Command::Diff(_) | Command::Kv(_) | Command::Memory(_) => true,
            Command::Why(_) | Command::Impact(_) => true,
            Command::Replay(_) | Command::Retry(_) | Command::Verify(_) | Command::Backup(_) => true,
            Command::Inspect(_) | Command::Completions(_) => true,
            Command::Call(_) | Command::Checkpoint(_) | Command::Stop(_) | Command::Start(_) => false,
            Command::Fork(_) | Command::Rollback(_) | Command::Tag(_) | Command::Run(_) | Command::Deploy(_) => false,
            Command::Resume(_) | Command::Outbox(_) | Command::Gc(_) | Command::Compact(_) => false,
            Command::Serve(_) | Command::Export(_) | Command::Import(_) | Command::Restore(_) => false,
        }
    }

    /// Whether others than before may be there after it, or be something else.
    fn changes_guests(&self) -> bool {
        match &self.command {
            Command::Deploy(_) | Command::Fork(_) | Command::Rollback(_) => true,
            Command::Spaces(args) => !args.only_reads(),
            Command::Debug(args) => !args.only_reads(),
            _ => false,
        }
    }

    /// Does the command for another process, up to showing its failure.
    pub fn answer(&self, brought: Brought, database: &Opened, io: &mut Io<'_>) -> Exit {
        let done = self.carry_out(brought, database, io);
        if let (Some(serving), true) = (&database.serving, self.changes_guests()) {
            serving.look_again(&database.store);
        }
        shown(done, io)
    }

    fn execute(&self, io: &mut Io<'_>) -> Result<Exit, Failure> {
        match &self.command {
            Command::Serve(args) => serve::execute(args, &self.database, io),
            Command::Restore(args) => restore::execute(args, &self.database, io),
            Command::Inspect(args) => inspect::execute(args, io),
            Command::Completions(args) => completions::execute(args, io),
            Command::Replay(args) if args.is_of_file() => replay::execute_file(args, io),
            Command::Log(args) if args.follows_all() => follow::ask(&self.database, io),
            Command::Sql(args) => self.ask_in_sql(args, io),
            Command::Debug(args) => args.check(io.look).and_then(|()| self.do_or_ask(io)),
            _ => self.do_or_ask(io),
        }
    }

    fn ask_in_sql(&self, args: &sql::Args, io: &mut Io<'_>) -> Result<Exit, Failure> {
        if let Some(done) = args.early(io) {
            return done;
        }
        if args.converses() {
            return sql::converse(args.mode(), io, &mut |text, mode, io| {
                let args = sql::Args::of(text, mode);
                let said = Some(args.said());
                Self { database: self.database.clone(), command: Command::Sql(args), said }.do_or_ask(io)
            });
        }
        args.with_out(io, |io| self.do_or_ask(io))
    }

    /// Does it with the database, or lets the process do it that has it open.
    fn do_or_ask(&self, io: &mut Io<'_>) -> Result<Exit, Failure> {
        let mut brought = self.bring()?;
        let dir = self.database.dir();
        let ask = |io: &mut Io<'_>| admin::ask(&dir, self.said.as_deref(), &mut brought, io).map(Access::Answered);
        let database = match self.database.open_or(self.makes_database(), io, ask) {
            Ok(Access::Answered(done)) => return done,
            Ok(Access::Opened(database)) => database,
            Err(error) => match &self.command {
                Command::Verify(args) => return verify::unopened(args, error, io),
                _ => return Err(error.into()),
            },
        };
        // A pager may hold this command, and the database with it, for as long as somebody reads.
        let server = admin::serve(&database);
        let done = self.carry_out(brought, &database, io);
        drop(server);
        done
    }

    /// Whether it makes the database if there is none.
    fn makes_database(&self) -> bool {
        match &self.command {
            Command::Run(_) | Command::Deploy(_) | Command::Import(_) => true,
            Command::Fs(args) => args.makes_database(),
            _ => false,
        }
    }

    /// What it needs of the place where it was given.
    fn bring(&self) -> Result<Brought, Failure> {
        match &self.command {
            Command::Run(args) => args.bring(),
            Command::Deploy(args) => args.bring(),
            Command::Replay(args) => args.bring(),
            Command::Retry(args) => args.bring(),
            Command::Export(args) => args.bring(),
            Command::Import(args) => args.bring(),
            Command::Fs(args) => args.bring(),
            Command::Queue(args) => args.bring(),
            Command::Backup(_) => Brought::place(),
            _ => Ok(Brought::default()),
        }
    }

    fn carry_out(&self, brought: Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
        let flag = &self.database.flag();
        match &self.command {
            Command::Run(args) => run::execute(args, brought, database, flag, io),
            Command::Deploy(args) => deploy::execute(args, brought, database, flag, io),
            Command::Runs(args) => runs::execute(args, database, io),
            Command::Log(args) => log::execute(args, database, io),
            Command::Sql(args) => sql::execute(args, database, io),
            Command::Show(args) => show::execute(args, database, io),
            Command::Debug(args) => debug::execute(args, database, flag, io),
            Command::Spaces(args) => spaces::execute(args, database, flag, io),
            Command::History(args) => history::execute(args, database, io),
            Command::Diff(args) => diff::execute(args, database, io),
            Command::Why(args) => why::execute(args, database, io),
            Command::Impact(args) => impact::execute(args, database, io),
            Command::Call(args) => call::execute(args, database, flag, io),
            Command::Checkpoint(args) => checkpoint::execute(args, database, io),
            Command::Stop(args) => stop::stop(args, database, io),
            Command::Start(args) => stop::start(args, database, io),
            Command::Ps(args) => ps::execute(args, database, io),
            Command::Memory(args) => memory::execute(args, database, io),
            Command::Kv(args) => kv::execute(args, database, io),
            Command::Queue(args) => queue::execute(args, brought, database, io),
            Command::Fork(args) => fork::execute(args, database, flag, io),
            Command::Rollback(args) => rollback::execute(args, database, flag, io),
            Command::Tag(args) => tag::execute(args, database, flag, io),
            Command::Fs(args) => args.execute(&brought, database, io),
            Command::Replay(args) => replay::execute(args, brought, database, io),
            Command::Retry(args) => retry::execute(args, brought, database, io),
            Command::Export(args) => export::execute(args, &brought, database, io),
            Command::Import(args) => import::execute(args, brought, database, io),
            Command::Resume(args) => resume::execute(args, database, flag, io),
            Command::Verify(args) => verify::execute(args, database, io),
            Command::Outbox(args) => outbox::execute(args, database, io),
            Command::Gc(args) => gc::execute(args, database, flag, io),
            Command::Compact(args) => compact::execute(args, database, io),
            Command::Backup(args) => backup::execute(args, &brought, database, io),
            Command::Serve(_) | Command::Restore(_) | Command::Inspect(_) | Command::Completions(_) => {
                Err(Failure::new(Exit::HOST, "this command needs no database that is open"))
            }
        }
    }
}
