//! `reel fs ls`

use reel_abi::types::{NodeKind, Stat};
use serde::Serialize;

use super::{failed, files};
use crate::cli::database::Opened;
use crate::cli::dates;
use crate::cli::escape::Safe;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{self, Time};
use crate::cli::style::Paint;
use crate::cli::when::SpacePath;
use crate::runtime::files_at::{FilesAt, LookError};
use crate::txn::files::Place;

/// List a directory of a space
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN]:PATH, for example main:/ or main@3:/reports
    path: SpacePath,
    /// With kind, size and time of last change
    #[arg(long, short)]
    long: bool,
    /// Directories in it, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    path: &'a str,
    kind: &'static str,
    size: u64,
    links: u64,
    modified: Time,
    target: Option<&'a str>,
}

/// A name that is still to be listed.
struct Pending {
    path: String,
    dir: Place,
    name: String,
}

/// Lists a directory, or the one file that the path names.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut files = files(&args.path, database)?;
    let whole = |error: LookError| failed(&args.path, &error);
    let path = args.path.path.as_str();
    let place = files.find(path, false).map_err(whole)?;
    let mut pending = Vec::new();
    if files.kind(place).map_err(whole)? == NodeKind::Directory {
        push(&mut pending, &mut files, place, "").map_err(whole)?;
    } else {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = files.find(above, true).map_err(whole)?;
        pending.push(Pending { path: name.to_owned(), dir, name: name.to_owned() });
    }
    while let Some(Pending { path, dir, name }) = pending.pop() {
        let place = files.child(dir, &name).map_err(whole)?;
        let stat = files.stat(place).map_err(whole)?;
        // An absolute target is shown to nobody inside, and is none that a guest can make.
        let target =
            (stat.kind == NodeKind::Symlink).then(|| files.readlink(dir, &name).unwrap_or_else(|_| "?".into()));
        one(args, &path, &stat, target.as_deref(), io)?;
        if args.recursive && stat.kind == NodeKind::Directory {
            push(&mut pending, &mut files, place, &path).map_err(whole)?;
        }
    }
    Ok(Exit::OK)
}

/// Puts the names of a directory on the stack, so that the first comes off first.
fn push(pending: &mut Vec<Pending>, files: &mut FilesAt, dir: Place, above: &str) -> Result<(), LookError> {
    for (name, _) in files.list(dir)?.into_iter().rev() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        pending.push(Pending { path, dir, name });
    }
    Ok(())
}

fn one(args: &Args, path: &str, stat: &Stat, target: Option<&str>, io: &mut Io<'_>) -> Result<(), Failure> {
    let Stat { kind, size, links, modified, .. } = stat;
    if args.json {
        let modified = Time(modified.0);
        json::line(io.out, &Json { path, kind: kind.word(), size: *size, links: *links, modified, target })?;
        return Ok(());
    }
    let name = Safe(path).to_string();
    let name = match kind {
        NodeKind::Directory => format!("{}/", Paint(io.look.out_colour).bold(&name)),
        _ => name,
    };
    if !args.long {
        writeln!(io.out, "{name}")?;
        return Ok(());
    }
    let kind = match kind {
        NodeKind::Directory => "dir",
        NodeKind::File => "file",
        NodeKind::Symlink => "link",
        _ => "other",
    };
    let target = target.map(|target| format!(" -> {}", Safe(target))).unwrap_or_default();
    writeln!(io.out, "{kind:5} {size:>12}  {}  {name}{target}", dates::short(modified.0))?;
    Ok(())
}
