//! The run buffer: events become frames, and frames leave for the log.

use reel_abi::frame::FRAME_TARGET_BYTES;
use reel_abi::id::{Seq, WallTime};
use reel_abi::vocabulary::Call;
use reel_abi::wire::{Wire, Writer};

use super::halt::Halt;
use crate::port::Waiting;

/// A closed block of events, not yet compressed.
#[derive(Debug)]
pub struct RawFrame {
    /// Place of the first event.
    pub first: Seq,
    /// How many.
    pub count: u32,
    /// Wall-clock times of the first and the last event.
    pub times: (WallTime, WallTime),
    /// The events.
    pub bytes: Vec<u8>,
}

/// Takes frames away, in order. May wait when too many are under way, so that memory stays bounded.
pub trait FrameSink: Send {
    /// Takes one.
    fn frame(&mut self, frame: RawFrame) -> Result<(), Halt>;
    /// Returns when all that was taken is durable.
    fn durable(&mut self) -> Waiting<'_, Result<(), Halt>>;
}

/// Collects the events of one run.
pub struct Recorder {
    writer: Writer,
    sink: Box<dyn FrameSink>,
    first: u64,
    count: u32,
    opened: u64,
    closed: u64,
}

impl Recorder {
    /// A recorder whose first event will be `first`.
    pub fn new(first: Seq, sink: Box<dyn FrameSink>) -> Self {
        Self { writer: Writer::new(), sink, first: first.0, count: 0, opened: 0, closed: 0 }
    }

    /// Appends an event and says how many bytes it took. `now` is asked for at the first event of a frame and when one closes.
    #[inline]
    pub fn record<C: Call>(&mut self, call: &C, reply: &C::Reply, now: impl Fn() -> u64) -> Result<usize, Halt> {
        if self.count == 0 {
            self.opened = now();
        }
        let before = self.writer.len();
        self.writer.u8(C::CODE);
        call.put(&mut self.writer);
        reply.put(&mut self.writer);
        self.count += 1;
        let length = self.writer.len() - before;
        if self.writer.len() >= FRAME_TARGET_BYTES {
            self.flush(now())?;
        }
        Ok(length)
    }

    /// Closes the open frame, if it holds anything.
    pub fn flush(&mut self, now: u64) -> Result<(), Halt> {
        if self.count == 0 {
            return Ok(());
        }
        let times = (WallTime(self.opened), WallTime(now));
        let frame = RawFrame { first: Seq(self.first), count: self.count, times, bytes: self.writer.take() };
        self.first += u64::from(self.count);
        self.count = 0;
        self.closed += 1;
        self.sink.frame(frame)
    }

    /// Returns when all events are durable.
    pub async fn durable(&mut self, now: u64) -> Result<(), Halt> {
        self.flush(now)?;
        self.sink.durable().await
    }

    /// The event alone in a frame that goes nowhere yet; all before it goes to the sink. The recorder stays where it was.
    pub fn alone<C: Call>(&mut self, call: &C, reply: &C::Reply, now: u64) -> Result<RawFrame, Halt> {
        self.flush(now)?;
        self.writer.u8(C::CODE);
        call.put(&mut self.writer);
        reply.put(&mut self.writer);
        let times = (WallTime(now), WallTime(now));
        Ok(RawFrame { first: Seq(self.first), count: 1, times, bytes: self.writer.take() })
    }

    /// The frame of [`Recorder::alone`] is in the log.
    pub fn advance(&mut self) {
        self.first += 1;
        self.closed += 1;
    }

    /// Whether no frame was closed yet.
    pub fn is_first(&self) -> bool {
        self.closed == 0
    }

    /// When the open frame was begun; nothing if it is empty.
    pub fn opened(&self) -> Option<u64> {
        (self.count > 0).then_some(self.opened)
    }
}
