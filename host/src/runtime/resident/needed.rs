//! What of the past residents are made of: a retention must not take it.

use std::collections::BTreeSet;

use reel_abi::id::{RunId, Version, WallTime};
use reel_store::Store;

use super::cells::{CellsError, call_begin, life_at};

/// The calls of all lives that can still be gone back to when a retention has taken what is older than a moment: of each space, those in the version
/// of that moment, in all later ones, and in those with tags, if they stay. Each with its birth: a checkpoint only saves time.
pub fn needed(store: &Store, before: WallTime, tagged: bool) -> Result<BTreeSet<RunId>, CellsError> {
    let mut needed = BTreeSet::new();
    for (space, head) in store.spaces_ever()? {
        let first = store.version_at(&space, before)?.unwrap_or_default();
        for version in first.0..=head.version.0 {
            if let Some(at) = store.head_at(&space, Version(version))? {
                add(store, at, &mut needed)?;
            }
        }
    }
    for tag in store.tags()?.into_iter().filter(|_| tagged) {
        add(store, tag.head, &mut needed)?;
    }
    Ok(needed)
}

fn add(store: &Store, at: reel_store::Head, needed: &mut BTreeSet<RunId>) -> Result<(), CellsError> {
    let mut next = life_at(store, at)?.map(|life| life.last);
    while let Some(run) = next.filter(|run| needed.insert(*run)) {
        next = call_begin(store, run)?.and_then(|call| call.after);
    }
    Ok(())
}
