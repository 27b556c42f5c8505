//! What is counted while requests are answered: plain numbers, to which anybody adds without waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use reel_abi::id::SpaceName;

/// Guests that are counted each by itself; stops a flood of names. All others are counted together.
pub const GUESTS: usize = 1000;

/// Upper ends of the spans that answers are counted by, in nanoseconds: 1 ms to 10 s.
pub const SPANS: [u64; 13] = [
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Counters of a server.
#[derive(Debug, Default)]
pub struct Tally {
    guests: RwLock<BTreeMap<SpaceName, Arc<Answers>>>,
    /// Requests that no guest was asked to answer.
    pub nobody: Answers,
    /// Answers of guests beyond those that are counted each by itself.
    pub others: Arc<Answers>,
    /// Requests under way.
    pub under_way: AtomicUsize,
    /// Connections that are open, handshakes included.
    pub connections: AtomicUsize,
    /// Threads that take connections.
    pub threads: AtomicUsize,
    /// Connections that were taken.
    pub taken: AtomicU64,
    /// Requests that were refused since too many were under way.
    pub refused: AtomicU64,
    /// Connections whose handshake has failed.
    pub unsecured: AtomicU64,
    /// Attempts to execute a request that others have overtaken.
    pub overtaken: AtomicU64,
}

/// Answers, by the class of their status and by how long they took.
#[derive(Debug, Default)]
pub struct Answers {
    /// 1xx to 5xx.
    pub classes: [AtomicU64; 5],
    /// Those that took no longer than each of [`SPANS`] and longer than the one before, and the rest.
    pub spans: [AtomicU64; SPANS.len() + 1],
    /// How long all took, in nanoseconds.
    pub nanos: AtomicU64,
}

impl Answers {
    /// Counts one.
    pub fn count(&self, status: u16, nanos: u64) {
        let class = usize::from(status / 100).clamp(1, self.classes.len()) - 1;
        let span = SPANS.partition_point(|span| *span < nanos);
        for (counter, more) in [(&self.classes[class], 1), (&self.spans[span], 1), (&self.nanos, nanos)] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Tally {
    /// Where the answers of a deployed guest are counted.
    pub fn of(&self, guest: &SpaceName) -> Arc<Answers> {
        if let Some(known) = self.guests.read().unwrap_or_else(PoisonError::into_inner).get(guest) {
            return Arc::clone(known);
        }
        let mut guests = self.guests.write().unwrap_or_else(PoisonError::into_inner);
        if guests.len() >= GUESTS && !guests.contains_key(guest) {
            return Arc::clone(&self.others);
        }
        Arc::clone(guests.entry(guest.clone()).or_default())
    }

    /// The guests that have answered.
    pub fn guests(&self) -> Vec<(SpaceName, Arc<Answers>)> {
        let guests = self.guests.read().unwrap_or_else(PoisonError::into_inner);
        guests.iter().map(|(name, answers)| (name.clone(), Arc::clone(answers))).collect()
    }
}

/// One more as long as this is there.
pub struct Counted {
    tally: Arc<Tally>,
    of: fn(&Tally) -> &AtomicUsize,
}

impl Counted {
    /// One more of what `of` counts, and how many there were before.
    pub fn new(tally: &Arc<Tally>, of: fn(&Tally) -> &AtomicUsize) -> (Self, usize) {
        let before = of(tally).fetch_add(1, Ordering::Relaxed);
        (Self { tally: Arc::clone(tally), of }, before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.of)(&self.tally).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_guests_are_told_apart_than_bounded() {
        let tally = Tally::default();
        for number in 0..GUESTS + 10 {
            tally.of(&format!("guest-{number}").parse().expect("a name")).count(200, 0);
        }
        assert_eq!(tally.guests().len(), GUESTS);
        assert_eq!(tally.others.classes[1].load(Ordering::Relaxed), 10);
        tally.of(&"guest-0".parse().expect("a name")).count(204, 0);
        assert_eq!(tally.others.classes[1].load(Ordering::Relaxed), 10);
    }

    #[test]
    fn a_span_holds_what_took_no_longer() {
        let answers = Answers::default();
        for (status, nanos) in [(200, 0), (200, 1_000_000), (999, 1_000_001), (0, u64::MAX / 2), (503, 10_000_000_000)]
        {
            answers.count(status, nanos);
        }
        let read = |counters: &[AtomicU64]| counters.iter().map(|c| c.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(read(&answers.classes), [1, 2, 0, 0, 2]);
        let spans = read(&answers.spans);
        assert_eq!((spans[0], spans[1], spans[12], spans[13]), (2, 1, 1, 1));
    }
}
