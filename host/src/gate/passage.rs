//! See [`crate::gate`].

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{Seq, WallTime};
use reel_abi::limits::{LimitKind, Limits};
use reel_abi::types::{MonotonicReading, Payload, WallReading};
use reel_abi::vocabulary::{Call, CallSleeps, Class, FsTime, RunEnds};

use super::cursor::Cursor;
use super::halt::Halt;
use super::recorder::Recorder;
use super::retry::Retry;
use crate::port::Clock;

/// File times move in steps of this, as on common file systems; it keeps a run of small writes from logging a time each.
const FILE_TIME_STEP_NANOS: u64 = 1_000_000;

/// A frame is closed after this long, so that a reader of a running guest's log is not far behind.
const FRAME_MAX_AGE_NANOS: u64 = 200_000_000;

/// The first frame is closed sooner: from then on a run that is cut off has a record.
const FIRST_FRAME_MAX_AGE_NANOS: u64 = 30_000_000;

/// Where replies come from.
pub enum Mode {
    /// From the world; events are recorded.
    Live(Recorder),
    /// From the log, to its end and not further.
    Replay(Cursor),
    /// From the log to its end, then from the world; events from there on are recorded.
    Resume(Cursor, Option<Recorder>),
    /// From the log as long as the guest does what it says, then from what the log tells of the outside; nothing leaves.
    Retry(Box<Retry>),
}

/// Hears of payloads as they become part of events.
pub type Hears = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// How a gate is set up.
pub struct GateSettings {
    /// The bounds it watches over.
    pub limits: Limits,
    /// Time, for live calls and for the age of frames.
    pub clock: Arc<dyn Clock>,
    /// Stop before this event.
    pub until: Option<Seq>,
    /// Keep the bytes of the last payload, for [`Gate::take_payload`].
    pub keep_payload: bool,
    /// Who hears of each payload.
    pub hears: Option<Hears>,
}

/// What a run has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Events.
    pub events: u64,
    /// Encoded bytes of events.
    pub logged_bytes: u64,
    /// Bytes of file content, stdout and stderr.
    pub written_bytes: u64,
}

/// The one door.
pub struct Gate {
    pub(super) mode: Mode,
    settings: GateSettings,
    usage: Usage,
    /// The reading of the host's monotonic clock that is the guest's `monotonic_base`.
    monotonic_start: u64,
    monotonic_base: u64,
    file_time: u64,
    payload: Option<Vec<u8>>,
    settled_payload: Option<(Seq, Vec<u8>)>,
}

impl Gate {
    /// A gate in front of a run that has not begun.
    pub fn new(mode: Mode, settings: GateSettings) -> Self {
        let monotonic_start = settings.clock.monotonic();
        let usage = Usage::default();
        Self {
            mode,
            settings,
            usage,
            monotonic_start,
            monotonic_base: 0,
            file_time: 0,
            payload: None,
            settled_payload: None,
        }
    }

    /// Lets the guest's monotonic time go on from a reading or a later one, before the run begins.
    pub fn go_on_from(&mut self, reading: MonotonicReading) {
        self.monotonic_base = self.monotonic_base.max(reading.0);
    }

    /// Whether replies come from the log now.
    pub fn replaying(&self) -> bool {
        match &self.mode {
            Mode::Live(_) => false,
            Mode::Replay(_) | Mode::Resume(..) => true,
            Mode::Retry(retry) => retry.is_in_step(),
        }
    }

    /// The clock, for those who wait.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.settings.clock)
    }

    /// The guest's monotonic time is this now.
    pub(super) fn monotonic_is(&mut self, reading: u64) {
        self.monotonic_start = self.settings.clock.monotonic();
        self.monotonic_base = self.monotonic_base.max(reading);
    }

    /// Lets a call through: records it, or holds it against the record.
    #[inline]
    pub fn pass<C: Call>(
        &mut self,
        call: C,
        live: impl FnOnce(&mut Self, &C) -> Result<C::Reply, Halt>,
    ) -> Result<C::Reply, Halt> {
        if let Some(reply) = self.ask(&call)? {
            return Ok(reply);
        }
        let reply = live(self, &call)?;
        self.settle(&call, &reply)?;
        Ok(reply)
    }

    /// The same for a call that waits. `live` is polled only if the reply is not in the log.
    pub async fn pass_async<C: Call>(
        &mut self,
        call: C,
        live: impl Future<Output = Result<C::Reply, Halt>>,
    ) -> Result<C::Reply, Halt> {
        if let Some(reply) = self.ask(&call)? {
            return Ok(reply);
        }
        let mut live = pin!(live);
        let reply = tokio::select! {
            biased;
            reply = &mut live => reply?,
            () = tokio::time::sleep(Duration::from_nanos(FIRST_FRAME_MAX_AGE_NANOS)) => {
                // It will take a while: what was done before it shall be in the log by then.
                self.flush()?;
                live.await?
            }
        };
        self.settle(&call, &reply)?;
        Ok(reply)
    }

    /// The time that file changes carry: the wall clock, read anew (and recorded) when it has moved by a millisecond.
    pub fn file_time(&mut self) -> Result<WallReading, Halt> {
        let fresh = match self.at_log()? {
            Some(code) if code != FsTime::CODE && self.file_time == 0 && self.retry().is_some() => {
                // The recorded run has changed no file yet.
                self.leave(None);
                true
            }
            Some(code) => code == FsTime::CODE,
            None => self.settings.clock.wall().abs_diff(self.file_time) >= FILE_TIME_STEP_NANOS,
        };
        if fresh {
            let clock = Arc::clone(&self.settings.clock);
            self.file_time = self.pass(FsTime {}, |_, _| Ok(WallReading(clock.wall())))?.0;
        }
        Ok(WallReading(self.file_time))
    }

    /// Where the log has it, that the guest slept before the next call, and until when.
    pub fn slept(&mut self) -> Result<Option<WallReading>, Halt> {
        let mut slept = None;
        while !matches!(self.mode, Mode::Live(_)) && self.at_log()? == Some(CallSleeps::CODE) {
            self.stop_at_until()?;
            let cursor = match &mut self.mode {
                Mode::Replay(cursor) | Mode::Resume(cursor, _) => cursor,
                Mode::Retry(retry) => match retry.cursor() {
                    Some(cursor) => cursor,
                    None => break,
                },
                Mode::Live(_) => break,
            };
            let Some((CallSleeps { until }, (), length)) = cursor.take::<CallSleeps>() else { break };
            self.count(length)?;
            slept = Some(until);
        }
        Ok(slept)
    }

    /// Lets the guest sleep: that it does is in the log, and the call it waits in goes on from there.
    pub fn sleep(&mut self, until: WallReading) -> Result<Halt, Halt> {
        self.pass(CallSleeps { until }, |_, _| Ok(()))?;
        self.flush()?;
        Ok(Halt::Asleep { until: WallTime(until.0) })
    }

    /// The host's time of day. Only for live closures.
    pub fn wall(&self) -> WallReading {
        WallReading(self.settings.clock.wall())
    }

    /// The guest's monotonic time: nanoseconds since its run began, going on from the log after a resume. For live closures; in a replay
    /// it is the last reading in the log.
    pub fn monotonic(&self) -> MonotonicReading {
        if let Some(reading) = self.retry().and_then(Retry::reading) {
            return MonotonicReading(reading.max(self.monotonic_base));
        }
        if let Mode::Replay(cursor) | Mode::Resume(cursor, _) = &self.mode {
            return MonotonicReading(cursor.monotonic().max(self.monotonic_base));
        }
        let since = self.settings.clock.monotonic().saturating_sub(self.monotonic_start);
        MonotonicReading(self.monotonic_base.saturating_add(since))
    }

    /// What stands for the bytes in an event.
    #[inline]
    pub fn payload(&mut self, bytes: &[u8]) -> Payload {
        if self.settings.keep_payload {
            self.payload = Some(bytes.to_vec());
        }
        self.hear(bytes)
    }

    /// The same for one of several in an event, which is not kept.
    #[inline]
    pub fn hear(&self, bytes: &[u8]) -> Payload {
        if let Some(hears) = &self.settings.hears {
            hears(bytes);
        }
        Payload::of(bytes)
    }

    /// The bytes of the last payload that became part of an event, and of which, if they are kept.
    pub fn take_payload(&mut self) -> Option<(Seq, Vec<u8>)> {
        self.settled_payload.take()
    }

    /// Counts bytes that the guest writes, before they are written.
    pub fn count_written(&mut self, bytes: u64) -> Result<(), Halt> {
        self.usage.written_bytes = self.usage.written_bytes.saturating_add(bytes);
        bound(LimitKind::WrittenBytes, self.usage.written_bytes, self.settings.limits.written_bytes)
    }

    /// The bounds of the run.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// A limit, once a live run is over its time; for calls that keep the host busy by themselves.
    pub fn check_deadline(&self) -> Result<(), Halt> {
        let limit = self.settings.limits.deadline_millis;
        let since = self.settings.clock.monotonic().saturating_sub(self.monotonic_start);
        if limit > 0 && !self.replaying() && since / 1_000_000 >= limit {
            return Err(Halt::Limit { kind: LimitKind::Deadline, limit });
        }
        Ok(())
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The end mark: recorded live, held against the record in a replay, and the buffer is emptied. The digest of memory counts where both
    /// executions could take one.
    pub fn finish(&mut self, mut end: RunEnds) -> Result<(), Halt> {
        self.settings.until = self.settings.until.filter(|until| until.0 <= self.usage.events);
        self.stop_at_until()?;
        if self.at_log()?.is_some()
            && let Mode::Replay(cursor) | Mode::Resume(cursor, _) = &self.mode
        {
            end.memory = match (end.memory, cursor.logged_memory()) {
                (Some(now), Some(_)) => Some(now),
                (_, logged) => logged,
            };
        }
        let limits = std::mem::take(&mut self.settings.limits);
        self.settings.limits = Limits { logged_bytes: u64::MAX, ..limits };
        self.settle(&end, &())?;
        self.flush()
    }

    /// Returns when all that has passed is in the log, and durable: before anything leaves for others. In a replay that is so already.
    pub async fn durable(&mut self) -> Result<(), Halt> {
        match &mut self.mode {
            Mode::Live(recorder) => recorder.durable(self.settings.clock.wall()).await,
            Mode::Replay(_) | Mode::Resume(..) | Mode::Retry(_) => Ok(()),
        }
    }

    /// Closes the open frame.
    fn flush(&mut self) -> Result<(), Halt> {
        match &mut self.mode {
            Mode::Live(recorder) => recorder.flush(self.settings.clock.wall()),
            Mode::Replay(_) | Mode::Resume(..) | Mode::Retry(_) => Ok(()),
        }
    }

    /// Closes a frame that has been open for long. Called now and then, also while the guest computes.
    pub fn flush_if_old(&mut self) -> Result<(), Halt> {
        let Mode::Live(recorder) = &mut self.mode else { return Ok(()) };
        let Some(opened) = recorder.opened() else { return Ok(()) };
        let now = self.settings.clock.wall();
        let age = if recorder.is_first() { FIRST_FRAME_MAX_AGE_NANOS } else { FRAME_MAX_AGE_NANOS };
        if now.abs_diff(opened) < age { Ok(()) } else { recorder.flush(now) }
    }

    /// In a replay: whether all that is left of the log is an end at no particular instruction, or nothing.
    pub fn log_is_cut_here(&mut self) -> Result<bool, Halt> {
        match &mut self.mode {
            Mode::Live(_) | Mode::Resume(..) => Ok(false),
            Mode::Retry(_) => self.past_is_cut_here(),
            Mode::Replay(cursor) => match cursor.peek()? {
                None => Ok(true),
                Some(_) => Ok(cursor.ends_in_cut()),
            },
        }
    }

    /// Counts the call and, where replies come from the log, takes this one from there.
    #[inline]
    pub(super) fn ask<C: Call>(&mut self, call: &C) -> Result<Option<C::Reply>, Halt> {
        bound(LimitKind::HostCalls, self.usage.events + 1, self.settings.limits.host_calls)?;
        match self.mode {
            Mode::Live(_) => return Ok(None),
            Mode::Retry(_) => return self.ask_past(call),
            Mode::Replay(_) | Mode::Resume(..) => {}
        }
        self.stop_at_until()?;
        if !C::CLASS.answered_from_log() || self.at_log()?.is_none() {
            return Ok(None);
        }
        let seq = Seq(self.usage.events);
        let (Mode::Replay(cursor) | Mode::Resume(cursor, _)) = &mut self.mode else { return Ok(None) };
        if cursor.ends_in_cut() {
            return Err(Halt::LogEnds(seq));
        }
        let (reply, length) = cursor.claim(call, seq)?;
        self.count(length)?;
        Ok(Some(reply))
    }

    /// Records the call with its reply, or holds both against the log.
    #[inline]
    pub(super) fn settle<C: Call>(&mut self, call: &C, reply: &C::Reply) -> Result<(), Halt> {
        let length = match &mut self.mode {
            Mode::Live(recorder) => recorder.record(call, reply, || self.settings.clock.wall())?,
            Mode::Retry(_) => return self.settle_past(call, reply),
            Mode::Replay(_) | Mode::Resume(..) => return self.settle_against_log(call, reply),
        };
        self.count(length)
    }

    fn settle_against_log<C: Call>(&mut self, call: &C, reply: &C::Reply) -> Result<(), Halt> {
        if self.at_log()?.is_none() {
            return self.settle(call, reply); // resume: the log has just ended and the mode is live now
        }
        let seq = Seq(self.usage.events);
        let (Mode::Replay(cursor) | Mode::Resume(cursor, _)) = &mut self.mode else { return Ok(()) };
        if C::CLASS != Class::Mark && cursor.ends_in_cut() {
            return Err(Halt::LogEnds(seq));
        }
        let length = cursor.compare(call, reply, seq)?;
        self.count(length)
    }

    /// Whether the next call is answered by the world. A resume that finds the log at its end goes live.
    pub fn is_live(&mut self) -> Result<bool, Halt> {
        match self.mode {
            Mode::Live(_) => Ok(true),
            Mode::Replay(_) => Ok(false),
            Mode::Resume(..) | Mode::Retry(_) => Ok(self.at_log()?.is_none()),
        }
    }

    /// The code of the next event of the log; nothing when replies come from the world. A resume that finds the log at its end goes live.
    fn at_log(&mut self) -> Result<Option<u8>, Halt> {
        let next = match &mut self.mode {
            Mode::Live(_) => return Ok(None),
            Mode::Retry(_) => return self.keep_step(),
            Mode::Replay(cursor) => match cursor.peek()? {
                None => return Err(Halt::LogEnds(Seq(self.usage.events))),
                some => return Ok(some),
            },
            Mode::Resume(cursor, recorder) => match cursor.peek()? {
                None => (recorder.take(), cursor.monotonic()),
                some => return Ok(some),
            },
        };
        let (Some(recorder), reading) = next else { return Err(Halt::Host("a run is resumed twice".into())) };
        self.monotonic_start = self.settings.clock.monotonic();
        self.monotonic_base = self.monotonic_base.max(reading);
        self.mode = Mode::Live(recorder);
        Ok(None)
    }

    fn stop_at_until(&self) -> Result<(), Halt> {
        match self.settings.until {
            Some(until) if self.usage.events >= until.0 => Err(Halt::Until(until)),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(super) fn count(&mut self, length: usize) -> Result<(), Halt> {
        if let Some(payload) = self.payload.take() {
            self.settled_payload = Some((Seq(self.usage.events), payload));
        }
        self.usage.events += 1;
        self.usage.logged_bytes += length as u64;
        bound(LimitKind::LoggedBytes, self.usage.logged_bytes, self.settings.limits.logged_bytes)
    }
}

#[inline]
fn bound(kind: LimitKind, value: u64, limit: u64) -> Result<(), Halt> {
    if value > limit { Err(Halt::Limit { kind, limit }) } else { Ok(()) }
}
