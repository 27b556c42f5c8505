//! The host's side of one running guest: what its handles name, and the parts that its calls work on.

use std::sync::Arc;

use reel_abi::bytes::Bytes;
use reel_abi::id::SpaceName;
use reel_abi::net::{NetCode, Side};
use reel_abi::record::CellValue;
use reel_abi::resident::Residue;
use reel_abi::types::{DescriptorFlags, Draw, FsCode, MonotonicReading, Nanos, NodeKind, StreamFault};
use reel_store::Store;

use super::calls::Callees;
use super::handles::Handles;
use super::heard::Heard;
use super::http::state::Http;
use super::limiter::Growths;
use crate::gate::commit::CommitPoint;
use crate::gate::{Gate, Halt};
use crate::net::grants::Grants;
use crate::port::{Entropy, Input, Output, Topics};
use crate::sockets::table::Sockets;
use crate::txn::buckets::Bucket;
use crate::txn::files::Place;
use crate::txn::transaction::Transaction;

/// All that belongs to one running guest.
pub struct Session {
    /// The one door.
    pub gate: Gate,
    /// What it has changed.
    pub txn: Transaction,
    /// Where it commits on its way; absent in a replay.
    pub commit_point: Option<Box<dyn CommitPoint>>,
    /// What its handles name.
    pub handles: Handles,
    /// Arguments and environment.
    pub setup: Setup,
    /// Standard streams.
    pub console: Console,
    /// Chance; absent in a replay.
    pub entropy: Option<Box<dyn Entropy>>,
    /// Where large observed bytes are kept.
    pub store: Store,
    /// Its memories and tables.
    pub growths: Growths,
    /// Requests and answers.
    pub http: Http,
    /// What it has of the network, in this run.
    pub sockets: Sockets,
    /// Names in all listings that are being read.
    pub listed: usize,
    /// Where listings of keys go on, for those who know cursors by number.
    pub cursors: Vec<Vec<u8>>,
    /// The seed that it was given, once it has asked.
    pub insecure_seed: Option<(Draw, Draw)>,
    /// Whether it stays after this call, which is then its whole transaction.
    pub resident: bool,
    /// Bytes that messages in the guest's hands were made of, in this call.
    pub posted_bytes: usize,
    /// Calls of other guests; absent in a replay.
    pub callees: Option<Box<dyn Callees>>,
    /// Whether it was called by another guest, whose transaction this is a part of.
    pub joined: bool,
    /// Whether it is called for a message or a timer, with which it commits.
    pub occasion: bool,
    /// Who has subscribed to what; absent in a replay.
    pub topics: Option<Arc<dyn Topics>>,
    /// Who takes note of what comes in; for those who execute a run again.
    pub heard: Option<Arc<Heard>>,
    /// A wait that is longer than this, in nanoseconds, is slept through without the guest; nothing if it never is.
    pub sleeps_after: Option<u64>,
}

/// What a guest is told about itself.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// `argv`, the program's name first.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Guest paths of the trees; nothing for a tree that is not handed out.
    pub preopens: Vec<Option<String>>,
    /// What it may have of the network.
    pub net: Grants,
    /// Guests that it may call.
    pub calls: Vec<SpaceName>,
}

/// Standard streams. Absent ends are those of a replay: nothing can be read, and what is written is not shown.
#[derive(Default)]
pub struct Console {
    /// Standard input.
    pub stdin: Option<Box<dyn Input>>,
    /// Standard output.
    pub stdout: Option<Box<dyn Output>>,
    /// Standard error.
    pub stderr: Option<Box<dyn Output>>,
    /// Show output also when the reply comes from the log.
    pub echo: bool,
}

impl Session {
    /// A session at its begin.
    pub fn new(
        gate: Gate,
        txn: Transaction,
        setup: Setup,
        console: Console,
        entropy: Option<Box<dyn Entropy>>,
        store: Store,
        commit_point: Option<Box<dyn CommitPoint>>,
    ) -> Self {
        let handles = Handles::new(gate.limits().open_handles);
        let growths = Growths::default();
        Self {
            gate,
            txn,
            commit_point,
            handles,
            setup,
            console,
            entropy,
            store,
            growths,
            http: Http::default(),
            sockets: Sockets::default(),
            listed: 0,
            cursors: Vec::new(),
            insecure_seed: None,
            resident: false,
            posted_bytes: 0,
            callees: None,
            joined: false,
            occasion: false,
            topics: None,
            heard: None,
            sleeps_after: None,
        }
    }
}

impl Session {
    /// Takes over what the guest keeps between two calls from the session of the call before.
    pub fn inherit(&mut self, before: Self) {
        let residue = before.residue();
        self.handles = before.handles;
        self.handles.forget_bodies();
        self.growths = before.growths;
        self.listed = before.listed;
        self.cursors = before.cursors;
        self.insecure_seed = before.insecure_seed;
        self.go_on(&residue);
    }

    /// Takes over what stands in a checkpoint; `false` if that cannot be.
    #[must_use]
    pub fn restore(&mut self, residue: &Residue) -> bool {
        let limit = self.gate.limits().open_handles;
        let Some(handles) = Handles::of_slots(&residue.handles, residue.free, limit) else { return false };
        self.handles = handles;
        self.growths = Growths::of_counted(residue.grown);
        self.listed = usize::try_from(residue.listed).unwrap_or(usize::MAX);
        self.cursors = residue.cursors.iter().map(|cursor| cursor.0.clone()).collect();
        self.insecure_seed = residue.seed;
        self.go_on(residue);
        true
    }

    fn go_on(&mut self, residue: &Residue) {
        self.gate.go_on_from(MonotonicReading(residue.monotonic.0));
        self.txn.files.carry(&residue.paths);
    }

    /// What the host keeps for the guest between two calls.
    pub fn residue(&self) -> Residue {
        let (handles, free) = self.handles.slots();
        let places = self.handles.named().filter_map(|(_, named)| named.place());
        Residue {
            handles,
            free,
            grown: self.growths.counted(),
            listed: self.listed as u64,
            cursors: self.cursors.iter().cloned().map(Bytes).collect(),
            seed: self.insecure_seed,
            monotonic: Nanos(self.gate.monotonic().0),
            paths: self.txn.files.carried(places),
        }
    }
}

/// An open file or directory.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub kind: NodeKind,
    /// What it may be used for.
    pub flags: DescriptorFlags,
}

/// A listing that is being read.
#[derive(Debug)]
pub struct DirectoryStream {
    /// What is left of it.
    pub names: std::vec::IntoIter<(String, NodeKind)>,
    /// How many names it had.
    pub count: usize,
}

/// A stream to read from.
#[derive(Debug, Clone, Copy)]
pub enum InputStream {
    /// Standard input.
    Stdin,
    /// A file, at an offset.
    File {
        /// The file.
        place: Place,
        /// Next byte.
        offset: u64,
        /// Whether the descriptor it was made from may read.
        allowed: bool,
    },
    /// A body that comes in.
    Body {
        /// Its number.
        number: u32,
    },
    /// A connection.
    Socket {
        /// Handle of its socket.
        socket: u32,
    },
}

/// A stream to write to.
#[derive(Debug, Clone, Copy)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, at an offset or at its end.
    File {
        /// The file.
        place: Place,
        /// Next byte; nothing to append.
        offset: Option<u64>,
        /// Whether the descriptor it was made from may write.
        allowed: bool,
    },
    /// A body that goes out.
    Body {
        /// Its number.
        number: u32,
    },
    /// A connection.
    Socket {
        /// Handle of its socket.
        socket: u32,
        /// Bytes that may be written, as the guest was told.
        permit: u64,
    },
}

/// What can be waited for.
#[derive(Debug, Clone, Copy)]
pub enum Pollable {
    /// Always ready.
    Ready,
    /// Standard input has bytes or has ended.
    Stdin,
    /// The guest's monotonic clock has reached this.
    Timer {
        /// Nanoseconds.
        deadline: u64,
    },
    /// A body has bytes or has ended.
    Body {
        /// Its number.
        number: u32,
    },
    /// Others have answered.
    Response {
        /// Number of the request.
        number: u32,
    },
    /// A socket or a lookup is ready.
    Socket {
        /// Its handle.
        socket: u32,
        /// What of it.
        side: Side,
    },
}

/// The error behind a failed stream operation.
#[derive(Debug, Clone, Copy)]
pub enum ErrorText {
    /// Of a file, or a standard stream.
    File(FsCode),
    /// Of a socket.
    Network(NetCode),
}

/// A compare-and-swap in the making.
#[derive(Debug, Clone)]
pub struct Cas {
    /// The bucket.
    pub bucket: Bucket,
    /// The key.
    pub key: Vec<u8>,
    /// What the key had when it was made.
    pub current: Option<CellValue>,
}

/// A savepoint, by the name that the transaction gave it.
#[derive(Debug, Clone, Copy)]
pub struct Savepoint {
    /// The name.
    pub name: u64,
}

/// A terminal that a person types at.
#[derive(Debug)]
pub struct TerminalInput;

/// A terminal that a person reads at.
#[derive(Debug)]
pub struct TerminalOutput;

/// What a stream operation can fail with: the guest is told, or stopped.
#[derive(Debug)]
pub enum StreamError {
    /// The guest is told.
    Fault(StreamFault),
    /// The guest is stopped.
    Halt(Halt),
}

impl From<Halt> for StreamError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<StreamFault> for StreamError {
    fn from(fault: StreamFault) -> Self {
        Self::Fault(fault)
    }
}
