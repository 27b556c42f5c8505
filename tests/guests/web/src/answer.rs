//! Answers and bodies.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, OutputStream, ResponseOutparam};
use wasip2::io::streams::StreamError;

pub fn begin(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> (OutgoingBody, OutputStream) {
    let entries: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&entries).expect("fields"));
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a stream");
    (body, stream)
}

pub fn write(stream: &OutputStream, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let room = stream.check_write().expect("room") as usize;
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now).expect("written");
        rest = later;
    }
}

pub fn answer(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], bytes: &[u8]) {
    let (body, stream) = begin(out, status, headers);
    write(&stream, bytes);
    drop(stream);
    OutgoingBody::finish(body, None).expect("finished");
}

pub fn body_of(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("a body");
    let stream = body.stream().expect("a stream");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 20) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return bytes,
            Err(error) => panic!("{error:?}"),
        }
    }
}
