//! What one household does otherwise than another.

use super::seats::seats;
use crate::engine::tracker::Tracker;

/// A wait from which on a resident sleeps through it.
const SLEEPS_AFTER_NANOS: u64 = 10_000_000_000;

/// How a household looks after its residents. None of it changes what they do.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// How the pages are found that a guest has changed.
    pub tracker: Tracker,
    /// When a replay since the last checkpoint would cost more than this, there is another one.
    pub debt: Debt,
    /// When a replay would cost more than this, a resident that is to sleep is not left to one.
    pub felt: Debt,
    /// Residents that are in memory at once; when others are called, those that were called longest ago sleep.
    pub awake: usize,
    /// A wait from which on, in nanoseconds, a resident sleeps through it.
    pub sleeps_after: u64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            tracker: Tracker::Best,
            debt: Debt::BOUND,
            felt: Debt::FELT,
            awake: seats(),
            sleeps_after: SLEEPS_AFTER_NANOS,
        }
    }
}

/// What was done since the last checkpoint, and would be done again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Debt {
    /// Calls.
    pub calls: u64,
    /// Their events.
    pub events: u64,
    /// The time that the guest took for them.
    pub nanos: u64,
}

impl Debt {
    /// A quarter of a second of the guest's work, or what takes about 50 ms to replay.
    const BOUND: Self = Self { calls: 500, events: 10_000, nanos: 250_000_000 };

    /// What takes longer to replay than it takes to put a checkpoint back.
    const FELT: Self = Self { calls: 16, events: 500, nanos: 5_000_000 };

    pub(super) fn exceeds(&self, bound: &Self) -> bool {
        self.calls >= bound.calls || self.events >= bound.events || self.nanos >= bound.nanos
    }
}
