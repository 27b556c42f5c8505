//! Tags: names of versions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use reel_abi::id::{SpaceName, TagName, WallTime};
use reel_abi::wire_struct;

use crate::chain::Head;
use crate::error::ReadError;
use crate::pending::Reach;
use crate::state;
use crate::store::{Shared, Store};

wire_struct! {
    /// A name of a version. Tags are global in a database.
    pub struct Tag {
        /// The name.
        pub tag: TagName,
        /// The space.
        pub space: SpaceName,
        /// The version, and the segment that holds it.
        pub head: Head,
        /// When it was set.
        pub at: WallTime,
    }
}

impl Store {
    /// A tag.
    pub fn tag(&self, tag: &TagName) -> Result<Option<Tag>, ReadError> {
        self.shared().tag(tag, Reach::Durable)
    }

    /// All tags by name.
    pub fn tags(&self) -> Result<Vec<Tag>, ReadError> {
        self.shared().tags()
    }
}

impl Shared {
    pub(crate) fn tag(&self, tag: &TagName, reach: Reach) -> Result<Option<Tag>, ReadError> {
        let known = self.memory(reach).slices().find_map(|slice| slice.tags.get(tag).cloned());
        match known {
            Some(known) => Ok(known),
            None => Ok(state::read(&self.state, |snapshot| snapshot.tag(tag))?),
        }
    }

    pub(crate) fn tags(&self) -> Result<Vec<Tag>, ReadError> {
        let mut tags = BTreeMap::new();
        for slice in self.live.read().slices() {
            for (name, tag) in &slice.tags {
                if let Entry::Vacant(new) = tags.entry(name.clone()) {
                    new.insert(tag.clone());
                }
            }
        }
        for tag in state::read(&self.state, |snapshot| snapshot.tags())? {
            tags.entry(tag.tag.clone()).or_insert(Some(tag));
        }
        Ok(tags.into_values().flatten().collect())
    }
}
