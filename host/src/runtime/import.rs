//! Putting files of the host into a space: a run like any other, with a begin, an end and a commit, but without a guest.

use std::io::Read;
use std::sync::Arc;

use reel_abi::id::{Digest, Seq, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::types::{FsCode, NewTime, NodeKind, OpenFlags, WallReading};
use reel_abi::vocabulary::RunBegins;
use reel_store::{ReadError, Store};
use thiserror::Error;

use super::commit_point::LastCommit;
use super::joined::Joint;
use super::run::{Concluded, GateOptions, Live, RunError, RunReport, conclude, session_of};
use super::sink::LogSink;
use super::turns::Turns;
use crate::calls::session::{Console, Session};
use crate::engine::config::description;
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Mode};
use crate::port::{Clock, HostDir};
use crate::txn::fault::Fault;
use crate::txn::files::Place;
use crate::txn::values::keep;

/// Bytes copied at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// What is to be imported.
pub struct ImportRequest<'a> {
    /// What the run is called in the log.
    pub name: &'a str,
    /// The command line, for the log.
    pub args: Vec<String>,
    /// The space; made if there is none.
    pub space: SpaceName,
    /// The directory of the space that takes the files, made if there is none. The empty path is the root.
    pub to: &'a str,
    /// Where they come from.
    pub from: &'a dyn HostDir,
}

/// What was imported.
#[derive(Debug)]
pub struct ImportReport {
    /// The run.
    pub report: RunReport,
    /// Files and links.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Paths that are neither file, directory nor link.
    pub skipped: Vec<String>,
}

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Something of the host cannot be read.
    #[error("cannot read {path}: {code}")]
    Host {
        /// Below the directory.
        path: String,
        /// Why.
        code: FsCode,
    },
    /// Something of the host cannot be read to its end.
    #[error("cannot read {path}: {reason}")]
    Content {
        /// Below the directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// Something cannot be made in the space.
    #[error("cannot make {path} in the space: {code}")]
    Space {
        /// Below the space's root.
        path: String,
        /// Why.
        code: FsCode,
    },
    /// The host could not go on.
    #[error("{0}")]
    Halt(Halt),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The run could not be concluded.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Imports all files below a directory of the host as one transaction. After an error nothing is committed, and no run is in the log but what
/// was written of it by then.
pub async fn import(
    store: &Store,
    request: ImportRequest<'_>,
    clock: Arc<dyn Clock>,
) -> Result<ImportReport, ImportError> {
    let ImportRequest { name, args, space, to, from } = request;
    let base = store.head_or_new(&space)?;
    let run = store.next_run();
    let begin = RunBegin {
        at: WallTime(clock.wall()),
        component: Digest::of(b""),
        content: keep(store.blobs(), b"").map_err(RunError::Append)?,
        name: name.to_owned(),
        args,
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        limits: Limits { written_bytes: u64::MAX, ..Limits::default() },
        space,
        segment: base.segment,
        version: base.version,
        commit_on_failure: false,
        engine: description(),
        trace: None,
    };
    let turn = Turns::default().of(&begin.space);
    let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
    let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
    let options = GateOptions::default();
    let mut session =
        session_of(store, run, &begin, mode, Arc::clone(&clock), None, Console::default(), Vec::new(), &options)?;
    session.gate.pass(RunBegins {}, |_, _| Ok(())).map_err(ImportError::Halt)?;
    let mut copy = Copy { session: &mut session, from, files: 0, bytes: 0, skipped: Vec::new() };
    let copied = copy.all(to);
    let Copy { files, bytes, skipped, .. } = copy;
    let outcome = match &copied {
        Ok(()) => Outcome::Exit { code: 0 },
        Err(ImportError::Halt(Halt::Limit { kind, limit })) => Outcome::Limit { kind: kind.clone(), limit: *limit },
        Err(error) => Outcome::HostFailure { message: error.to_string() },
    };
    let joint = Joint::new(None, "", None, false);
    let live = Live { run, begin, sink, clock, session, turn, last: LastCommit::default(), joint };
    let report = match conclude(store, live, outcome, None, None).await? {
        Concluded::Over(landed) => landed.durable(store).await?.0,
        Concluded::Overtaken(_) => {
            return Err(ImportError::Halt(Halt::Host("an import was to be executed again".into())));
        }
    };
    copied?;
    Ok(ImportReport { report, files, bytes, skipped })
}

/// The copying.
struct Copy<'a> {
    session: &'a mut Session,
    from: &'a dyn HostDir,
    files: u64,
    bytes: u64,
    skipped: Vec<String>,
}

impl Copy<'_> {
    fn all(&mut self, to: &str) -> Result<(), ImportError> {
        let root = self.session.txn.files.roots().next().unwrap_or(Place { tree: 0, node: crate::txn::tree::root() });
        let mut place = root;
        let mut path = String::new();
        for name in to.split('/').filter(|name| !name.is_empty()) {
            path = join(&path, name);
            place = self.directory(place, name, &path)?;
        }
        let mut open = vec![(String::new(), place)];
        while let Some((dir, place)) = open.pop() {
            for entry in self.from.list(&dir).map_err(|code| ImportError::Host { path: dir.clone(), code })? {
                let path = join(&dir, &entry.name);
                match entry.kind {
                    NodeKind::Directory => open.push((path.clone(), self.directory(place, &entry.name, &path)?)),
                    NodeKind::File => self.file(place, &entry.name, &path)?,
                    NodeKind::Symlink => self.link(place, &entry.name, &path)?,
                    _ => self.skipped.push(path),
                }
            }
        }
        Ok(())
    }

    /// A directory that is there already stays, whatever is in it.
    fn directory(&mut self, dir: Place, name: &str, path: &str) -> Result<Place, ImportError> {
        let Session { gate, txn, .. } = &mut *self.session;
        let files = &mut txn.files;
        match files.create_directory(gate, dir, name) {
            Ok(()) | Err(Fault::Code(FsCode::Exist)) => {}
            Err(fault) => return Err(failed(path, fault)),
        }
        let place = files.find(gate, dir, name, false).map_err(|fault| failed(path, fault))?;
        match files.kind(gate, place).map_err(|fault| failed(path, fault))? {
            NodeKind::Directory => Ok(place),
            _ => Err(ImportError::Space { path: path.to_owned(), code: FsCode::NotDirectory }),
        }
    }

    /// A file or link that is there already is replaced.
    fn make_room(&mut self, dir: Place, name: &str, path: &str) -> Result<(), ImportError> {
        let Session { gate, txn, .. } = &mut *self.session;
        let files = &mut txn.files;
        match files.unlink(gate, dir, name) {
            Ok(()) | Err(Fault::Code(FsCode::NoEntry)) => Ok(()),
            Err(fault) => Err(failed(path, fault)),
        }
    }

    fn file(&mut self, dir: Place, name: &str, path: &str) -> Result<(), ImportError> {
        let host = |code| ImportError::Host { path: path.to_owned(), code };
        let modified = self.from.stat(path).map_err(host)?.modified;
        let mut content = self.from.open(path).map_err(host)?;
        self.make_room(dir, name, path)?;
        let Session { gate, txn, .. } = &mut *self.session;
        let files = &mut txn.files;
        let how = OpenFlags(0b0101); // create, exclusive
        let opened = files.open(gate, dir, name, false, how, true);
        let (place, _) = opened.map_err(|fault| failed(path, fault))?;
        let (mut offset, mut chunk) = (0, Vec::new());
        loop {
            chunk.clear();
            let read = Read::by_ref(&mut content).take(CHUNK_BYTES).read_to_end(&mut chunk);
            read.map_err(|e| ImportError::Content { path: path.to_owned(), reason: e.to_string() })?;
            if chunk.is_empty() {
                break;
            }
            files.write(gate, place, offset, &chunk).map_err(|fault| failed(path, fault))?;
            offset += chunk.len() as u64;
        }
        self.set_time(place, path, modified)?;
        self.files += 1;
        self.bytes += offset;
        Ok(())
    }

    fn set_time(&mut self, place: Place, path: &str, modified: WallReading) -> Result<(), ImportError> {
        let Session { gate, txn, .. } = &mut *self.session;
        let files = &mut txn.files;
        let set = files.set_times(gate, place, &NewTime::Keep, &NewTime::At { time: modified });
        set.map_err(|fault| failed(path, fault))
    }

    fn link(&mut self, dir: Place, name: &str, path: &str) -> Result<(), ImportError> {
        let target = self.from.stat(path).map_err(|code| ImportError::Host { path: path.to_owned(), code })?.target;
        self.make_room(dir, name, path)?;
        let Session { gate, txn, .. } = &mut *self.session;
        let files = &mut txn.files;
        match files.symlink(gate, dir, &target, name) {
            Ok(()) => {
                self.files += 1;
                Ok(())
            }
            // It leads out of the tree, where nothing of a space is.
            Err(Fault::Code(FsCode::NotPermitted)) => {
                self.skipped.push(path.to_owned());
                Ok(())
            }
            Err(fault) => Err(failed(path, fault)),
        }
    }
}

fn failed(path: &str, fault: Fault) -> ImportError {
    match fault {
        Fault::Code(code) => ImportError::Space { path: path.to_owned(), code },
        Fault::Halt(halt) => ImportError::Halt(halt),
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}
