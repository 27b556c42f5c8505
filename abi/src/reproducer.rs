//! One-file reproducers: a run with all that it needs to be executed again, and nothing else.
//!
//! ```text
//! file = magic:8 | format:1 | piece* | digest:32         digest = BLAKE3 of all before it
//! piece = len:4 (little endian) | part                   parts ascend by their tags: one head, one component, then states, commits, frames, blobs
//! ```
//!
//! Reading trusts nothing: the digest is looked at first, each length before anything is allocated, and what is packed says how long it is, which is
//! bounded and held to.

use thiserror::Error;

use crate::bytes::Bytes;
use crate::faults::Base;
use crate::frame::FrameError;
use crate::id::{CommitNo, Digest, RunId, Version, WallTime};
use crate::outcome::{RunBegin, RunEnd};
use crate::record::{Cell, Frame};
use crate::wire::{CodecError, Reader, Wire};
use crate::{wire_enum, wire_struct};

/// The first bytes of a file.
pub const MAGIC: &[u8; 8] = b"reelbug\n";

/// The format that this build writes, and the only one there is.
pub const REPRODUCER_FORMAT: u8 = 1;

/// Bytes of a file; stops one that fills the memory of whoever reads it.
pub const FILE_MAX_BYTES: u64 = 1 << 30;

/// Bytes of a piece.
pub const PIECE_MAX_BYTES: usize = 320 << 20;

/// Bytes of a blob before it was packed; stops one that unpacks without end.
pub const BLOB_MAX_BYTES: u32 = 64 << 20;

/// Bytes of a component before it was packed.
pub const COMPONENT_MAX_BYTES: u32 = 256 << 20;

/// Bytes of all that is packed, before it was; stops a small file that fills a disk.
pub const UNPACKED_MAX_BYTES: u64 = 4 << 30;

/// Zstandard's level: a file is written once, and sent.
const LEVEL: i32 = 9;

/// Bytes of the digest at the end.
const DIGEST_BYTES: usize = 32;

wire_struct! {
    /// What the file is about.
    pub struct About {
        /// The run, as it was called where it ran.
        pub run: RunId,
        /// How it began there.
        pub begin: RunBegin,
        /// How it ended; nothing if it was cut off.
        pub end: Option<RunEnd>,
        /// Wall-clock time of the export.
        pub at: WallTime,
        /// The build that wrote the file.
        pub build: String,
        /// What was redacted, in the words of whoever asked for it.
        pub redacted: Vec<String>,
    }
}

wire_struct! {
    /// A range of keys that was read: all that is there is among the cells.
    pub struct ReadRange {
        /// Kind of state.
        pub family: u8,
        /// The first key.
        pub from: Bytes,
        /// The key after the last; none for the end of the family.
        pub until: Option<Bytes>,
    }
}

wire_struct! {
    /// What the run read of its space at one version.
    pub struct State {
        /// The version, as it was called where the run ran.
        pub base: Base,
        /// The cells, sorted by family and key, each key once; a tombstone for what was absent.
        pub cells: Vec<Cell>,
        /// The ranges.
        pub ranges: Vec<ReadRange>,
    }
}

wire_struct! {
    /// What the run committed to its space.
    pub struct Committed {
        /// The commit, as it was called where the run ran.
        pub number: CommitNo,
        /// The version that it made there.
        pub version: Version,
        /// Wall-clock time.
        pub at: WallTime,
        /// What it wrote, sorted by family and key, each key once.
        pub cells: Vec<Cell>,
    }
}

wire_struct! {
    /// Bytes in a Zstandard block.
    pub struct Packed {
        /// Bytes before they were packed.
        pub raw_len: u32,
        /// The block.
        pub packed: Bytes,
    }
}

wire_enum! {
    /// A part of the file.
    #[allow(clippy::large_enum_variant, reason = "each is looked at once, and there is one head")]
    pub enum Piece {
        /// What it is about.
        1 => About {
            /// That.
            about: About,
        },
        /// The component, as it was given.
        2 => Component {
            /// Its bytes.
            bytes: Packed,
        },
        /// What was read at a version.
        3 => State {
            /// That.
            state: State,
        },
        /// What was written.
        4 => Committed {
            /// That.
            committed: Committed,
        },
        /// Events.
        5 => Frame {
            /// The block.
            frame: Frame,
        },
        /// A payload that cells or events name.
        6 => Blob {
            /// Its bytes.
            bytes: Packed,
        },
    }
}

/// A reproducer in memory: what is packed stays packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reproducer {
    /// What it is about.
    pub about: About,
    /// The component.
    pub component: Packed,
    /// What was read, by version.
    pub states: Vec<State>,
    /// What was committed, in order.
    pub commits: Vec<Committed>,
    /// The events, in order.
    pub frames: Vec<Frame>,
    /// The payloads.
    pub blobs: Vec<Packed>,
}

/// Why bytes are no reproducer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReproducerError {
    /// It begins otherwise.
    #[error("it is no reproducer: it does not begin as one")]
    NotOne,
    /// Of a later build.
    #[error("it has format {0}, and this build knows {REPRODUCER_FORMAT}")]
    Format(u8),
    /// It was changed, or is not all there.
    #[error("it is damaged or not all there: its digest is another one than it says")]
    Digest,
    /// It is longer than any may be.
    #[error("it has {0} bytes, and at most {FILE_MAX_BYTES} are read")]
    TooLong(u64),
    /// A piece is longer than any may be, or than the file.
    #[error("a piece at byte {at} says that it has {len} bytes, which it cannot")]
    Piece {
        /// Where.
        at: usize,
        /// What it says.
        len: u64,
    },
    /// A piece cannot be read.
    #[error("the piece at byte {at}: {error}")]
    Codec {
        /// Where.
        at: usize,
        /// Why.
        error: CodecError,
    },
    /// The pieces are not those of one run, in their order.
    #[error("{0}")]
    Order(&'static str),
    /// Something does not unpack to what it says.
    #[error("{what} does not unpack: {why}")]
    Unpack {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl Packed {
    /// Packs bytes.
    pub fn of(bytes: &[u8]) -> Result<Self, ReproducerError> {
        let unpack = |why: String| ReproducerError::Unpack { what: "what is to be packed", why };
        let raw_len = u32::try_from(bytes.len()).map_err(|_| unpack(format!("{} bytes", bytes.len())))?;
        let packed = zstd::bulk::compress(bytes, LEVEL).map_err(|e| unpack(e.to_string()))?;
        Ok(Self { raw_len, packed: packed.into() })
    }

    /// The bytes, of which there are at most so many.
    pub fn unpack(&self, what: &'static str, most: u32) -> Result<Vec<u8>, ReproducerError> {
        let fails = |why: String| ReproducerError::Unpack { what, why };
        if self.raw_len > most {
            return Err(fails(format!("it says {} bytes, and at most {most} are unpacked", self.raw_len)));
        }
        let raw = zstd::bulk::decompress(&self.packed, self.raw_len as usize).map_err(|e| fails(e.to_string()))?;
        if raw.len() != self.raw_len as usize {
            return Err(fails(format!("{} bytes instead of {}", raw.len(), self.raw_len)));
        }
        Ok(raw)
    }
}

impl Reproducer {
    /// The bytes of the file.
    pub fn to_file(&self) -> Result<Vec<u8>, ReproducerError> {
        let mut file = MAGIC.to_vec();
        file.push(REPRODUCER_FORMAT);
        let Self { about, component, states, commits, frames, blobs } = self;
        let mut put = |piece: Piece| {
            let (bytes, at) = (piece.to_bytes(), file.len());
            if bytes.len() > PIECE_MAX_BYTES {
                return Err(ReproducerError::Piece { at, len: bytes.len() as u64 });
            }
            file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            file.extend_from_slice(&bytes);
            match file.len() as u64 > FILE_MAX_BYTES {
                true => Err(ReproducerError::TooLong(file.len() as u64)),
                false => Ok(()),
            }
        };
        put(Piece::About { about: about.clone() })?;
        put(Piece::Component { bytes: component.clone() })?;
        states.iter().try_for_each(|state| put(Piece::State { state: state.clone() }))?;
        commits.iter().try_for_each(|committed| put(Piece::Committed { committed: committed.clone() }))?;
        frames.iter().try_for_each(|frame| put(Piece::Frame { frame: frame.clone() }))?;
        blobs.iter().try_for_each(|bytes| put(Piece::Blob { bytes: bytes.clone() }))?;
        let digest = Digest::of(&file);
        file.extend_from_slice(&digest.0);
        Ok(file)
    }

    /// Reads a file.
    pub fn from_file(file: &[u8]) -> Result<Self, ReproducerError> {
        if file.len() as u64 > FILE_MAX_BYTES {
            return Err(ReproducerError::TooLong(file.len() as u64));
        }
        let body = file.len().checked_sub(DIGEST_BYTES).and_then(|end| file.split_at_checked(end));
        let rest = file.strip_prefix(MAGIC).ok_or(ReproducerError::NotOne)?;
        match rest.first() {
            Some(&REPRODUCER_FORMAT) => {}
            Some(other) => return Err(ReproducerError::Format(*other)),
            None => return Err(ReproducerError::Digest),
        }
        let (body, digest) = body.ok_or(ReproducerError::Digest)?;
        if Digest::of(body).0 != digest {
            return Err(ReproducerError::Digest);
        }
        let mut pieces = Pieces { body, at: (MAGIC.len() + 1).min(body.len()) };
        let about = match pieces.next()? {
            Some(Piece::About { about }) => about,
            _ => return Err(ReproducerError::Order("it does not say first what it is about")),
        };
        let component = match pieces.next()? {
            Some(Piece::Component { bytes }) => bytes,
            _ => return Err(ReproducerError::Order("it has no component where one is due")),
        };
        let (states, commits, frames, blobs) = Default::default();
        let mut read = Self { about, component, states, commits, frames, blobs };
        let mut unpacked = u64::from(read.component.raw_len);
        let mut reached = 0;
        while let Some(piece) = pieces.next()? {
            let rank = match piece {
                Piece::About { .. } | Piece::Component { .. } => 0,
                Piece::State { .. } => 3,
                Piece::Committed { .. } => 4,
                Piece::Frame { .. } => 5,
                Piece::Blob { .. } => 6,
            };
            if rank == 0 || rank < reached {
                return Err(ReproducerError::Order("its pieces are not in their order"));
            }
            reached = rank;
            match piece {
                Piece::State { state } => read.states.push(state),
                Piece::Committed { committed } => read.commits.push(committed),
                Piece::Frame { frame } => {
                    unpacked = unpacked.saturating_add(u64::from(frame.raw_len));
                    read.frames.push(frame);
                }
                Piece::Blob { bytes } => {
                    unpacked = unpacked.saturating_add(u64::from(bytes.raw_len));
                    read.blobs.push(bytes);
                }
                Piece::About { .. } | Piece::Component { .. } => {}
            }
            if unpacked > UNPACKED_MAX_BYTES {
                let why = format!("more than {UNPACKED_MAX_BYTES} bytes");
                return Err(ReproducerError::Unpack { what: "all that is packed", why });
            }
        }
        Ok(read)
    }
}

impl From<FrameError> for ReproducerError {
    fn from(error: FrameError) -> Self {
        Self::Unpack { what: "a frame", why: error.to_string() }
    }
}

struct Pieces<'a> {
    body: &'a [u8],
    at: usize,
}

impl Pieces<'_> {
    fn next(&mut self) -> Result<Option<Piece>, ReproducerError> {
        let at = self.at;
        if at == self.body.len() {
            return Ok(None);
        }
        let mut r = Reader::resume(self.body, at, [0; 2]);
        let codec = |error| ReproducerError::Codec { at, error };
        let mut len = [0; 4];
        len.copy_from_slice(r.raw(4, "length").map_err(codec)?);
        let len = u32::from_le_bytes(len) as usize;
        if len > PIECE_MAX_BYTES || len > r.left() {
            return Err(ReproducerError::Piece { at, len: len as u64 });
        }
        let bytes = r.raw(len, "piece").map_err(codec)?;
        self.at = r.at();
        Piece::from_bytes(bytes).map(Some).map_err(codec)
    }
}
