//! `reel replay`: executes a run again from its log, touching nothing real, and compares all.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::outcome::Outcome;
use reel_store::RunRecord;
use serde::Serialize;

use super::brought::Brought;
use super::database::Opened;
use super::divergence;
use super::exit::Exit;
use super::failure::Failure;
use super::ids::RunRef;
use super::io::Io;
use super::json;
use super::live::block_on;
use super::program;
use super::style::Paint;
use super::units;
use crate::calls::session::Console;
use crate::port::Clock;
use crate::runtime::{Engines, ReplayReport, ReplayRequest, Verdict, replay};
use crate::world::clock::HostClock;
use crate::world::console::{HostError, HostOutput};

/// Execute a run again from its log, touching nothing real, and compare everything
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Exit code 0: the same; 10: it diverged, and a page says where; 11: it cannot be replayed.")]
pub struct Args {
    /// The run, or `last`, or a file that `reel export` has written
    #[arg(value_name = "RUN|FILE.reel")]
    run: What,
    /// Stop before this event
    #[arg(long, value_name = "SEQ")]
    until: Option<u64>,
    /// Replay against this binary instead of the recorded one
    #[arg(long, value_name = "OTHER.wasm")]
    with: Option<PathBuf>,
    /// Show again what the guest wrote to stdout and stderr
    #[arg(long)]
    show_output: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

/// What is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A run of the database.
    Run(RunRef),
    /// One that is in a file.
    File(PathBuf),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(run) => Ok(Self::Run(run)),
            Err(_) if text.ends_with(".reel") || text.contains('/') => Ok(Self::File(text.into())),
            Err(why) => Err(why),
        }
    }
}

impl Args {
    /// Whether it needs no database.
    pub fn is_of_file(&self) -> bool {
        matches!(self.run, What::File(_))
    }

    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        let with = self.with.as_deref().map(program::load).transpose().map_err(|f| f.with_exit(Exit::NO_REPLAY))?;
        Ok(Brought::default().with(with))
    }
}

/// Replays the run; the exit code is the verdict.
pub fn execute(args: &Args, brought: Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (with, store) = (brought.program, &database.store);
    let What::Run(run) = &args.run else { return execute_file(args, io) };
    let record = run.find(store)?;
    check(&record)?;
    let logged = store.frames(record.run, Seq(0))?.last().map_or(0, |frame| frame.next().0);
    if let Some(until) = args.until.filter(|until| *until > logged) {
        let what = format!("run {} has {logged} events, it cannot be replayed until {until}", record.run);
        return Err(Failure::not_found(what));
    }
    let request = ReplayRequest {
        run: record.run,
        until: args.until.map(Seq),
        with: with.map(|program| program.bytes),
        keep_payload: false,
    };
    let progress = database.progress(io.look.err_terminal && !args.show_output);
    progress.begin(&format!("replaying run {}", record.run));
    let watch = Arc::new(Stopwatch::default());
    let console = if args.show_output { shown(database) } else { Console::default() };
    let report = once(database, &record, request, console, Arc::clone(&watch) as Arc<dyn Clock>);
    let took = watch.elapsed();
    progress.finish();
    let report = report?;
    let exit = exit(&report.verdict);
    let said = match args.json {
        true => json::line(io.out, &Json::of(&report, took)),
        false => say(&report, took, args.show_output, io),
    };
    match said.map_err(Failure::from) {
        Err(failure) if !failure.is_silent() => Err(failure),
        _ => Ok(exit),
    }
}

/// Replays a file, in a database that is made for it and is gone afterwards.
pub fn execute_file(args: &Args, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let What::File(path) = &args.run else { return Err(Failure::usage("that is no file")) };
    let with = args.bring()?.program;
    let checked = super::import::checked(path)?;
    let progress = super::progress::Progress::here(io.look.err_terminal && !args.show_output);
    progress.begin(&format!("replaying {}", path.display()));
    let watch = Arc::new(Stopwatch::default());
    let console = match args.show_output {
        true => {
            Console { stdin: None, stdout: Some(Box::new(HostOutput)), stderr: Some(Box::new(HostError)), echo: true }
        }
        false => Console::default(),
    };
    let request = |run| ReplayRequest {
        run,
        until: args.until.map(Seq),
        with: with.map(|program| program.bytes),
        keep_payload: false,
    };
    let report = super::export::replayed(&checked, request, console, Arc::clone(&watch) as Arc<dyn Clock>);
    let took = watch.elapsed();
    progress.finish();
    let mut report = report?;
    // As it was called where it ran: what is told is about that one.
    report.record.run = checked.file.about.run;
    let exit = exit(&report.verdict);
    let said = match args.json {
        true => json::line(io.out, &Json::of(&report, took)),
        false => say(&report, took, args.show_output, io),
    };
    match said.map_err(Failure::from) {
        Err(failure) if !failure.is_silent() => Err(failure),
        _ => Ok(exit),
    }
}

/// A run that no guest made cannot be replayed.
pub fn check(record: &RunRecord) -> Result<(), Failure> {
    if record.begin.component != Digest::of(b"") {
        return Ok(());
    }
    let what = format!("run {} was made by `{}`: there is no guest to execute again", record.run, record.begin.name);
    Err(Failure::new(Exit::NO_REPLAY, what))
}

/// One replay to its end, or until nobody waits for it any more.
pub fn once(
    database: &Opened,
    record: &RunRecord,
    request: ReplayRequest,
    console: Console,
    clock: Arc<dyn Clock>,
) -> Result<ReplayReport, Failure> {
    let engines = Engines::for_commands(record.begin.limits.stack_bytes)
        .map_err(|e| Failure::new(Exit::HOST, format!("cannot set up the engine: {e:#}")))?;
    let replay = replay(&database.store, &engines, request, clock, console, &|| ());
    let left = async {
        match &database.asker {
            Some(asker) => asker.leaves().await,
            None => std::future::pending().await,
        }
    };
    block_on(async {
        tokio::select! {
            report = replay => Ok(report?),
            () = left => Err(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe))),
        }
    })?
}

/// A clock that knows when it was first asked for the time: when the guest began, without the time it took to make it ready.
#[derive(Default)]
pub struct Stopwatch {
    clock: HostClock,
    begun: OnceLock<u64>,
}

impl Stopwatch {
    /// Time since then.
    fn elapsed(&self) -> Duration {
        let now = self.clock.monotonic();
        Duration::from_nanos(now - self.begun.get().copied().unwrap_or(now))
    }
}

impl Clock for Stopwatch {
    fn wall(&self) -> u64 {
        self.clock.wall()
    }

    fn monotonic(&self) -> u64 {
        let now = self.clock.monotonic();
        self.begun.get_or_init(|| now);
        now
    }
}

/// What the guest wrote is written again.
fn shown(database: &Opened) -> Console {
    Console { stdin: None, echo: true, ..database.console() }
}

fn exit(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Same | Verdict::SameToCut(_) | Verdict::Reached(_) => Exit::OK,
        Verdict::Diverged(_) => Exit::DIVERGED,
    }
}

/// How long the original took, if it has an end.
fn original(record: &RunRecord) -> Option<u64> {
    let end = record.end.as_ref()?;
    Some(end.at.0.saturating_sub(record.begin.at.0))
}

fn say(report: &ReplayReport, took: Duration, shown: bool, io: &mut Io<'_>) -> std::io::Result<()> {
    let paint = Paint(io.look.out_colour);
    let (run, events) = (report.record.run, report.events);
    let took = units::nanos(took.as_nanos() as u64);
    let times = match original(&report.record) {
        Some(original) => format!("the original took {}, the replay {took}", units::nanos(original)),
        None => format!("the replay took {took}"),
    };
    let good = |word: &str| paint.good(word);
    let text = match &report.verdict {
        Verdict::Same => {
            let outcome = report.outcome.as_ref().map(ToString::to_string).unwrap_or_default();
            let outcome = super::escape::Safe(&outcome).to_string();
            format!("run {run}: {}: {events} events, {outcome}; {times}{}", good("same"), backtrace(report))
        }
        Verdict::SameToCut(seq) => {
            let why = match &report.outcome {
                Some(outcome) => outcome.to_string(),
                None => "cut off".to_owned(),
            };
            format!(
                "run {run}: {}: {events} events, up to where it was cut off at {run}@{seq} ({why}); {times}",
                good("same")
            )
        }
        Verdict::Reached(seq) => format!("run {run}: {} up to {run}@{seq}: {events} events; {times}", good("same")),
        Verdict::Diverged(divergence) => return divergence::show(io.out, run, divergence, paint),
    };
    // What the guest has shown is data then, and this is talk.
    if shown { writeln!(io.err, "{text}") } else { writeln!(io.out, "{text}") }
}

/// Where a guest trapped, the innermost function first.
fn backtrace(report: &ReplayReport) -> String {
    let Some(Outcome::Trap { backtrace, .. }) = &report.outcome else { return String::new() };
    format!("\n{}", super::trapped::lines(backtrace).trim_end())
}

#[derive(Serialize)]
struct Json<'a> {
    run: u64,
    verdict: &'static str,
    events: u64,
    at: Option<u64>,
    outcome: Option<String>,
    original_nanos: Option<u64>,
    replay_nanos: u64,
    divergence: Option<divergence::Page<'a>>,
}

impl<'a> Json<'a> {
    fn of(report: &'a ReplayReport, took: Duration) -> Self {
        let run: RunId = report.record.run;
        let (verdict, at, divergence) = match &report.verdict {
            Verdict::Same => ("same", None, None),
            Verdict::SameToCut(seq) => ("same-to-cut", Some(seq.0), None),
            Verdict::Reached(seq) => ("reached", Some(seq.0), None),
            Verdict::Diverged(divergence) => {
                ("diverged", Some(divergence.mismatch.seq.0), Some(divergence::Page { run, divergence }))
            }
        };
        Self {
            run: run.0,
            verdict,
            events: report.events,
            at,
            outcome: report.outcome.as_ref().map(ToString::to_string),
            original_nanos: original(&report.record),
            replay_nanos: took.as_nanos() as u64,
            divergence,
        }
    }
}
