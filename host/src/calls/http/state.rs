//! What the handles of `wasi:http` name, and the bodies of one run.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub use reel_abi::http::RequestOptions;
use reel_abi::http::{BODY_BYTES, Fields as Entries, HttpCode, HttpFault, RequestHead, ResponseHead};
use reel_abi::id::{RunId, WallTime};
use reel_abi::outcome::RunBegin;
use reel_abi::trace::Trace;
use reel_abi::types::{FsCode, StreamFault};
use tokio::sync::oneshot;

use super::outgoing_handler::KEY_FIELD;
use crate::port::{HttpClient, HttpReply, Input, Waiting};

/// Header fields.
#[derive(Debug, Clone)]
pub struct Fields {
    /// In order, names in lower case.
    pub entries: Entries,
    /// Whether they belong to a message.
    pub frozen: bool,
}

/// A request that is to be answered.
#[derive(Debug, Clone)]
pub struct IncomingRequest {
    /// Its head.
    pub head: Box<RequestHead>,
    /// Number of its body, until it is taken.
    pub body: Option<u32>,
}

/// A request that the guest makes.
#[derive(Debug, Clone)]
pub struct OutgoingRequest {
    /// Its head.
    pub head: Box<RequestHead>,
    /// Number of its body, if it has one.
    pub body: Option<u32>,
}

/// Where the answer goes.
#[derive(Debug, Clone, Copy)]
pub struct ResponseOutparam;

/// An answer of others.
#[derive(Debug, Clone)]
pub struct IncomingResponse {
    /// Its head.
    pub head: ResponseHead,
    /// Number of its body, until it is taken.
    pub body: Option<u32>,
}

/// A body that comes in.
#[derive(Debug, Clone, Copy)]
pub struct IncomingBody {
    /// Its number.
    pub number: u32,
    /// Whether its stream was taken.
    pub streamed: bool,
}

/// Trailers, of which there are none.
#[derive(Debug, Clone, Copy)]
pub struct FutureTrailers {
    /// Whether they were taken.
    pub taken: bool,
}

/// The guest's answer.
#[derive(Debug, Clone)]
pub struct OutgoingResponse {
    /// Its head.
    pub head: ResponseHead,
    /// Number of its body, if it has one.
    pub body: Option<u32>,
}

/// A body that goes out.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingBody {
    /// Its number.
    pub number: u32,
    /// Whether its stream was taken.
    pub streamed: bool,
}

/// An answer of others that may not be there yet.
#[derive(Debug, Clone, Copy)]
pub struct FutureIncomingResponse {
    /// Number of the request.
    pub number: u32,
    /// Whether it was taken.
    pub taken: bool,
}

/// What is behind the number of a body or request of an earlier call.
pub const GONE: u32 = u32::MAX;

/// A body that is being written.
#[derive(Debug, Default)]
pub struct Written {
    /// What has not left yet.
    pub bytes: Vec<u8>,
    /// How many bytes have left.
    pub left: u64,
    /// What its message says that it has.
    pub announced: Option<u64>,
    /// Whether the guest has finished it.
    pub finished: bool,
    /// Fields that follow it.
    pub trailers: Entries,
}

impl Written {
    /// How many bytes may be added.
    pub fn room(&self) -> u64 {
        (BODY_BYTES - self.bytes.len().min(BODY_BYTES)) as u64
    }

    /// All that was written.
    pub fn total(&self) -> u64 {
        self.left + self.bytes.len() as u64
    }
}

/// The guest's answer to its request.
#[derive(Debug)]
pub struct Answer {
    /// Its head, or why there is none.
    pub head: Result<ResponseHead, HttpFault>,
    /// Number of its body, if it has one.
    pub body: Option<u32>,
}

/// A request to others.
pub struct Sent {
    /// Its head, with the key.
    pub head: RequestHead,
    /// Number of its body, if it has one.
    pub body: Option<u32>,
    /// How long they may take.
    pub options: RequestOptions,
    /// How far it is.
    pub progress: Progress,
}

/// How far a request to others is.
pub enum Progress {
    /// It has not left, or another process has sent it before a crash.
    Here,
    /// It was sent.
    Away(oneshot::Receiver<Result<HttpReply, HttpFault>>),
    /// This has come.
    Back(Option<Result<HttpReply, HttpFault>>),
}

/// The place of a run in a trace, from which the spans of its requests follow.
#[derive(Debug, Clone, Copy)]
pub struct Traced {
    /// The trace.
    pub trace: Trace,
    run: RunId,
    begun: WallTime,
}

impl Traced {
    /// That of a run, if it belongs to a trace.
    pub fn of(run: RunId, begin: &RunBegin) -> Option<Self> {
        begin.trace.map(|trace| Self { trace, run, begun: begin.at })
    }

    /// The field of a request to others; they count from 1.
    pub fn traceparent(&self, ordinal: usize) -> String {
        self.trace.traceparent(self.trace.span(self.run, self.begun, ordinal as u64))
    }
}

/// Where a body that comes in comes from.
pub enum Source<'a> {
    /// From the one who sends it.
    There(&'a mut Box<dyn Input>),
    /// From the log as far as that goes; the rest went down with the process that received it.
    Lost,
    /// From nowhere any more: it has ended, or is one of an earlier call.
    Over,
}

impl Source<'_> {
    /// What a guest is told that reads from it, if it is not there.
    pub fn fault(&self) -> StreamFault {
        match self {
            Self::Lost => StreamFault::Failed { code: FsCode::Io },
            Self::There(_) | Self::Over => StreamFault::Closed,
        }
    }
}

/// What a run has to do with HTTP.
#[derive(Default)]
pub struct Http {
    /// The request that it answers; absent in a replay, where it is in the log.
    pub request: Option<RequestHead>,
    /// The bodies that come in; absent in a replay.
    pub incoming: Vec<Option<Box<dyn Input>>>,
    /// Bodies whose end the guest has seen, be it in the log.
    pub ended: BTreeSet<u32>,
    /// The bodies that go out.
    pub written: Vec<Written>,
    /// The answer, once it is given.
    pub answer: Option<Answer>,
    /// What was asked of others.
    pub sent: Vec<Sent>,
    /// How it is sent; absent in a replay.
    pub client: Option<Arc<dyn HttpClient>>,
    /// By which others know the requests of this run again, however often it is executed.
    pub key: String,
    /// The trace that the run belongs to.
    pub traced: Option<Traced>,
    /// Where the answer goes that leaves before the end; absent in a replay.
    pub reply: Option<Box<dyn Reply>>,
    /// Whether the answer has begun to leave.
    pub begun: bool,
    /// Bytes of fields that were made.
    pub fields_bytes: usize,
}

/// Where the answer of a run goes.
pub trait Reply: Send + Sync {
    /// Takes the head and a first piece of the body, or a later piece, all of it durable. Waits while the client is slow; `false` if it has gone.
    fn send(&mut self, head: Option<ResponseHead>, bytes: Vec<u8>) -> Waiting<'_, bool>;
    /// The answer is whole, but for these fields; or it is not, and the client shall know.
    fn end(&mut self, trailers: Option<Entries>) -> Waiting<'_, ()>;
}

impl Http {
    /// A new body that goes out.
    pub fn write(&mut self, announced: Option<u64>) -> u32 {
        self.written.push(Written { announced, ..Written::default() });
        (self.written.len() - 1) as u32
    }

    /// A body that goes out.
    pub fn written(&mut self, number: u32) -> Option<&mut Written> {
        self.written.get_mut(number as usize)
    }

    /// A body that comes in.
    pub fn incoming(&mut self, number: u32) -> Option<&mut Box<dyn Input>> {
        self.incoming.get_mut(number as usize)?.as_mut()
    }

    /// Where a body comes from.
    pub fn source(&mut self, number: u32) -> Source<'_> {
        match self.incoming.get_mut(number as usize) {
            Some(Some(source)) => Source::There(source),
            Some(None) if !self.ended.contains(&number) => Source::Lost,
            _ => Source::Over,
        }
    }

    /// The guest knows that nothing more comes.
    pub fn over(&mut self, number: u32) {
        self.ended.insert(number);
    }

    /// Whether the answer to a request is there, or will never be.
    pub fn is_back(&mut self, request: u32) -> bool {
        self.sent.get_mut(request as usize).is_none_or(|sent| sent.is_back(None))
    }

    /// Ends when the answer to a request is there, or will never be.
    pub async fn back(&mut self, request: u32) {
        let Some(sent) = self.sent.get_mut(request as usize) else { return };
        std::future::poll_fn(|context| if sent.is_back(Some(context)) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// The guest has the answer to a request, be it from the log: it is not sent again.
    pub fn have(&mut self, request: u32) {
        if let Some(sent) = self.sent.get_mut(request as usize) {
            sent.progress = Progress::Back(None);
        }
    }

    /// The requests that have left, in words: a rollback does not take them back.
    pub fn escaped(&self) -> Vec<String> {
        let left = self.sent.iter().filter(|sent| !matches!(sent.progress, Progress::Here));
        left.map(|Sent { head, .. }| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            let scheme = head.scheme.as_deref().unwrap_or("http");
            let key = head.headers.iter().find(|(name, _)| name == KEY_FIELD);
            let key = key.map(|(_, key)| format!(" ({KEY_FIELD} {})", String::from_utf8_lossy(&key.0)));
            let (authority, path) = (part(&head.authority), part(&head.path));
            format!("{} {scheme}://{authority}{path}{}", head.method, key.unwrap_or_default())
        })
        .collect()
    }

    /// What there is of the answer was committed: it leaves.
    pub async fn release(&mut self) {
        let Some(Answer { head: Ok(head), body }) = &self.answer else { return };
        let head = (!std::mem::replace(&mut self.begun, true)).then(|| head.clone());
        let written = body.and_then(|body| self.written.get_mut(body as usize));
        let bytes = written.map_or_else(Vec::new, |written| {
            written.left += written.bytes.len() as u64;
            std::mem::take(&mut written.bytes)
        });
        if let (Some(reply), true) = (&mut self.reply, head.is_some() || !bytes.is_empty()) {
            // Whoever has gone is not waited for; the run goes on.
            let _ = reply.send(head, bytes).await;
        }
    }

    /// The requests that are complete and have not left.
    pub fn due(&self) -> Vec<usize> {
        let here = |sent: &Sent| matches!(sent.progress, Progress::Here) && self.is_complete(sent);
        (0..self.sent.len()).filter(|index| here(&self.sent[*index])).collect()
    }

    /// Whether a request to others is in a state to leave: its body is complete.
    fn is_complete(&self, sent: &Sent) -> bool {
        sent.body.is_none_or(|body| self.written.get(body as usize).is_some_and(|body| body.finished))
    }
}

impl Sent {
    /// Whether the answer is there. `context` is woken when it comes.
    pub fn is_back(&mut self, context: Option<&mut Context<'_>>) -> bool {
        let Progress::Away(answer) = &mut self.progress else { return matches!(self.progress, Progress::Back(_)) };
        let came = match context {
            Some(context) => match Pin::new(answer).poll(context) {
                Poll::Ready(came) => came.ok(),
                Poll::Pending => return false,
            },
            None => match answer.try_recv() {
                Ok(came) => Some(came),
                Err(oneshot::error::TryRecvError::Closed) => None,
                Err(oneshot::error::TryRecvError::Empty) => return false,
            },
        };
        let lost = || Err(HttpFault::of(HttpCode::ConnectionTerminated));
        self.progress = Progress::Back(Some(came.unwrap_or_else(lost)));
        true
    }
}
