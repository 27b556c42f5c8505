//! The host's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::port::Clock;

/// The clocks of this machine.
#[derive(Debug)]
pub struct HostClock {
    begun: Instant,
}

impl HostClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HostClock {
    #[inline]
    fn wall(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    #[inline]
    fn monotonic(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}
