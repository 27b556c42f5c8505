//! Shipments and what happens to them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reel_guest::{Bucket, Message, Range};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use json_http::Refusal;
use crate::place::Place;

/// Whoever is so near has arrived.
const ARRIVED_KM: f64 = 1.0;

/// Longest name of a shipment.
const NAME_BYTES: usize = 40;

/// Longest time that a shipment can take.
const MOST_SECONDS: u64 = 365 * 24 * 3600;

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    OnTheWay,
    OffCourse,
    Arrived,
}

#[derive(Serialize, Deserialize)]
pub struct Shipment {
    from: Place,
    to: Place,
    corridor_km: f64,
    /// Milliseconds since 1970.
    due: u64,
    at: Place,
    state: State,
}

/// What is to be sent.
#[derive(Deserialize)]
pub struct Wanted {
    from: Place,
    to: Place,
    corridor_km: f64,
    due_in_seconds: u64,
}

#[derive(Deserialize)]
pub struct Position {
    at: Place,
}

/// All there is at one moment: whoever asks for the events after the last one misses none.
#[derive(Serialize)]
pub struct All {
    last: u64,
    shipments: BTreeMap<String, Shipment>,
}

pub fn all() -> Result<All, Refusal> {
    let mut shipments = BTreeMap::new();
    for entry in Bucket::open("shipments")?.scan(&Range::all()) {
        let (id, shipment) = entry?;
        shipments.insert(String::from_utf8_lossy(&id).into_owned(), serde_json::from_slice(&shipment)?);
    }
    Ok(All { last: last()?, shipments })
}

pub fn begin(id: &str, wanted: Wanted) -> Result<Shipment, Refusal> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || id.len() > NAME_BYTES || !id.chars().all(is_name) {
        return Err(Refusal(400, format!("a shipment has a name of 1 to {NAME_BYTES} letters, digits and dashes")));
    }
    let Wanted { from, to, corridor_km, due_in_seconds } = wanted;
    if !(0.1..=1000.0).contains(&corridor_km) || due_in_seconds > MOST_SECONDS {
        return Err(Refusal::new(400, "a corridor has 0.1 to 1000 km, and a shipment takes a year at most"));
    }
    if Bucket::open("shipments")?.exists(id)? {
        return Err(Refusal(409, format!("{id} is under way already")));
    }
    let due_in = Duration::from_secs(due_in_seconds);
    let due = (now() + due_in).as_millis() as u64;
    let at = from.check()?;
    let shipment = Shipment { from, to: to.check()?, corridor_km, due, at, state: State::OnTheWay };
    keep(id, &shipment)?;
    // It is not delivered before the shipment is due.
    Message::new("due").key(id).delay(due_in).send("shipments")?;
    Ok(shipment)
}

pub fn find(id: &str) -> Result<Shipment, Refusal> {
    let known = Bucket::open("shipments")?.get(id)?;
    let known = known.ok_or_else(|| Refusal(404, format!("there is no shipment {id}")))?;
    Ok(serde_json::from_slice(&known)?)
}

/// Notes a position. Who leaves the corridor, and who arrives, is told to the alarm, with the same commit.
pub fn moved(id: &str, position: Position) -> Result<Shipment, Refusal> {
    let mut shipment = find(id)?;
    if shipment.state == State::Arrived {
        return Err(Refusal(409, format!("{id} has arrived")));
    }
    shipment.at = position.at.check()?;
    let before = shipment.state;
    shipment.state = match shipment.at.off(shipment.from, shipment.to) {
        _ if shipment.at.far_from(shipment.to) <= ARRIVED_KM => State::Arrived,
        km if km > shipment.corridor_km => State::OffCourse,
        _ => State::OnTheWay,
    };
    keep(id, &shipment)?;
    match shipment.state {
        state if state == before => {}
        State::OffCourse => Message::new("off course").key(id).send("shipments")?,
        State::Arrived => Message::new("arrived").key(id).send("shipments")?,
        State::OnTheWay => {}
    }
    Ok(shipment)
}

/// Events after this one, a few at once: their numbers, and what they say.
pub fn events(after: u64) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
    let range = Range::all().from(key(after.saturating_add(1)));
    let mut events = Vec::new();
    for entry in Bucket::open("events")?.scan(&range).take(100) {
        let (key, event) = entry?;
        events.push((number(&key)?, event));
    }
    Ok(events)
}

/// The number of the last event.
pub fn last() -> Result<u64, Refusal> {
    Bucket::open("counts")?.get("events")?.map_or(Ok(0), |digits| number(&digits))
}

/// Keeps a shipment, and the event that it has changed.
fn keep(id: &str, shipment: &Shipment) -> Result<(), Refusal> {
    Bucket::open("shipments")?.set(id, serde_json::to_vec(shipment)?)?;
    let number = Bucket::open("counts")?.increment("events", 1)?;
    let event: Value = json!({ "id": id, "shipment": shipment });
    Ok(Bucket::open("events")?.set(key(number.unsigned_abs()), event.to_string())?)
}

/// Keys are in the order of the numbers.
fn key(number: u64) -> String {
    format!("{number:020}")
}

fn number(digits: &[u8]) -> Result<u64, Refusal> {
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Refusal::new(500, "a number in a bucket is none"))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
