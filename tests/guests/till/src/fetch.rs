//! Asking others.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// Sends a body, and gives the status and body of what comes back.
pub fn post(authority: &str, path: &str, body: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let sent = request.body().expect("a body");
    let future = match handle(request, None) {
        Ok(future) => future,
        Err(error) => return format!("{error:?}"),
    };
    let stream = sent.write().expect("a stream");
    stream.blocking_write_and_flush(body.as_bytes()).expect("written");
    drop(stream);
    OutgoingBody::finish(sent, None).expect("finished");
    future.subscribe().block();
    let response = match future.get().expect("ready").expect("once") {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    let status = response.status();
    let body = response.consume().expect("a body");
    let stream = body.stream().expect("a stream");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    format!("{status} {}", String::from_utf8_lossy(&bytes))
}

/// A number that nobody can guess.
pub fn chance() -> u64 {
    wasip2::random::random::get_random_u64()
}
