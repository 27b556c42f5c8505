//! `reel runs`: what ran, newest first.

use reel_abi::id::{RunId, SpaceName};
use reel_abi::outcome::Outcome;
use reel_abi::trace::TraceId;
use reel_store::RunRecord;
use serde::Serialize;

use super::database::{Opened, Running};
use super::dates;
use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::state::{self, State};
use super::style::Paint;
use super::table::{Cell, Table};
use crate::port::Clock;
use crate::world::clock::HostClock;

/// Records fetched at a time.
const BATCH: usize = 256;

/// Characters of a program's name and of an outcome that the table shows.
const SHOWN: usize = 40;

/// Columns that hold numbers.
const NUMBERS: [usize; 2] = [0, 4];

/// List what ran, newest first
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only runs in this space
    #[arg(long, value_name = "NAME")]
    space: Option<SpaceName>,
    /// Only runs that failed or were cut off
    #[arg(long)]
    failed: bool,
    /// Only runs of this trace: 32 hexadecimal digits, or a whole `traceparent`
    #[arg(long, value_name = "ID")]
    trace: Option<TraceId>,
    /// Only runs that began since then: 5m, 3d, 2026-01-31, 2026-01-31T14:05:09Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Lists the runs.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let now = HostClock::new().wall();
    let since = args.since.as_deref().map(|text| dates::moment(text, now)).transpose();
    let since = since.map_err(|e| Failure::usage(format!("--since: {e}")))?;
    let running = &database.running;
    let wanted = |record: &RunRecord| {
        args.space.as_ref().is_none_or(|space| record.begin.space == *space)
            && since.is_none_or(|since| record.begin.at.0 >= since)
            && args.trace.is_none_or(|id| record.begin.trace.is_some_and(|trace| trace.id == id))
            && (!args.failed || state::has_failed(record, running))
    };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut before, mut shown) = (None::<RunId>, 0);
    let mut table = Table::new(&NUMBERS);
    let paint = Paint(io.look.out_colour);
    loop {
        let batch = database.store.runs(before, BATCH)?;
        let Some(last) = batch.last() else { break };
        before = Some(last.run);
        for record in batch.iter().filter(|record| wanted(record)).take(limit - shown) {
            shown += 1;
            match args.json {
                true => json::line(io.out, &Json::of(record, running))?,
                false => {
                    if shown == 1 {
                        table.row(
                            ["RUN", "BEGAN (UTC)", "PROGRAM", "SPACE", "EVENTS", "OUTCOME", ""]
                                .map(|head| Cell::new(head).painted(|t| paint.bold(t))),
                        );
                    }
                    table.row(row(record, running, paint));
                }
            }
        }
        if shown == limit {
            break;
        }
        if table.len() >= BATCH {
            table.write(io.out)?;
            table = Table::new(&NUMBERS);
        }
    }
    table.write(io.out)?;
    if shown == 0 && !args.json && io.look.err_terminal {
        writeln!(io.err, "no such run")?;
    }
    Ok(Exit::OK)
}

fn row(record: &RunRecord, running: &Running, paint: Paint) -> Vec<Cell> {
    let RunRecord { run, begin, end } = record;
    let state = State::of(record, running);
    let outcome = end.as_ref().map(|end| cut(&Safe(&end.outcome.to_string()).to_string())).unwrap_or_default();
    let success = end.as_ref().is_some_and(|end| end.outcome.is_success());
    let name = begin.name.rsplit('/').next().unwrap_or(&begin.name);
    let program = match begin.args.as_slice() {
        // A handler has the method and path of its request there.
        [line] if begin.name == begin.space.as_str() && *line != begin.name => format!("{name}: {line}"),
        _ => name.to_owned(),
    };
    vec![
        Cell::new(run.to_string()),
        Cell::new(dates::short(begin.at.0)),
        Cell::new(cut(&Safe(&program).to_string())),
        Cell::new(state::space(record)),
        Cell::new(end.as_ref().map(|end| end.events.to_string()).unwrap_or_default()),
        Cell::new(outcome).painted(|text| if success { paint.good(text) } else { paint.error(text) }),
        Cell::new(state.words()).painted(|text| match state {
            State::Committed => text.to_owned(),
            State::Running => paint.hint(text),
            State::CutOff | State::Partly | State::Aborted | State::Overtaken => paint.warning(text),
        }),
    ]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[derive(Serialize)]
struct Json<'a> {
    run: u64,
    program: &'a str,
    component: String,
    args: &'a [String],
    space: &'a str,
    reads: u64,
    state: &'static str,
    outcome: Option<String>,
    exit: Option<u32>,
    version: Option<u64>,
    commit: Option<u64>,
    again: Option<u64>,
    begin: Time,
    end: Option<Time>,
    events: Option<u64>,
    logged_bytes: Option<u64>,
    written_bytes: Option<u64>,
    trace: Option<String>,
}

impl<'a> Json<'a> {
    fn of(record: &'a RunRecord, running: &Running) -> Self {
        use reel_abi::outcome::Disposition;
        let RunRecord { run, begin, end } = record;
        let end = end.as_ref();
        let (commit, version) = match end.map(|end| &end.disposition) {
            Some(Disposition::Committed { commit, version } | Disposition::Partly { commit, version }) => {
                (Some(commit.0), Some(version.0))
            }
            _ => (None, None),
        };
        let again = match end.map(|end| &end.disposition) {
            Some(Disposition::Lost { again }) => again.map(|again| again.0),
            _ => None,
        };
        Self {
            run: run.0,
            program: &begin.name,
            component: begin.component.to_string(),
            args: &begin.args,
            space: begin.space.as_str(),
            reads: begin.version.0,
            state: State::of(record, running).words(),
            outcome: end.map(|end| end.outcome.to_string()),
            exit: end.and_then(|end| if let Outcome::Exit { code } = end.outcome { Some(code) } else { None }),
            version,
            commit,
            again,
            begin: Time(begin.at.0),
            end: end.map(|end| Time(end.at.0)),
            events: end.map(|end| end.events),
            logged_bytes: end.map(|end| end.logged_bytes),
            written_bytes: end.map(|end| end.written_bytes),
            trace: begin.trace.map(|trace| trace.id.to_string()),
        }
    }
}
