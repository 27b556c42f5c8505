//! The payment service, which is somewhere else: at `PAYMENTS`, a host with its port.
//!
//! Whoever gets no answer does not know whether the money was taken. So each payment has a key, under which the service takes it once, however often
//! it is asked.

use serde::Deserialize;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};

use json_http::{Refusal, read, write};

/// How often it is asked until there is an answer.
const TRIES: u32 = 2;

#[derive(Deserialize)]
struct Paid {
    receipt: u64,
}

/// Takes the money: the number of the receipt.
pub fn pay(key: &str, cents: u64) -> Result<u64, Refusal> {
    let body = format!("{{\"cents\":{cents}}}");
    let mut answer = None;
    for _ in 0..TRIES {
        answer = ask(&Method::Post, "/payments", key, body.as_bytes());
        if answer.is_some() {
            break;
        }
    }
    match answer {
        Some((200..300, text)) => Ok(serde_json::from_slice::<Paid>(&text)?.receipt),
        Some((402, _)) => Err(Refusal::new(402, "the payment was declined")),
        Some((status, _)) => Err(Refusal(502, format!("the payment service answers {status}"))),
        None => Err(Refusal::new(502, "the payment service does not answer")),
    }
}

/// Gives money back, if it was taken under that key.
pub fn give_back(key: &str) -> Result<(), Refusal> {
    match ask(&Method::Delete, &format!("/payments/{key}"), key, b"") {
        Some((200..300 | 404, _)) => Ok(()),
        _ => Err(Refusal::new(502, "the payment service does not answer")),
    }
}

/// Sends a request: status and body of the answer, or nothing if there is none.
fn ask(method: &Method, path: &str, key: &str, bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let headers = Fields::new();
    headers.set("idempotency-key", &[key.as_bytes().to_vec()]).ok()?;
    let request = OutgoingRequest::new(headers);
    request.set_method(method).ok()?;
    request.set_scheme(Some(&Scheme::Http)).ok()?;
    request.set_authority(Some(&std::env::var("PAYMENTS").ok()?)).ok()?;
    request.set_path_with_query(Some(path)).ok()?;
    let body = request.body().ok()?;
    let coming = handle(request, None).ok()?;
    write(&body.write().ok()?, bytes).ok()?;
    OutgoingBody::finish(body, None).ok()?;
    coming.subscribe().block();
    let answer: IncomingResponse = coming.get()?.ok()?.ok()?;
    let body = answer.consume().ok()?;
    Some((answer.status(), read(&body.stream().ok()?)?))
}
