//! `reel fs export`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reel_abi::types::NodeKind;

use super::{failed, files};
use crate::cli::brought::Brought;
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, plain};
use crate::cli::io::Io;
use crate::cli::units;
use crate::cli::when::SpacePath;
use crate::runtime::files_at::{FilesAt, LookError};
use crate::txn::files::Place;
use crate::world::export::NewDir;

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Write files of a space to a directory of the host, which must be new or empty
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN]:PATH, for example main:/ or main@3:/reports
    path: SpacePath,
    /// The directory to write them to
    #[arg(value_name = "HOSTDIR")]
    to: PathBuf,
}

#[derive(Default)]
struct Totals {
    files: u64,
    bytes: u64,
}

/// Writes the tree below the path.
pub fn execute(args: &Args, brought: &Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut files = files(&args.path, database)?;
    let whole = |error: LookError| failed(&args.path, &error);
    let place = files.find(&args.path.path, true).map_err(whole)?;
    let kind = files.kind(place).map_err(whole)?;
    let dir = NewDir::create(&brought.path(&args.to)).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => {
            Failure::new(Exit::HOST, format!("{} is not empty", args.to.display())).hint("name a new directory")
        }
        _ => Failure::file(Exit::HOST, "make the directory", &args.to, &error),
    })?;
    let mut totals = Totals::default();
    let progress = database.progress(io.look.err_terminal);
    progress.begin(&format!("exporting {}", args.path));
    let mut export = Export { args, files: &mut files, totals: &mut totals };
    if kind == NodeKind::Directory {
        export.tree(place, dir)?;
    } else {
        let name = args.path.path.rsplit('/').next().unwrap_or("file");
        export.file(place, &dir, name, &args.to.join(name))?;
    }
    progress.finish();
    let Totals { files, bytes } = totals;
    writeln!(io.err, "{files} files, {} written to {}", units::bytes(bytes), args.to.display())?;
    Ok(Exit::OK)
}

struct Export<'a> {
    args: &'a Args,
    files: &'a mut FilesAt,
    totals: &'a mut Totals,
}

impl Export<'_> {
    fn tree(&mut self, root: Place, to: NewDir) -> Result<(), Failure> {
        let mut open = vec![(root, to, self.args.to.clone())];
        while let Some((place, to, path)) = open.pop() {
            for (name, kind) in self.files.list(place).map_err(|e| failed(&self.args.path, &e))? {
                let path = path.join(&name);
                let child = self.files.child(place, &name).map_err(|e| failed(&self.args.path, &e))?;
                match kind {
                    NodeKind::Directory => open.push((child, to.dir(&name).map_err(|e| unwritten(&path, &e))?, path)),
                    NodeKind::Symlink => {
                        let target = self.files.readlink(place, &name).map_err(|e| failed(&self.args.path, &e))?;
                        to.link(&name, &target).map_err(|e| unwritten(&path, &e))?;
                    }
                    _ => self.file(child, &to, &name, &path)?,
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, place: Place, to: &NewDir, name: &str, path: &Path) -> Result<(), Failure> {
        let stat = self.files.stat(place).map_err(|e| failed(&self.args.path, &e))?;
        let mut file = to.file(name).map_err(|e| unwritten(path, &e))?;
        let mut offset = 0;
        loop {
            let bytes = self.files.read(place, offset, CHUNK_BYTES).map_err(|e| failed(&self.args.path, &e))?;
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            file.write_all(&bytes).map_err(|e| unwritten(path, &e))?;
        }
        file.finish(stat.modified.0).map_err(|e| unwritten(path, &e))?;
        self.totals.files += 1;
        self.totals.bytes += offset;
        Ok(())
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::HOST, format!("cannot write {}: {}", path.display(), plain(error)))
}
