//! Turns in a space, for runs that keep being overtaken.
//!
//! Runs are optimistic: they commit if nobody has changed what they read. One that was overtaken often enough takes the space for itself: it
//! waits in line, and while it runs nobody else commits there. It does not keep others from running, and not for longer than [`HELD`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reel_abi::id::SpaceName;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A run that has a space for itself loses it after this long: it may be waiting for something that never comes.
pub const HELD: Duration = Duration::from_secs(10);

/// The lines of all spaces.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<SpaceName, Arc<RwLock<()>>>>);

impl Turns {
    /// The line of a space.
    pub fn of(&self, space: &SpaceName) -> Turn {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match lines.get(space) {
            Some(line) => Arc::clone(line),
            None => Arc::clone(lines.entry(space.clone()).or_default()),
        };
        Turn(Arc::new(Inner { line, held: Mutex::new(None) }))
    }
}

/// One run's place in the line of its space.
#[derive(Debug, Clone)]
pub struct Turn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    line: Arc<RwLock<()>>,
    held: Mutex<Option<OwnedRwLockWriteGuard<()>>>,
}

impl Turn {
    /// Waits until nobody else may commit. Who waits first is served first; one that has the space already gives it back, and waits behind the others.
    pub async fn take(&self) {
        self.give_back();
        let held = Arc::clone(&self.0.line).write_owned().await;
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// Lets the others commit again.
    pub fn give_back(&self) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until this run may commit; nothing to hold if it has the space for itself.
    pub async fn to_commit(&self) -> Option<OwnedRwLockReadGuard<()>> {
        if self.0.held.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return None;
        }
        Some(Arc::clone(&self.0.line).read_owned().await)
    }
}
