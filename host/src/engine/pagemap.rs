//! What the kernel knows of this process's pages: which are private copies, and which are still those of a file.
//!
//! Two ways to ask: the ioctl `PAGEMAP_SCAN` (Linux 6.7), which walks the page tables and reports ranges, and the words of `/proc/self/pagemap`, one for each
//! page. A page counts as private if it is present or swapped out and belongs to no file; neither way needs a capability.

#![allow(unsafe_code, reason = "an ioctl that the bindings do not have; see the reason at each block")]

use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, pread};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// Bytes of what the kernel counts in; other hosts are not asked.
const PAGE: u64 = 4096;

/// Ranges in one answer of the scan; the kernel's own buffer holds as many.
const REGIONS: usize = 512;

/// Pages asked for by one read of the pagemap.
const WORDS: usize = 4096;

/// Categories of a page, as `linux/fs.h` numbers them.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO_PAGE: u64 = 1 << 5;

/// What the scan has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Private pages, ascending.
    pub(super) private: Vec<Range<u64>>,
    /// Pages of the file that are mapped, each of which was looked at.
    pub(super) of_file: usize,
}

/// Private pages between two addresses by the ioctl. From `anonymous` on there is no file: the kernel's page of zeros counts as nothing there.
pub(super) fn scan(addresses: Range<u64>, anonymous: u64) -> Result<Found, Errno> {
    let file = file()?;
    let mut regions = [Region::default(); REGIONS];
    let (mut found, mut start) = (Found::default(), addresses.start);
    while start < addresses.end {
        let mut argument = Argument {
            size: size_of::<Argument>() as u64,
            flags: 0,
            start,
            end: addresses.end,
            walk_end: 0,
            regions: regions.as_mut_ptr() as u64,
            regions_len: REGIONS as u64,
            max_pages: 0,
            inverted: 0,
            all_of: 0,
            any_of: PRESENT | SWAPPED,
            returned: FILE | ZERO_PAGE,
        };
        // SAFETY: the argument and the regions it points to are alive and exclusively ours during the call, as long as they say, and the kernel
        // writes only to them.
        let filled = unsafe { ioctl(file, Scan(&mut argument)) }? as usize;
        for region in &regions[..filled.min(REGIONS)] {
            if region.categories & FILE != 0 {
                found.of_file += ((region.end - region.start) / PAGE) as usize;
                continue;
            }
            let nothing = region.categories & ZERO_PAGE != 0;
            let end = if nothing { region.end.min(anonymous) } else { region.end };
            if region.start < end {
                join(&mut found.private, region.start..end);
            }
        }
        if argument.walk_end <= start {
            return Err(Errno::IO);
        }
        start = argument.walk_end;
    }
    Ok(found)
}

/// The same by reading a word for each page.
pub(super) fn read(addresses: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
    let file = file()?;
    let mut words = vec![0u8; WORDS * 8];
    let (mut found, mut page) = (Vec::new(), addresses.start / PAGE);
    let end = addresses.end.div_ceil(PAGE);
    while page < end {
        let want = usize::try_from(end - page).unwrap_or(WORDS).min(WORDS) * 8;
        let got = pread(file, &mut words[..want], page * 8)? / 8;
        if got == 0 {
            return Err(Errno::IO);
        }
        for word in words[..got * 8].chunks_exact(8) {
            // The highest byte: 63 present, 62 swapped out, 61 of a file.
            if word[7] & 0b1100_0000 != 0 && word[7] & 0b0010_0000 == 0 {
                join(&mut found, page * PAGE..(page + 1) * PAGE);
            }
            page += 1;
        }
    }
    Ok(found)
}

fn join(found: &mut Vec<Range<u64>>, range: Range<u64>) {
    match found.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => found.push(range),
    }
}

/// The pagemap of this process, opened once.
fn file() -> Result<BorrowedFd<'static>, Errno> {
    static FILE: OnceLock<Result<OwnedFd, Errno>> = OnceLock::new();
    let open = || rustix::fs::open(c"/proc/self/pagemap", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    FILE.get_or_init(open).as_ref().map(AsFd::as_fd).map_err(|e| *e)
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct Argument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    max_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

struct Scan<'a>(&'a mut Argument);

// SAFETY: the opcode is that of PAGEMAP_SCAN, whose argument is a pointer to `Argument`, which the kernel reads and writes; its result is a count.
unsafe impl Ioctl for Scan<'_> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Argument>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<Self::Output> {
        Ok(out)
    }
}
