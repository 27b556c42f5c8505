//! The plain data that calls are made of. Independent of any WASI version; named after the terms of `wasi:filesystem` and `wasi:io`.

use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::Bytes;
use crate::id::Digest;
use crate::net::NetCode;
use crate::value::{Describe, Value};
use crate::wire::{Clock, CodecError, Reader, Wire, Writer};
use crate::{wire_enum, wire_struct};

/// The number by which the guest and the host name a resource to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

impl Wire for Handle {
    fn put(&self, w: &mut Writer) {
        w.varint(u64::from(self.0));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        u32::take(r).map(Self)
    }
}

impl Describe for Handle {
    fn describe(&self) -> Value {
        Value::Handle(self.0)
    }
}

/// A reading of the time of day, nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallReading(pub u64);

impl Wire for WallReading {
    #[inline]
    fn put(&self, w: &mut Writer) {
        w.clock(Clock::Wall, self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.clock(Clock::Wall, "wall clock").map(Self)
    }
}

impl Describe for WallReading {
    fn describe(&self) -> Value {
        Value::Time(self.0)
    }
}

/// A reading of the monotonic clock, nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonotonicReading(pub u64);

impl Wire for MonotonicReading {
    #[inline]
    fn put(&self, w: &mut Writer) {
        w.clock(Clock::Monotonic, self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.clock(Clock::Monotonic, "monotonic clock").map(Self)
    }
}

impl Describe for MonotonicReading {
    fn describe(&self) -> Value {
        Value::Duration(self.0)
    }
}

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nanos(pub u64);

impl Wire for Nanos {
    fn put(&self, w: &mut Writer) {
        w.varint(self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        u64::take(r).map(Self)
    }
}

impl Describe for Nanos {
    fn describe(&self) -> Value {
        Value::Duration(self.0)
    }
}

/// Eight random bytes, which a varint would only lengthen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(pub u64);

impl Wire for Draw {
    fn put(&self, w: &mut Writer) {
        w.raw(&self.0.to_le_bytes());
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(r.raw(8, "random draw")?);
        Ok(Self(u64::from_le_bytes(bytes)))
    }
}

impl Describe for Draw {
    fn describe(&self) -> Value {
        Value::Number(self.0)
    }
}

/// Payloads up to this many bytes stand in the event itself, as they cost hardly more than their digest.
pub const PAYLOAD_INLINE_BYTES: usize = 32;

/// Bytes that the guest itself makes again in a replay, or that lie in the space: the event holds their digest (XXH3-64), or the bytes
/// themselves if they are at most [`PAYLOAD_INLINE_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The bytes.
    Inline(Vec<u8>),
    /// Their length and digest.
    Digest {
        /// Bytes, more than [`PAYLOAD_INLINE_BYTES`].
        len: u64,
        /// XXH3-64.
        xxh3: u64,
    },
}

impl Payload {
    /// What stands for `bytes` in an event.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= PAYLOAD_INLINE_BYTES {
            Self::Inline(bytes.to_vec())
        } else {
            Self::Digest { len: bytes.len() as u64, xxh3: xxh3_64(bytes) }
        }
    }
}

impl Wire for Payload {
    #[inline]
    fn put(&self, w: &mut Writer) {
        match self {
            Self::Inline(bytes) => w.blob(bytes),
            Self::Digest { len, xxh3 } => {
                w.varint(*len);
                w.raw(&xxh3.to_le_bytes());
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = r.varint("payload")?;
        if len <= PAYLOAD_INLINE_BYTES as u64 {
            return Ok(Self::Inline(r.raw(len as usize, "payload")?.to_vec()));
        }
        let Draw(xxh3) = Draw::take(r)?;
        Ok(Self::Digest { len, xxh3 })
    }
}

impl Describe for Payload {
    fn describe(&self) -> Value {
        match self {
            Self::Inline(bytes) => Value::Bytes(bytes.clone()),
            Self::Digest { len, xxh3 } => Value::Elsewhere { len: *len, digest: format!("{xxh3:016x}") },
        }
    }
}

/// Observed bytes up to this many stand in the event; more are a blob.
pub const DATA_INLINE_BYTES: usize = 64 << 10;

wire_enum! {
    /// Bytes that came from outside and of which the log is the only witness.
    pub enum Data {
        /// The bytes, at most [`DATA_INLINE_BYTES`].
        0 => Inline {
            /// The bytes.
            bytes: Bytes,
        },
        /// A blob.
        1 => Blob {
            /// Its name.
            digest: Digest,
            /// Bytes.
            len: u64,
        },
    }
}

impl Describe for Data {
    fn describe(&self) -> Value {
        match self {
            Self::Inline { bytes } => bytes.describe(),
            Self::Blob { digest, len } => Value::Elsewhere { len: *len, digest: digest.to_string() },
        }
    }
}

wire_enum! {
    /// Content of a host file as it was captured.
    pub enum Captured {
        /// Small: here.
        0 => Inline {
            /// The bytes.
            bytes: Bytes,
        },
        /// An encoded [`crate::content::Content`] in the blobs.
        1 => Content {
            /// Name of the blob that lists the blocks.
            digest: Digest,
            /// Bytes of the file.
            len: u64,
        },
    }
}

impl Describe for Captured {
    fn describe(&self) -> Value {
        match self {
            Self::Inline { bytes } => bytes.describe(),
            Self::Content { digest, len } => Value::Elsewhere { len: *len, digest: digest.to_string() },
        }
    }
}

/// Declares an enum of plain words with their tags and names.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($tag:literal $variant:ident $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $word] $variant),* }
        impl $name {
            /// The word as the specification spells it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl Wire for $name {
            #[inline]
            fn put(&self, w: &mut Writer) {
                w.u8(match self { $(Self::$variant => $tag),* });
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                match r.u8(stringify!($name))? {
                    $($tag => Ok(Self::$variant),)*
                    other => Err(r.unknown(stringify!($name), u64::from(other))),
                }
            }
        }
        impl Describe for $name {
            fn describe(&self) -> Value {
                Value::Word(self.word().to_owned())
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// A standard stream.
    Stdio { 0 Stdin "stdin", 1 Stdout "stdout", 2 Stderr "stderr" }
}

words! {
    /// What a path names (`wasi:filesystem/types.descriptor-type`).
    NodeKind {
        0 Unknown "unknown", 1 Directory "directory", 2 File "regular-file", 3 Symlink "symbolic-link",
        4 BlockDevice "block-device", 5 CharacterDevice "character-device", 6 Fifo "fifo", 7 Socket "socket",
    }
}

words! {
    /// Why a file operation failed (`wasi:filesystem/types.error-code`).
    FsCode {
        0 Access "access", 1 WouldBlock "would-block", 2 Already "already", 3 BadDescriptor "bad-descriptor", 4 Busy "busy",
        5 Deadlock "deadlock", 6 Quota "quota", 7 Exist "exist", 8 FileTooLarge "file-too-large",
        9 IllegalByteSequence "illegal-byte-sequence", 10 InProgress "in-progress", 11 Interrupted "interrupted",
        12 Invalid "invalid", 13 Io "io", 14 IsDirectory "is-directory", 15 Loop "loop", 16 TooManyLinks "too-many-links",
        17 MessageSize "message-size", 18 NameTooLong "name-too-long", 19 NoDevice "no-device", 20 NoEntry "no-entry",
        21 NoLock "no-lock", 22 InsufficientMemory "insufficient-memory", 23 InsufficientSpace "insufficient-space",
        24 NotDirectory "not-directory", 25 NotEmpty "not-empty", 26 NotRecoverable "not-recoverable",
        27 Unsupported "unsupported", 28 NoTty "no-tty", 29 NoSuchDevice "no-such-device", 30 Overflow "overflow",
        31 NotPermitted "not-permitted", 32 Pipe "pipe", 33 ReadOnly "read-only", 34 InvalidSeek "invalid-seek",
        35 TextFileBusy "text-file-busy", 36 CrossDevice "cross-device",
    }
}

words! {
    /// Expected use of file data (`wasi:filesystem/types.advice`).
    Advice {
        0 Normal "normal", 1 Sequential "sequential", 2 Random "random", 3 WillNeed "will-need", 4 DontNeed "dont-need",
        5 NoReuse "no-reuse",
    }
}

words! {
    /// What kind of resource a handle names.
    Resource {
        0 Descriptor "descriptor", 1 DirectoryStream "directory-entry-stream", 2 InputStream "input-stream",
        3 OutputStream "output-stream", 4 Pollable "pollable", 5 Error "error", 6 TerminalInput "terminal-input",
        7 TerminalOutput "terminal-output", 8 Refused "refused", 9 Bucket "bucket", 10 Cas "cas", 11 Savepoint "savepoint",
        40 Network "network", 41 TcpSocket "tcp-socket", 42 UdpSocket "udp-socket", 43 AddressStream "resolve-address-stream",
        44 IncomingDatagrams "incoming-datagram-stream", 45 OutgoingDatagrams "outgoing-datagram-stream",
        50 Fields "fields", 51 IncomingRequest "incoming-request", 52 OutgoingRequest "outgoing-request", 53 RequestOptions "request-options",
        54 ResponseOutparam "response-outparam", 55 IncomingResponse "incoming-response", 56 IncomingBody "incoming-body",
        57 FutureTrailers "future-trailers", 58 OutgoingResponse "outgoing-response", 59 OutgoingBody "outgoing-body",
        60 FutureIncomingResponse "future-incoming-response", 70 Client "client", 71 Message "message",
    }
}

words! {
    /// What of the guest grows.
    Growth { 0 Memory "memory", 1 Table "table" }
}

/// Declares a set of flags in one byte.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident { $($bit:literal $method:ident $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(pub u8);
        impl $name {
            const ALL: u8 = 0 $(| 1 << $bit)*;
            $(
                #[doc = $word]
                pub fn $method(self) -> bool {
                    self.0 & (1 << $bit) != 0
                }
            )*
        }
        impl Wire for $name {
            fn put(&self, w: &mut Writer) {
                w.u8(self.0);
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                match r.u8(stringify!($name))? {
                    bits if bits & !Self::ALL == 0 => Ok(Self(bits)),
                    other => Err(r.unknown(stringify!($name), u64::from(other))),
                }
            }
        }
        impl Describe for $name {
            fn describe(&self) -> Value {
                let words: Vec<&str> = [$(($bit, $word)),*].iter().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|f| f.1).collect();
                Value::Word(words.join("+"))
            }
        }
    };
}

flags! {
    /// How a path is opened (`wasi:filesystem/types.open-flags`).
    OpenFlags { 0 create "create", 1 directory "directory", 2 exclusive "exclusive", 3 truncate "truncate" }
}

flags! {
    /// What a descriptor may be used for (`wasi:filesystem/types.descriptor-flags`).
    DescriptorFlags {
        0 read "read", 1 write "write", 2 file_integrity_sync "file-integrity-sync",
        3 data_integrity_sync "data-integrity-sync", 4 requested_write_sync "requested-write-sync",
        5 mutate_directory "mutate-directory",
    }
}

wire_struct! {
    /// `wasi:filesystem/types.descriptor-stat`.
    pub struct Stat {
        /// What it is.
        pub kind: NodeKind,
        /// Hard links.
        pub links: u64,
        /// Bytes.
        pub size: u64,
        /// Last access.
        pub accessed: WallReading,
        /// Last change of content.
        pub modified: WallReading,
        /// Last change of metadata.
        pub changed: WallReading,
    }
}

impl Describe for Stat {
    fn describe(&self) -> Value {
        Value::Record(vec![
            ("kind", self.kind.describe()),
            ("links", self.links.describe()),
            ("size", self.size.describe()),
            ("modified", self.modified.describe()),
        ])
    }
}

wire_enum! {
    /// `wasi:filesystem/types.new-timestamp`.
    pub enum NewTime {
        /// Stays.
        0 => Keep,
        /// The time of the call.
        1 => Now,
        /// This time.
        2 => At {
            /// Nanoseconds since the Unix epoch.
            time: WallReading,
        },
    }
}

impl Describe for NewTime {
    fn describe(&self) -> Value {
        match self {
            Self::Keep => Value::Word("keep".into()),
            Self::Now => Value::Word("now".into()),
            Self::At { time } => time.describe(),
        }
    }
}

wire_struct! {
    /// A name in a directory.
    pub struct DirEntry {
        /// What it is.
        pub kind: NodeKind,
        /// Its name.
        pub name: String,
    }
}

impl Describe for DirEntry {
    fn describe(&self) -> Value {
        Value::Record(vec![("kind", self.kind.describe()), ("name", self.name.describe())])
    }
}

wire_enum! {
    /// Why a stream gives no more (`wasi:io/streams.stream-error`).
    pub enum StreamFault {
        /// The end, or the other side has closed.
        0 => Closed,
        /// The last operation failed; the handle names the error resource.
        1 => Failed {
            /// The code.
            code: FsCode,
        },
        /// The same, of a socket.
        2 => Network {
            /// The code.
            code: NetCode,
        },
    }
}

impl Describe for StreamFault {
    fn describe(&self) -> Value {
        match self {
            Self::Closed => Value::Word("closed".into()),
            Self::Failed { code } => code.describe(),
            Self::Network { code } => code.describe(),
        }
    }
}

wire_struct! {
    /// What a path of a host directory was when it was looked at.
    pub struct HostNode {
        /// What it is.
        pub kind: NodeKind,
        /// Bytes.
        pub size: u64,
        /// Last access.
        pub accessed: WallReading,
        /// Last change of content.
        pub modified: WallReading,
        /// Where a symbolic link points, else empty.
        pub target: String,
    }
}

impl Describe for HostNode {
    fn describe(&self) -> Value {
        let mut fields = vec![
            ("kind", self.kind.describe()),
            ("size", self.size.describe()),
            ("modified", self.modified.describe()),
        ];
        if self.kind == NodeKind::Symlink {
            fields.push(("target", self.target.describe()));
        }
        Value::Record(fields)
    }
}
