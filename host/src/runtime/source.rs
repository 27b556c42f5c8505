//! From the log to a replay: the frames of a run, one at a time.

use std::vec::IntoIter;

use reel_abi::id::{RunId, Seq};
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
