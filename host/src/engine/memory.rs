//! Linear memories that the host can look at.
//!
//! Each memory is one reservation of address space, inaccessible but for the bytes the guest has, so that the guest's bounds are the processor's.
//! The digest of all memories of a guest, in order of their creation, is a part of what a replay must reproduce.

#![allow(unsafe_code, reason = "linear memories are mapped by hand; see the reason at each block")]

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a page of the host; memories grow in multiples of the Wasm page, which is a multiple of it.
const ALIGN: usize = 64 << 10;

/// The memories of one guest, in order of their creation.
#[derive(Debug, Clone, Default)]
pub struct GuestMemories(Arc<Mutex<Vec<Arc<Mapping>>>>);

thread_local! {
    /// The guest that is being instantiated on this thread.
    static CURRENT: RefCell<Option<GuestMemories>> = const { RefCell::new(None) };
}

/// Makes memories, and puts each into the list of the guest that is being instantiated.
#[derive(Debug, Default)]
pub struct VisibleMemories;

impl GuestMemories {
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
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memories.is_empty() {
            return None;
        }
        let mut hasher = Xxh3::new();
        for memory in memories.iter() {
            let len = memory.len.load(Ordering::Acquire);
            hasher.update(&(len as u64).to_le_bytes());
            // SAFETY: the first `len` bytes are mapped readable until the mapping is dropped, which this list prevents, and
            // nobody writes to them while the guest does not run.
            hasher.update(unsafe { std::slice::from_raw_parts(memory.base.as_ptr(), len) });
        }
        Some(hasher.digest())
    }

    /// Bytes of every memory.
    pub fn sizes(&self) -> Vec<usize> {
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.iter().map(|memory| memory.len.load(Ordering::Acquire)).collect()
    }
}

/// A reservation of address space of which the first `len` bytes are accessible.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    reserved: usize,
    len: AtomicUsize,
}

// SAFETY: the mapping is plain memory that belongs to no thread; who may access it when is the engine's contract, and `len` is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn reserve(bytes: usize) -> Result<Self, String> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe {
            mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        };
        let base = base.map_err(|e| format!("reserving {bytes} bytes of address space: {e}"))?;
        let base = NonNull::new(base.cast()).ok_or("the kernel mapped memory at zero")?;
        Ok(Self { base, reserved: bytes, len: AtomicUsize::new(0) })
    }

    fn grow_to(&self, len: usize) -> Result<(), String> {
        let accessible = len.next_multiple_of(ALIGN);
        if accessible > self.reserved {
            return Err(format!("{len} bytes do not fit the {} reserved", self.reserved));
        }
        if accessible > 0 {
            // SAFETY: the range is inside of this mapping, and making it accessible invalidates no reference.
            let made =
                unsafe { mprotect(self.base.as_ptr().cast(), accessible, MprotectFlags::READ | MprotectFlags::WRITE) };
            made.map_err(|e| format!("making {len} bytes accessible: {e}"))?;
        }
        self.len.store(len, Ordering::Release);
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody can refer to it any more. A failure would only leak address space.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}

struct Memory {
    mapping: Arc<Mapping>,
    capacity: usize,
}

// SAFETY: the base never moves; at least `byte_size` bytes behind it are accessible, all up to `byte_capacity` and the guard are
// reserved and inaccessible until grown into.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.mapping.len.load(Ordering::Acquire)
    }

    fn byte_capacity(&self) -> usize {
        self.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        self.mapping.grow_to(new_size).map_err(wasmtime::Error::msg)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping.base.as_ptr()
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
        let capacity = reserved_size_in_bytes.or(maximum).unwrap_or(minimum).max(minimum).next_multiple_of(ALIGN);
        let bytes = capacity
            .checked_add(guard_size_in_bytes.next_multiple_of(ALIGN))
            .ok_or("a memory of more than the address space")?;
        let mapping = Arc::new(Mapping::reserve(bytes.max(ALIGN))?);
        mapping.grow_to(minimum)?;
        CURRENT.with_borrow(|current| {
            if let Some(GuestMemories(list)) = current {
                list.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&mapping));
            }
        });
        Ok(Box::new(Memory { mapping, capacity }))
    }
}
