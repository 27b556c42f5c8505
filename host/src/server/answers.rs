//! What clients get.

use std::convert::Infallible;

use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt, Either};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use reel_abi::http::{Fields, ResponseHead};
use reel_abi::id::RunId;

use super::reply::{BrokenOff, Pieces};
use crate::world::incoming::{WholeBody, fields};

/// A whole body with what follows it, or one that comes in pieces.
pub type AnswerBody = Either<MapErr<WholeBody, fn(Infallible) -> BrokenOff>, Pieces>;

/// The field that says which run has answered.
pub const RUN: HeaderName = HeaderName::from_static("reel-run");

fn there(body: WholeBody) -> AnswerBody {
    Either::Left(body.map_err(|never| match never {}))
}

fn respond(head: &ResponseHead, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields(&head.headers);
    response
}

/// An answer that is there whole.
pub fn whole(head: &ResponseHead, body: Vec<u8>, trailers: &Fields, run: RunId) -> Response<AnswerBody> {
    let mut response = respond(head, there(WholeBody::new(body, trailers)));
    response.headers_mut().insert(RUN, HeaderValue::from(run.0));
    response
}

/// An answer that comes in pieces.
pub fn in_pieces(head: &ResponseHead, pieces: Pieces) -> Response<AnswerBody> {
    respond(head, Either::Right(pieces))
}

/// The server's own words.
pub fn plain(status: StatusCode, words: &str) -> Response<AnswerBody> {
    let body = WholeBody::new(format!("{words}\n").into_bytes(), &Fields::new());
    let mut response = Response::new(there(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The server's own words about a run.
pub fn of_run(status: StatusCode, words: &str, run: RunId) -> Response<AnswerBody> {
    let mut response = plain(status, words);
    response.headers_mut().insert(RUN, HeaderValue::from(run.0));
    response
}
