//! From the log to a replay: the frames of a run, one at a time.

use std::vec::IntoIter;

use reel_abi::id::{RunId, Seq};
use reel_abi::record::Frame;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;
use reel_store::{FrameRef, ReadError, Store};

use crate::gate::Halt;
use crate::gate::cursor::FrameSource;

/// The logged frames of a run, in order.
pub struct LoggedFrames {
    store: Store,
    left: IntoIter<FrameRef>,
    next: Seq,
}

impl LoggedFrames {
    /// All frames of the run that are in the log now.
    pub fn new(store: &Store, run: RunId) -> Result<Self, ReadError> {
        let left = store.frames(run, Seq(0))?.into_iter();
        Ok(Self { store: store.clone(), left, next: Seq(0) })
    }
}

impl FrameSource for LoggedFrames {
    fn next(&mut self) -> Result<Option<(Vec<u8>, u32)>, Halt> {
        let Some(at) = self.left.next() else { return Ok(None) };
        let frame = self.store.frame(&at).map_err(|e| Halt::host("reading the log", &e))?;
        if frame.first != self.next {
            return Err(Halt::Host(format!(
                "the log of the run has a gap between events {} and {}",
                self.next, frame.first
            )));
        }
        self.next = frame.next();
        let raw = frame.unpack().map_err(|e| Halt::host("reading the log", &e))?;
        Ok(Some((raw, frame.count)))
    }
}

/// Frames that are in memory.
pub struct GivenFrames(IntoIter<Frame>);

impl GivenFrames {
    /// These, in order.
    pub fn new(frames: Vec<Frame>) -> Self {
        Self(frames.into_iter())
    }
}

impl FrameSource for GivenFrames {
    fn next(&mut self) -> Result<Option<(Vec<u8>, u32)>, Halt> {
        let Some(frame) = self.0.next() else { return Ok(None) };
        let raw = frame.unpack().map_err(|e| Halt::host("reading the log", &e))?;
        Ok(Some((raw, frame.count)))
    }
}

/// The events of a run before one of them, in frames of another run.
pub fn first_frames(store: &Store, run: RunId, until: Seq, to: RunId) -> Result<Vec<Frame>, Halt> {
    let mut frames = Vec::new();
    for at in store.frames(run, Seq(0)).map_err(|e| Halt::host("reading the log", &e))? {
        if at.first >= until {
            break;
        }
        let frame = store.frame(&at).map_err(|e| Halt::host("reading the log", &e))?;
        let raw = frame.unpack().map_err(|e| Halt::host("reading the log", &e))?;
        let count = (until.0 - at.first.0).min(u64::from(frame.count)) as u32;
        let mut r = Reader::new(&raw);
        for _ in 0..count {
            EventView::take(&mut r).map_err(|e| Halt::host("reading the log", &e))?;
        }
        let times = (frame.opened, frame.closed);
        let packed = Frame::pack(to, frame.first, count, times, &raw[..r.at()]);
        frames.push(packed.map_err(|e| Halt::host("packing a frame", &e))?);
    }
    Ok(frames)
}
