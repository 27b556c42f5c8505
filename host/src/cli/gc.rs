//! `reel gc`: lets old history go. Without `--apply` it only says what would go.

use std::io::{self, Write};

use reel_abi::id::WallTime;
use reel_store::{Policy, RetentionPlan};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::units::{self, Span};
use crate::port::Clock;
use crate::runtime::named::named;
use crate::runtime::resident::needed::needed;
use crate::world::clock::HostClock;

/// Log files that are named.
const NAMED: usize = 5;

/// Let history go that is older than some time, with the events of its runs; without `--apply`, say what would go
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "The newest version of each space stays, and so do versions that a tag names or a fork lies on. Of a resident that stays in \
                  one of them all calls stay, from its birth on: it is brought back from them. What went cannot be looked at, replayed or gone \
                  back to any more; each attempt says so."
)]
pub struct Args {
    /// What is younger stays
    #[arg(long, value_name = "TIME", default_value_t = Span { millis: 30 * 86_400_000 })]
    keep: Span,
    /// Let tagged versions go, too
    #[arg(long)]
    untagged: bool,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    applied: bool,
    before: Time,
    keep_tagged: bool,
    spaces: Vec<Space<'a>>,
    runs: u64,
    values: u64,
    files: Vec<File<'a>>,
    payloads: Option<u64>,
    payload_bytes: Option<u64>,
    base: Option<File<'a>>,
}

#[derive(Serialize)]
struct Space<'a> {
    space: &'a str,
    versions: u64,
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
    bytes: u64,
}

impl<'a> File<'a> {
    fn of((file, bytes): &'a (String, u64)) -> Self {
        Self { file, bytes: *bytes }
    }
}

/// Says what would go, or lets it go and says what went. `flag` is what makes another command look at the same database.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let now = HostClock::new().wall();
    let untagged = if args.untagged { " --untagged" } else { "" };
    let words = format!("reel gc --keep {}{untagged}", args.keep);
    let before = now.saturating_sub(args.keep.millis.saturating_mul(1_000_000));
    let needed = needed(store, WallTime(before), !args.untagged)?;
    let policy = Policy { at: WallTime(now), words, before: WallTime(before), keep_tagged: !args.untagged, needed };
    let progress = database.progress(io.look.err_terminal);
    progress.begin(if args.apply { "removing history" } else { "looking for what would go" });
    let done = if args.apply {
        store.retain(&policy, &mut named).map(|report| (report.removed, report.base)).map_err(Failure::from)
    } else {
        store.plan_retention_with_blobs(&policy, &mut named).map(|plan| (plan, None)).map_err(Failure::from)
    };
    progress.finish();
    let (plan, base) = done?;
    if args.json {
        json::line(io.out, &of(args, &policy, &plan, base.as_ref()))?;
        return Ok(Exit::OK);
    }
    let before = dates::short(before);
    if is_nothing(&plan) {
        writeln!(io.out, "there is nothing to remove from before {before} (UTC)")?;
        return Ok(Exit::OK);
    }
    let going = if args.apply { "removed" } else { "to be removed" };
    let tags = if args.untagged { "" } else { ", but for tagged versions" };
    writeln!(io.out, "{going}, from before {before} (UTC){tags}:")?;
    page(io.out, &plan)?;
    if let Some((name, bytes)) = &base {
        writeln!(io.out, "{name} ({}) stands for the log files", units::bytes(*bytes))?;
    }
    if !args.apply {
        writeln!(io.err, "nothing was removed yet; to do it: {} --apply{flag}", policy.words)?;
    }
    Ok(Exit::OK)
}

fn is_nothing(plan: &RetentionPlan) -> bool {
    let RetentionPlan { spaces, runs, cells, files, blobs } = plan;
    let versions: u64 = spaces.iter().map(|(_, versions)| versions).sum();
    versions == 0 && *runs == 0 && *cells == 0 && files.is_empty() && blobs.is_none_or(|(count, _)| count == 0)
}

fn page(out: &mut dyn Write, plan: &RetentionPlan) -> io::Result<()> {
    let RetentionPlan { spaces, runs, cells, files, blobs } = plan;
    for (space, versions) in spaces.iter().filter(|(_, versions)| *versions > 0) {
        writeln!(out, "  {} of {space}", counted(*versions, "version", "versions"))?;
    }
    if *runs > 0 {
        writeln!(out, "  the events of {}", counted(*runs, "run", "runs"))?;
    }
    if *cells > 0 {
        writeln!(out, "  {} that nobody can see any more", counted(*cells, "value", "values"))?;
    }
    if !files.is_empty() {
        let bytes = units::bytes(files.iter().map(|(_, bytes)| bytes).sum());
        let names: Vec<&str> = files.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
        let more = if files.len() > NAMED { ", ..." } else { "" };
        writeln!(
            out,
            "  {} ({bytes}): {}{more}",
            counted(files.len() as u64, "log file", "log files"),
            names.join(", ")
        )?;
    }
    if let Some((count, bytes)) = blobs.filter(|(count, _)| *count > 0) {
        writeln!(out, "  {} ({})", counted(count, "payload", "payloads"), units::bytes(bytes))?;
    }
    Ok(())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn of<'a>(args: &Args, policy: &Policy, plan: &'a RetentionPlan, base: Option<&'a (String, u64)>) -> Json<'a> {
    let RetentionPlan { spaces, runs, cells, files, blobs } = plan;
    Json {
        applied: args.apply,
        before: Time(policy.before.0),
        keep_tagged: policy.keep_tagged,
        spaces: spaces.iter().map(|(space, versions)| Space { space: space.as_str(), versions: *versions }).collect(),
        runs: *runs,
        values: *cells,
        files: files.iter().map(File::of).collect(),
        payloads: blobs.map(|(count, _)| count),
        payload_bytes: blobs.map(|(_, bytes)| bytes),
        base: base.map(File::of),
    }
}
