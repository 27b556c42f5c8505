//! The files of a space as they were at a version, to be looked at: the same trees that a guest sees, under a gate that records nothing because
//! looking makes no event.

use std::sync::Arc;

use reel_abi::id::Seq;
use reel_abi::limits::Limits;
use reel_abi::types::{FsCode, NodeKind, Stat};
use reel_store::{Head, ReadError, Store};
use thiserror::Error;

use crate::gate::recorder::{FrameSink, RawFrame, Recorder};
use crate::gate::{Gate, GateSettings, Halt, Mode};
use crate::port::{Clock, Waiting};
use crate::txn::fault::Fault;
use crate::txn::files::{Files, Place};
use crate::txn::lower::Lower;
use crate::txn::snapshot::Snapshot;
use crate::txn::tree::Tree;

/// Why something of a space cannot be looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// There is no such thing, or it is of another kind.
    #[error("{0}")]
    Code(FsCode),
    /// What there is makes no sense, or a part of it is missing.
    #[error("{0}")]
    Failed(String),
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl LookError {
    /// Says what it is about.
    #[must_use]
    pub fn about(self, path: &str) -> Self {
        match self {
            Self::Failed(what) => Self::Failed(format!("/{path}: {what}")),
            other => other,
        }
    }
}

impl From<Halt> for LookError {
    fn from(halt: Halt) -> Self {
        Self::Failed(halt.to_string())
    }
}

impl From<Fault> for LookError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Code(code) => Self::Code(code),
            Fault::Halt(halt) => halt.into(),
        }
    }
}

/// A space at a version.
pub struct FilesAt {
    files: Files,
    gate: Gate,
    root: Place,
}

/// Refuses: nothing here changes anything.
struct NoLog;

impl FrameSink for NoLog {
    fn frame(&mut self, _: RawFrame) -> Result<(), Halt> {
        Err(Halt::Host("looking at files has made an event".into()))
    }

    fn durable(&mut self) -> Waiting<'_, Result<(), Halt>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// No time is needed where nothing is written.
struct NoClock;

impl Clock for NoClock {
    fn wall(&self) -> u64 {
        0
    }
    fn monotonic(&self) -> u64 {
        0
    }
}

impl FilesAt {
    /// The files at a head.
    pub fn new(store: &Store, head: Head) -> Result<Self, ReadError> {
        let tree = Tree::new(Lower::Space(Snapshot::new(store.view(head)?)), true, 0);
        let files = Files::new(store.clone(), vec![tree]);
        let root = Place { tree: 0, node: crate::txn::tree::root() };
        let settings = GateSettings {
            limits: Limits::default(),
            clock: Arc::new(NoClock),
            until: None,
            keep_payload: false,
            hears: None,
        };
        Ok(Self { files, gate: Gate::new(Mode::Live(Recorder::new(Seq(0), Box::new(NoLog))), settings), root })
    }

    /// The place of a path below the root; the empty path is the root itself. `follow` says whether a link in the last place is followed.
    pub fn find(&mut self, path: &str, follow: bool) -> Result<Place, LookError> {
        match path {
            "" => Ok(self.root),
            path => Ok(self.files.find(&mut self.gate, self.root, path, follow)?),
        }
    }

    /// A name in a directory; links are not followed.
    pub fn child(&mut self, dir: Place, name: &str) -> Result<Place, LookError> {
        Ok(self.files.find(&mut self.gate, dir, name, false)?)
    }

    /// What a place is.
    pub fn kind(&mut self, place: Place) -> Result<NodeKind, LookError> {
        Ok(self.files.kind(&mut self.gate, place)?)
    }

    /// Size, times and links.
    pub fn stat(&mut self, place: Place) -> Result<Stat, LookError> {
        Ok(self.files.stat(&mut self.gate, place)?)
    }

    /// The names in a directory, sorted by bytes, with what they are.
    pub fn list(&mut self, dir: Place) -> Result<Vec<(String, NodeKind)>, LookError> {
        Ok(self.files.list(&mut self.gate, dir)?)
    }

    /// Up to `len` bytes of a file; none at its end.
    pub fn read(&mut self, file: Place, offset: u64, len: usize) -> Result<Vec<u8>, LookError> {
        Ok(self.files.read(&mut self.gate, file, offset, len)?.0)
    }

    /// Where the symbolic link under a name points.
    pub fn readlink(&mut self, dir: Place, name: &str) -> Result<String, LookError> {
        Ok(self.files.readlink(&mut self.gate, dir, name)?)
    }
}
