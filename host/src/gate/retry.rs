//! Another component in the place of a recorded one.
//!
//! ```text
//! in step     what it asks is what the log has next: as in a replay
//!    │  the first difference, or the end of what is logged
//!    v
//! loose       read, stage   done, on the transaction, which nobody commits
//!             observe       from the log where the same was asked, in order; else see [`Past`]
//!             talk          shown to whoever keeps it
//!             exchange      from the log where it is the same request; else it is stopped, and nothing leaves
//! ```
//!
//! It is the same gate: what is loose is live, but for what lies outside, and ports that answer from the log stand there (`runtime/retry`).

use std::sync::Arc;

use reel_abi::id::Seq;
use reel_abi::types::MonotonicReading;
use reel_abi::vocabulary::{
    Call, Class, ClockMonotonic, ClockWall, HostCapture, HostList, HostStat, MsgRoute, TxnCommit,
};
use reel_abi::wire::{Reader, Wire, Writer};

use super::cursor::Cursor;
use super::divergence::Mismatch;
use super::halt::Halt;
use super::passage::{Gate, Mode};
use super::past::{MadeUp, Past, PastClock, Stopped, bytes, is_of_socket, request, wall, words};

/// The state of it.
pub struct Retry {
    cursor: Cursor,
    /// Where it left the record; nothing as long as it is in step.
    left: Option<Seq>,
    difference: Option<Box<Mismatch>>,
    past: Arc<Past>,
    clock: Arc<PastClock>,
    /// Whether it ends where the recorded run was cut off.
    ends_at_cut: bool,
    scratch: Writer,
}

impl Retry {
    /// At the first event. `clock` must be the gate's own.
    pub fn new(cursor: Cursor, past: Arc<Past>, clock: Arc<PastClock>, ends_at_cut: bool) -> Self {
        Self { cursor, left: None, difference: None, past, clock, ends_at_cut, scratch: Writer::new() }
    }

    /// Whether all that was asked is what the log has.
    pub fn is_in_step(&self) -> bool {
        self.left.is_none()
    }

    /// Where it left the record, and what was asked there instead; without that, the record had ended.
    pub fn left(&self) -> Option<(Seq, Option<&Mismatch>)> {
        Some((self.left?, self.difference.as_deref()))
    }

    /// The last reading of the monotonic clock in the log, as long as it is in step.
    pub(super) fn reading(&self) -> Option<u64> {
        self.is_in_step().then(|| self.cursor.monotonic())
    }

    fn length<C: Call>(&mut self, call: &C, reply: &C::Reply) -> usize {
        self.scratch.clear();
        self.scratch.u8(C::CODE);
        call.put(&mut self.scratch);
        reply.put(&mut self.scratch);
        self.scratch.len()
    }
}

impl Retry {
    /// Where it is in the log, as long as it is in step.
    pub(super) fn cursor(&mut self) -> Option<&mut Cursor> {
        self.left.is_none().then_some(&mut self.cursor)
    }
}

impl Gate {
    /// The retry that this gate is for.
    pub fn retry(&self) -> Option<&Retry> {
        if let Mode::Retry(retry) = &self.mode { Some(retry) } else { None }
    }

    /// [`Gate::ask`] of a retry.
    pub(super) fn ask_past<C: Call>(&mut self, call: &C) -> Result<Option<C::Reply>, Halt> {
        let seq = Seq(self.usage().events);
        let in_step = self.keep_step()?.is_some();
        let Mode::Retry(retry) = &mut self.mode else { return Ok(None) };
        if retry.past.stopped().is_some() {
            return Err(Halt::Interrupted);
        }
        if in_step {
            if !C::CLASS.answered_from_log() {
                return Ok(None);
            }
            match retry.cursor.claim(call, seq) {
                Ok((reply, length)) => {
                    self.count(length)?;
                    return Ok(Some(reply));
                }
                Err(Halt::Diverged(mismatch)) => self.leave(Some(mismatch)),
                Err(halt) => return Err(halt),
            }
        }
        self.ask_loosely(call)
    }

    fn ask_loosely<C: Call>(&mut self, call: &C) -> Result<Option<C::Reply>, Halt> {
        let Mode::Retry(retry) = &mut self.mode else { return Ok(None) };
        if let Some(reply) = retry.past.answer(call, retry.left.unwrap_or_default()) {
            let length = retry.length(call, &reply);
            let told = bytes(&reply);
            if let Some(wall) = wall(C::CODE, &told) {
                retry.clock.set(wall);
            }
            if C::CODE == ClockMonotonic::CODE
                && let Ok(MonotonicReading(reading)) = MonotonicReading::take(&mut Reader::new(&told))
            {
                self.monotonic_is(reading);
            }
            self.count(length)?;
            return Ok(Some(reply));
        }
        let past = Arc::clone(&retry.past);
        let stop = |why: Stopped| {
            past.stop(why);
            Err(Halt::Interrupted)
        };
        if C::CODE == ClockWall::CODE || C::CODE == ClockMonotonic::CODE {
            past.note(MadeUp::Clock);
        }
        if C::CODE == MsgRoute::CODE {
            past.note(MadeUp::Topics);
        }
        let said = || words(&request(call));
        let sockets = is_of_socket(C::CODE);
        match C::CLASS {
            Class::Observe if C::CODE == TxnCommit::CODE => {
                stop(Stopped::Unknown("it commits on its way, after it has left the record".into()))
            }
            Class::Observe if [HostStat::CODE, HostList::CODE, HostCapture::CODE].contains(&C::CODE) => {
                stop(Stopped::Unknown(format!("it looks at what nobody looked at then: {}", said())))
            }
            Class::Observe if sockets && past.is_granted() => {
                stop(Stopped::Unknown(format!("it goes on with a socket, after it has left the record: {}", said())))
            }
            Class::Exchange if sockets && past.is_granted() => stop(Stopped::NewRequest(said())),
            _ => Ok(None),
        }
    }

    /// [`Gate::settle`] of a retry.
    pub(super) fn settle_past<C: Call>(&mut self, call: &C, reply: &C::Reply) -> Result<(), Halt> {
        let seq = Seq(self.usage().events);
        let in_step = self.keep_step()?.is_some();
        let Mode::Retry(retry) = &mut self.mode else { return Ok(()) };
        if in_step {
            match retry.cursor.compare(call, reply, seq) {
                Ok(length) => return self.count(length),
                Err(Halt::Diverged(mismatch)) => self.leave(Some(mismatch)),
                Err(halt) => return Err(halt),
            }
        }
        let Mode::Retry(retry) = &mut self.mode else { return Ok(()) };
        let length = retry.length(call, reply);
        self.count(length)
    }

    /// The code of the next event of the log, if the retry is in step. It leaves the record where that ends.
    pub(super) fn keep_step(&mut self) -> Result<Option<u8>, Halt> {
        let seq = Seq(self.usage().events);
        let Mode::Retry(retry) = &mut self.mode else { return Ok(None) };
        if retry.left.is_some() {
            return Ok(None);
        }
        match retry.cursor.peek()? {
            Some(code) if !retry.cursor.ends_in_cut() => return Ok(Some(code)),
            _ if retry.ends_at_cut => return Err(Halt::LogEnds(seq)),
            _ => {}
        }
        self.leave(None);
        Ok(None)
    }

    /// From here on it is loose.
    pub(super) fn leave(&mut self, difference: Option<Box<Mismatch>>) {
        let seq = Seq(self.usage().events);
        let Mode::Retry(retry) = &mut self.mode else { return };
        (retry.left, retry.difference) = (Some(seq), difference);
        if let Some(wall) = retry.past.wall_before(seq) {
            retry.clock.set(wall);
        }
        let reading = retry.cursor.monotonic();
        self.monotonic_is(reading);
    }

    /// Whether a retry in step has come to where the recorded run was cut off, and ends there.
    pub(super) fn past_is_cut_here(&mut self) -> Result<bool, Halt> {
        let Mode::Retry(retry) = &mut self.mode else { return Ok(false) };
        if retry.left.is_some() || !retry.ends_at_cut {
            return Ok(false);
        }
        Ok(retry.cursor.peek()?.is_none() || retry.cursor.ends_in_cut())
    }

    /// In a retry that is in step: leaves the record now if this is not what was asked then. It must be known before what is due can leave.
    pub fn leave_unless<C: Call>(&mut self, call: &C) -> Result<bool, Halt> {
        let seq = Seq(self.usage().events);
        if self.keep_step()?.is_none() {
            return Ok(false);
        }
        let Mode::Retry(retry) = &mut self.mode else { return Ok(false) };
        let Some(difference) = retry.cursor.differs(call, seq) else { return Ok(false) };
        self.leave(Some(difference));
        Ok(true)
    }
}
