//! Answers that leave before the run that makes them has ended: piece by piece, each of them durable.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use reel_abi::http::{Fields, ResponseHead};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::calls::http::state::Reply;
use crate::port::Waiting;

/// Pieces under way to a client.
const PIECES: usize = 4;

/// How long a client may take for a piece; then it is as if it had gone.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// An answer that ends before it is whole: the connection is closed, so that the client knows.
#[derive(Debug, Error)]
#[error("the guest failed while it answered")]
pub struct BrokenOff;

type Piece = Result<Frame<Bytes>, BrokenOff>;

/// The beginning of an answer.
pub struct Begun {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Pieces,
}

/// The host's end.
pub struct ToClient {
    begun: Option<oneshot::Sender<Begun>>,
    pieces: Option<mpsc::Sender<Piece>>,
}

impl ToClient {
    /// An answer that may begin early, and where its beginning will be known.
    pub fn new() -> (Self, oneshot::Receiver<Begun>) {
        let (begun, beginning) = oneshot::channel();
        (Self { begun: Some(begun), pieces: None }, beginning)
    }

    /// Sends a piece; `false` if the client has gone.
    async fn piece(&mut self, piece: Piece) -> bool {
        let Some(pieces) = &self.pieces else { return false };
        let sent = matches!(timeout(PIECE_TIME, pieces.send(piece)).await, Ok(Ok(())));
        if !sent {
            self.pieces = None;
        }
        sent
    }
}

impl Reply for ToClient {
    fn send(&mut self, head: Option<ResponseHead>, bytes: Vec<u8>) -> Waiting<'_, bool> {
        Box::pin(async move {
            if let (Some(head), Some(begun)) = (head, self.begun.take()) {
                let (pieces, coming) = mpsc::channel(PIECES);
                self.pieces = Some(pieces);
                if begun.send(Begun { head, body: Pieces(coming) }).is_err() {
                    self.pieces = None;
                }
            }
            bytes.is_empty() || self.piece(Ok(Frame::data(bytes.into()))).await
        })
    }

    fn end(&mut self, trailers: Option<Fields>) -> Waiting<'_, ()> {
        Box::pin(async move {
            match trailers {
                Some(trailers) if trailers.is_empty() => {}
                Some(trailers) => {
                    let _ = self.piece(Ok(Frame::trailers(crate::world::incoming::fields(&trailers)))).await;
                }
                None => {
                    let _ = self.piece(Err(BrokenOff)).await;
                }
            }
            self.pieces = None;
        })
    }
}

/// The client's end: pieces as they come. It ends when the other end is dropped.
pub struct Pieces(mpsc::Receiver<Piece>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }
}
