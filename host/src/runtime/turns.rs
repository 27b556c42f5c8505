//! Turns in spaces, for runs that keep being overtaken.
//!
//! Runs are optimistic: they commit if nobody has changed what they read. One that was overtaken often enough takes its space for itself, and those that
//! it has read by calling their guests: it waits in line, and while it runs nobody else commits there. It does not keep others from running, and not
//! for longer than [`HELD`].
//!
//! Who waits in several lines does so in the order of their names, and who has its turn waits for nobody: so nobody waits in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reel_abi::id::SpaceName;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A run that has a space for itself loses it after this long: it may be waiting for something that never comes.
pub const HELD: Duration = Duration::from_secs(10);

type Line = Arc<RwLock<()>>;

/// The lines of all spaces.
#[derive(Debug, Default, Clone)]
pub struct Turns(Arc<Mutex<BTreeMap<SpaceName, Line>>>);

impl Turns {
    /// The line of a space.
    pub fn of(&self, space: &SpaceName) -> Turn {
        let wanted = BTreeSet::from([space.clone()]);
        Turn(Arc::new(Inner { turns: self.clone(), places: Mutex::new(Places { wanted, held: BTreeMap::new() }) }))
    }

    fn line(&self, space: &SpaceName) -> Line {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get(space) {
            Some(line) => Arc::clone(line),
            None => Arc::clone(lines.entry(space.clone()).or_default()),
        }
    }
}

/// One run's place in the line of its space, and of those whose guests it calls.
#[derive(Debug, Clone)]
pub struct Turn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Turns,
    places: Mutex<Places>,
}

#[derive(Debug)]
struct Places {
    /// The spaces of which it takes the turn.
    wanted: BTreeSet<SpaceName>,
    held: BTreeMap<SpaceName, OwnedRwLockWriteGuard<()>>,
}

/// That a run may commit.
#[must_use = "it may as long as this is there"]
pub struct Allowed(#[expect(dead_code, reason = "held until it is dropped")] Vec<OwnedRwLockReadGuard<()>>);

impl Turn {
    /// Takes the turn of these spaces too, when it takes it next.
    pub fn want(&self, spaces: impl IntoIterator<Item = SpaceName>) {
        self.places().wanted.extend(spaces);
    }

    /// Waits until nobody else may commit. Who waits first is served first; one that has the space already gives it back, and waits behind the others.
    pub async fn take(&self) {
        self.give_back();
        let wanted = self.places().wanted.clone();
        for space in wanted {
            let held = self.0.turns.line(&space).write_owned().await;
            self.places().held.insert(space, held);
        }
    }

    /// Lets the others commit again.
    pub fn give_back(&self) {
        let held = std::mem::take(&mut self.places().held);
        drop(held);
    }

    /// Waits until this run may commit to its space and these others; of those that it has for itself there is nothing to hold. One that has any does not
    /// wait: it could wait for who waits for it.
    pub async fn to_commit(&self, others: impl IntoIterator<Item = SpaceName>) -> Allowed {
        let (all, held) = {
            let places = self.places();
            let all: BTreeSet<SpaceName> = places.wanted.iter().cloned().chain(others).collect();
            (all, places.held.keys().cloned().collect::<BTreeSet<_>>())
        };
        let mut allowed = Vec::new();
        for space in all.difference(&held) {
            let line = self.0.turns.line(space);
            match held.is_empty() {
                true => allowed.push(line.read_owned().await),
                false => allowed.extend(line.try_read_owned()),
            }
        }
        Allowed(allowed)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
