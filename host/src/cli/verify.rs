//! `reel verify`: checks everything there is.

use std::io::{self, Write};

use reel_abi::event::decode;
use reel_abi::record::Frame;
use reel_store::{OpenError, VerifyReport};
use serde::Serialize;

use super::database::Opened;
use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::style::Paint;

/// Check everything: hash links, frames, events, commits, derived state, payloads
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Checks everything; exit code 12 if something is wrong.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let report = looked(database, io)?;
    let exit = if report.is_sound() { Exit::OK } else { Exit::PROBLEMS };
    let said = match args.json {
        true => json::line(io.out, &Json::of(&report)),
        false => say(io.out, &report, Paint(io.look.out_colour)),
    };
    match said.map_err(Failure::from) {
        Err(failure) if !failure.is_silent() => Err(failure),
        _ => Ok(exit),
    }
}

fn looked(database: &Opened, io: &mut Io<'_>) -> Result<VerifyReport, Failure> {
    let progress = database.progress(io.look.err_terminal);
    progress.begin("verifying");
    let report = database.store.verify(&mut check, &mut |done, total| progress.update(done, total));
    progress.finish();
    Ok(report?)
}

/// All that is wrong, each fit to be shown.
pub fn problems(database: &Opened, io: &mut Io<'_>) -> Result<Vec<String>, Failure> {
    let report = looked(database, io)?;
    Ok(report.problems.iter().map(|problem| Safe(&problem.to_string()).to_string()).collect())
}

/// The database does not open. So damaged: that is a finding, too.
pub fn unopened(args: &Args, error: OpenError, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let OpenError::Corrupt { .. } = error else { return Err(error.into()) };
    let text = error.to_string();
    match args.json {
        true => json::line(
            io.out,
            &Json { sound: false, problems: vec![Found { at: None, what: text }], ..Json::default() },
        )?,
        false => writeln!(io.out, "{} {}", Paint(io.look.out_colour).error("problem:"), Safe(&text))?,
    }
    Ok(Exit::PROBLEMS)
}

/// The store does not interpret events; this does.
fn check(frame: &Frame, raw: &[u8]) -> Result<(), String> {
    decode(frame, raw).map(drop).map_err(|e| e.to_string())
}

fn say(out: &mut dyn Write, report: &VerifyReport, paint: Paint) -> io::Result<()> {
    let VerifyReport { files, rows, runs, frames, events, commits, cells, blobs, problems, unlisted } = report;
    for problem in problems {
        writeln!(out, "{} {}", paint.error("problem:"), Safe(&problem.to_string()))?;
    }
    if *unlisted > 0 {
        writeln!(out, "{} and {unlisted} more", paint.error("problem:"))?;
    }
    let counts = format!(
        "{rows} rows in {files} log files, {runs} runs, {events} events in {frames} frames, \
         {commits} commits of {cells} cells, {blobs} payloads"
    );
    match problems.len() as u64 + unlisted {
        0 => writeln!(out, "{}: {counts}", paint.good("sound")),
        count => writeln!(out, "{}: {count} problems; looked at {counts}", paint.error("not sound")),
    }
}

#[derive(Serialize, Default)]
struct Json {
    sound: bool,
    files: u64,
    rows: u64,
    runs: u64,
    frames: u64,
    events: u64,
    commits: u64,
    cells: u64,
    blobs: u64,
    problems: Vec<Found>,
    unlisted: u64,
}

#[derive(Serialize)]
struct Found {
    at: Option<String>,
    what: String,
}

impl Json {
    fn of(report: &VerifyReport) -> Self {
        let found =
            |problem: &reel_store::Problem| Found { at: Some(problem.at.to_string()), what: problem.what.clone() };
        Self {
            sound: report.is_sound(),
            files: report.files,
            rows: report.rows,
            runs: report.runs,
            frames: report.frames,
            events: report.events,
            commits: report.commits,
            cells: report.cells,
            blobs: report.blobs,
            problems: report.problems.iter().map(found).collect(),
            unlisted: report.unlisted,
        }
    }
}
