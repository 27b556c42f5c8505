//! Requests and answers in JSON, for the examples that answer HTTP: by `wasi:http` alone, and nothing of Reel but its errors.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Longest body that is read.
const BODY_BYTES: usize = 64 * 1024;

/// Why a request is not done: a status, and why in words.
pub struct Refusal(pub u16, pub String);

impl Refusal {
    pub fn new(status: u16, why: impl Into<String>) -> Self {
        Self(status, why.into())
    }
}

/// What goes wrong beside the request is nobody's answer: the status rolls the transaction back.
macro_rules! internal {
    ($($error:ty),*) => {$(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self(500, error.to_string())
            }
        }
    )*};
}
internal!(reel_guest::keyvalue::Error, reel_guest::transaction::Error, reel_guest::messages::Error, serde_json::Error);

/// The body of a request, from JSON.
pub fn body<T: DeserializeOwned>(request: &IncomingRequest) -> Result<T, Refusal> {
    let broken = || Refusal::new(400, "the body cannot be read");
    let body = request.consume().map_err(|()| broken())?;
    let bytes = read(&body.stream().map_err(|()| broken())?).ok_or_else(broken)?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal(400, error.to_string()))
}

/// A field of a request.
pub fn field(request: &IncomingRequest, name: &str) -> Option<String> {
    String::from_utf8(request.headers().get(name).into_iter().next()?).ok()
}

/// Sends a value.
pub fn answer(out: ResponseOutparam, status: u16, value: &impl Serialize) {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    send(out, status, "application/json", &text);
}

/// Sends an answer.
pub fn send(out: ResponseOutparam, status: u16, kind: &str, bytes: &[u8]) {
    // A body that is not finished is no answer, and rolls the transaction back.
    if let Some((body, stream)) = begin(out, status, kind) {
        let written = write(&stream, bytes).is_ok();
        drop(stream);
        if written {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

/// Begins an answer.
pub fn begin(out: ResponseOutparam, status: u16, kind: &str) -> Option<(OutgoingBody, OutputStream)> {
    let headers = Fields::new();
    headers.set("content-type", &[kind.into()]).ok()?;
    headers.set("cache-control", &[b"no-store".to_vec()]).ok()?;
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().ok()?;
    Some((body, stream))
}

/// All that comes; nothing if it breaks off or is too long.
pub fn read(stream: &InputStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(BODY_BYTES as u64) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Some(bytes),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if bytes.len() > BODY_BYTES {
            return None;
        }
    }
}

/// Writes all of it.
pub fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // More is not taken at once.
    bytes.chunks(4096).try_for_each(|piece| stream.blocking_write_and_flush(piece))
}
