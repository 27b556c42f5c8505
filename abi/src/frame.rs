//! Frames: blocks of events as they lie in the log.
//!
//! A frame is the concatenation of encoded events (see [`crate::event`]), compressed with Zstandard. It is self-contained: clock
//! readings in it are relative to zero, and it can be decoded without its neighbours.

use std::cell::RefCell;
use std::io;

use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};

use crate::bytes::Bytes;
use crate::id::{RunId, Seq, WallTime};
use crate::record::Frame;

/// When a frame is closed, in raw bytes. One event more than this may make it longer, up to [`FRAME_MAX_BYTES`].
pub const FRAME_TARGET_BYTES: usize = 64 << 10;

/// No frame holds more raw bytes; stops a forged frame that unpacks without end. A single event can be long: the listing of a host
/// directory with a million names.
pub const FRAME_MAX_BYTES: usize = 64 << 20;

/// Zstandard's fast level: events are small and alike, a higher one gains little and costs the guest's core.
const LEVEL: i32 = 1;

/// The same for frames below [`SHORT_BYTES`]: without entropy coding, whose tables cost more than they save there.
const SHORT_LEVEL: i32 = -1;

/// What is a short frame, in raw bytes.
const SHORT_BYTES: usize = 1024;

/// Why a frame cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It says it is longer than any frame may be.
    #[error("frame of {0} bytes is over the bound of {FRAME_MAX_BYTES}")]
    TooLong(u64),
    /// The block does not unpack to the length it says.
    #[error("frame does not unpack: {0}")]
    Unpack(String),
}

impl Frame {
    /// Packs `raw`, the encoding of `count` events.
    pub fn pack(
        run: RunId,
        first: Seq,
        count: u32,
        times: (WallTime, WallTime),
        raw: &[u8],
    ) -> Result<Self, FrameError> {
        if raw.len() > FRAME_MAX_BYTES {
            return Err(FrameError::TooLong(raw.len() as u64));
        }
        let level = if raw.len() < SHORT_BYTES { SHORT_LEVEL } else { LEVEL };
        let packed = with_codec(|codec| {
            codec.0.set_compression_level(level)?;
            codec.0.compress(raw)
        })?;
        let (opened, closed) = times;
        Ok(Self { run, first, count, opened, closed, raw_len: raw.len() as u32, packed: Bytes(packed) })
    }

    /// The encoding of its events.
    pub fn unpack(&self) -> Result<Vec<u8>, FrameError> {
        if self.raw_len as usize > FRAME_MAX_BYTES {
            return Err(FrameError::TooLong(u64::from(self.raw_len)));
        }
        let raw = with_codec(|codec| codec.1.decompress(&self.packed, self.raw_len as usize))?;
        if raw.len() != self.raw_len as usize {
            return Err(FrameError::Unpack(format!("{} bytes instead of {}", raw.len(), self.raw_len)));
        }
        Ok(raw)
    }

    /// The event after its last.
    pub fn next(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)))
    }
}

type Codec = (Compressor<'static>, Decompressor<'static>);

/// Works with this thread's contexts: making one costs more than packing a small frame.
fn with_codec<T>(work: impl FnOnce(&mut Codec) -> io::Result<T>) -> Result<T, FrameError> {
    thread_local! {
        static CODEC: RefCell<Option<Codec>> = const { RefCell::new(None) };
    }
    let run = |slot: &mut Option<Codec>| {
        let mut codec = match slot.take() {
            Some(codec) => codec,
            None => (Compressor::new(LEVEL)?, Decompressor::new()?),
        };
        let result = work(&mut codec);
        *slot = Some(codec);
        result
    };
    CODEC.with_borrow_mut(run).map_err(|e: io::Error| FrameError::Unpack(e.to_string()))
}
