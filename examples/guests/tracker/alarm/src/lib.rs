//! Takes the messages of the topic `shipments`, and writes an alert for each shipment that leaves its corridor or is late.
//!
//! Who has arrived it keeps in its memory, which is part of its state: it is there after a restart, and as it was after a rollback. A message
//! and the line that it makes are one transaction, so that no alert is lost, and none is written twice.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use exports::reel::guest::inbox::{Guest, Message};

wit_bindgen::generate!({ path: ["../../../../wit", "wit"], world: "example:alarm/alarm" });

/// Shipments that need no alert any more.
static ARRIVED: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());

struct Alarm;

impl Guest for Alarm {
    fn receive(message: Message) -> Result<(), String> {
        let shipment = message.key.ok_or("a message about no shipment")?;
        let mut arrived = ARRIVED.lock().unwrap_or_else(PoisonError::into_inner);
        match message.payload.as_slice() {
            b"arrived" => {
                arrived.insert(shipment);
                Ok(())
            }
            // It was sent when the shipment began, and was under way until the shipment was due.
            b"due" if arrived.contains(&shipment) => Ok(()),
            b"due" => alert(&shipment, "is late"),
            b"off course" => alert(&shipment, "has left its corridor"),
            other => Err(format!("nobody knows what this means: {}", String::from_utf8_lossy(other))),
        }
    }
}

fn alert(shipment: &[u8], what: &str) -> Result<(), String> {
    let line = format!("{} {what}\n", String::from_utf8_lossy(shipment));
    let file = OpenOptions::new().create(true).append(true).open("/alerts.txt");
    file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|error| format!("/alerts.txt: {error}"))
}

export!(Alarm);
