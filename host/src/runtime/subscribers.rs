//! Who has subscribed to what, and whether there is room with them: what a run observes when it sends a message.
//!
//! A guest gets what is sent to the name that it was deployed under. A fork of it gets nothing from others, for they do not mean it; but what it sends
//! to a topic of its own comes to itself, and not to the one it was forked from, who shall not notice that there are forks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use reel_abi::faults::MsgFault;
use reel_abi::id::SpaceName;
use reel_abi::record::{CellValue, family};
use reel_abi::wire::Wire;
use reel_store::{ReadError, Store, View};

use super::resident::cells::{CellsError, guests};
use crate::port::Topics;

/// The subscriptions of a database, read when somebody first asks and when they can have changed.
pub struct Subscribers {
    store: Store,
    known: Mutex<Option<Known>>,
}

struct Known {
    /// What [`Store::branchings`] was.
    branchings: u64,
    by_topic: BTreeMap<String, Vec<SpaceName>>,
    guests: BTreeMap<SpaceName, Guest>,
}

struct Guest {
    deployed_as: SpaceName,
    topics: BTreeSet<String>,
    /// Messages that may lie with it.
    limit: u64,
}

impl Subscribers {
    /// Those of a database.
    pub fn new(store: Store) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// A guest was deployed.
    pub fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn read(&self) -> Result<Known, CellsError> {
        let branchings = self.store.branchings();
        let (mut by_topic, mut known) = (BTreeMap::<String, Vec<SpaceName>>::new(), BTreeMap::new());
        for (space, lodging) in guests(&self.store)? {
            let guest = lodging.guest;
            let topics: BTreeSet<String> = guest.subscriptions.into_iter().map(|wanted| wanted.topic).collect();
            if guest.name == space {
                for topic in &topics {
                    by_topic.entry(topic.clone()).or_default().push(space.clone());
                }
            }
            known.insert(space, Guest { deployed_as: guest.name, topics, limit: guest.limits.space_files });
        }
        Ok(Known { branchings, by_topic, guests: known })
    }

    fn fresh<'a>(&self, known: &'a mut Option<Known>) -> Result<&'a mut Known, CellsError> {
        let read = match known.take() {
            Some(known) if known.branchings == self.store.branchings() => known,
            _ => self.read()?,
        };
        Ok(known.insert(read))
    }

    /// Those who have subscribed to anything, up to `most`.
    pub fn names(&self, most: usize) -> Result<Vec<SpaceName>, CellsError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let guests = self.fresh(&mut known)?.guests.iter();
        let subscribed = guests.filter(|(_, guest)| !guest.topics.is_empty());
        Ok(subscribed.map(|(name, _)| name.clone()).take(most).collect())
    }

    fn find(&self, topic: &str, sender: &SpaceName) -> Result<Result<Vec<SpaceName>, MsgFault>, CellsError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.fresh(&mut known)?;
        let mut receivers = known.by_topic.get(topic).cloned().unwrap_or_default();
        if let Some(own) = known.guests.get(sender).filter(|own| own.deployed_as != *sender) {
            receivers.retain(|receiver| *receiver != own.deployed_as);
            receivers.extend(own.topics.contains(topic).then(|| sender.clone()));
            receivers.sort();
        }
        if receivers.is_empty() {
            return Ok(Err(MsgFault::NoSubscriber));
        }
        for receiver in &receivers {
            let limit = known.guests.get(receiver).map_or(u64::MAX, |guest| guest.limit);
            let Some(head) = self.store.head(receiver)? else { continue };
            if count(&self.store.view(head)?)? >= limit {
                return Ok(Err(MsgFault::Full { space: receiver.clone() }));
            }
        }
        Ok(Ok(receivers))
    }
}

impl Topics for Subscribers {
    fn receivers(&self, topic: &str, sender: &SpaceName) -> Result<Result<Vec<SpaceName>, MsgFault>, String> {
        self.find(topic, sender).map_err(|error| format!("looking for who has subscribed: {error}"))
    }
}

/// How many messages lie in a version of a space.
pub fn count(view: &View) -> Result<u64, ReadError> {
    Ok(match view.get(family::QUEUE, &[])? {
        Some(CellValue::Inline { bytes }) => u64::from_bytes(&bytes).unwrap_or(0),
        _ => 0,
    })
}
