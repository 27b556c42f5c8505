//! A box office: whoever asks for a seat first has it. A handler of HTTP requests as it would be made for any host of WASI; each request is a transaction.
//!
//! ```text
//! PUT  /shows/SHOW                 {"cents": 1800, "seats": 10000}
//! POST /shows/SHOW/seats/NUMBER    {"name": "Ada Berg"}
//! GET  /shows/SHOW/seats/NUMBER
//! ```

use json_http::{Refusal, answer, body};
use reel_guest::Bucket;
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

/// The printer at the door has room for so many bytes of a name.
const LABEL_BYTES: usize = 20;

#[derive(Serialize, Deserialize)]
struct Show {
    cents: u64,
    seats: u32,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    cents: u64,
    label: String,
}

struct BoxOffice;
wasip2::http::proxy::export!(BoxOffice);

impl Guest for BoxOffice {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match done(&request) {
            Ok((status, value)) => answer(out, status, &value),
            Err(Refusal(status, why)) => answer(out, status, &serde_json::json!({ "error": why })),
        }
    }
}

fn done(request: &IncomingRequest) -> Result<(u16, Value), Refusal> {
    let path = request.path_with_query().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (shows, tickets) = (Bucket::open("shows")?, Bucket::open("tickets")?);
    Ok(match (request.method(), parts.as_slice()) {
        (Method::Put, ["shows", show]) => {
            let offered: Show = body(request)?;
            shows.set(show, serde_json::to_vec(&offered)?)?;
            (200, to_value(offered)?)
        }
        (Method::Post, ["shows", show, "seats", seat]) => {
            let Wanted { name } = body(request)?;
            let Some(offered) = shows.get(show)? else { return Err(Refusal::new(404, "there is no such show")) };
            let offered: Show = serde_json::from_slice(&offered)?;
            if !seat.parse().is_ok_and(|seat| (1..=offered.seats).contains(&seat)) {
                return Err(Refusal::new(404, "there is no such seat"));
            }
            let key = format!("{show}/{seat}");
            if tickets.get(&key)?.is_some() {
                return Err(Refusal::new(409, "somebody else has this seat"));
            }
            let ticket = Ticket { cents: offered.cents, label: label(&name) };
            tickets.set(&key, serde_json::to_vec(&ticket)?)?;
            (201, to_value(ticket)?)
        }
        (Method::Get, ["shows", show, "seats", seat]) => match tickets.get(&format!("{show}/{seat}"))? {
            Some(ticket) => (200, serde_json::from_slice(&ticket)?),
            None => return Err(Refusal::new(404, "nobody has this seat")),
        },
        _ => return Err(Refusal::new(404, "there is nothing here")),
    })
}

/// What is printed on the ticket: the name, as far as there is room.
#[cfg(not(any(feature = "first", feature = "hasty")))]
fn label(name: &str) -> String {
    name[..name.floor_char_boundary(LABEL_BYTES)].to_owned()
}

/// As it was first written: it panics if a character begins within the room and ends behind it.
#[cfg(feature = "first")]
fn label(name: &str) -> String {
    name[..name.len().min(LABEL_BYTES)].to_owned()
}

/// As somebody mends it who looks at the one request that failed.
#[cfg(feature = "hasty")]
fn label(name: &str) -> String {
    name.chars().filter(char::is_ascii).take(LABEL_BYTES).collect()
}
