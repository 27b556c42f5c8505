//! The place of a replay in the log.

use reel_abi::id::Seq;
use reel_abi::vocabulary::{Call, Class, EventView, RunEnds};
use reel_abi::wire::{Clock, Reader, Wire, Writer};

use super::divergence::Mismatch;
use super::halt::Halt;

/// Gives the frames of a run in order, unpacked: raw bytes and number of events.
pub trait FrameSource: Send {
    /// The next one; nothing at the end of what is logged.
    fn next(&mut self) -> Result<Option<(Vec<u8>, u32)>, Halt>;
}

/// Walks through the events of a run, one frame in memory at a time.
pub struct Cursor {
    source: Box<dyn FrameSource>,
    raw: Vec<u8>,
    at: usize,
    left: u32,
    clocks: [u64; 2],
    monotonic: u64,
    scratch: Writer,
}

impl Cursor {
    /// A cursor at the first event.
    pub fn new(source: Box<dyn FrameSource>) -> Self {
        Self { source, raw: Vec::new(), at: 0, left: 0, clocks: [0; 2], monotonic: 0, scratch: Writer::new() }
    }

    /// The code of the next event; nothing at the end of what is logged.
    pub fn peek(&mut self) -> Result<Option<u8>, Halt> {
        while self.left == 0 {
            if self.at != self.raw.len() {
                return Err(Halt::Host(format!("a frame of the log has {} bytes too many", self.raw.len() - self.at)));
            }
            self.monotonic = self.monotonic();
            let Some((raw, count)) = self.source.next()? else { return Ok(None) };
            (self.raw, self.left, self.at, self.clocks) = (raw, count, 0, [0; 2]);
        }
        match self.raw.get(self.at) {
            Some(code) => Ok(Some(*code)),
            None => Err(Halt::Host("a frame of the log holds fewer events than it says".into())),
        }
    }

    /// The last reading of the monotonic clock, from which a resumed run goes on.
    pub fn monotonic(&self) -> u64 {
        self.monotonic.max(self.clocks[Clock::Monotonic as usize])
    }

    /// Whether the next event is the end of a run that was cut off at no particular instruction. Call only after [`Cursor::peek`].
    pub fn ends_in_cut(&self) -> bool {
        let mut r = Reader::resume(&self.raw, self.at, self.clocks);
        let is_end = r.u8("event") == Ok(RunEnds::CODE);
        is_end && RunEnds::take(&mut r).is_ok_and(|end| end.outcome.is_cut())
    }

    /// The digest of memory in the next event, if that is an end mark which has one.
    pub fn logged_memory(&self) -> Option<u64> {
        let mut r = Reader::resume(&self.raw, self.at, self.clocks);
        let is_end = r.u8("event") == Ok(RunEnds::CODE);
        RunEnds::take(&mut r).ok().filter(|_| is_end)?.memory
    }

    /// Compares the request with the next event and takes the reply from there. Call only after [`Cursor::peek`] gave a code.
    /// Also says how many bytes the event has.
    pub fn claim<C: Call>(&mut self, call: &C, seq: Seq) -> Result<(C::Reply, usize), Halt> {
        self.encode(call);
        let request = self.scratch.bytes();
        if !self.raw[self.at..].starts_with(request) {
            return Err(self.mismatch(seq, false));
        }
        let mut r = Reader::resume(&self.raw, self.at + request.len(), self.scratch.clocks());
        match C::Reply::take(&mut r) {
            Ok(reply) => {
                let length = r.at() - self.at;
                (self.at, self.clocks) = (r.at(), r.clocks());
                self.left -= 1;
                Ok((reply, length))
            }
            Err(_) => Err(self.mismatch(seq, false)),
        }
    }

    /// Compares request and reply with the next event. Call only after [`Cursor::peek`] gave a code. Says how many bytes the event has.
    pub fn compare<C: Call>(&mut self, call: &C, reply: &C::Reply, seq: Seq) -> Result<usize, Halt> {
        self.encode(call);
        let request = self.scratch.len();
        reply.put(&mut self.scratch);
        let event = self.scratch.bytes();
        if !self.raw[self.at..].starts_with(event) {
            let same_request = self.raw[self.at..].starts_with(&event[..request]);
            return Err(self.mismatch(seq, same_request));
        }
        let length = event.len();
        self.at += length;
        self.clocks = self.scratch.clocks();
        self.left -= 1;
        Ok(length)
    }

    /// Takes the next event, whatever its request says; nothing if it is another call. Call only after [`Cursor::peek`] gave a code. Also says how
    /// many bytes it has.
    pub fn take<C: Call>(&mut self) -> Option<(C, C::Reply, usize)> {
        let mut r = Reader::resume(&self.raw, self.at, self.clocks);
        if r.u8("event") != Ok(C::CODE) {
            return None;
        }
        let (call, reply) = (C::take(&mut r).ok()?, C::Reply::take(&mut r).ok()?);
        let length = r.at() - self.at;
        (self.at, self.clocks) = (r.at(), r.clocks());
        self.left -= 1;
        Some((call, reply, length))
    }

    /// Goes past the next event, whatever it is, and says of which class. Call only after [`Cursor::peek`] gave a code.
    pub fn skip(&mut self) -> Result<Class, Halt> {
        let mut r = Reader::resume(&self.raw, self.at, self.clocks);
        let (.., class) = EventView::skim(&mut r).map_err(|e| Halt::host("reading the log", &e))?;
        (self.at, self.clocks) = (r.at(), r.clocks());
        self.left -= 1;
        Ok(class)
    }

    /// What differs, if the next event is not of this request. Call only after [`Cursor::peek`] gave a code.
    pub fn differs<C: Call>(&mut self, call: &C, seq: Seq) -> Option<Box<Mismatch>> {
        self.encode(call);
        if self.raw[self.at..].starts_with(self.scratch.bytes()) {
            return None;
        }
        match self.mismatch(seq, false) {
            Halt::Diverged(mismatch) => Some(mismatch),
            _ => None,
        }
    }

    /// The next event as a view.
    pub fn view(&self) -> Result<EventView, String> {
        EventView::take(&mut Reader::resume(&self.raw, self.at, self.clocks)).map_err(|e| e.to_string())
    }

    fn encode<C: Call>(&mut self, call: &C) {
        self.scratch.clear();
        self.scratch.set_clocks(self.clocks);
        self.scratch.u8(C::CODE);
        call.put(&mut self.scratch);
    }

    /// What stands in `scratch` against what stands in the log.
    fn mismatch(&self, seq: Seq, same_request: bool) -> Halt {
        let actual = view_of(self.scratch.bytes(), self.clocks);
        let (expected, unreadable) = match self.view() {
            Ok(view) => (Some(view), None),
            Err(error) => (None, Some(error)),
        };
        Halt::Diverged(Box::new(Mismatch { seq, expected, actual, same_request, unreadable }))
    }
}

/// The view of an event, with or without a reply, that this process encoded itself.
fn view_of(bytes: &[u8], clocks: [u64; 2]) -> EventView {
    let whole = EventView::take(&mut Reader::resume(bytes, 0, clocks));
    let view = whole.or_else(|_| EventView::take_request(&mut Reader::resume(bytes, 0, clocks)));
    view.expect("what the codec has just written it can read")
}
