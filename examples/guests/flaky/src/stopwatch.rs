//! Measures how long something took.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment to measure from.
pub struct Stopwatch(Duration);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(now())
    }

    /// Milliseconds since the start. It never takes a second, so that the milliseconds of the two times are enough (they are not: this
    /// is the bug).
    pub fn millis(&self) -> u32 {
        now().subsec_millis() - self.0.subsec_millis()
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set")
}
