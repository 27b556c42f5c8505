//! `reel log`: the events of a run, one a line.

use std::time::Duration;

use reel_abi::event::decode;
use reel_abi::id::{RunId, Seq};
use reel_abi::vocabulary::ALL;
use reel_store::{FrameRef, RunRecord, Store};

use super::database::Opened;
use super::describe::{line, width};
use super::exit::Exit;
use super::failure::Failure;
use super::follow::follow;
use super::ids::RunRef;
use super::io::Io;
use super::json::{self, Event};
use super::marks;
use super::state::State;
use super::style::Paint;

/// How often a followed run is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Print the events of a run, one a line; with --follow, as they come
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The run, or `last`; with --follow it may be left out, for all runs from now on
    #[arg(required_unless_present = "follow")]
    run: Option<RunRef>,
    /// Only calls of these families or names, for example fs,clock.wall
    #[arg(long, value_name = "FAMILY", value_delimiter = ',', value_parser = family)]
    family: Vec<String>,
    /// From this event on
    #[arg(long, value_name = "SEQ", default_value_t = 0, requires = "run")]
    from: u64,
    /// Up to this event, with it
    #[arg(long, value_name = "SEQ", requires = "run")]
    to: Option<u64>,
    /// Wait for more until the run ends; without a run, until the process ends that has the database open
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn family(text: &str) -> Result<String, String> {
    let mut families: Vec<&str> = ALL.iter().filter_map(|(_, name, _)| name.split('.').next()).collect();
    if families.contains(&text) || ALL.iter().any(|(_, name, _)| *name == text) {
        return Ok(text.to_owned());
    }
    families.dedup();
    Err(format!("no calls are named so; the families are {}", families.join(", ")))
}

impl Args {
    /// Whether it waits for more.
    pub fn follows(&self) -> bool {
        self.follow
    }

    /// Whether it is about all that happens.
    pub fn follows_all(&self) -> bool {
        self.follow && self.run.is_none()
    }
}

/// Prints the events.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let Some(run) = args.run else { return follow(args, database, io) };
    let record = run.find(store)?;
    let run = record.run;
    let to = args.to.unwrap_or(u64::MAX);
    let logged = store.frames(run, Seq(0))?.last().map_or(0, |frame| frame.next().0);
    let follows = args.follow && State::of(&record, &database.running) == State::Running;
    if args.from > 0 && args.from >= logged && !follows {
        return Err(Failure::not_found(format!("run {run} has {logged} events, there is no {run}@{}", args.from)));
    }
    let last = logged.saturating_sub(1).min(to);
    let mut printer = Printer { args, store, record, width: width(run, last) };
    let mut next = Seq(args.from);
    loop {
        // The end is looked for before the frames: what comes before it is in the log by then.
        printer.record = store.run(run)?.unwrap_or(printer.record);
        let goes_on = State::of(&printer.record, &database.running) == State::Running;
        for frame in store.frames(run, next)? {
            if frame.first.0 > to {
                break;
            }
            printer.print(&frame, next, io)?;
            next = frame.next();
        }
        if !follows || !goes_on || next.0 > to {
            return Ok(Exit::OK);
        }
        // Also tells whether somebody still reads.
        io.out.flush()?;
        std::thread::sleep(POLL);
    }
}

/// Prints frames of one run.
pub struct Printer<'a> {
    args: &'a Args,
    store: &'a Store,
    record: RunRecord,
    width: usize,
}

impl<'a> Printer<'a> {
    /// For a run of which it is not known how many events it will have.
    pub fn new(args: &'a Args, store: &'a Store, record: RunRecord) -> Self {
        let width = width(record.run, 0);
        Self { args, store, record, width }
    }

    /// Prints the events of a frame from one on.
    pub fn print(&self, at: &FrameRef, from: Seq, io: &mut Io<'_>) -> Result<(), Failure> {
        let frame = self.store.frame(at)?;
        let events = frame.unpack().map_err(|e| damaged(at, &e.to_string()))?;
        let mut events = decode(&frame, &events).map_err(|e| damaged(at, &e.to_string()))?;
        let run: RunId = at.run;
        let paint = Paint(io.look.out_colour);
        for (seq, event) in events.iter_mut().filter(|(seq, event)| *seq >= from && self.wants(event.name)) {
            if self.args.to.is_some_and(|to| seq.0 > to) {
                break;
            }
            match self.args.json {
                true => {
                    marks::complete(event, &self.record);
                    json::line(io.out, &Event { run, seq: *seq, event })?;
                }
                false => {
                    marks::complete_line(event, &self.record);
                    writeln!(io.out, "{}", line(run, *seq, event, self.width, paint))?;
                }
            }
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        let families = &self.args.family;
        families.is_empty() || families.iter().any(|f| name == f || name.split('.').next() == Some(f.as_str()))
    }
}

/// A frame that cannot be read.
pub fn damaged(at: &FrameRef, what: &str) -> Failure {
    Failure::new(
        Exit::DATABASE,
        format!("the log of run {} is damaged from {}@{} on: {what}", at.run, at.run, at.first),
    )
    .hint("`reel verify` tells how far the damage goes")
}
