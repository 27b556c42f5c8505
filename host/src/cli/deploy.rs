//! `reel deploy`: puts a guest into a space, to be called.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use reel_abi::id::{RunId, SpaceName, Version};
use reel_abi::outcome::Disposition;
use reel_abi::resident::OnCrash;
use reel_store::Store;
use serde::Serialize;

use super::brought::Brought;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::grants::{DirArg, EnvArg};
use super::io::Io;
use super::json;
use super::limits::LimitArgs;
use super::live;
use super::program::{self, Program};
use super::residents::{farewell, handlers, interrupt, route_taken, with_household};
use super::retry::{ChooseArgs, HowArgs, RunsArg, To, Wish, Word, retry};
use super::units::Span;
use crate::engine::inspect::inspect;
use crate::net::grants::Grant;
use crate::port::Clock;
use crate::runtime::resident::DeployRequest;
use crate::runtime::resident::cells::guests;
use crate::runtime::resident::deploying::Wanted;
use crate::runtime::resident::schedule::Schedule;
use crate::runtime::target::is_handler;
use crate::server::routes::Route;
use crate::txn::messages::check_topic;
use crate::world::clock::HostClock;

/// Put a component into a space as a guest that stays: it keeps its memory between calls, and each call is a transaction
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel deploy counter.wasm --as counter
  reel deploy ./my-package --as session --memory 256MiB --on-crash resume
It prints the version of the space that the guest begins with (counter@1). The limits hold for each call; those of memory, tables and handles also for \
what stays between calls. While `reel serve` runs, it takes the guest up at once: requests that come after this get the new one. If the guest cannot be \
born, nothing has changed, and the exit code says why (118 to 125, as for `reel run`). With --check, it is also 13 if a run would become something \
else, and 11 if that cannot be told.")]
pub struct Args {
    /// A .wasm file (a WASI 0.2 component, or a WASI preview 1 module), or the directory of a Cargo package to build
    #[arg(value_name = "APP.wasm|DIR")]
    program: PathBuf,
    /// Name of the guest, and of its space. One that is there gets the new component and begins a new life, its files and buckets stay
    #[arg(long = "as", value_name = "NAME")]
    name: SpaceName,
    /// Whether it keeps its memory between calls (resident), or a fresh instance answers each request (handler) [default: handler if it exports
    /// wasi:http/incoming-handler, else resident]
    #[arg(long, value_name = "KIND")]
    kind: Option<KindArg>,
    /// Which requests it answers when `reel serve` listens: `/PATH`, or `HOST/PATH`, and all below it [default: / if it can answer requests]
    #[arg(long = "route", value_name = "[HOST]/PATH")]
    routes: Vec<Route>,
    /// What becomes of a call that a crash of the host cut off: it is rolled back, or `reel serve` or the next `reel call` of the guest goes on with
    /// it where its log ends. A call that sleeps goes on in any case
    #[arg(long, value_name = "WHAT", default_value = "abort")]
    on_crash: OnCrashArg,
    /// Lay a directory of the host under the guest's tree; `:ro` for reading only. What the guest writes reaches it after the commit
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro]")]
    dirs: Vec<DirArg>,
    /// Let the guest reach a place in the network: HOST is a name, *.NAME, an address, a block such as 10.0.0.0/8, or *; PORT a number or *. With
    /// `listen:` before it, let it listen at that address. It has no other network
    #[arg(long, value_name = "[listen:]HOST:PORT")]
    net: Vec<Grant>,
    /// Let the guest call another by its name, as a part of its transaction; repeat it for several. It can call no others
    #[arg(long = "call", value_name = "GUEST")]
    calls: Vec<SpaceName>,
    /// Set an environment variable of the guest, or hand on the host's. It has no others
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvArg>,
    /// Send it the messages of a topic: they are taken by its function `receive` of `reel:guest/inbox`, or by FUNCTION, which has one parameter: a
    /// string, list<u8> or record. While `reel serve` runs, they are delivered
    #[arg(long = "subscribe", value_name = "TOPIC[=FUNCTION]")]
    subscriptions: Vec<SubscribeArg>,
    /// How often a message is tried before it is a dead letter
    #[arg(long, value_name = "N", default_value = "8", requires = "subscriptions")]
    attempts: NonZeroU32,
    /// Call it again and again while `reel serve` runs: after each span of time, `"10s tick()"`, or with a message to itself, `"1h send TOPIC PAYLOAD"`
    #[arg(long, value_name = "TIME CALL")]
    every: Vec<EveryArg>,
    /// The same at the times of a line of a crontab, in UTC: `"*/5 * * * * tick()"`, `"0 8 * * mon-fri send TOPIC PAYLOAD"`. Times that were missed are
    /// made up for by one call
    #[arg(long, value_name = "CRONTAB")]
    cron: Vec<CronArg>,
    /// First execute these runs of the guest with the new component, as `reel retry` does, and deploy it only if all of them become the same: last:1000
    #[arg(long, value_name = "RUNS")]
    check: Option<RunsArg>,
    /// What those runs may become beside the same; several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', requires = "check")]
    allow: Vec<Word>,
    /// Which program of a Cargo package with several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    Resident,
    Handler,
}

/// A topic, and the function that takes its messages.
#[derive(Debug, Clone)]
struct SubscribeArg {
    topic: String,
    function: Option<String>,
}

impl FromStr for SubscribeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, function) = match text.rsplit_once('=') {
            Some((topic, function)) => (topic, Some(function.to_owned())),
            None => (text, None),
        };
        check_topic(topic).map_err(|fault| fault.to_string())?;
        if function.as_deref() == Some("") {
            return Err("the function has no name: write TOPIC or TOPIC=FUNCTION".to_owned());
        }
        Ok(Self { topic: topic.to_owned(), function })
    }
}

/// A span of time, and what is done after each.
#[derive(Debug, Clone)]
struct EveryArg(Schedule);

impl FromStr for EveryArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (span, call) = text.trim().split_once(' ').ok_or("write TIME CALL, for example \"10s tick()\"")?;
        Schedule::every(span.parse::<Span>()?.millis, call).map(Self)
    }
}

/// A line of a crontab.
#[derive(Debug, Clone)]
struct CronArg(Schedule);

impl FromStr for CronArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Schedule::cron(text).map(Self)
    }
}

impl Args {
    fn schedules(&self) -> Vec<Schedule> {
        let every = self.every.iter().map(|EveryArg(schedule)| schedule.clone());
        every.chain(self.cron.iter().map(|CronArg(schedule)| schedule.clone())).collect()
    }

    fn subscriptions(&self) -> Vec<Wanted> {
        let wanted = |SubscribeArg { topic, function }: &SubscribeArg| Wanted {
            topic: topic.clone(),
            function: function.clone(),
            attempts: self.attempts.get(),
        };
        self.subscriptions.iter().map(wanted).collect()
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OnCrashArg {
    Abort,
    Resume,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    version: u64,
    run: u64,
    component: String,
}

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        self.limits.limits()?;
        let brought = Brought::grants(&self.env, &self.dirs)?;
        Ok(brought.with(Some(program::find(&self.program, self.bin.as_deref(), false)?)))
    }
}

/// Deploys the guest and prints its name and version.
pub fn execute(
    args: &Args,
    mut brought: Brought,
    database: &Opened,
    flag: &str,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let limits = args.limits.limits()?;
    let program = brought.take_program()?;
    let store = &database.store;
    database.deliver_rest(io)?;
    let answers = inspect(&program.bytes).is_ok_and(|found| found.exports.iter().any(|export| is_handler(export)));
    let kind = args.kind.unwrap_or(if answers { KindArg::Handler } else { KindArg::Resident });
    let routes = routes(args, answers, store)?;
    let checked = check(args, &program, database, io)?;
    if checked != Exit::OK {
        return Ok(checked);
    }
    let _held = database.serving.as_ref().map(|serving| serving.hold(&args.name, &routes)).transpose()?;
    let request = DeployRequest {
        name: args.name.clone(),
        program: program.name(),
        bytes: program.bytes,
        dirs: brought.dirs(),
        env: brought.env,
        net: args.net.iter().map(Grant::to_string).collect(),
        calls: args.calls.clone(),
        routes,
        limits,
        subscriptions: args.subscriptions(),
        schedules: args.schedules(),
        on_crash: match args.on_crash {
            OnCrashArg::Abort => OnCrash::Abort,
            OnCrashArg::Resume => OnCrash::Resume,
        },
    };
    let progress = Arc::new(database.progress(io.look.err_terminal));
    let on_compile = || progress.begin(&format!("compiling {}", program.path.display()));
    if kind == KindArg::Handler {
        let handlers = match &database.serving {
            Some(serving) => Arc::clone(&serving.handlers),
            None => Arc::new(handlers(store, None)),
        };
        let clock: Arc<dyn Clock> = Arc::new(HostClock::new());
        let made = handlers.deploy(&request, &clock, &on_compile);
        progress.finish();
        let (run, head) = made.map_err(|error| Failure::from(error).at(request.program.clone()))?;
        say(args, &request, run, head.version, io)?;
        return Ok(Exit::OK);
    }
    let report = with_household(database, |household| {
        let stop = interrupt(database, Arc::clone(&progress));
        live::block_on(household.deploy(&request, stop, &on_compile))
    })?;
    progress.finish();
    let report = report.map_err(|error| Failure::from(error).at(request.program.clone()))?;
    let exit = farewell(&report, &args.name, flag, io)?;
    if let Disposition::Committed { version, .. } = report.end.disposition {
        say(args, &request, report.run, version, io)?;
    }
    Ok(exit)
}

/// Whether what runs of the guest become with the new component is as it should be.
fn check(args: &Args, program: &Program, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let Some(runs) = args.check else { return Ok(Exit::OK) };
    let choice = ChooseArgs { guest: Some(args.name.clone()), ..ChooseArgs::default() };
    let allowed = [&[Word::Same], args.allow.as_slice()].concat();
    let how = HowArgs::default();
    let wish = Wish { runs: &[runs], choice: &choice, allowed, how: &how, all: false, json: false, to: To::Talk };
    let tally = retry(&wish, program.bytes.clone(), database, io).map_err(|failure| failure.or_at(&program.name()))?;
    let exit = tally.exit();
    if exit != Exit::OK {
        let hint = "what is meant to change can be allowed: --allow fixed,output";
        Failure::new(exit, format!("{} was not deployed", args.name)).hint(hint).show(io);
    }
    Ok(exit)
}

/// Prints what was made.
fn say(args: &Args, request: &DeployRequest, run: RunId, version: Version, io: &mut Io<'_>) -> Result<(), Failure> {
    let component = reel_abi::id::Digest::of(&request.bytes).to_string();
    match args.json {
        true => {
            let (guest, version, run) = (args.name.as_str(), version.0, run.0);
            json::line(io.out, &Json { guest, version, run, component })?;
        }
        false => writeln!(io.out, "{}@{version}", args.name)?,
    }
    Ok(())
}

/// The routes of the guest; nobody else may have them.
fn routes(args: &Args, answers: bool, store: &Store) -> Result<Vec<String>, Failure> {
    if !answers && !args.routes.is_empty() {
        return Err(Failure::usage("--route: the component answers no requests")
            .hint("it would have to export wasi:http/incoming-handler; `reel inspect` lists what it exports"));
    }
    let mut routes: Vec<String> = args.routes.iter().map(ToString::to_string).collect();
    if answers && routes.is_empty() {
        routes.push("/".to_owned());
    }
    for (name, lodging) in guests(store)? {
        // A fork is asked for nothing.
        if name == args.name || name != lodging.guest.name {
            continue;
        }
        if let Some(route) = lodging.guest.routes.iter().find(|route| routes.contains(route)) {
            return Err(route_taken(route, &name));
        }
    }
    Ok(routes)
}
