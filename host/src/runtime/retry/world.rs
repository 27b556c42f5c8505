//! The ports of a retry: what they give is from the record, and what they are given stays here.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::http::{Fields, HttpFault, RequestHead, ResponseHead};
use reel_abi::id::{Digest, RunId};
use reel_abi::joined::{Called, JoinFault};
use reel_abi::trace::TRACEPARENT;
use reel_abi::types::StreamFault;

use crate::calls::calls::{Callees, Wanted};
use crate::calls::heard::{Answered, Heard, STDIN, Taken};
use crate::calls::http::outgoing_handler::KEY_FIELD;
use crate::calls::http::state::Http;
use crate::gate::Halt;
use crate::gate::past::{MadeUp, Past, Stopped};
use crate::port::{Entropy, HttpCall, HttpClient, HttpReply, Input, Output, Waiting};

/// Bytes that are kept of what a guest says on one stream; of the rest there is a digest.
pub const SAID_BYTES: usize = 1 << 20;

/// Chance from a seed: the same in each execution.
pub struct Seeded {
    seed: Digest,
    drawn: u64,
    past: Arc<Past>,
}

impl Seeded {
    /// That of a run.
    pub fn of(run: RunId, component: Digest, past: Arc<Past>) -> Self {
        let seed = [run.0.to_le_bytes().as_slice(), &component.0].concat();
        Self { seed: Digest::of(&seed), drawn: 0, past }
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.past.note(MadeUp::Entropy);
        for piece in buffer.chunks_mut(32) {
            self.drawn += 1;
            let block = Digest::of(&[self.seed.0.as_slice(), &self.drawn.to_le_bytes()].concat());
            piece.copy_from_slice(&block.0[..piece.len()]);
        }
        Ok(())
    }
}

/// What a guest says, kept.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Said>>);

/// What was said on a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The first of its bytes.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub len: u64,
    /// A digest of all of them (FNV-1a).
    digest: u64,
}

impl Kept {
    /// All that was said.
    pub fn said(&self) -> Said {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output for Kept {
    fn show(&mut self, bytes: &[u8], _: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let mut said = self.lock();
        let room = SAID_BYTES.saturating_sub(said.bytes.len()).min(bytes.len());
        said.bytes.extend_from_slice(&bytes[..room]);
        said.len += bytes.len() as u64;
        for byte in bytes {
            said.digest = (said.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// An input of which the log has what the recorded run had read.
pub struct PastInput {
    then: Taken,
    /// Where it is read, if that is noted there; else `at` counts.
    now: Option<(Arc<Heard>, u32)>,
    at: usize,
    past: Arc<Past>,
    /// How long it was said to be.
    announced: Option<u64>,
}

impl PastInput {
    /// The input with a number, as it was noted then; where it is now, `now` knows.
    pub fn of(then: &Heard, past: &Arc<Past>, number: u32, now: Arc<Heard>, announced: Option<u64>) -> Self {
        let then = then.taken(number).unwrap_or_default();
        Self { then, now: Some((now, number)), at: 0, past: Arc::clone(past), announced }
    }
}

/// How long a body is said to be.
pub fn announced(headers: &Fields) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name == "content-length")?;
    std::str::from_utf8(&value.0).ok()?.parse().ok()
}

impl Input for PastInput {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let at = self.now.as_ref().map_or(self.at, |(now, number)| now.position(*number));
        if let Some(rest) = self.then.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = rest[..max.min(rest.len())].to_vec();
            self.at = at + taken.len();
            return Ok(Some(taken));
        }
        match (&self.then.end, self.announced) {
            (Some(StreamFault::Closed), _) => Ok(None),
            (Some(_), _) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            (None, Some(announced)) if announced == at as u64 => Ok(None),
            (None, Some(announced)) => {
                let why = format!("it reads more of a body of {announced} bytes than the {at} that were read then");
                self.past.stop(Stopped::Unknown(why));
                Ok(None)
            }
            (None, None) => {
                self.past.note(MadeUp::Input);
                Ok(None)
            }
        }
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// A request to others, as the guest made it: without what the host adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    head: RequestHead,
    body: Vec<u8>,
    trailers: Fields,
}

impl Asked {
    fn new(head: &RequestHead, body: Vec<u8>, trailers: Fields) -> Self {
        let added = |name: &str| name == KEY_FIELD || name == TRACEPARENT;
        let mut head = head.clone();
        head.headers.retain(|(name, _)| !added(name));
        Self { head, body, trailers }
    }

    /// All that a run has made, complete or not.
    fn all(http: &Http) -> Vec<(Self, bool)> {
        let asked = http.sent.iter().map(|sent| {
            let body = sent.body.and_then(|number| http.written.get(number as usize));
            let (bytes, trailers) = body.map(|body| (body.bytes.clone(), body.trailers.clone())).unwrap_or_default();
            (Self::new(&sent.head, bytes, trailers), body.is_none_or(|body| body.finished))
        });
        asked.collect()
    }

    /// Those that have left.
    pub fn left(http: &Http) -> Vec<Self> {
        Self::all(http).into_iter().filter(|(_, complete)| *complete).map(|(asked, _)| asked).collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        let line = |asked: &Self| (asked.head.method.clone(), asked.head.authority.clone(), asked.head.path.clone());
        line(self) == line(other)
    }

    /// It, for people.
    pub fn words(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let Self { head, body, .. } = self;
        let scheme = head.scheme.as_deref().unwrap_or("http");
        let with = if body.is_empty() { String::new() } else { format!(", with {} bytes", body.len()) };
        format!("{} {scheme}://{}{}{with}", head.method, part(&head.authority), part(&head.path))
    }
}

/// Those who were asked then: they know the answers of then and no others.
pub struct PastClient {
    /// Requests of then with their numbers; nothing before the first that is made now. Those that were answered before the record was left are not
    /// among them.
    left: Mutex<Option<Vec<(u32, Asked)>>>,
    recorded: Vec<Asked>,
    then: Arc<Heard>,
    now: Arc<Heard>,
    past: Arc<Past>,
}

impl PastClient {
    /// Those whom a run has asked, of which this is left.
    pub fn of(http: &Http, then: &Arc<Heard>, now: &Arc<Heard>, past: &Arc<Past>) -> Self {
        let recorded = Asked::all(http).into_iter().map(|(asked, _)| asked).collect();
        let (then, now, past) = (Arc::clone(then), Arc::clone(now), Arc::clone(past));
        Self { left: Mutex::default(), recorded, then, now, past }
    }

    /// Takes the recorded request that is the same, if one is left; its number.
    fn take(&self, asked: &Asked) -> Option<u32> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left.get_or_insert_with(|| {
            let all = (0u32..).zip(self.recorded.iter().cloned());
            all.filter(|(number, _)| self.now.answer(*number).is_none()).collect()
        });
        let place = left.iter().position(|(_, one)| one == asked)?;
        Some(left.remove(place).0)
    }

    /// What is new about a request.
    fn words(&self, asked: &Asked) -> String {
        let words = asked.words();
        let (same, alike) = (
            self.recorded.iter().filter(|one| *one == asked).count(),
            self.recorded.iter().filter(|one| one.is_like(asked)).count(),
        );
        match (same, alike) {
            (0, 0) => words,
            (0, _) => format!("{words}: what was sent there then had other fields or another body"),
            (1, _) => format!("{words}: it was sent then, but once"),
            (times, _) => format!("{words}: it was sent then, but only {times} times"),
        }
    }
}

impl HttpClient for PastClient {
    fn send(&self, call: HttpCall) -> Waiting<'static, Result<HttpReply, HttpFault>> {
        let asked = Asked::new(&call.head, call.body, call.trailers);
        let Some(number) = self.take(&asked) else {
            self.past.stop(Stopped::NewRequest(self.words(&asked)));
            return Box::pin(std::future::pending());
        };
        let Some(Answered { head, body }) = self.then.answer(number) else {
            // It may do without the answer, as it did then. If it waits for it, that is noticed.
            return Box::pin(std::future::pending());
        };
        let answer = head.map(|head: ResponseHead| {
            let (then, announced) = (self.then.taken(body).unwrap_or_default(), announced(&head.headers));
            let body = PastInput { then, now: None, at: 0, past: Arc::clone(&self.past), announced };
            HttpReply { head, body: Box::new(body) }
        });
        Box::pin(std::future::ready(answer))
    }
}

/// Nobody is called who was not called then.
pub struct NoCallees(pub Arc<Past>);

impl Callees for NoCallees {
    fn call(&mut self, wanted: Wanted) -> Waiting<'_, Result<Result<Called, JoinFault>, Halt>> {
        let Wanted { guest, function, arguments, .. } = wanted;
        self.0.stop(Stopped::NewRequest(format!("guest.call {guest} {function}({})", arguments.join(", "))));
        Box::pin(std::future::ready(Err(Halt::Interrupted)))
    }

    fn mark(&mut self, _: u64) {}

    fn roll_back(&mut self, _: u64) {}

    fn release(&mut self, _: u64) {}

    fn lose(&mut self) {}

    fn forget(&mut self) {}
}

/// What gives the inputs of a run again. `bodies` says how long those are said to be.
pub fn inputs(then: Arc<Heard>, past: Arc<Past>, request: Option<RequestHead>, http: &Http) -> Arc<Heard> {
    let sent = http.sent.len() as u32;
    Heard::giving(Arc::new(move |number, now| {
        let length = match number {
            STDIN => None,
            0 if request.is_some() => request.as_ref().and_then(|head| announced(&head.headers)),
            body => (0..sent)
                .filter_map(|request| then.answer(request))
                .find(|answer| answer.body == body)
                .and_then(|answer| announced(&answer.head.ok()?.headers)),
        };
        Box::new(PastInput::of(&then, &past, number, now, length))
    }))
}
