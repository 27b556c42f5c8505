//! Linear memories that the host can look at.
//!
//! Each memory is one reservation of address space, inaccessible but for the bytes the guest has, so that the guest's bounds are the processor's.
//! The digest of all memories of a guest, in order of their creation, is a part of what a replay must reproduce. How they get their content from an
//! image, and what changed since, is in [`super::resident`].

#![allow(
    unsafe_code,
    reason = "wasmtime's traits for memories promise what the compiler cannot check; see the reason at each"
)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};
use xxhash_rust::xxh3::Xxh3;

use super::image::Image;
use super::mapping::{ALIGN, Mapping};
use super::tracker::Tracker;

/// The memories of one guest, in order of their creation.
#[derive(Debug, Clone, Default)]
pub struct GuestMemories(Arc<Guest>);

#[derive(Debug, Default)]
struct Guest {
    list: Mutex<Vec<Arc<Mapping>>>,
    adopted: Arc<Mutex<Adopted>>,
    tracker: Tracker,
    /// Bytes that the memories have at least when they are created.
    born: Vec<usize>,
}

/// What is behind the memories of a guest. Every memory keeps it too, so that an image counts as shared as long as anything maps it.
#[derive(Debug, Default)]
pub(super) enum Adopted {
    /// Nothing but what the guest wrote.
    #[default]
    Nothing,
    /// An image, and what the guest wrote since.
    Image(Arc<Image>),
    /// Not what anybody wanted: the system refused in the middle. The images may still be mapped here and there.
    Torn(#[allow(dead_code, reason = "kept so that it counts as shared")] Vec<Arc<Image>>),
}

thread_local! {
    /// The guest that is being instantiated on this thread.
    static CURRENT: RefCell<Option<GuestMemories>> = const { RefCell::new(None) };
}

/// Makes memories, and puts each into the list of the guest that is being instantiated.
#[derive(Debug, Default)]
pub struct VisibleMemories;

impl GuestMemories {
    /// Of a guest whose changed pages are found in this way rather than in the best that the machine has.
    pub fn with_tracker(tracker: Tracker) -> Self {
        Self(Arc::new(Guest { tracker, ..Guest::default() }))
    }

    /// Of a guest that is to adopt an image of `sizes`: its memories are created with these sizes if they would be smaller, so that they need not be
    /// grown. Their content is what instantiation makes it.
    pub fn with_sizes(sizes: Vec<usize>) -> Self {
        Self(Arc::new(Guest { born: sizes, ..Guest::default() }))
    }

    /// Runs `work` with memories that are created in it counted to this guest.
    pub fn collect<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let result = work();
        CURRENT.set(before);
        result
    }

    /// XXH3-64 over the length and bytes of every memory; nothing if there is none, or none that can be looked at. Call only while the
    /// guest does not run: the caller holds its store.
    pub fn digest(&self) -> Option<u64> {
        let memories = self.list();
        if memories.is_empty() {
            return None;
        }
        let mut hasher = Xxh3::new();
        for memory in memories.iter() {
            let len = memory.len();
            hasher.update(&(len as u64).to_le_bytes());
            hasher.update(memory.bytes(0..len));
        }
        Some(hasher.digest())
    }

    /// Bytes of a memory, as far as it has them. Call only while the guest does not run.
    pub fn bytes(&self, memory: usize, range: Range<usize>) -> Vec<u8> {
        let Some(mapping) = self.list().get(memory).cloned() else { return Vec::new() };
        let end = range.end.min(mapping.len());
        mapping.bytes(range.start.min(end)..end).to_vec()
    }

    /// Bytes of every memory.
    pub fn sizes(&self) -> Vec<usize> {
        self.list().iter().map(|memory| memory.len()).collect()
    }

    pub(super) fn list(&self) -> MutexGuard<'_, Vec<Arc<Mapping>>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn adopted(&self) -> MutexGuard<'_, Adopted> {
        self.0.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tracker(&self) -> Tracker {
        self.0.tracker
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

struct Memory {
    mapping: Arc<Mapping>,
    capacity: usize,
    _adopted: Arc<Mutex<Adopted>>,
}

// SAFETY: the base never moves; at least `byte_size` bytes behind it are accessible, all up to `byte_capacity` and the guard are
// reserved and inaccessible until grown into. Exchanging what is behind accessible bytes keeps them accessible.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.mapping.len()
    }

    fn byte_capacity(&self) -> usize {
        self.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        self.mapping.grow_to(new_size).map_err(wasmtime::Error::msg)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping.base().as_ptr()
    }
}

// SAFETY: `new_memory` gives memories as the trait's contract wants them; see `Memory`.
unsafe impl MemoryCreator for VisibleMemories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let guest = CURRENT.with_borrow(Clone::clone);
        let born = guest.as_ref().and_then(|guest| guest.0.born.get(guest.list().len()).copied()).unwrap_or(0);
        if maximum.is_some_and(|maximum| born > maximum) {
            return Err(format!("an image of {born} bytes for a memory of less"));
        }
        let minimum = minimum.max(born);
        let capacity = reserved_size_in_bytes.or(maximum).unwrap_or(minimum).max(minimum).next_multiple_of(ALIGN);
        let bytes = capacity
            .checked_add(guard_size_in_bytes.next_multiple_of(ALIGN))
            .ok_or("a memory of more than the address space")?;
        let mapping = Arc::new(Mapping::reserve(bytes.max(ALIGN))?);
        mapping.grow_to(minimum)?;
        let adopted = guest.map(|guest| {
            guest.list().push(Arc::clone(&mapping));
            Arc::clone(&guest.0.adopted)
        });
        Ok(Box::new(Memory { mapping, capacity, _adopted: adopted.unwrap_or_default() }))
    }
}
