//! The vocabulary: every way in which a guest can touch the world, as data.
//!
//! Each call has a code (its first byte in an event, never reused), a name `family.verb`, an effect class and typed request and reply.
//! Every WASI flavour translates into these; nothing here knows of a WASI version.
//!
//! ```text
//! event = code:1 | request | reply          e.g.  0b | (nothing) | difference to the last reading
//! ```

use crate::bytes::Bytes;
use crate::faults::{Base, CasFault, KvFault, MsgFault, TxnFault};
use crate::http::{FieldsFault, HttpFault, HttpKind, HttpPart, RequestHead, ResponseHead, SentWith};
use crate::id::{RunId, SpaceName};
use crate::joined::{Called, JoinFault};
use crate::message::MsgPart;
use crate::net::{Datagram, Family, NetAddress, NetCode, NetIp, NetOption, Shutdown, Side};
use crate::outcome::Outcome;
use crate::resident::Entry;
use crate::types::{
    Advice, Captured, Data, DescriptorFlags, DirEntry, Draw, FsCode, Growth, Handle, HostNode, MonotonicReading, Nanos,
    NewTime, NodeKind, OpenFlags, Payload, Resource, Stat, Stdio, StreamFault, WallReading,
};
use crate::value::{Describe, Value};
use crate::wire::{CodecError, Reader, Wire, Writer};

/// What a call does to the world, and so where a replay takes its answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A mark in the run's life; compared.
    Mark,
    /// Looks at something outside of the space: the reply is in the log, a replay takes it from there.
    Observe,
    /// Looks at the space or the run's own settings: executed again and compared.
    Read,
    /// Changes the open transaction: executed again and compared.
    Stage,
    /// Shows bytes to a person at once: compared, not shown again unless asked.
    Talk,
    /// Reaches out to others while the guest waits: what is asked is durable before it goes out, and a replay takes the reply from the log.
    Exchange,
}

impl Class {
    /// Whether a replay takes the reply from the log instead of executing the call.
    pub const fn answered_from_log(self) -> bool {
        matches!(self, Self::Observe | Self::Talk | Self::Exchange)
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Observe => "observe",
            Self::Read => "read",
            Self::Stage => "stage",
            Self::Talk => "talk",
            Self::Exchange => "exchange",
        }
    }
}

/// A request of the vocabulary.
pub trait Call: Wire {
    /// First byte of its events.
    const CODE: u8;
    /// `family.verb`.
    const NAME: &'static str;
    /// Its effect class.
    const CLASS: Class;
    /// What the guest gets back.
    type Reply: Wire;
}

/// An event as a view: decoded without knowing its type.
#[derive(Debug, Clone, PartialEq)]
pub struct EventView {
    /// First byte.
    pub code: u8,
    /// `family.verb`.
    pub name: &'static str,
    /// Effect class.
    pub class: Class,
    /// The request's fields.
    pub request: Vec<(&'static str, Value)>,
    /// The reply.
    pub reply: Value,
}

macro_rules! vocabulary {
    ($( $(#[$meta:meta])* $code:literal $name:literal $class:ident $Call:ident { $($field:ident : $ty:ty),* } -> $Reply:ty; )*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Call { $(#[allow(missing_docs, reason = "the call's doc line names its fields")] pub $field: $ty),* }
            impl Wire for $Call {
                #[inline]
                fn put(&self, w: &mut Writer) {
                    let _ = &w;
                    $(self.$field.put(w);)*
                }
                fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                    let _ = &r;
                    Ok(Self { $($field: <$ty as Wire>::take(r)?),* })
                }
            }
            impl Call for $Call {
                const CODE: u8 = $code;
                const NAME: &'static str = $name;
                const CLASS: Class = Class::$class;
                type Reply = $Reply;
            }
        )*

        /// Code, name and class of every call.
        pub const ALL: &[(u8, &str, Class)] = &[$(($code, $name, Class::$class)),*];

        impl EventView {
            /// Decodes the next event.
            pub fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                match r.u8("event")? {
                    $($code => {
                        let call = $Call::take(r)?;
                        let _ = &call;
                        let reply = <$Reply as Wire>::take(r)?;
                        let request = vec![$((stringify!($field), call.$field.describe())),*];
                        Ok(Self { code: $code, name: $name, class: Class::$class, request, reply: reply.describe() })
                    })*
                    other => Err(r.unknown("event", u64::from(other))),
                }
            }

            /// Goes past the next event and tells only what it is. Refuses what [`EventView::take`] refuses.
            pub fn skim(r: &mut Reader<'_>) -> Result<(u8, &'static str, Class), CodecError> {
                match r.u8("event")? {
                    $($code => {
                        let (call, reply) = ($Call::take(r)?, <$Reply as Wire>::take(r)?);
                        let _ = (&call, &reply);
                        Ok(($code, $name, Class::$class))
                    })*
                    other => Err(r.unknown("event", u64::from(other))),
                }
            }

            /// Decodes the request of an event that has no reply yet.
            pub fn take_request(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                match r.u8("event")? {
                    $($code => {
                        let call = $Call::take(r)?;
                        let _ = &call;
                        let request = vec![$((stringify!($field), call.$field.describe())),*];
                        Ok(Self { code: $code, name: $name, class: Class::$class, request, reply: Value::Unit })
                    })*
                    other => Err(r.unknown("event", u64::from(other))),
                }
            }
        }
    };
}

vocabulary! {
    /// The run begins; its settings are the `Begun` item of the log.
    0 "run.begin" Mark RunBegins {} -> ();
    /// The run is over: how, and the digest of its memory.
    1 "run.end" Mark RunEnds { outcome: Outcome, memory: Option<u64> } -> ();
    /// A memory or table wants to grow to `desired` bytes or elements; whether it may.
    2 "memory.grow" Observe MemoryGrow { what: Growth, current: u64, desired: u64 } -> bool;
    /// A call of a resident begins: how it is entered, and the committed call before it.
    3 "call.begin" Mark CallBegins { entry: Entry, after: Option<RunId> } -> ();
    /// The function returns: its results in WAVE.
    4 "call.return" Stage CallReturns { results: Data } -> ();
    /// The guest waits for a long time: nothing of it stays in memory until then. What it waits for follows.
    5 "call.sleep" Mark CallSleeps { until: WallReading } -> ();

    /// Time of day.
    10 "clock.wall" Observe ClockWall {} -> WallReading;
    /// Time since the run began.
    11 "clock.monotonic" Observe ClockMonotonic {} -> MonotonicReading;
    /// Smallest step of the time of day.
    12 "clock.wall-resolution" Observe ClockWallResolution {} -> Nanos;
    /// Smallest step of the monotonic clock.
    13 "clock.monotonic-resolution" Observe ClockMonotonicResolution {} -> Nanos;
    /// A pollable that is ready at an instant of the monotonic clock.
    14 "clock.timer-at" Stage TimerAt { when: Nanos } -> Handle;
    /// A pollable that is ready after a duration.
    15 "clock.timer-after" Stage TimerAfter { duration: Nanos } -> Handle;

    /// Cryptographically secure bytes.
    20 "random.bytes" Observe RandomBytes { len: u64 } -> Data;
    /// A secure draw.
    21 "random.u64" Observe RandomU64 {} -> Draw;
    /// Bytes that need not be secure.
    22 "random.insecure-bytes" Observe InsecureBytes { len: u64 } -> Data;
    /// A draw that need not be secure.
    23 "random.insecure-u64" Observe InsecureU64 {} -> Draw;
    /// A seed for hash tables.
    24 "random.insecure-seed" Observe InsecureSeed {} -> (Draw, Draw);

    /// Environment variables.
    30 "cli.environment" Read CliEnvironment {} -> Vec<(String, String)>;
    /// Arguments, the program's name first.
    31 "cli.arguments" Read CliArguments {} -> Vec<String>;
    /// The working directory to begin with.
    32 "cli.initial-cwd" Read CliInitialCwd {} -> Option<String>;
    /// The program asks to end.
    33 "cli.exit" Stage CliExit { code: u32 } -> ();
    /// The stream of a standard stream.
    34 "stdio.open" Stage StdioOpen { which: Stdio } -> Handle;
    /// Whether there is a terminal behind a standard stream.
    35 "stdio.terminal" Observe StdioTerminal { which: Stdio } -> bool;
    /// Bytes of standard input.
    36 "stdio.read" Observe StdioRead { stream: Handle, len: u64, blocking: bool } -> Result<Data, StreamFault>;
    /// Bytes to standard output or error.
    37 "stdio.write" Talk StdioWrite { which: Stdio, bytes: Bytes } -> Result<(), StreamFault>;
    /// Flush of standard output or error.
    38 "stdio.flush" Talk StdioFlush { which: Stdio } -> Result<(), StreamFault>;

    /// Waits until at least one of the pollables is ready; which are, by index.
    40 "poll.list" Observe PollList { pollables: Vec<Handle> } -> Vec<u32>;
    /// Whether a pollable is ready.
    41 "poll.ready" Observe PollReady { pollable: Handle } -> bool;
    /// Waits until a pollable is ready.
    42 "poll.block" Observe PollBlock { pollable: Handle } -> ();
    /// A pollable for a stream.
    43 "stream.subscribe" Stage StreamSubscribe { stream: Handle } -> Handle;
    /// How many bytes may be written now.
    44 "stream.check-write" Read StreamCheckWrite { stream: Handle } -> Result<u64, StreamFault>;
    /// The words of a stream's error.
    45 "stream.error-text" Read ErrorText { error: Handle } -> String;
    /// The guest gives a handle back.
    46 "handle.drop" Stage HandleDrop { what: Resource, handle: Handle } -> ();
    /// Moves bytes from a stream into another.
    47 "stream.splice" Stage StreamSplice { from: Handle, to: Handle, len: u64, blocking: bool } -> Result<u64, StreamFault>;
    /// Discards bytes of a stream.
    48 "stream.skip" Stage StreamSkip { stream: Handle, len: u64, blocking: bool } -> Result<u64, StreamFault>;

    /// The directories that the guest has from the beginning.
    50 "fs.preopens" Stage FsPreopens {} -> Vec<(Handle, String)>;
    /// Opens a path below a directory.
    51 "fs.open" Stage FsOpen { dir: Handle, path: String, follow: bool, how: OpenFlags, flags: DescriptorFlags } -> Result<Handle, FsCode>;
    /// Bytes of a file, and whether its end was reached.
    52 "fs.read" Read FsRead { file: Handle, offset: u64, len: u64 } -> Result<(Payload, bool), FsCode>;
    /// Bytes into a file; how many.
    53 "fs.write" Stage FsWrite { file: Handle, offset: u64, bytes: Payload } -> Result<u64, FsCode>;
    /// A stream that reads from an offset.
    54 "fs.read-stream" Stage FsReadStream { file: Handle, offset: u64 } -> Result<Handle, FsCode>;
    /// A stream that writes from an offset.
    55 "fs.write-stream" Stage FsWriteStream { file: Handle, offset: u64 } -> Result<Handle, FsCode>;
    /// A stream that appends.
    56 "fs.append-stream" Stage FsAppendStream { file: Handle } -> Result<Handle, FsCode>;
    /// Bytes from a file's stream.
    57 "fs.stream-read" Stage FsStreamRead { stream: Handle, len: u64 } -> Result<Payload, StreamFault>;
    /// Bytes into a file's stream.
    58 "fs.stream-write" Stage FsStreamWrite { stream: Handle, bytes: Payload } -> Result<(), StreamFault>;
    /// Flush of a file's stream.
    59 "fs.stream-flush" Read FsStreamFlush { stream: Handle } -> Result<(), StreamFault>;
    /// Zero bytes into a stream.
    60 "fs.stream-zeroes" Stage FsStreamZeroes { stream: Handle, len: u64 } -> Result<(), StreamFault>;
    /// Advice on expected use.
    61 "fs.advise" Read FsAdvise { file: Handle, offset: u64, len: u64, advice: Advice } -> Result<(), FsCode>;
    /// Asks for durability, which the commit gives.
    62 "fs.sync" Read FsSync { file: Handle, data_only: bool } -> Result<(), FsCode>;
    /// What a descriptor may be used for.
    63 "fs.flags" Read FsFlags { file: Handle } -> Result<DescriptorFlags, FsCode>;
    /// What a descriptor is.
    64 "fs.type" Read FsType { file: Handle } -> Result<NodeKind, FsCode>;
    /// Cuts or lengthens a file.
    65 "fs.set-size" Stage FsSetSize { file: Handle, size: u64 } -> Result<(), FsCode>;
    /// Sets times of a descriptor.
    66 "fs.set-times" Stage FsSetTimes { file: Handle, accessed: NewTime, modified: NewTime } -> Result<(), FsCode>;
    /// Sets times of a path.
    67 "fs.set-times-at" Stage FsSetTimesAt { dir: Handle, path: String, follow: bool, accessed: NewTime, modified: NewTime } -> Result<(), FsCode>;
    /// A stream of the names in a directory.
    68 "fs.read-directory" Stage FsReadDirectory { dir: Handle } -> Result<Handle, FsCode>;
    /// The next name.
    69 "fs.next-entry" Stage FsNextEntry { stream: Handle } -> Result<Option<DirEntry>, FsCode>;
    /// Makes a directory.
    70 "fs.create-directory" Stage FsCreateDirectory { dir: Handle, path: String } -> Result<(), FsCode>;
    /// Looks at a descriptor.
    71 "fs.stat" Read FsStat { file: Handle } -> Result<Stat, FsCode>;
    /// Looks at a path.
    72 "fs.stat-at" Read FsStatAt { dir: Handle, path: String, follow: bool } -> Result<Stat, FsCode>;
    /// Makes a hard link.
    73 "fs.link" Stage FsLink { dir: Handle, path: String, follow: bool, new_dir: Handle, new_path: String } -> Result<(), FsCode>;
    /// Where a symbolic link points.
    74 "fs.readlink" Read FsReadlink { dir: Handle, path: String } -> Result<String, FsCode>;
    /// Removes an empty directory.
    75 "fs.remove-directory" Stage FsRemoveDirectory { dir: Handle, path: String } -> Result<(), FsCode>;
    /// Renames.
    76 "fs.rename" Stage FsRename { dir: Handle, path: String, new_dir: Handle, new_path: String } -> Result<(), FsCode>;
    /// Makes a symbolic link.
    77 "fs.symlink" Stage FsSymlink { dir: Handle, target: String, path: String } -> Result<(), FsCode>;
    /// Removes a file or link.
    78 "fs.unlink" Stage FsUnlink { dir: Handle, path: String } -> Result<(), FsCode>;
    /// Whether two descriptors name the same object.
    79 "fs.same" Read FsSame { one: Handle, other: Handle } -> bool;
    /// Identity and state of a descriptor in 128 bits.
    80 "fs.hash" Read FsHash { file: Handle } -> Result<(Draw, Draw), FsCode>;
    /// Identity and state of a path in 128 bits.
    81 "fs.hash-at" Read FsHashAt { dir: Handle, path: String, follow: bool } -> Result<(Draw, Draw), FsCode>;
    /// The file error behind a stream error.
    82 "fs.error-code" Read FsErrorCode { error: Handle } -> Option<FsCode>;
    /// The time that file changes from here on carry.
    83 "fs.time" Observe FsTime {} -> WallReading;

    /// A path of a granted host directory.
    90 "host.stat" Observe HostStat { grant: u32, path: String } -> Result<HostNode, FsCode>;
    /// The names in a host directory.
    91 "host.list" Observe HostList { grant: u32, path: String } -> Result<Vec<DirEntry>, FsCode>;
    /// The content of a host file, whole, as it was at the first reading.
    92 "host.capture" Observe HostCapture { grant: u32, path: String } -> Result<Captured, FsCode>;

    /// A bucket of the space.
    110 "kv.open" Stage KvOpen { name: String } -> Result<Handle, KvFault>;
    /// The value of a key.
    111 "kv.get" Read KvGet { bucket: Handle, key: Bytes } -> Result<Option<Payload>, KvFault>;
    /// Whether a key has a value.
    112 "kv.exists" Read KvExists { bucket: Handle, key: Bytes } -> Result<bool, KvFault>;
    /// Gives a key a value.
    113 "kv.set" Stage KvSet { bucket: Handle, key: Bytes, value: Payload } -> Result<(), KvFault>;
    /// Takes a key away.
    114 "kv.delete" Stage KvDelete { bucket: Handle, key: Bytes } -> Result<(), KvFault>;
    /// Adds to the decimal number under a key; the sum.
    115 "kv.increment" Stage KvIncrement { bucket: Handle, key: Bytes, delta: i64 } -> Result<i64, KvFault>;
    /// The next keys after one; the reply is an encoded list of byte strings.
    116 "kv.list-keys" Read KvListKeys { bucket: Handle, after: Option<Bytes> } -> Result<Payload, KvFault>;
    /// Keys and values in a range, now or at an earlier version; the reply is an encoded list of pairs of byte strings.
    117 "kv.scan" Read KvScan { bucket: Handle, prefix: Bytes, from: Option<Bytes>, until: Option<Bytes>, limit: u32, at: Option<u64> } -> Result<Payload, KvFault>;
    /// The value of a key at an earlier version.
    118 "kv.get-at" Read KvGetAt { bucket: Handle, key: Bytes, at: u64 } -> Result<Option<Payload>, KvFault>;
    /// The values of several keys; one digest for all of them.
    119 "kv.get-many" Read KvGetMany { bucket: Handle, keys: Vec<Bytes> } -> Result<Payload, KvFault>;
    /// Gives several keys values: all of them or, after a fault, none.
    120 "kv.set-many" Stage KvSetMany { bucket: Handle, entries: Vec<(Bytes, Payload)> } -> Result<(), KvFault>;
    /// Takes several keys away: all of them or, after a fault, none.
    121 "kv.delete-many" Stage KvDeleteMany { bucket: Handle, keys: Vec<Bytes> } -> Result<(), KvFault>;
    /// A handle for a compare-and-swap of the value that a key has now.
    122 "kv.cas" Stage KvCas { bucket: Handle, key: Bytes } -> Result<Handle, KvFault>;
    /// The value that the key had.
    123 "kv.cas-current" Read KvCasCurrent { cas: Handle } -> Result<Option<Payload>, KvFault>;
    /// Gives the key a value if it has not changed since.
    124 "kv.swap" Stage KvSwap { cas: Handle, value: Payload } -> Result<(), CasFault>;

    /// The transaction that follows a commit or conflict begins: what it reads.
    130 "txn.begin" Observe TxnBegins {} -> Base;
    /// Commits what was done so far; the run goes on with the next transaction.
    131 "txn.commit" Observe TxnCommit {} -> Result<(), TxnFault>;
    /// A place to go back to.
    132 "txn.savepoint" Stage TxnSavepoint {} -> Result<Handle, TxnFault>;
    /// Drops what was done since a savepoint, which stays.
    133 "txn.rollback" Stage TxnRollback { savepoint: Handle } -> Result<(), TxnFault>;
    /// Drops the transaction and ends the run.
    134 "txn.abort" Stage TxnAbort { reason: String } -> ();
    /// The version of the space that the transaction reads.
    135 "txn.version" Read TxnVersion {} -> u64;

    /// The request that a handler is to answer.
    180 "http.request" Observe HttpRequest {} -> RequestHead;
    /// Header fields are made.
    181 "http.fields" Stage HttpFields { entries: Vec<(String, Bytes)> } -> Result<Handle, FieldsFault>;
    /// The values of a field; the reply is an encoded list of byte strings.
    182 "http.field-get" Read HttpFieldGet { fields: Handle, name: String } -> Payload;
    /// Whether there is a field.
    183 "http.field-has" Read HttpFieldHas { fields: Handle, name: String } -> bool;
    /// Gives a field values, or none.
    184 "http.field-set" Stage HttpFieldSet { fields: Handle, name: String, values: Vec<Bytes> } -> Result<(), FieldsFault>;
    /// Adds a value to a field.
    185 "http.field-append" Stage HttpFieldAppend { fields: Handle, name: String, value: Bytes } -> Result<(), FieldsFault>;
    /// All fields; the reply is an encoded list of pairs.
    186 "http.entries" Read HttpEntries { fields: Handle } -> Payload;
    /// Fields of their own, which can be changed.
    187 "http.fields-clone" Stage HttpFieldsClone { fields: Handle } -> Handle;
    /// A part of a message's head.
    188 "http.part" Read HttpGetPart { of: Handle, part: HttpPart } -> Option<String>;
    /// Sets a part of a message's head; whether that can be.
    189 "http.set-part" Stage HttpSetPart { of: Handle, part: HttpPart, to: Option<String> } -> bool;
    /// The fields of a message.
    190 "http.headers" Stage HttpHeaders { of: Handle } -> Handle;
    /// A message is made, of fields if it has them.
    191 "http.new" Stage HttpNew { kind: HttpKind, headers: Option<Handle> } -> Handle;
    /// The body of a message, once.
    192 "http.body" Stage HttpBody { of: Handle } -> Option<Handle>;
    /// The stream of a body, once.
    193 "http.stream" Stage HttpStream { body: Handle } -> Option<Handle>;
    /// Nothing more of a body is wanted, or written: what the guest gets for it.
    194 "http.finish" Stage HttpFinish { body: Handle, trailers: Option<Handle> } -> Result<Option<Handle>, HttpFault>;
    /// Bytes of a body that comes in.
    195 "http.body-read" Observe HttpBodyRead { stream: Handle, len: u64, blocking: bool } -> Result<Data, StreamFault>;
    /// Bytes into a body that goes out.
    196 "http.body-write" Stage HttpBodyWrite { stream: Handle, bytes: Payload } -> Result<(), StreamFault>;
    /// The answer to the request; it leaves when it is committed.
    197 "http.respond" Stage HttpRespond { out: Handle, response: Result<Handle, HttpFault> } -> ();
    /// A request to others; what comes back is what the host adds to its fields.
    198 "http.send" Exchange HttpSend { request: Handle, head: RequestHead } -> Result<SentWith, HttpFault>;
    /// The answer of others, if it is there.
    199 "http.response" Observe HttpResponse { future: Handle } -> Option<Result<ResponseHead, HttpFault>>;
    /// Trailers of a body; Reel hands out none.
    200 "http.trailers" Read HttpTrailers { future: Handle } -> ();
    /// An answer before the answer.
    202 "http.informational" Stage HttpInformational { out: Handle, status: u16, headers: Handle } -> Result<(), HttpFault>;
    /// The HTTP error behind a stream error.
    201 "http.error-code" Read HttpErrorCode { error: Handle } -> Option<HttpFault>;

    /// The network, as a resource.
    140 "net.instance" Stage NetInstance {} -> Handle;
    /// The addresses of a name, to be asked for one by one.
    141 "net.lookup" Exchange NetLookup { name: String } -> Result<Handle, NetCode>;
    /// The next address of a name.
    142 "net.next-address" Observe NetNextAddress { lookup: Handle } -> Result<Option<NetIp>, NetCode>;
    /// A pollable for a socket.
    143 "net.subscribe" Stage NetSubscribe { socket: Handle, side: Side } -> Handle;
    /// A setting of a socket.
    144 "net.option" Observe NetGetOption { socket: Handle, option: NetOption } -> Result<u64, NetCode>;
    /// Changes a setting of a socket.
    145 "net.set-option" Exchange NetSetOption { socket: Handle, option: NetOption, to: u64 } -> Result<(), NetCode>;
    /// Where a socket is.
    146 "net.local-address" Observe NetLocalAddress { socket: Handle } -> Result<NetAddress, NetCode>;
    /// Where the other side of a socket is.
    147 "net.remote-address" Observe NetRemoteAddress { socket: Handle } -> Result<NetAddress, NetCode>;
    /// Which addresses a socket has.
    148 "net.family" Read NetFamily { socket: Handle } -> Family;
    /// How many datagrams may be sent now.
    149 "udp.check-send" Observe UdpCheckSend { stream: Handle } -> Result<u64, NetCode>;
    /// A TCP socket is made.
    150 "tcp.create" Exchange TcpCreate { family: Family } -> Result<Handle, NetCode>;
    /// Gives a socket an address.
    151 "tcp.bind" Exchange TcpBind { socket: Handle, address: NetAddress } -> Result<(), NetCode>;
    /// What came of it.
    152 "tcp.finish-bind" Observe TcpFinishBind { socket: Handle } -> Result<(), NetCode>;
    /// Wants a connection; it is begun when this is durable.
    153 "tcp.connect" Exchange TcpConnect { socket: Handle, address: NetAddress } -> Result<(), NetCode>;
    /// What came of it: the streams of the connection.
    154 "tcp.finish-connect" Observe TcpFinishConnect { socket: Handle } -> Result<(Handle, Handle), NetCode>;
    /// Wants to be connected to; it begins when this is durable.
    155 "tcp.listen" Exchange TcpListen { socket: Handle } -> Result<(), NetCode>;
    /// What came of it.
    156 "tcp.finish-listen" Observe TcpFinishListen { socket: Handle } -> Result<(), NetCode>;
    /// The next connection: its socket, and its streams.
    157 "tcp.accept" Observe TcpAccept { socket: Handle } -> Result<(Handle, (Handle, Handle)), NetCode>;
    /// Whether a socket listens.
    158 "tcp.is-listening" Observe TcpIsListening { socket: Handle } -> bool;
    /// Bytes that came over a connection.
    159 "tcp.read" Observe TcpRead { stream: Handle, len: u64, blocking: bool } -> Result<Data, StreamFault>;
    /// How many bytes a connection takes now.
    160 "tcp.check-write" Observe TcpCheckWrite { stream: Handle, blocking: bool } -> Result<u64, StreamFault>;
    /// Bytes for a connection; they leave when this is durable.
    161 "tcp.write" Exchange TcpWrite { stream: Handle, bytes: Payload } -> Result<(), StreamFault>;
    /// What was written shall leave; with `blocking`, it has.
    162 "tcp.flush" Exchange TcpFlush { stream: Handle, blocking: bool } -> Result<(), StreamFault>;
    /// Ends a connection in one direction or both.
    163 "tcp.shutdown" Exchange TcpShutdown { socket: Handle, how: Shutdown } -> Result<(), NetCode>;
    /// A UDP socket is made.
    164 "udp.create" Exchange UdpCreate { family: Family } -> Result<Handle, NetCode>;
    /// Gives a socket an address.
    165 "udp.bind" Exchange UdpBind { socket: Handle, address: NetAddress } -> Result<(), NetCode>;
    /// What came of it.
    166 "udp.finish-bind" Observe UdpFinishBind { socket: Handle } -> Result<(), NetCode>;
    /// The streams of a socket, for one other or for all.
    167 "udp.stream" Exchange UdpStream { socket: Handle, remote: Option<NetAddress> } -> Result<(Handle, Handle), NetCode>;
    /// Datagrams that came.
    168 "udp.receive" Observe UdpReceive { stream: Handle, most: u64 } -> Result<Vec<Datagram>, NetCode>;
    /// Datagrams that leave when this is durable; how many.
    169 "udp.send" Exchange UdpSend { stream: Handle, datagrams: Vec<(Payload, Option<NetAddress>)> } -> Result<u64, NetCode>;
    /// Who has subscribed to a topic; asked once for each topic of a transaction.
    170 "msg.route" Observe MsgRoute { topic: String } -> Result<Vec<SpaceName>, MsgFault>;
    /// Sends a message, delayed by so much, to those who have subscribed to its topic.
    171 "msg.send" Stage MsgSend { topic: String, key: Option<Bytes>, payload: Payload, headers: Vec<(String, String)>, delay: Nanos } -> Result<(), MsgFault>;

    /// A connection to the exchange of messages.
    172 "msg.connect" Stage MsgConnect { name: String } -> Handle;
    /// Ends one.
    173 "msg.disconnect" Stage MsgDisconnect { client: Handle } -> ();
    /// A message in the making that says this.
    174 "msg.make" Stage MsgMake { data: Payload } -> Handle;
    /// A part of a message in the making, or of one that has come.
    175 "msg.get" Read MsgGet { message: Handle, part: MsgPart } -> Payload;
    /// Sets a part of one.
    176 "msg.set" Stage MsgSet { message: Handle, part: MsgPart, value: Payload } -> ();

    /// A call of another guest as a part of this transaction: its name, the function, the arguments in WAVE; its run and what it gave.
    210 "guest.call" Observe GuestCall { guest: String, function: String, arguments: Payload } -> Result<Called, JoinFault>;

    /// A function of an interface that was not granted (sockets, HTTP) answered with its refusal.
    100 "net.refused" Read NetRefused { interface: String, function: String } -> ();
}
