//! `reel history`: the versions of a space, or those that changed one path or key, and what made them.

use std::collections::BTreeMap;

use reel_abi::id::{RunId, SpaceName, Version};
use reel_abi::types::NodeKind;
use reel_abi::value::Value;
use reel_store::{Made, Store, VersionRecord};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::escape::{Quoted, QuotedBytes, Safe};
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Bytes, Time};
use super::kv;
use super::spaces::by;
use super::style::Paint;
use super::table::{Cell, Table};
use super::units;
use super::when::SpaceAt;
use crate::runtime::cells::{Cells, length};
use crate::runtime::files_at::LookError;
use crate::runtime::past::{Found, Step, Subject, is_kept, past};

/// Characters of a program's name and of a value that the table shows.
const SHOWN: usize = 40;

/// Larger values are not read to be shown.
const VALUE_BYTES: u64 = 64 << 10;

/// Show what made the versions of a space, or those in which one path or key changed, newest first
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Rollbacks and forks are entries. A path or key is followed through the forks that the space comes from, and what a rollback led \
                  away from is left out."
)]
pub struct Args {
    /// SPACE[@WHEN]: up to now, or to a version, tag, time or event
    #[arg(value_name = "SPACE[@WHEN]")]
    at: SpaceAt,
    /// Only what changed this path
    path: Option<String>,
    /// Only what changed this key
    #[arg(long, num_args = 2, value_names = ["BUCKET", "KEY"], conflicts_with = "path", allow_hyphen_values = true)]
    kv: Vec<String>,
    /// KEY is written in hexadecimal digits
    #[arg(long, requires = "kv")]
    hex: bool,
    /// At most so many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    space: &'a str,
    version: u64,
    at: Time,
    made: &'static str,
    run: Option<u64>,
    commit: Option<u64>,
    program: Option<&'a str>,
    /// Version that a rollback led back to.
    to: Option<u64>,
    source: Option<&'a str>,
    source_version: Option<u64>,
    tags: Vec<&'a str>,
    /// Whether it can be looked at: `reel gc` may have removed it.
    kept: bool,
    #[serde(flatten)]
    change: Option<Change<'a>>,
}

/// What became of a path or key.
#[derive(Serialize)]
struct Change<'a> {
    change: &'static str,
    kind: Option<&'static str>,
    size: Option<u64>,
    target: Option<&'a str>,
    value: Option<Bytes>,
}

/// Prints the history.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let names = Names::new(&database.store)?;
    match subject(args)? {
        None => whole(args, database, names, io),
        Some(subject) => one(args, &subject, database, names, io),
    }
}

fn subject(args: &Args) -> Result<Option<Subject>, Failure> {
    Ok(match (&args.path, args.kv.as_slice()) {
        (Some(path), _) => Some(Subject::Path(path.trim_matches('/').to_owned())),
        (None, [bucket, key]) => {
            Some(Subject::Key { bucket: bucket.as_bytes().to_vec(), key: kv::key(key, args.hex)? })
        }
        _ => None,
    })
}

/// What is known beside the versions: programs of runs, and tags.
struct Names<'a> {
    store: &'a Store,
    programs: BTreeMap<RunId, String>,
    tags: BTreeMap<(SpaceName, Version), Vec<String>>,
}

impl<'a> Names<'a> {
    fn new(store: &'a Store) -> Result<Self, Failure> {
        let mut tags: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for tag in store.tags()? {
            tags.entry((tag.space, tag.head.version)).or_default().push(tag.tag.as_str().to_owned());
        }
        Ok(Self { store, programs: BTreeMap::new(), tags })
    }

    /// The name of a run's program. Where it cannot be read, the rest is told all the same.
    fn program(&mut self, made: &Made) -> Option<String> {
        let Made::Commit { run, .. } = made else { return None };
        if let Some(known) = self.programs.get(run) {
            return Some(known.clone());
        }
        let name = self.store.run(*run).ok()??.begin.name;
        self.programs.insert(*run, name.clone());
        Some(name)
    }

    fn tags(&self, space: &SpaceName, version: Version) -> Vec<&str> {
        self.tags.get(&(space.clone(), version)).into_iter().flatten().map(String::as_str).collect()
    }
}

fn limit(args: &Args) -> usize {
    if args.limit == 0 { usize::MAX } else { args.limit }
}

/// All versions of the space.
fn whole(args: &Args, database: &Opened, mut names: Names<'_>, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (store, space) = (&database.store, &args.at.space);
    let head = args.at.head(store)?;
    let versions = store.history(space)?;
    let mut shown = 0;
    let mut table = Table::new(&[0]);
    let paint = Paint(io.look.out_colour);
    for VersionRecord { version, at, made } in
        versions.iter().rev().filter(|record| record.version <= head.version).take(limit(args))
    {
        shown += 1;
        let program = names.program(made);
        let tags = names.tags(space, *version);
        let kept = is_kept(store, space, *version)?;
        if args.json {
            let line = line(space, *version, at.0, made, program.as_deref(), tags, None);
            json::line(io.out, &Json { kept, ..line })?;
            continue;
        }
        if shown == 1 {
            let head = ["VERSION", "MADE (UTC)", "BY", "PROGRAM", "TAGS"];
            table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
        }
        table.row([
            Cell::new(version.to_string()),
            Cell::new(dates::short(at.0)),
            Cell::new(by(made)),
            Cell::new(short(program.as_deref().unwrap_or_default())),
            match kept {
                true => Cell::new(tags.join(", ")).painted(|t| paint.hint(t)),
                false => Cell::new("not kept").painted(|t| paint.dim(t)),
            },
        ]);
    }
    table.write(io.out)?;
    if shown == 0 && !args.json && io.look.err_terminal {
        writeln!(io.err, "nothing was committed to {space} yet")?;
    }
    Ok(Exit::OK)
}

/// The versions in which one path or key changed.
fn one(
    args: &Args,
    subject: &Subject,
    database: &Opened,
    mut names: Names<'_>,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let (store, space) = (&database.store, &args.at.space);
    let head = args.at.head(store)?;
    let about = match subject {
        Subject::Path(path) => format!("{}:/{path}", args.at),
        Subject::Key { bucket, key } => {
            format!("{}: key {} of bucket {}", args.at, kv::shown(key), kv::shown(bucket))
        }
    };
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("looking through the history of {space}"));
    let found = Cells::at(store, head).and_then(|cells| Ok((cells, past(store, space, head, subject, limit(args))?)));
    progress.finish();
    let (cells, steps) = found.map_err(|error| match error {
        LookError::Read(error) => Failure::from(error),
        other => Failure::new(Exit::DATABASE, format!("{about}: {other}")),
    })?;
    if steps.is_empty() {
        let otherwise = if head.version == Version(0) {
            "nothing was committed yet"
        } else {
            "nothing that is kept ever was there"
        };
        return Err(Failure::not_found(format!("{about}: {otherwise}")));
    }
    let mut table = Table::new(&[]);
    let paint = Paint(io.look.out_colour);
    for step in &steps {
        let Step { space, version, at, made, .. } = step;
        let program = names.program(made);
        if args.json {
            let value = value(&cells, step);
            let tags = names.tags(space, *version);
            let change = change(step, value.map(|bytes| Bytes(Value::Bytes(bytes))));
            let line = line(space, *version, at.0, made, program.as_deref(), tags, Some(change));
            json::line(io.out, &Json { kept: is_kept(store, space, *version)?, ..line })?;
            continue;
        }
        if table.len() == 0 {
            let head = ["VERSION", "MADE (UTC)", "BY", "PROGRAM", "CHANGE"];
            table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
        }
        table.row([
            Cell::new(format!("{space}@{version}")),
            Cell::new(dates::short(at.0)),
            Cell::new(by(made)),
            Cell::new(short(program.as_deref().unwrap_or_default())),
            Cell::new(told(&cells, step)),
        ]);
    }
    table.write(io.out)?;
    Ok(Exit::OK)
}

fn line<'a>(
    space: &'a SpaceName,
    version: Version,
    at: u64,
    made: &'a Made,
    program: Option<&'a str>,
    tags: Vec<&'a str>,
    change: Option<Change<'a>>,
) -> Json<'a> {
    let (mut run, mut commit, mut to, mut source, mut source_version) = Default::default();
    let word = match made {
        Made::Commit { commit: number, run: by } => {
            (run, commit) = (Some(by.0), Some(number.0));
            "commit"
        }
        Made::Rollback { to: back } => {
            to = Some(back.0);
            "rollback"
        }
        Made::Fork { source: name, version } => {
            (source, source_version) = (Some(name.as_str()), Some(version.0));
            "fork"
        }
    };
    let at = Time(at);
    Json {
        space: space.as_str(),
        version: version.0,
        at,
        made: word,
        run,
        commit,
        program,
        to,
        source,
        source_version,
        tags,
        kept: true,
        change,
    }
}

/// In which way a step changed the subject.
fn way(step: &Step) -> &'static str {
    match (&step.before, &step.after) {
        _ if step.before == step.after && matches!(step.made, Made::Fork { .. }) => "same",
        (Found::Unknown, _) => "earliest",
        (Found::Nothing, _) => "made",
        (_, Found::Nothing) => "removed",
        (Found::Node(old, _), Found::Node(new, _)) if old != new => "replaced",
        _ => "changed",
    }
}

fn change(step: &Step, value: Option<Bytes>) -> Change<'_> {
    let (kind, size, target) = match &step.after {
        Found::Nothing | Found::Unknown => (None, None, None),
        Found::Node(_, node) => {
            let target = (node.kind == NodeKind::Symlink).then_some(node.target.as_str());
            (Some(node.kind.word()), Some(node.size), target)
        }
        Found::Value(value) => (None, Some(length(value)), None),
    };
    Change { change: way(step), kind, size, target, value }
}

/// The value after a step, if it is small and can be read. What a value is kept as does not depend on the version.
fn value(cells: &Cells, step: &Step) -> Option<Vec<u8>> {
    let Found::Value(value) = &step.after else { return None };
    if length(value) > VALUE_BYTES {
        return None;
    }
    cells.bytes(value).ok()
}

/// `changed, 1.2 KiB`
fn told(cells: &Cells, step: &Step) -> String {
    let what = match &step.after {
        Found::Nothing | Found::Unknown => return way(step).to_owned(),
        Found::Node(_, node) => match node.kind {
            NodeKind::File => units::bytes(node.size),
            NodeKind::Symlink => format!("link to {}", Quoted(&node.target, SHOWN)),
            _ => "directory".to_owned(),
        },
        Found::Value(stored) => match value(cells, step) {
            Some(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Quoted(text, SHOWN).to_string(),
                Err(_) => QuotedBytes(&bytes, SHOWN).to_string(),
            },
            None => units::bytes(length(stored)),
        },
    };
    format!("{}, {what}", way(step))
}

/// A program's name as the table shows it.
fn short(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let text = Safe(name).to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
