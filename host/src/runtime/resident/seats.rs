//! How many residents are in memory at once. Each has a seat; when all are taken, those that were called longest ago leave theirs.
//!
//! What is bounded that way is the memory of the host, since a guest's own is bounded by its limits, and the number of mappings, of which a system
//! allows a process only so many.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reel_abi::id::SpaceName;

use super::household::Household;
use crate::world::disk;

/// Residents that are in memory at once, if the system allows that.
const SEATS: usize = 10_000;

/// Mappings that most residents need: of each of two memories what is accessible and what is not, and a stack with its guard.
const MAPPINGS: usize = 6;

/// The place of one resident in memory; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// One of those that are counted so.
    pub fn take(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As many seats as the system has mappings for.
pub(super) fn seats() -> usize {
    let text = disk::read(Path::new("/proc/sys/vm/max_map_count")).unwrap_or_default();
    let allowed = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<usize>().ok());
    allowed.map_or(SEATS, |allowed| (allowed / MAPPINGS).min(SEATS)).max(1)
}

impl Household {
    /// Residents that are in memory.
    pub fn awake(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A seat, for a resident that is about to wake. If none is free, a few of those that sit is sent to sleep; who is busy stays, so that there
    /// may be more for a while than there are seats.
    pub(super) async fn seat(&self) -> Seat {
        if self.taken.load(Ordering::Relaxed) >= self.habits.awake {
            for name in self.longest_idle(self.habits.awake.div_ceil(64)) {
                let room = self.room(&name);
                if let Ok(mut room) = room.try_lock() {
                    self.leave_memory(&mut room, &name).await;
                };
            }
        }
        Seat::take(&self.taken)
    }

    fn longest_idle(&self, count: usize) -> Vec<SpaceName> {
        let mut idle: Vec<_> = self.idle().collect();
        idle.sort_unstable();
        idle.into_iter().take(count).map(|(_, name)| name).collect()
    }
}
