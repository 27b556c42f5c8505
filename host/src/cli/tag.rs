//! `reel tag`: names for versions.

use reel_abi::id::{TagName, WallTime};
use reel_store::{ReadError, Store, Tag};
use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json::{self, Time};
use super::moment;
use super::style::Paint;
use super::table::{Cell, Table};
use super::when::SpaceAt;
use crate::port::Clock;
use crate::world::clock::HostClock;

/// Give a version a name, list the names, take one away
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "A tag can be written wherever a version can (main@release). A tagged version outlives `reel gc`."
)]
pub struct Args {
    /// The tag; without a space it is shown, without a tag all are listed
    #[arg(value_name = "TAG")]
    tag: Option<TagName>,
    /// The version that the tag shall name: SPACE is its newest one
    #[arg(value_name = "SPACE[@WHEN]", conflicts_with = "remove")]
    at: Option<SpaceAt>,
    /// Move the tag if it names another version
    #[arg(long, requires = "at")]
    force: bool,
    /// Take the tag away; the version stays
    #[arg(long, requires = "tag")]
    remove: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    tag: &'a str,
    space: &'a str,
    version: u64,
    at: Time,
    kept: bool,
    /// Where something else was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<&'a str>,
}

impl<'a> Json<'a> {
    fn of(tag: &'a Tag, kept: bool) -> Self {
        let Tag { tag, space, head, at } = tag;
        Self { tag: tag.as_str(), space: space.as_str(), version: head.version.0, at: Time(at.0), kept, undo: None }
    }
}

/// Sets, shows, lists or removes; `flag` is what makes another command look at the same database.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match (&args.tag, &args.at) {
        (None, _) => list(args, &database.store.tags()?, &database.store, io),
        (Some(name), None) if args.remove => remove(args, name, database, flag, io),
        (Some(name), None) => list(args, &[moment::tag(&database.store, name)?], &database.store, io),
        (Some(name), Some(at)) => set(args, name, at, database, flag, io),
    }
}

fn list(args: &Args, tags: &[Tag], store: &Store, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if args.json {
        tags.iter().try_for_each(|tag| json::line(io.out, &Json::of(tag, names_something(store, tag))))?;
        return Ok(Exit::OK);
    }
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[]);
    for named in tags {
        let Tag { tag, space, head, at } = named;
        if table.len() == 0 {
            table.row(["TAG", "VERSION", "SET (UTC)"].map(|head| Cell::new(head).painted(|t| paint.bold(t))));
        }
        let kept = if names_something(store, named) { "" } else { "not kept" };
        let version = moment::name(space, *head);
        table.row([tag.as_str(), &version, &dates::short(at.0), kept].map(Cell::new));
    }
    table.write(io.out)?;
    if tags.is_empty() && io.look.err_terminal {
        writeln!(io.err, "no tags")?;
    }
    Ok(Exit::OK)
}

/// Whether the version of a tag can still be looked at: `reel gc --untagged` may have removed it.
fn names_something(store: &Store, tag: &Tag) -> bool {
    !matches!(store.view(tag.head), Err(ReadError::Pruned { .. }))
}

fn set(
    args: &Args,
    name: &TagName,
    at: &SpaceAt,
    database: &Opened,
    flag: &str,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let store = &database.store;
    let head = at.head(store)?;
    let before = store.tag(name)?.filter(|before| (&before.space, before.head) != (&at.space, head));
    if let (Some(Tag { space, head: named, at, .. }), false) = (&before, args.force) {
        let what =
            format!("tag {name} names {} already, since {} (UTC)", moment::name(space, *named), dates::short(at.0));
        return Err(Failure::new(Exit::EXISTS, what).hint("`--force` moves it; another name leaves it as it is"));
    }
    let tag = Tag { tag: name.clone(), space: at.space.clone(), head, at: WallTime(HostClock::new().wall()) };
    store.set_tag(&tag.tag, &tag.space, tag.head, tag.at)?;
    let before = before.map(|Tag { space, head, .. }| moment::name(&space, head));
    let undo = before.as_ref().map(|before| format!("reel tag {name} {before} --force{flag}"));
    if args.json {
        json::line(io.out, &Json { undo: undo.as_deref(), ..Json::of(&tag, true) })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{name} {}", moment::name(&at.space, head))?;
    if let (Some(before), Some(undo)) = (before, undo) {
        writeln!(io.err, "it named {before} before; to undo this: {undo}")?;
    }
    Ok(Exit::OK)
}

fn remove(args: &Args, name: &TagName, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let tag = moment::tag(store, name)?;
    store.remove_tag(name, WallTime(HostClock::new().wall()))?;
    let named = moment::name(&tag.space, tag.head);
    let kept = names_something(store, &tag);
    let undo = kept.then(|| format!("reel tag {name} {named}{flag}"));
    if args.json {
        json::line(io.out, &Json { undo: undo.as_deref(), ..Json::of(&tag, kept) })?;
        return Ok(Exit::OK);
    }
    writeln!(io.out, "{name} {named}")?;
    match undo {
        Some(undo) => writeln!(io.err, "{named} has no tag {name} any more; to undo this: {undo}")?,
        None => writeln!(io.err, "{named}, which is not kept any more, has no tag {name} either")?,
    }
    Ok(Exit::OK)
}
