//! What is known of guests between two requests, so that the database is asked again only when it may have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use reel_abi::id::SpaceName;
use reel_abi::record::family;
use reel_abi::resident::{GUEST_KEY, Guest, GuestKind, STOPPED_KEY};
use reel_store::{Head, ReadSet, Store};

use crate::runtime::resident::cells::{CellsError, lodging};

/// What of a space says who answers in it.
static READS: LazyLock<ReadSet> = LazyLock::new(|| {
    let mut reads = ReadSet::default();
    reads.key(family::RESIDENT, GUEST_KEY);
    reads.key(family::RESIDENT, STOPPED_KEY);
    reads
});

/// So many requests are looked at together.
const WINDOW: u32 = 64;

/// If more of them than this were overtaken, requests of the guest are in each other's way.
const OVERTAKEN: u32 = 4;

/// For how many requests that is taken to be so, before it is looked at again.
const CROWDED: u32 = 2000;

/// The guests that were asked for, by space.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Known(Mutex<BTreeMap<SpaceName, (Seen, Crowd)>>);

/// Whether the requests of a guest are in each other's way.
#[derive(Debug, Default)]
struct Crowd {
    requests: u32,
    overtaken: u32,
    crowded: u32,
}

/// A guest as it stood in a version of its space.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Seen {
    at: Head,
    /// The guest.
    pub guest: Arc<Guest>,
    /// Whether it takes no requests.
    pub stopped: bool,
}

impl Known {
    /// Who was deployed in a space, as it is now; nothing if nobody was.
    pub fn guest(&self, store: &Store, name: &SpaceName) -> Result<Option<Seen>, CellsError> {
        let head = store.head(name)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((seen, _)), Some(head)) = (known.get_mut(name), head)
            && store.still_holds(name, seen.at, head, &READS)
        {
            seen.at = head;
            return Ok(Some(seen.clone()));
        }
        drop(known);
        let found = head.map(|head| lodging(store, head)).transpose()?.flatten();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found else {
            known.remove(name);
            return Ok(None);
        };
        let seen = Seen { at: found.head, guest: Arc::new(found.guest), stopped: found.stopped };
        let crowd = known.remove(name).map(|(_, crowd)| crowd).unwrap_or_default();
        known.insert(name.clone(), (seen.clone(), crowd));
        Ok(Some(seen))
    }

    /// Whether requests of a guest are better executed one after the other: it takes no more than one, or they kept overtaking each other of late.
    pub fn crowds(&self, name: &SpaceName) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((seen, crowd)) = known.get_mut(name) else { return false };
        if seen.guest.kind == GuestKind::Resident {
            return true;
        }
        crowd.crowded = crowd.crowded.saturating_sub(1);
        crowd.crowded > 0
    }

    /// Notes a request that was executed.
    pub fn executed(&self, name: &SpaceName, attempts: u32) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, crowd)) = known.get_mut(name).filter(|(_, crowd)| crowd.crowded == 0) else { return };
        crowd.requests += 1;
        crowd.overtaken += u32::from(attempts > 1);
        if crowd.overtaken > OVERTAKEN {
            *crowd = Crowd { crowded: CROWDED, ..Crowd::default() };
        } else if crowd.requests >= WINDOW {
            *crowd = Crowd::default();
        }
    }
}
