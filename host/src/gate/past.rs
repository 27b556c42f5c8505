//! What a run has learnt of the outside, from its log: answers for another component that is executed in its place.
//!
//! ```text
//! asked the same as in the log, in this order      the answer of then, each once
//! asked more often, about what does not change     the last answer of then
//! asked more often for time or chance              they go on from there, the same in each execution, and it is noted
//! asked something else of the outside              it is stopped: nobody is asked now
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use reel_abi::http::RequestHead;
use reel_abi::id::Seq;
use reel_abi::types::WallReading;
use reel_abi::value::Value;
use reel_abi::vocabulary::{
    Call, Class, ClockMonotonic, ClockMonotonicResolution, ClockWall, ClockWallResolution, EventView, FsTime,
    GuestCall, HostCapture, HostList, HostStat, HttpRequest, InsecureBytes, InsecureSeed, InsecureU64, MsgRoute,
    NetInstance, RandomBytes, RandomU64, StdioTerminal, UdpSend,
};
use reel_abi::wire::{Reader, Wire, Writer};
use tokio::sync::Notify;

use super::cursor::{Cursor, FrameSource};
use super::halt::Halt;
use crate::port::{Clock, MovesTime};

/// Bytes of requests and answers of one run that are held in memory; stops a run with an endless log from taking all of it.
const HELD_BYTES: usize = 512 << 20;

/// How far a clock of the past moves at each look, in nanoseconds.
const STEP_NANOS: u64 = 1_000;

/// What the record of a run did not have, so that it was made up, the same way each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MadeUp {
    /// Time went on from the last reading.
    Clock,
    /// Chance was drawn from a seed.
    Entropy,
    /// What was read of standard input or a body was taken for all of it.
    Input,
    /// Who takes the messages of a topic was looked up now.
    Topics,
    /// A call before it in the life of the guest is another one.
    Memory,
    /// The run was imported with the state that it had read.
    State,
}

impl MadeUp {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Clock => "the clock goes on from the last recorded reading",
            Self::Entropy => "chance is drawn from a seed of the run",
            Self::Input => "what was recorded of an input is taken for all of it",
            Self::Memory => {
                "its memory is what earlier calls of its life have made of it, and one of those is another one now"
            }
            Self::State => "the run was imported, and of its space only what it had read then is there",
            Self::Topics => "who takes the messages of a topic is as it is now",
        }
    }
}

/// Why it was not gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It wanted of others what the recorded run had not asked for.
    NewRequest(String),
    /// The log does not tell what it would have seen or done.
    Unknown(String),
}

/// See the module.
pub struct Past {
    answers: Mutex<BTreeMap<Vec<u8>, Answers>>,
    /// Readings of the time of day, in the order of events.
    walls: Vec<(Seq, u64)>,
    made_up: Mutex<BTreeSet<MadeUp>>,
    stopped: OnceLock<Stopped>,
    stops: Notify,
    /// Whether it may reach the network.
    granted: bool,
    /// The last event by which something was done with a socket, beyond looking.
    last_of_socket: Option<Seq>,
}

/// The answers to one request.
struct Answers {
    left: VecDeque<(Seq, Vec<u8>)>,
    last: Vec<u8>,
}

macro_rules! learn {
    ($learning:expr, $cursor:expr, $code:expr, $seq:expr, [$($Call:ident),*]) => {
        match $code {
            $($Call::CODE => {
                let taken = $cursor.take::<$Call>();
                let (call, reply, _) = taken.ok_or_else(|| Halt::Host("an event of the log cannot be read".into()))?;
                $learning.learn($seq, &call, &reply)?;
            })*
            _ => $learning.pass($seq, $code, $cursor.skip()?),
        }
    };
}

#[derive(Default)]
struct Learning {
    answers: BTreeMap<Vec<u8>, Answers>,
    walls: Vec<(Seq, u64)>,
    bytes: usize,
    last_of_socket: Option<Seq>,
}

impl Learning {
    /// An event that tells nothing of the outside.
    fn pass(&mut self, seq: Seq, code: u8, class: Class) {
        if class == Class::Exchange && is_of_socket(code) {
            self.last_of_socket = Some(seq);
        }
    }

    fn learn<C: Call>(&mut self, seq: Seq, call: &C, reply: &C::Reply) -> Result<(), Halt> {
        let (request, reply) = (request(call), bytes(reply));
        self.bytes += request.len() + 2 * reply.len() + 64;
        if self.bytes > HELD_BYTES {
            return Err(Halt::Host(format!("the run has seen more than {HELD_BYTES} bytes of the outside")));
        }
        if let Some(wall) = wall(C::CODE, &reply) {
            self.walls.push((seq, wall));
        }
        let answers = self.answers.entry(request);
        let answers = answers.or_insert_with(|| Answers { left: VecDeque::new(), last: Vec::new() });
        answers.last.clone_from(&reply);
        answers.left.push_back((seq, reply));
        Ok(())
    }
}

impl Past {
    /// That of a run.
    pub fn read(frames: Box<dyn FrameSource>, granted: bool) -> Result<Self, Halt> {
        let (mut cursor, mut learning, mut seq) = (Cursor::new(frames), Learning::default(), Seq(0));
        while let Some(code) = cursor.peek()? {
            learn!(
                learning,
                cursor,
                code,
                seq,
                [
                    ClockWall,
                    ClockMonotonic,
                    ClockWallResolution,
                    ClockMonotonicResolution,
                    RandomBytes,
                    RandomU64,
                    InsecureBytes,
                    InsecureU64,
                    InsecureSeed,
                    StdioTerminal,
                    FsTime,
                    HostStat,
                    HostList,
                    HostCapture,
                    MsgRoute,
                    GuestCall,
                    HttpRequest
                ]
            );
            seq = seq.next();
        }
        let (made_up, stopped, stops) = Default::default();
        let Learning { answers, walls, last_of_socket, .. } = learning;
        Ok(Self { answers: Mutex::new(answers), walls, made_up, stopped, stops, granted, last_of_socket })
    }

    /// What was answered to a request from an event on; each answer is given once, if it is not one that stays the same.
    pub(super) fn answer<C: Call>(&self, call: &C, since: Seq) -> Option<C::Reply> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = answers.get_mut(&request(call))?;
        while known.left.front().is_some_and(|(seq, _)| *seq < since) {
            known.left.pop_front();
        }
        let reply = match known.left.pop_front() {
            Some((_, reply)) => reply,
            None if stays(C::CODE) => known.last.clone(),
            None => return None,
        };
        C::Reply::take(&mut Reader::new(&reply)).ok()
    }

    /// The request that the run answers, if it does.
    pub fn request(&self) -> Option<RequestHead> {
        self.answer(&HttpRequest {}, Seq(0))
    }

    /// The calls of other guests from an event on that were not made again, in words.
    pub fn uncalled(&self, since: Seq) -> Vec<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left: Vec<(Seq, String)> = Vec::new();
        for (request, answers) in answers.iter().filter(|(request, _)| request.first() == Some(&GuestCall::CODE)) {
            let words = words(request);
            left.extend(answers.left.iter().filter(|(seq, _)| *seq >= since).map(|(seq, _)| (*seq, words.clone())));
        }
        left.sort();
        left.into_iter().map(|(_, words)| words).collect()
    }

    /// Whether something was done with a socket at an event or later.
    pub fn has_socket_since(&self, seq: Seq) -> bool {
        self.granted && self.last_of_socket.is_some_and(|last| last >= seq)
    }

    /// The last time of day that was read before an event.
    pub(super) fn wall_before(&self, seq: Seq) -> Option<u64> {
        let before = self.walls.partition_point(|(at, _)| *at < seq);
        Some(self.walls.get(before.checked_sub(1)?)?.1)
    }

    /// Whether it may reach the network, so that a socket is one to others.
    pub(super) fn is_granted(&self) -> bool {
        self.granted
    }

    /// Notes that something was made up.
    pub fn note(&self, what: MadeUp) {
        self.made_up().insert(what);
    }

    /// All that was made up.
    pub fn made_up(&self) -> MutexGuard<'_, BTreeSet<MadeUp>> {
        self.made_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is not gone on with. The first reason is kept.
    pub fn stop(&self, why: Stopped) {
        drop(self.stopped.set(why));
        self.stops.notify_one();
    }

    /// Why it is not gone on with.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.get()
    }

    /// Ends when it is not gone on with.
    pub async fn stops(&self) {
        while self.stopped.get().is_none() {
            self.stops.notified().await;
        }
    }
}

/// Whether a question has one answer however often it is asked.
fn stays(code: u8) -> bool {
    [
        HostStat::CODE,
        HostList::CODE,
        HostCapture::CODE,
        MsgRoute::CODE,
        StdioTerminal::CODE,
        ClockWallResolution::CODE,
        ClockMonotonicResolution::CODE,
        HttpRequest::CODE,
        InsecureSeed::CODE,
    ]
    .contains(&code)
}

/// Whether events of a code are of sockets.
pub(super) fn is_of_socket(code: u8) -> bool {
    (NetInstance::CODE..=UdpSend::CODE).contains(&code)
}

/// An encoded request in words: all of it that is short.
pub(super) fn words(request: &[u8]) -> String {
    let word = |value: &Value| match value {
        Value::Text(text) | Value::Word(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Handle(number) => Some(format!("#{number}")),
        _ => None,
    };
    match EventView::take_request(&mut Reader::new(request)) {
        Ok(view) => {
            let fields = view.request.iter().filter_map(|(name, value)| Some(format!(" {name}={}", word(value)?)));
            format!("{}{}", view.name, fields.collect::<String>())
        }
        Err(error) => error.to_string(),
    }
}

pub(super) fn request<C: Call>(call: &C) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(C::CODE);
    call.put(&mut writer);
    writer.bytes().to_vec()
}

/// A reply by itself, whatever was encoded before it in the log.
pub(super) fn bytes<T: Wire>(reply: &T) -> Vec<u8> {
    let mut writer = Writer::new();
    reply.put(&mut writer);
    writer.bytes().to_vec()
}

/// The time of day in a reply that is one.
pub(super) fn wall(code: u8, reply: &[u8]) -> Option<u64> {
    let tells = code == ClockWall::CODE || code == FsTime::CODE;
    tells.then(|| WallReading::take(&mut Reader::new(reply)).ok()).flatten().map(|reading| reading.0)
}

/// A clock that goes on from what was recorded. It moves when it is looked at, and when somebody would wait for it.
pub struct PastClock {
    /// The time of day, and nanoseconds since the clock was made.
    both: Mutex<(u64, u64)>,
    /// Nobody waits until this time of day.
    late: u64,
}

impl PastClock {
    /// A clock at a time of day, for a run that may take so many milliseconds; 0 for any number.
    pub fn at(wall: u64, millis: u64) -> Arc<Self> {
        let late = if millis == 0 { u64::MAX } else { wall.saturating_add(millis.saturating_mul(1_000_000)) };
        Arc::new(Self { both: Mutex::new((wall, 0)), late })
    }

    /// The time of day is this now.
    pub(super) fn set(&self, wall: u64) {
        self.both().0 = wall;
    }

    fn both(&self) -> MutexGuard<'_, (u64, u64)> {
        self.both.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on(&self, nanos: u64) -> (u64, u64) {
        let mut both = self.both();
        *both = (both.0.saturating_add(nanos), both.1.saturating_add(nanos));
        *both
    }
}

impl Clock for PastClock {
    fn wall(&self) -> u64 {
        self.go_on(STEP_NANOS).0
    }

    fn monotonic(&self) -> u64 {
        self.go_on(STEP_NANOS).1
    }

    fn moved_by(&self) -> Option<&dyn MovesTime> {
        Some(self)
    }
}

impl MovesTime for PastClock {
    fn skip(&self, nanos: u64) -> bool {
        self.go_on(nanos).0 < self.late
    }
}
