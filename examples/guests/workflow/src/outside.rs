//! The bank and the carrier, who do not always answer. They are simulated by random draws, so that the example needs no network.

use std::hash::{BuildHasher, RandomState};
use std::thread::sleep;
use std::time::Duration;

/// How often somebody is asked.
const TRIES: u32 = 12;

/// The first pause; each is half a second longer than the one before.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks until there is an answer: its number, and how often it took.
pub fn ask(whom: &str) -> Result<(u64, u32), String> {
    for attempt in 1..=TRIES {
        let draw = RandomState::new().hash_one(whom);
        if draw.is_multiple_of(2) {
            return Ok((draw % 1_000_000, attempt));
        }
        sleep(PAUSE * attempt);
    }
    Err(format!("the {whom} did not answer {TRIES} times"))
}
