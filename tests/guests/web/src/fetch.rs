//! Asking others: `/fetch?AUTHORITY/PATH`, with `https:` before it for TLS, sends (and the field `x-trace` as `traceparent`) the request's method and body there and answers what comes back.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme};
use wasip2::io::streams::StreamError;

use crate::answer::{answer, body_of, write};

pub fn fetch(request: &IncomingRequest, to: &str, out: ResponseOutparam) {
    let (scheme, to) = match to.strip_prefix("https:") {
        Some(to) => (Scheme::Https, to),
        None => (Scheme::Http, to),
    };
    let (authority, path) = to.split_once('/').unwrap_or((to, ""));
    let fields = Fields::new();
    for trace in request.headers().get("x-trace") {
        fields.append("traceparent", &trace).expect("a field");
    }
    let asked = OutgoingRequest::new(fields);
    let method = request.method();
    asked.set_method(&method).expect("a method");
    asked.set_scheme(Some(&scheme)).expect("a scheme");
    asked.set_authority(Some(authority)).expect("an authority");
    asked.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let body = (!matches!(method, Method::Get)).then(|| asked.body().expect("a body"));
    let future = match handle(asked, None) {
        Ok(future) => future,
        Err(error) => return answer(out, 403, &[], format!("{error:?}").as_bytes()),
    };
    if let Some(body) = body {
        let stream = body.write().expect("a stream");
        write(&stream, &body_of(request));
        drop(stream);
        OutgoingBody::finish(body, None).expect("finished");
    }
    future.subscribe().block();
    let response = match future.get().expect("ready").expect("once") {
        Ok(response) => response,
        Err(error) => return answer(out, 502, &[], format!("{error:?}").as_bytes()),
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
    answer(out, 200, &[("x-status", &status.to_string())], &bytes);
}
