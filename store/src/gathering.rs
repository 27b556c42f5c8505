//! How long the committer holds a batch open before it writes.
//!
//! A sync costs about as much for one transaction as for many. Whoever was just answered is likely to come again at once, so a
//! batch is worth holding open until they are back. How many are on their way is known: those who were answered last, and those
//! who came meanwhile. One alone never waits; and if nobody comes, or others come without being answered first, it is not tried
//! again soon.

use std::time::Duration;

use crate::sequencer::Sequencer;

/// Looks at the batch before sleeping; some microseconds.
const LOOKS: u32 = 100;

/// The longest sleep.
const PATIENCE: Duration = Duration::from_micros(100);

/// After waiting in vain so many times in a row, the next batches, a power of two of them, are not held open.
const VAIN: u32 = 6;

/// So often in a row there may be more than before, until they are taken for some who come in any case.
const EVER_MORE: u32 = 4;

/// What is known of those who come again.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// How many have something on its way, or will soon.
    expected: usize,
    /// Whether the last batch was held open until they were there.
    held: bool,
    /// How often nobody came, in a row.
    vain: u32,
    /// How often there were more than before, in a row.
    more: u32,
    /// So many batches are not held open.
    skip: u32,
}

impl Gathering {
    /// `asked` were answered, and `waiting` came meanwhile.
    pub(crate) fn answered(&mut self, asked: usize, waiting: usize) {
        let before = std::mem::replace(&mut self.expected, asked + waiting);
        self.skip = self.skip.saturating_sub(1);
        if std::mem::take(&mut self.held) {
            // Those who come again are so many and no more: whoever makes them ever more does not wait for answers.
            self.more = if self.expected > before { (self.more + 1).min(EVER_MORE + VAIN) } else { 0 };
            if self.more > EVER_MORE {
                self.skip = 1 << (self.more - EVER_MORE);
            }
        }
    }

    /// Waits until it is time to write the open batch.
    pub(crate) fn hold(&mut self, sequencer: &Sequencer) {
        if self.skip > 0 {
            return;
        }
        loop {
            let there = sequencer.urgent();
            if there >= self.expected {
                return;
            }
            let mut looks = LOOKS;
            while looks > 0 && sequencer.urgent() == there {
                std::hint::spin_loop();
                looks -= 1;
            }
            self.held = true;
            if sequencer.urgent() > there {
                self.vain = 0;
            } else if !sequencer.more(self.expected, PATIENCE) {
                return;
            } else if sequencer.urgent() == there {
                self.held = false;
                self.vain = (self.vain + 1).min(VAIN);
                self.skip = 1 << self.vain;
                return;
            }
        }
    }
}
