//! Which messages differ between two versions: sent, taken, or moved from one state to another.

use std::collections::BTreeMap;

use reel_abi::message::{MessageId, Place};
use reel_store::{Store, View};

use super::files_at::LookError;
use super::resident::cells::CellsError;
use super::resident::queue::{Lying, at};

/// A message that lies elsewhere than it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageChange {
    /// Which one.
    pub id: MessageId,
    /// What it is about.
    pub topic: String,
    /// Where it was.
    pub old: Option<Place>,
    /// Where it is.
    pub new: Option<Place>,
}

/// The messages of which cells have changed, in the order of their ids.
pub fn messages<'a>(
    store: &Store,
    old: &View,
    new: &View,
    changed: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<MessageChange>, LookError> {
    let mut found = BTreeMap::<MessageId, MessageChange>::new();
    for place in changed.filter_map(Place::parse) {
        let (before, after) = (lying(store, old, place)?, lying(store, new, place)?);
        for (lying, is_new) in before.map(|lying| (lying, false)).into_iter().chain(after.map(|lying| (lying, true))) {
            let id = lying.id();
            let change = MessageChange { id, topic: lying.message.topic, old: None, new: None };
            let change = found.entry(id).or_insert(change);
            *(if is_new { &mut change.new } else { &mut change.old }) = Some(place);
        }
    }
    Ok(found.into_values().collect())
}

fn lying(store: &Store, view: &View, place: Place) -> Result<Option<Lying>, LookError> {
    match at(store, view, place) {
        Ok(message) => Ok(message.map(|message| Lying { place, message })),
        Err(CellsError::Read(error)) => Err(error.into()),
        Err(CellsError::Damaged(halt)) => Err(LookError::Failed(halt.to_string())),
    }
}
