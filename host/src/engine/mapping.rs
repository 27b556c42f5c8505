//! One linear memory as a range of addresses.
//!
//! A mapping is one reservation, inaccessible but for its first bytes. What lies behind the accessible part may be exchanged (anonymous memory, or a
//! private view of an image), the reservation itself never gets a hole: a guest's access that misses its memory must meet nothing of anybody.
//! Whoever looks into a mapping, writes to it or exchanges what is behind it holds the guest's store, so that no code of the guest runs.

#![allow(unsafe_code, reason = "linear memories are mapped by hand; see the reason at each block")]

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap};

/// Memories become accessible in multiples of the Wasm page, which is a multiple of every host's page.
pub(super) const ALIGN: usize = 64 << 10;

/// Bytes of a page, as ranges of pages count them; trackers that count in others are not used.
const PAGE: usize = 4096;

/// Untouched pages that are mapped, below which looking through them is cheap: half a millisecond at the most.
const TIDY_PAGES: usize = 16 << 10;

/// Looking through untouched pages so often has cost more than mapping them anew does.
const TIDY_AFTER: usize = 8;

/// A reservation of address space of which the first `len` bytes are accessible.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    reserved: usize,
    len: AtomicUsize,
    shown: AtomicUsize,
    walked: AtomicUsize,
}

/// What part of which file is seen in the first bytes of a mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) file: BorrowedFd<'a>,
    /// Where in the file; a multiple of [`ALIGN`].
    pub(super) offset: u64,
    /// How many bytes; a multiple of [`ALIGN`], and within the file.
    pub(super) bytes: usize,
}

// SAFETY: the mapping is plain memory that belongs to no thread; who may access it when is the engine's contract, and `len` is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn reserve(bytes: usize) -> Result<Self, String> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe {
            mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        };
        let base = base.map_err(|e| format!("reserving {bytes} bytes of address space: {e}"))?;
        let base = NonNull::new(base.cast()).ok_or("the kernel mapped memory at zero")?;
        let [len, shown, walked] = [0; 3].map(AtomicUsize::new);
        Ok(Self { base, reserved: bytes, len, shown, walked })
    }

    /// Makes the first `len` bytes accessible. What was accessible keeps what is behind it.
    pub(super) fn grow_to(&self, len: usize) -> Result<(), String> {
        let (before, accessible) = (self.accessible(), len.next_multiple_of(ALIGN));
        if accessible > self.reserved {
            return Err(format!("{len} bytes do not fit the {} reserved", self.reserved));
        }
        if accessible > before {
            // SAFETY: the range is inside of this mapping, and making it accessible invalidates no reference.
            let made = unsafe {
                mprotect(self.at(before).cast(), accessible - before, MprotectFlags::READ | MprotectFlags::WRITE)
            };
            made.map_err(|e| format!("making {len} bytes accessible: {e}"))?;
        }
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes that the guest has.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Bytes that can be accessed: `len`, rounded up.
    pub(super) fn accessible(&self) -> usize {
        self.len().next_multiple_of(ALIGN)
    }

    /// Bytes behind which there is a file.
    pub(super) fn shown(&self) -> usize {
        self.shown.load(Ordering::Acquire)
    }

    /// The bytes of a range, which is cut where the accessible part ends.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let end = range.end.min(self.accessible());
        let start = range.start.min(end);
        // SAFETY: all accessible bytes are mapped readable until the mapping is dropped, which the borrow prevents, and nobody
        // writes to them or exchanges them while the guest does not run.
        unsafe { std::slice::from_raw_parts(self.at(start), end - start) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    /// If that is not within the accessible part.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset.checked_add(bytes.len()).is_some_and(|end| end <= self.accessible()),
            "a write outside a memory"
        );
        // SAFETY: the range is accessible, as just asserted; the source is a reference to other memory or, at worst, to this one,
        // which `copy` allows; the guest does not run and nobody else holds a reference into it.
        unsafe { std::ptr::copy(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }

    /// Puts a private view of `window` behind the first bytes, and zeros behind the rest of what is accessible. All that was there is forgotten.
    /// If it fails, the whole memory is zeros.
    pub(super) fn show(&self, window: Option<Window<'_>>) -> Result<(), Errno> {
        let accessible = self.accessible();
        let bytes = window.map_or(0, |window| window.bytes);
        if bytes > accessible {
            return Err(Errno::INVAL);
        }
        let shown =
            window.map_or(Ok(()), |window| self.overlay(window, 0)).and_then(|()| self.zeros(bytes..accessible));
        if shown.is_err() && self.zeros(0..accessible).is_err() {
            // There may now be a hole in the reservation, into which anything might be mapped, and which the guest could then reach.
            std::process::abort();
        }
        self.shown.store(if shown.is_ok() { bytes } else { 0 }, Ordering::Release);
        shown
    }

    /// Puts what `window` shows beyond the bytes that are already shown behind the same bytes of the memory; what was there is forgotten. If it fails,
    /// they are zeros.
    pub(super) fn show_more(&self, window: Window<'_>) -> Result<(), Errno> {
        let from = self.shown();
        if window.bytes > self.accessible() {
            return Err(Errno::INVAL);
        }
        let shown = self.overlay(window, from);
        match shown {
            Ok(()) => self.shown.store(from.max(window.bytes), Ordering::Release),
            Err(_) if self.zeros(from..window.bytes).is_ok() => (),
            Err(_) => std::process::abort(),
        }
        shown
    }

    fn overlay(&self, window: Window<'_>, from: usize) -> Result<(), Errno> {
        if window.bytes <= from {
            return Ok(());
        }
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE);
        // SAFETY: the range lies inside the accessible part of this mapping, as both callers have checked; the guest does not run and no
        // reference into it is alive. The file is as long as the window, so that no access is a bus error.
        let at = unsafe {
            let offset = window.offset + from as u64;
            mmap(self.at(from).cast(), window.bytes - from, protection, flags, window.file, offset)
        };
        at.map(|_| ())
    }

    fn zeros(&self, range: Range<usize>) -> Result<(), Errno> {
        if range.is_empty() {
            return Ok(());
        }
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE);
        // SAFETY: as above: inside the accessible part, no guest code, no references.
        let at = unsafe { mmap_anonymous(self.at(range.start).cast(), range.len(), protection, flags) };
        at.map(|_| ())
    }

    /// Forgets what was written to a range: its pages show again what is behind them. The range's borders are the host's pages.
    pub(super) fn forget(&self, range: Range<usize>) -> Result<(), Errno> {
        let end = range.end.min(self.accessible());
        if range.start >= end {
            return Ok(());
        }
        // SAFETY: inside the accessible part; the guest does not run and no reference into it is alive.
        unsafe { madvise(self.at(range.start).cast(), end - range.start, Advice::LinuxDontNeed) }
    }

    /// Told that a search for private pages went through `mapped` untouched ones: when that has happened too often, has the kernel forget where they
    /// are, so that the next search only meets those that were used since.
    pub(super) fn tidy(&self, mapped: usize, private: &[Range<usize>]) {
        let walked = self.walked.fetch_add(mapped, Ordering::Relaxed) + mapped;
        if mapped < TIDY_PAGES || walked < mapped.saturating_mul(TIDY_AFTER) || private.len() > TIDY_PAGES / 16 {
            return;
        }
        self.walked.store(0, Ordering::Relaxed);
        let (mut start, shown) = (0, self.shown());
        for range in private {
            // What is not forgotten only makes the next search longer.
            let _ = self.forget(start..(range.start * PAGE).min(shown));
            start = range.end * PAGE;
        }
        let _ = self.forget(start..shown);
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.reserved);
        // SAFETY: no caller goes past the reservation, which is one object.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody can refer to it any more. A failure would only leak address space.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}
