//! Where shipments are: a handler of HTTP requests, with its shipments and what happened to them in buckets.
//!
//! ```text
//! GET  /                           a page that shows all of it, live
//! GET  /live                       server-sent events, those after `?after=N` or the Last-Event-ID
//! GET  /shipments                  all shipments, and the number of the last event
//! PUT  /shipments/ID               {"from": [LAT, LON], "to": [LAT, LON], "corridor_km": 5, "due_in_seconds": 3600}
//! GET  /shipments/ID
//! POST /shipments/ID/positions     {"at": [LAT, LON]}
//! ```

mod live;
mod place;
mod shipments;

use json_http::{Refusal, answer, body, send};
use serde_json::{Value, json, to_value};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Tracker;
wasip2::http::proxy::export!(Tracker);

impl Guest for Tracker {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match (request.method(), path) {
            (Method::Get, "/") => send(out, 200, "text/html; charset=utf-8", include_bytes!("page.html")),
            (Method::Get, "/live") => live::stream(&request, query, out),
            (method, path) => match done(&method, path, &request) {
                Ok((status, value)) => answer(out, status, &value),
                Err(Refusal(status, why)) => answer(out, status, &json!({ "error": why })),
            },
        }
    }
}

fn done(method: &Method, path: &str, request: &IncomingRequest) -> Result<(u16, Value), Refusal> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Ok(match (method, parts.as_slice()) {
        (Method::Get, ["shipments"]) => (200, to_value(shipments::all()?)?),
        (Method::Put, ["shipments", id]) => (201, to_value(shipments::begin(id, body(request)?)?)?),
        (Method::Get, ["shipments", id]) => (200, to_value(shipments::find(id)?)?),
        (Method::Post, ["shipments", id, "positions"]) => (200, to_value(shipments::moved(id, body(request)?)?)?),
        _ => return Err(Refusal::new(404, "there is nothing here")),
    })
}
