//! The table behind a guest's handles, bounded.
//!
//! Numbers are handed out as the engine hands out the guest's own: the slot that was freed last is taken first. So equal calls give equal numbers,
//! handles can stand in events as they are, and slot `n` is what the guest knows as handle `n + 1`: the table is a mirror of the engine's.

use reel_abi::limits::LimitKind;
use reel_abi::resident::Slot;
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::HandleDrop;
use wasmtime::component::Resource;

use super::named::{Nameable, Named};
use super::session::Session;
use crate::gate::Halt;

/// What the guest's handles name.
pub struct Handles {
    places: Vec<Place>,
    free: Option<u32>,
    open: u64,
    limit: u64,
    /// Whether handles are dropped only to set up the guest's table: they name nothing.
    pub(crate) restoring: bool,
}

enum Place {
    Free(Option<u32>),
    Taken(Named),
}

impl Handles {
    /// An empty table for at most `limit` resources.
    pub fn new(limit: u64) -> Self {
        Self { places: Vec::new(), free: None, open: 0, limit, restoring: false }
    }

    /// Adds a resource.
    pub fn push<T: Nameable>(&mut self, resource: T) -> Result<Handle, Halt> {
        if self.open >= self.limit {
            return Err(Halt::Limit { kind: LimitKind::OpenHandles, limit: self.limit });
        }
        let taken = Place::Taken(resource.into_named());
        let number = match self.free {
            Some(number) => {
                let place = self.places.get_mut(number as usize).ok_or_else(broken)?;
                let Place::Free(next) = std::mem::replace(place, taken) else { return Err(broken()) };
                self.free = next;
                number
            }
            None => {
                self.places.push(taken);
                u32::try_from(self.places.len() - 1).map_err(|_| broken())?
            }
        };
        self.open += 1;
        Ok(Handle(number))
    }

    /// The resource behind a handle. The engine has checked that the guest owns it; a stale one is a trap all the same.
    pub fn get<T: Nameable>(&self, handle: &Resource<T>) -> Result<&T, Halt> {
        match self.places.get(handle.rep() as usize) {
            Some(Place::Taken(named)) => T::of(named).ok_or_else(|| stale(handle.rep())),
            _ => Err(stale(handle.rep())),
        }
    }

    /// The same, to be changed.
    pub fn get_mut<T: Nameable>(&mut self, handle: &Resource<T>) -> Result<&mut T, Halt> {
        match self.places.get_mut(handle.rep() as usize) {
            Some(Place::Taken(named)) => T::of_mut(named).ok_or_else(|| stale(handle.rep())),
            _ => Err(stale(handle.rep())),
        }
    }

    /// Takes a resource out.
    pub fn remove<T: Nameable>(&mut self, handle: Handle) -> Result<T, Halt> {
        let Some(place) = self.places.get_mut(handle.0 as usize) else { return Err(stale(handle.0)) };
        match std::mem::replace(place, Place::Free(self.free)) {
            Place::Taken(named) => match T::from_named(named) {
                Ok(resource) => {
                    self.free = Some(handle.0);
                    self.open -= 1;
                    Ok(resource)
                }
                Err(named) => {
                    *place = Place::Taken(named);
                    Err(stale(handle.0))
                }
            },
            free @ Place::Free(_) => {
                *place = free;
                Err(stale(handle.0))
            }
        }
    }

    /// What is named, by number.
    pub fn named(&self) -> impl Iterator<Item = (u32, &Named)> {
        (0u32..).zip(&self.places).filter_map(|(number, place)| match place {
            Place::Taken(named) => Some((number, named)),
            Place::Free(_) => None,
        })
    }

    /// The bodies and requests of a call are gone with it; their handles stay.
    pub fn forget_bodies(&mut self) {
        for place in &mut self.places {
            if let Place::Taken(named) = place {
                named.forget_body();
            }
        }
    }

    /// How many places there are, free ones too.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// The number that is handed out next.
    pub fn next(&self) -> u32 {
        self.free.unwrap_or(self.places())
    }

    /// The handles that are handed out next.
    pub fn upcoming<const N: usize>(&self) -> [Handle; N] {
        let (mut free, mut places) = (self.free, self.places());
        std::array::from_fn(|_| match free {
            Some(number) => {
                free = match self.places.get(number as usize) {
                    Some(Place::Free(next)) => *next,
                    _ => None,
                };
                Handle(number)
            }
            None => {
                places = places.saturating_add(1);
                Handle(places - 1)
            }
        })
    }

    /// The numbers of the free places, the one that is taken next first.
    pub fn free(&self) -> Vec<u32> {
        let mut free = Vec::new();
        let mut next = self.free;
        while let Some(number) = next.filter(|_| free.len() < self.places.len()) {
            free.push(number);
            next = match self.places.get(number as usize) {
                Some(Place::Free(next)) => *next,
                _ => None,
            };
        }
        free
    }

    /// The table as it stands in a checkpoint.
    pub fn slots(&self) -> (Vec<Slot>, Option<u32>) {
        let slot = |place: &Place| match place {
            Place::Free(next) => Slot::Free { next: *next },
            Place::Taken(named) => named.slot(),
        };
        (self.places.iter().map(slot).collect(), self.free)
    }

    /// The table of a checkpoint; `None` if it is none that this table could have become.
    pub fn of_slots(slots: &[Slot], free: Option<u32>, limit: u64) -> Option<Self> {
        let place = |slot: &Slot| match slot {
            Slot::Free { next } => Place::Free(*next),
            slot => Named::of_slot(slot).map_or(Place::Free(None), Place::Taken),
        };
        let places: Vec<Place> = slots.iter().map(place).collect();
        let taken = places.iter().filter(|place| matches!(place, Place::Taken(_))).count();
        let handles = Self { open: taken as u64, places, free, limit, restoring: false };
        let chained = handles.free();
        let mut distinct = chained.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let whole = distinct.len() == chained.len() && chained.len() + taken == slots.len();
        let free_all =
            chained.iter().all(|number| matches!(handles.places.get(*number as usize), Some(Place::Free(_))));
        (whole && free_all && taken as u64 <= limit).then_some(handles)
    }
}

impl Session {
    /// The guest gives a handle back.
    pub(super) fn drop_handle<T: Nameable>(&mut self, what: Kind, handle: &Resource<T>) -> wasmtime::Result<()> {
        if self.handles.restoring {
            return Ok(());
        }
        let handles = &mut self.handles;
        let call = HandleDrop { what, handle: number(handle) };
        Ok(self.gate.pass(call, |_, call| handles.remove::<T>(call.handle).map(drop))?)
    }
}

/// The number of a handle, as it stands in events.
pub fn number<T: 'static>(handle: &Resource<T>) -> Handle {
    Handle(handle.rep())
}

/// The handle with a number, handed to the guest.
pub fn own<T: 'static>(handle: Handle) -> Resource<T> {
    Resource::new_own(handle.0)
}

fn stale(number: u32) -> Halt {
    Halt::Trap(format!("handle {number} names nothing"))
}

fn broken() -> Halt {
    Halt::Host("the table of handles is broken".into())
}
