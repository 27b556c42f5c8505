//! Guests that were deployed, the lives of residents, and checkpoints: what lies about them in the cells of their space.
//!
//! ```text
//! RESIDENT "guest"       -> Guest        what was deployed, and how
//! RESIDENT "life"        -> Life         the last committed call of the one that is alive; written by every call
//! RESIDENT "stopped"     -> nothing      is there while it takes no calls
//! RESIDENT "checkpoint"  -> Checkpoint   what it was like after one of its calls, but for its memories
//! PAGE     memory:4 page:8 -> bytes      4096 bytes of a memory at the checkpoint (big endian numbers), where they are others than at birth:
//!                                        nothing for zeros, all of them, or a Zstandard block
//! ```
//!
//! Because all of it is in the space, a fork or rollback of the space is one of its guest.
//!
//! The calls of a life are a chain: each names the one before in its first event, so that from a checkpoint the calls since can be found by going
//! back from the last one.

use crate::bytes::Bytes;
use crate::http::{Fields, RequestHead, ResponseHead};
use crate::id::{Digest, RunId, Seq, SpaceName, WallTime};
use crate::limits::Limits;
pub use crate::message::Subscription;

use crate::message::Place;
use crate::net::{Family, NetCode, Side};
use crate::outcome::DirGrant;
use crate::record::CellValue;
use crate::types::{DescriptorFlags, DirEntry, Draw, FsCode, Nanos, NodeKind};
use crate::value::{Describe, Value};
use crate::{wire_enum, wire_struct};

/// Bytes of a page of memory in a cell.
pub const PAGE_BYTES: usize = 4096;

/// Key of the [`Guest`].
pub const GUEST_KEY: &[u8] = b"guest";

/// Key of the [`Life`].
pub const LIFE_KEY: &[u8] = b"life";

/// Key of the [`Checkpoint`].
pub const CHECKPOINT_KEY: &[u8] = b"checkpoint";

/// Key of something while the guest takes no calls. Apart from the [`Guest`], so that a call that sleeps is not overtaken by it.
pub const STOPPED_KEY: &[u8] = b"stopped";

/// Key of the number of the run up to which calls without an end were given up.
pub const GIVEN_UP_KEY: &[u8] = b"given-up";

/// Key of a page.
pub fn page_key(memory: u32, page: u64) -> Vec<u8> {
    [memory.to_be_bytes().as_slice(), &page.to_be_bytes()].concat()
}

/// Memory and page of a key.
pub fn page_of(key: &[u8]) -> Option<(u32, u64)> {
    let (memory, page) = key.split_at_checked(4)?;
    Some((u32::from_be_bytes(memory.try_into().ok()?), u64::from_be_bytes(page.try_into().ok()?)))
}

wire_enum! {
    /// How a call was entered.
    pub enum Entry {
        /// The instantiation: what a component does before anybody calls it.
        1 => Birth,
        /// An exported function.
        2 => Function {
            /// Its name, with that of its interface if it is in one: `interface#function`.
            name: String,
            /// Its arguments in WAVE: `(1, "two")`.
            args: String,
        },
        /// The guest is told that it is a fork: the exported function `reel:guest/forked#forked`, if there is one.
        3 => Forked {
            /// The name it has now.
            name: SpaceName,
        },
        /// An exported function, for a timer that was due: the end of the timer is part of the call.
        4 => Timer {
            /// The key of the timer.
            key: Bytes,
            /// What the timer was set to.
            text: String,
            /// The function's name, with that of its interface if it is in one: `interface#function`.
            name: String,
            /// Its arguments in WAVE.
            args: String,
        },
        /// The function that answers requests: `wasi:http/incoming-handler#handle`. The request is the event that follows.
        10 => Request {
            /// Its method and path, for people.
            line: String,
        },
        /// An exported function, called by another guest as a part of its transaction. The call before it in the same space and transaction is that
        /// after which it comes.
        70 => Joined {
            /// The run that calls.
            caller: RunId,
            /// The event by which it does.
            seq: Seq,
            /// The function's name, with that of its interface if it is in one: `interface#function`.
            name: String,
            /// Its arguments in WAVE.
            args: String,
            /// How many of the calls before it in the same space and transaction still stand: the others were undone.
            standing: u32,
        },
        /// An exported function, for a message: that it is taken is part of the call.
        60 => Message {
            /// The key of its cell; see [`crate::message`].
            cell: Bytes,
            /// What it is about.
            topic: String,
            /// The function's name, with that of its interface if it is in one: `interface#function`.
            name: String,
        },
    }
}

impl Describe for Entry {
    fn describe(&self) -> Value {
        match self {
            Self::Birth => Value::Word("birth".into()),
            Self::Function { name, args } => Value::Text(format!("{name}{args}")),
            Self::Forked { name } => Value::Text(format!("forked({name})")),
            Self::Timer { name, args, .. } => Value::Text(format!("{name}{args}")),
            Self::Joined { caller, seq, name, args, .. } => {
                Value::Text(format!("{name}{args} for run {caller}, event {seq}"))
            }
            Self::Request { line } => Value::Text(line.clone()),
            Self::Message { name, cell, topic } => match Place::parse(cell) {
                Some(place) => Value::Text(format!("{name}(message {} of {topic:?})", place.id())),
                None => Value::Text(format!("{name}(a message of {topic:?})")),
            },
        }
    }
}

wire_enum! {
    /// Kinds of guests that stay.
    pub enum GuestKind {
        /// One instance that keeps its memory between calls, which it takes one at a time.
        1 => Resident,
        /// A fresh instance for each request or message; state only in the space.
        2 => Handler,
    }
}

wire_enum! {
    /// What becomes of a call that a crash cut off.
    pub enum OnCrash {
        /// It is rolled back.
        1 => Abort,
        /// It goes on where its log ends.
        2 => Resume,
    }
}

wire_struct! {
    /// A component with its configuration: a guest.
    pub struct Guest {
        /// What kind.
        pub kind: GuestKind,
        /// Wall-clock time of its deployment.
        pub at: WallTime,
        /// Digest of the component's bytes as they were given.
        pub component: Digest,
        /// Name of the blob that lists the blocks of those bytes.
        pub content: Digest,
        /// The file it came from, for people only.
        pub program: String,
        /// Environment variables.
        pub env: Vec<(String, String)>,
        /// Host directories.
        pub dirs: Vec<DirGrant>,
        /// Places in the network, each `HOST:PORT` as it was granted.
        pub net: Vec<String>,
        /// Guests that it may call.
        pub calls: Vec<SpaceName>,
        /// Which requests it answers, each `HOST/PATH`, `/PATH` for any host.
        pub routes: Vec<String>,
        /// Bounds of each call, and of what stays between them.
        pub limits: Limits,
        /// What becomes of a call that a crash cut off.
        pub on_crash: OnCrash,
        /// The name it was deployed under; a fork has another one, and is sent nothing.
        pub name: SpaceName,
        /// Which messages are sent to it.
        pub subscriptions: Vec<Subscription>,
    }
}

wire_struct! {
    /// Where the life of a resident stands.
    pub struct Life {
        /// The run in which it was instantiated.
        pub birth: RunId,
        /// Wall-clock time of that; its monotonic time counts from there.
        pub born: WallTime,
        /// Its last committed call; the birth, if there was none yet.
        pub last: RunId,
        /// Committed calls.
        pub calls: u64,
        /// The name of the space that the last call was made in: another one than that of a fork.
        pub name: SpaceName,
    }
}

wire_struct! {
    /// What a resident was like after one of its calls.
    pub struct Checkpoint {
        /// The run in which it was instantiated.
        pub birth: RunId,
        /// That call.
        pub after: RunId,
        /// Calls of its life until then.
        pub calls: u64,
        /// Digest of the component's bytes as they were given.
        pub component: Digest,
        /// How the component was prepared for this: a version of the host's.
        pub prepared: u32,
        /// Bytes of each memory, in order of their creation.
        pub memories: Vec<u64>,
        /// What the host keeps for it.
        pub residue: Residue,
    }
}

wire_struct! {
    /// What the host keeps for a guest between two calls.
    pub struct Residue {
        /// The table of its handles, from the first.
        pub handles: Vec<Slot>,
        /// The first slot that is free, if one is.
        pub free: Option<u32>,
        /// Bytes of all its memories and elements of all its tables, as they were counted against the limits.
        pub grown: (u64, u64),
        /// Names in all listings that are being read.
        pub listed: u64,
        /// Where listings of keys go on.
        pub cursors: Vec<Bytes>,
        /// The seed that it was given, once it has asked.
        pub seed: Option<(Draw, Draw)>,
        /// Its monotonic time.
        pub monotonic: Nanos,
        /// What its handles name in granted directories: grant, node and path.
        pub paths: Vec<HostPath>,
    }
}

wire_struct! {
    /// A node of a granted directory.
    pub struct HostPath {
        /// Number of the grant, from 0.
        pub grant: u32,
        /// The node.
        pub node: u64,
        /// Path below the grant.
        pub path: String,
    }
}

wire_enum! {
    /// A place in a table of handles.
    pub enum Slot {
        /// Nothing is here; after this the next free one.
        1 => Free {
            /// Its number.
            next: Option<u32>,
        },
        /// An open file or directory.
        2 => Descriptor {
            /// The tree: 0 is the space, 1 and up are the grants in order.
            tree: u32,
            /// The node in it.
            node: u64,
            /// What it is.
            kind: NodeKind,
            /// What it may be used for.
            flags: DescriptorFlags,
        },
        /// A listing that is being read.
        3 => Listing {
            /// What is left of it.
            names: Vec<DirEntry>,
            /// How many names it had.
            count: u64,
        },
        /// Standard input.
        4 => Stdin,
        /// A file that is read as a stream.
        5 => FileInput {
            /// The tree.
            tree: u32,
            /// The node.
            node: u64,
            /// Next byte.
            offset: u64,
            /// Whether it may be read.
            allowed: bool,
        },
        /// Standard output.
        6 => Stdout,
        /// Standard error.
        7 => Stderr,
        /// A file that is written as a stream.
        8 => FileOutput {
            /// The tree.
            tree: u32,
            /// The node.
            node: u64,
            /// Next byte; none to append.
            offset: Option<u64>,
            /// Whether it may be written.
            allowed: bool,
        },
        /// A pollable that is always ready.
        9 => Ready,
        /// A pollable for standard input.
        10 => StdinReady,
        /// A pollable for a moment of the guest's monotonic clock.
        11 => Timer {
            /// The moment.
            deadline: Nanos,
        },
        /// The error behind a failed stream operation.
        12 => Error {
            /// The code.
            code: FsCode,
        },
        /// A bucket.
        13 => Bucket {
            /// The beginning of its keys.
            prefix: Bytes,
        },
        /// A compare-and-swap in the making.
        14 => Cas {
            /// The bucket: the beginning of its keys.
            prefix: Bytes,
            /// The key.
            key: Bytes,
            /// What the key had.
            current: Option<CellValue>,
        },
        /// A savepoint, of a transaction that is over.
        15 => Savepoint {
            /// Its name.
            name: u64,
        },
        /// A terminal to type at.
        16 => TerminalInput,
        /// A terminal to read at.
        17 => TerminalOutput,
        /// A resource of an interface that was not granted.
        18 => Refused,
        /// The network.
        40 => Network,
        /// A TCP socket, which is closed now.
        41 => TcpSocket {
            /// Which addresses it has.
            family: Family,
            /// Its streams that are open.
            streams: u32,
        },
        /// A UDP socket, which is closed now.
        42 => UdpSocket {
            /// Which addresses it has.
            family: Family,
            /// Its streams that are open.
            streams: u32,
        },
        /// The addresses of a name.
        43 => AddressStream {
            /// The name.
            name: String,
        },
        /// What comes over a connection.
        44 => SocketInput {
            /// Handle of the socket.
            socket: u32,
        },
        /// What goes over a connection.
        45 => SocketOutput {
            /// Handle of the socket.
            socket: u32,
            /// Bytes that may be written.
            permit: u64,
        },
        /// A pollable for a socket.
        46 => SocketReady {
            /// Handle of the socket.
            socket: u32,
            /// What of it.
            side: Side,
        },
        /// Datagrams that come.
        47 => IncomingDatagrams {
            /// Handle of the socket.
            socket: u32,
        },
        /// Datagrams that go.
        48 => OutgoingDatagrams {
            /// Handle of the socket.
            socket: u32,
            /// How many may be sent.
            permit: u64,
        },
        /// The network error behind a failed stream operation.
        49 => NetError {
            /// The code.
            code: NetCode,
        },
        /// Header fields.
        50 => Fields {
            /// In order.
            entries: Fields,
            /// Whether they belong to a message.
            frozen: bool,
        },
        /// A request that was to be answered.
        51 => IncomingRequest {
            /// Its head.
            head: RequestHead,
            /// Whether its body was not taken.
            body: bool,
        },
        /// A request in the making.
        52 => OutgoingRequest {
            /// Its head.
            head: RequestHead,
            /// Whether it has a body.
            body: bool,
        },
        /// How long others may take, in nanoseconds.
        53 => RequestOptions {
            /// For connecting.
            connect: Option<u64>,
            /// Until the head of the response.
            first_byte: Option<u64>,
            /// Between two pieces of the body.
            between_bytes: Option<u64>,
        },
        /// Where the answer went.
        54 => ResponseOutparam,
        /// An answer of others.
        55 => IncomingResponse {
            /// Its head.
            head: ResponseHead,
            /// Whether its body was not taken.
            body: bool,
        },
        /// A body that came in, and whether its stream was taken.
        56 => IncomingBody {
            /// Whether it was.
            streamed: bool,
        },
        /// Trailers.
        57 => FutureTrailers {
            /// Whether they were taken.
            taken: bool,
        },
        /// An answer in the making.
        58 => OutgoingResponse {
            /// Its head.
            head: ResponseHead,
            /// Whether it has a body.
            body: bool,
        },
        /// A body that was written, and whether its stream was taken.
        59 => OutgoingBody {
            /// Whether it was.
            streamed: bool,
        },
        /// An answer that may not have come.
        60 => FutureIncomingResponse {
            /// Whether it was taken.
            taken: bool,
        },
        /// The stream of a body that came in.
        61 => BodyInput,
        /// The stream of a body that was written.
        62 => BodyOutput,
        /// A pollable for a body.
        63 => BodyReady,
        /// A pollable for an answer of others.
        64 => ResponseReady,
        /// A connection to the exchange of messages, and whether it was not ended.
        65 => Client {
            /// Whether it was not.
            connected: bool,
        },
        /// A message, which is empty now.
        66 => Post,
    }
}
