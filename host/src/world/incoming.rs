//! Bodies of HTTP messages: those that come from others piece by piece, and those that are there whole.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use reel_abi::http::Fields;
use tokio::time::Sleep;

use crate::port::{Input, Waiting};

/// A body that is read as a guest asks for it. What was not asked for stays with those who send it.
pub struct IncomingBody {
    incoming: Incoming,
    patience: Duration,
    held: Bytes,
    ended: bool,
    failed: bool,
}

impl IncomingBody {
    /// A body. It has failed when a piece takes longer than `patience`.
    pub fn new(incoming: Incoming, patience: Duration) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, patience, held: Bytes::new(), ended, failed: false }
    }

    fn is_there(&self) -> bool {
        self.ended || self.failed || !self.held.is_empty()
    }

    fn look(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.is_there() {
            let mut frame = std::pin::pin!(self.incoming.frame());
            let frame = match std::future::Future::poll(frame.as_mut(), context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            match frame {
                None => self.ended = true,
                Some(Err(_)) => self.failed = true,
                // Trailers are not handed on, as every recipient may (RFC 9110, section 6.5.1).
                Some(Ok(frame)) => self.held = frame.into_data().unwrap_or_default(),
            }
        }
        Poll::Ready(())
    }
}

impl Input for IncomingBody {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(async {
            let mut late: Option<Pin<Box<Sleep>>> = None;
            std::future::poll_fn(|context| {
                if self.look(context).is_ready() {
                    return Poll::Ready(());
                }
                let late = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
                if late.as_mut().poll(context).is_ready() {
                    self.failed = true;
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        })
    }

    fn is_ready(&mut self) -> bool {
        self.look(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let _ = self.is_ready();
        if !self.held.is_empty() {
            return Ok(Some(self.held.split_to(max.min(self.held.len())).to_vec()));
        }
        if self.failed {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        Ok(if self.ended { None } else { Some(Vec::new()) })
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

/// Header fields as they are sent.
pub fn fields(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        // They were checked when the guest set them.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// A body that is there, and the fields that follow it.
pub struct WholeBody {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl WholeBody {
    /// A body with what follows it.
    pub fn new(bytes: Vec<u8>, trailers: &Fields) -> Self {
        let trailers = (!trailers.is_empty()).then(|| fields(trailers));
        Self { bytes: (!bytes.is_empty()).then(|| bytes.into()), trailers }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.bytes.take().map(Frame::data);
        Poll::Ready(next.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.trailers {
            // A length would leave no place for them.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
