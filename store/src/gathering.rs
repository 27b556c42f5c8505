//! How long the committer waits for more before it writes.
//!
//! A sync costs about as much for one transaction as for many. Whoever was just answered is likely to come again at once, so a
//! batch is worth holding open until they are back. How many are on their way is known: those who were answered last, and those
//! who came meanwhile. One alone never waits; and if nobody comes, it is not tried again soon.

use std::time::Duration;

use crate::queue::Entry;
use crate::store::Shared;

/// Looks at the queue before sleeping; some microseconds.
const LOOKS: u32 = 100;

/// The longest sleep.
const PATIENCE: Duration = Duration::from_micros(100);

/// After waiting in vain so many times in a row, as a power of two, the next batches are not held open.
const VAIN: u32 = 6;

/// What is known of those who come again.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// How many have something on its way, or will soon.
    expected: usize,
    /// How often waiting was in vain, in a row.
    vain: u32,
    /// So many batches are not held open.
    skip: u32,
}

impl Gathering {
    /// `asked` were answered, and `waiting` are in the queue already.
    pub(crate) fn answered(&mut self, asked: usize, waiting: usize) {
        self.expected = asked + waiting;
        self.skip = self.skip.saturating_sub(1);
    }

    /// What came after the `asked` that are in the batch; `None` if it is time to write.
    pub(crate) fn more(&mut self, shared: &Shared, asked: usize) -> Option<Vec<Entry>> {
        let missing = if self.skip > 0 { 0 } else { self.expected.saturating_sub(asked) };
        let mut looks = if missing > 0 { LOOKS } else { 0 };
        while looks > 0 && shared.queue.urgent() == 0 {
            std::hint::spin_loop();
            looks -= 1;
        }
        let there = shared.queue.urgent();
        if there == 0 && missing == 0 {
            return None;
        }
        let patience = if there == 0 { PATIENCE } else { Duration::ZERO };
        let more = shared.queue.more(missing, patience, shared.blobs.durable());
        if more.is_empty() {
            self.vain = (self.vain + 1).min(VAIN);
            self.skip = 1 << self.vain;
            return None;
        }
        if patience.is_zero() {
            self.vain = 0;
        }
        Some(more)
    }
}
