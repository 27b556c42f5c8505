//! One request of one connection: from its head to an answer.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, Version};
use reel_abi::bytes::Bytes;
use reel_abi::http::{FIELDS_BYTES, RequestHead, is_forbidden};
use reel_abi::id::SpaceName;
use reel_abi::trace::Trace;
use tokio::sync::oneshot;

use super::answers::{AnswerBody, RUN, in_pieces, of_run, plain, whole};
use super::front::Shared;
use super::homes::Errand;
use super::reply::ToClient;
use super::tally::Counted;
use crate::port::Clock;
use crate::runtime::handlers::{Answered, Arrived, HandleError};
use crate::world::incoming::IncomingBody;

/// How long a client may take for the next piece of a body; stops one that sends nothing from keeping a guest.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// Answers a request, and counts it.
pub async fn answer(shared: Rc<Shared>, request: Request<Incoming>, scheme: &'static str) -> Response<AnswerBody> {
    let begun = shared.clock.monotonic();
    let trace = shared.traces.of(request.headers());
    let (guest, response) = respond(&shared, request, scheme, trace).await;
    let nanos = shared.clock.monotonic().saturating_sub(begun);
    let status = response.status().as_u16();
    match &guest {
        Some(guest) => shared.tally.of(guest).count(status, nanos),
        None => shared.tally.nobody.count(status, nanos),
    }
    if tracing::enabled!(tracing::Level::INFO) {
        let guest = guest.as_ref().map(SpaceName::as_str);
        let run = response.headers().get(RUN).and_then(|run| run.to_str().ok()?.parse::<u64>().ok());
        let trace = trace.map(|trace| trace.id.to_string());
        tracing::info!(guest, status, micros = nanos / 1000, run, trace, "a request is answered");
    }
    response
}

/// The answer to a request, and the guest that was asked for it.
async fn respond(
    shared: &Shared,
    request: Request<Incoming>,
    scheme: &'static str,
    trace: Option<Trace>,
) -> (Option<SpaceName>, Response<AnswerBody>) {
    let refused = |status, words| (None, plain(status, words));
    let authority = authority(&request);
    let target = request.uri().path_and_query().map(|path| path.as_str().to_owned());
    let Some(path) = target.filter(|_| request.method() != Method::CONNECT) else {
        return refused(StatusCode::BAD_REQUEST, "the request names no path");
    };
    let Some(name) = shared.routes().find(authority.as_deref().unwrap_or_default(), &path).cloned() else {
        return refused(StatusCode::NOT_FOUND, "no guest answers for this host and path");
    };
    let (seat, taken) = Counted::new(&shared.tally, |tally| &tally.under_way);
    if taken >= shared.at_once {
        shared.tally.refused.fetch_add(1, Ordering::Relaxed);
        return refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way; try again");
    }
    let (parts, body) = request.into_parts();
    let headers: Vec<(String, Bytes)> = parts
        .headers
        .iter()
        .filter(|(name, _)| !is_forbidden(name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), Bytes(value.as_bytes().to_vec())))
        .collect();
    if headers.iter().map(|(name, value)| 32 + name.len() + value.len()).sum::<usize>() > FIELDS_BYTES {
        return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the header fields are too large");
    }
    let head = RequestHead {
        method: parts.method.as_str().to_owned(),
        scheme: Some(scheme.to_owned()),
        authority,
        path: Some(path),
        headers,
    };
    let (reply, beginning) = ToClient::new();
    let body = Box::new(IncomingBody::new(body, PIECE_TIME));
    let arrived = Arrived { head, body, reply: Box::new(reply), trace };
    let (done, answered) = oneshot::channel();
    shared.homes.send(&shared.handlers, Errand { name: name.clone(), arrived, seat, done });
    let response = tokio::select! {
        biased;
        Ok(begun) = beginning => in_pieces(&begun.head, begun.body),
        answered = answered => match answered {
            Ok(Ok(answered)) => {
                let again = u64::from(answered.report.attempts.saturating_sub(1));
                shared.tally.overtaken.fetch_add(again, Ordering::Relaxed);
                of(answered)
            }
            Ok(Err(error)) => failed(&error, &name, trace),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the run ended without a word"),
        },
    };
    (Some(name), response)
}

/// The host that a request is for: its `Host` field, or what stands in its target.
fn authority(request: &Request<Incoming>) -> Option<String> {
    let named = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let field = || request.headers().get(hyper::header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    named.or_else(field).filter(|_| request.version() >= Version::HTTP_10)
}

fn of(answered: Answered) -> Response<AnswerBody> {
    let Answered { report, head, body, trailers } = answered;
    match head {
        Ok(Some(head)) => whole(&head, body, &trailers, report.run),
        // It has begun, and nobody has waited for it.
        Ok(None) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer has left already"),
        Err(_) if report.conflict.is_some() => {
            let words = format!("run {} was overtaken by others too often; try again", report.run);
            of_run(StatusCode::SERVICE_UNAVAILABLE, &words, report.run)
        }
        Err(_) => of_run(StatusCode::INTERNAL_SERVER_ERROR, &format!("run {} failed", report.run), report.run),
    }
}

fn failed(error: &HandleError, guest: &SpaceName, trace: Option<Trace>) -> Response<AnswerBody> {
    match error {
        HandleError::NoSuchHandler(_) => plain(StatusCode::NOT_FOUND, "no guest answers for this host and path"),
        HandleError::Stopped(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the guest takes no requests now"),
        error => {
            let trace = trace.map(|trace| trace.id.to_string());
            tracing::error!(%error, %guest, trace, "a request has no run");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be answered")
        }
    }
}
