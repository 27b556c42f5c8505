//! A handler that does what the path of a request says.

#[path = "../../variant.rs"]
mod variant;

mod answer;
mod fetch;

use answer::{answer, begin, body_of};
use reel_guest::Message;
use reel_guest::keyvalue::Bucket;
use reel_guest::transaction;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{ErrorCode, IncomingRequest, OutgoingBody, ResponseOutparam};

struct Web;
wasip2::http::proxy::export!(Web);

impl Guest for Web {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (what, arg) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match what {
            "hello" if variant::is("loud") => answer(out, 200, &[], b"HELLO\n"),
            "hello" => answer(out, 200, &[], b"hello\n"),
            "count" => answer(out, 200, &[], count(arg).to_string().as_bytes()),
            "get" => match bucket().get(arg).expect("read") {
                Some(value) => answer(out, 200, &[], &value),
                None => answer(out, 404, &[], b"no such key"),
            },
            "put" => {
                bucket().set(arg, &body_of(&request)).expect("written");
                answer(out, 200, &[], b"");
            }
            "echo" => {
                if variant::is("curt") {
                    return answer(out, 200, &[], b"");
                }
                let bytes = body_of(&request);
                answer(out, 200, &[("content-type", "application/octet-stream")], &bytes);
            }
            "look" => {
                let mut text = format!("{:?} {:?} {:?}\n", request.method(), request.scheme(), request.authority());
                if variant::is("reads") {
                    text.push_str(&format!("{} bytes\n", body_of(&request).len()));
                }
                for (name, value) in request.headers().entries() {
                    text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
                }
                answer(out, 200, &[("x-query", query)], text.as_bytes());
            }
            "status" => answer(out, arg.parse().expect("a status"), &[], b"as you wish"),
            "big" => answer(out, 200, &[], &vec![b'x'; arg.parse().expect("bytes")]),
            "trap" => {
                count("trapped");
                if variant::is("mended") {
                    return answer(out, 200, &[], b"no trap any more");
                }
                panic!("as asked");
            }
            "late-trap" => {
                count("trapped");
                answer(out, 200, &[], b"it looks fine");
                panic!("as asked");
            }
            // The body is a line for each call: guest, function, argument in WAVE.
            "call" => {
                count("called");
                let lines = String::from_utf8(body_of(&request)).expect("text");
                let given = lines.lines().map(|line| {
                    let mut words = line.splitn(3, ' ');
                    let mut word = || words.next().unwrap_or_default();
                    reel_guest::call(word(), word(), &[word()])
                });
                match given.collect::<Result<Vec<_>, _>>() {
                    Ok(given) => answer(out, 200, &[], given.join(" ").as_bytes()),
                    Err(error) => answer(out, 500, &[], error.to_string().as_bytes()),
                }
            }
            // What no safe code can do: the same handle, given away twice.
            "twice" => {
                count("twice");
                let again = out.handle();
                answer(out, 200, &[], b"first");
                answer(unsafe { ResponseOutparam::from_handle(again) }, 200, &[], b"second");
            }
            "never" => {
                count("never");
            }
            "error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("as asked".into())))),
            "fail" => {
                count("failed");
                answer(out, 503, &[], b"failed");
            }
            "abort" => {
                count("aborted");
                transaction::abort("as asked");
            }
            "unfinished" => {
                count("unfinished");
                let (body, stream) = begin(out, 200, &[]);
                stream.blocking_write_and_flush(b"half").expect("written");
                drop((stream, body));
            }
            "spin" => loop {
                std::hint::black_box(1);
            },
            "sleep" => {
                subscribe_duration(arg.parse::<u64>().expect("milliseconds") * 1_000_000).block();
                answer(out, 200, &[], b"awake");
            }
            "stream" => {
                let (body, stream) = begin(out, 200, &[("content-type", "text/event-stream")]);
                for n in 0..arg.parse::<u64>().expect("a number") {
                    let count = count("streamed");
                    stream.blocking_write_and_flush(format!("data: {n} {count}\n\n").as_bytes()).expect("written");
                    transaction::commit().expect("committed");
                    if query == "trap" && n == 1 {
                        panic!("as asked");
                    }
                    subscribe_duration(20_000_000).block();
                }
                drop(stream);
                OutgoingBody::finish(body, None).expect("finished");
            }
            "send" => {
                Message::new(query).send(arg).expect("sent");
                answer(out, 200, &[], b"sent");
            }
            "fetch" => fetch::fetch(&request, query, out),
            _ => answer(out, 404, &[], b"nothing here"),
        }
    }
}

fn bucket() -> Bucket {
    Bucket::open("web").expect("bucket")
}

/// Adds one to a number, by reading and writing it.
fn count(key: &str) -> u64 {
    let bucket = bucket();
    let before = bucket
        .get(key)
        .expect("read")
        .map_or(0, |value| String::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a number"));
    bucket.set(key, (before + 1).to_string().as_bytes()).expect("written");
    before + 1
}
