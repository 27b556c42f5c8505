//! Events as they happen, in an answer that goes on for a minute.
//!
//! What is written leaves with a commit, which also lets this run see what others have committed since. So it looks, writes, commits and sleeps.
//! After a minute the answer ends, so that no run lives for ever for a browser that has gone; one that is there comes back by itself, and says which
//! event was the last that it has seen.

use std::time::Duration;

use reel_guest::transaction::commit;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{IncomingRequest, OutgoingBody, ResponseOutparam};
use wasip2::io::streams::OutputStream;

use json_http::{Refusal, answer, begin, field, write};
use crate::shipments;

/// How long an answer lasts.
const LIFE: Duration = Duration::from_secs(60);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A comment that tells proxies and browsers that the connection lives.
const HEARTBEAT: &str = ": here\n\n";

pub fn stream(request: &IncomingRequest, query: &str, out: ResponseOutparam) {
    let after = match after(request, query) {
        Ok(after) => after,
        Err(Refusal(status, why)) => return answer(out, status, &why),
    };
    let Some((body, stream)) = begin(out, 200, "text/event-stream") else { return };
    // Where it cannot be written, the body is not finished, and the connection is broken off: the browser asks again.
    if events(&stream, after).is_some() {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

/// The event after which the browser wants those that follow.
fn after(request: &IncomingRequest, query: &str) -> Result<u64, Refusal> {
    let seen = field(request, "last-event-id");
    match seen.as_deref().or_else(|| query.strip_prefix("after=")) {
        Some(number) => number.parse().map_err(|_| Refusal(400, format!("{number} is no number of an event"))),
        None => shipments::last(),
    }
}

/// Writes them until the time is over; nothing if that fails before.
fn events(stream: &OutputStream, mut after: u64) -> Option<()> {
    write(stream, b"retry: 1000\n\n").ok()?;
    let looks = LIFE.as_millis() / PAUSE.as_millis();
    for look in 1..=looks {
        for (number, event) in shipments::events(after).ok()? {
            after = number;
            write(stream, format!("id: {number}\ndata: {}\n\n", String::from_utf8_lossy(&event)).as_bytes()).ok()?;
        }
        if look % 30 == 0 {
            write(stream, HEARTBEAT.as_bytes()).ok()?;
        }
        commit().ok()?;
        subscribe_duration(PAUSE.as_nanos() as u64).block();
    }
    Some(())
}
