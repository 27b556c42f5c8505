//! The frozen content of all memories of a guest.
//!
//! An image is one file in memory. Each memory has a place in it so far from the next that both can grow; what was never written is a hole and costs
//! nothing. Once made it does not change while anybody but its single owner has it: forks map it privately and see its pages until they write to them.
//!
//! ```text
//! file   0 ......... backed .... len            1 TiB ....... backed ... len            2 TiB
//!        | memory 0 |   zeros    |   nothing    | memory 1    |  zeros   |   nothing    |
//!        |<-mapped->|<-anonymous->|
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Once};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::mapping::{ALIGN, Window};

/// Bytes of a page, as images and changes count them.
pub const PAGE: usize = 4096;

/// From one memory's place in the file to the next; more than a memory can have.
const STRIDE: u64 = 1 << 40;

/// Memories of one image at the most; the file's offsets end there.
const MEMORIES_MAX: usize = 1 << 20;

/// Bytes copied at once from image to image.
const COPY_BYTES: usize = 256 << 10;

pub(super) static ZEROS: [u8; PAGE] = [0; PAGE];

/// A page of a guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAt {
    /// The memory, in order of creation.
    pub memory: u32,
    /// The page in it, in units of [`PAGE`].
    pub page: u64,
}

/// Why an image cannot be made, mapped or changed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Image and guest do not have the same memories.
    #[error("the memories have {guest:?} bytes, the image has {image:?}")]
    Sizes {
        /// Bytes of the guest's memories.
        guest: Vec<usize>,
        /// Bytes of the image's.
        image: Vec<usize>,
    },
    /// More memories, or longer ones, than an image can have.
    #[error("memories that no image can hold: {0:?} bytes")]
    TooLarge(Vec<usize>),
    /// A page that the image or guest does not have.
    #[error("there is no page {} in memory {}", .0.page, .0.memory)]
    NoSuchPage(PageAt),
    /// What was given as a page is none.
    #[error("a page of {0} bytes")]
    PageLength(usize),
    /// An earlier exchange of images failed in the middle. The guest is lost; its image is not.
    #[error("the memories are not whole, because exchanging their image failed before")]
    Torn,
    /// The system refused.
    #[error("{deed}: {cause}")]
    System {
        /// What was to be done.
        deed: &'static str,
        /// Why it was not.
        cause: Errno,
    },
}

impl ImageError {
    pub(super) fn system(deed: &'static str) -> impl Fn(Errno) -> Self {
        move |cause| Self::System { deed, cause }
    }
}

/// The content of all memories of a guest. See the module.
#[derive(Debug)]
pub struct Image {
    file: OwnedFd,
    parts: Vec<Part>,
}

/// One memory.
#[derive(Debug, Clone, Copy)]
struct Part {
    len: usize,
    /// Bytes that are mapped from the file; beyond is nothing but zeros. A multiple of [`ALIGN`].
    backed: usize,
}

impl Image {
    /// Of memories of `sizes` bytes with these pages; those that are not named are zero.
    pub fn from_pages<B: AsRef<[u8]>>(
        sizes: &[usize],
        pages: impl IntoIterator<Item = (PageAt, B)>,
    ) -> Result<Arc<Self>, ImageError> {
        let mut draft = Draft::new(sizes)?;
        for (at, bytes) in pages {
            draft.write(at, bytes.as_ref())?;
        }
        Ok(draft.freeze())
    }

    /// Bytes of every memory.
    pub fn sizes(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.len).collect()
    }

    /// Bytes of main memory that it occupies.
    pub fn stored_bytes(&self) -> u64 {
        rustix::fs::fstat(&self.file).map_or(0, |stat| (stat.st_blocks as u64).saturating_mul(512))
    }

    /// One page.
    pub fn page(&self, at: PageAt) -> Result<[u8; PAGE], ImageError> {
        self.check(at)?;
        let mut page = [0; PAGE];
        self.read(at.memory as usize, at.page * PAGE as u64, &mut page)?;
        Ok(page)
    }

    /// Every page that is not zero, ascending.
    pub fn pages(&self, mut visit: impl FnMut(PageAt, &[u8])) -> Result<(), ImageError> {
        self.runs(|memory, offset, bytes| {
            for (index, page) in bytes.chunks(PAGE).enumerate() {
                visit(PageAt { memory: memory as u32, page: (offset / PAGE + index) as u64 }, page);
            }
            Ok(())
        })
    }

    /// Memory, offset and bytes of pages in a row that are not zero.
    fn runs(&self, mut visit: impl FnMut(usize, usize, &[u8]) -> Result<(), ImageError>) -> Result<(), ImageError> {
        let mut buffer = vec![0; COPY_BYTES];
        for memory in 0..self.parts.len() {
            let mut at = 0;
            while let Some((start, end)) = self.data(memory, at)? {
                at = start;
                while at < end {
                    let piece = &mut buffer[..COPY_BYTES.min((end - at) as usize)];
                    self.read(memory, at, piece)?;
                    let mut offset = at as usize;
                    at += piece.len() as u64;
                    let zeros: Vec<bool> = piece.chunks(PAGE).map(|page| *page == ZEROS).collect();
                    let mut rest = &*piece;
                    for alike in zeros.chunk_by(bool::eq) {
                        let (run, after) = rest.split_at((alike.len() * PAGE).min(rest.len()));
                        if !alike[0] {
                            visit(memory, offset, run)?;
                        }
                        offset += run.len();
                        rest = after;
                    }
                }
            }
        }
        Ok(())
    }

    /// The next bytes from `at` on that are no hole.
    fn data(&self, memory: usize, at: u64) -> Result<Option<(u64, u64)>, ImageError> {
        let (base, end) = (memory as u64 * STRIDE, self.backed(memory) as u64);
        if at >= end {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(base + at)) {
            Ok(start) if start - base < end => start - base,
            Ok(_) | Err(Errno::NXIO) => return Ok(None),
            Err(cause) => return Err(ImageError::System { deed: "looking for data in an image", cause }),
        };
        let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(base + start));
        let hole = hole.map_err(ImageError::system("looking for a hole in an image"))?;
        Ok(Some((start, (hole - base).min(end))))
    }

    pub(super) fn window(&self, memory: usize) -> Option<Window<'_>> {
        let bytes = self.backed(memory);
        (bytes > 0).then(|| Window { file: self.file.as_fd(), offset: memory as u64 * STRIDE, bytes })
    }

    /// Bytes of a memory that are mapped from the file.
    pub(super) fn backed(&self, memory: usize) -> usize {
        self.parts.get(memory).map_or(0, |part| part.backed)
    }

    /// Bytes from `offset` of a memory; zeros where there are none.
    pub(super) fn read(&self, memory: usize, offset: u64, mut into: &mut [u8]) -> Result<(), ImageError> {
        let mut at = memory as u64 * STRIDE + offset;
        while !into.is_empty() {
            match rustix::io::pread(&self.file, &mut *into, at) {
                Ok(0) => {
                    into.fill(0);
                    break;
                }
                Ok(got) => {
                    into = &mut into[got..];
                    at += got as u64;
                }
                Err(Errno::INTR) => (),
                Err(cause) => return Err(ImageError::System { deed: "reading an image", cause }),
            }
        }
        Ok(())
    }

    fn check(&self, at: PageAt) -> Result<(), ImageError> {
        let pages = self.parts.get(at.memory as usize).map_or(0, |part| part.len.div_ceil(PAGE) as u64);
        if at.page < pages { Ok(()) } else { Err(ImageError::NoSuchPage(at)) }
    }

    /// A memory has become longer; the new bytes are zeros.
    pub(super) fn lengthen(&mut self, memory: usize, len: usize) -> Result<(), ImageError> {
        let too_large = len as u64 > STRIDE;
        let parts = self.parts.len();
        match self.parts.get_mut(memory) {
            Some(part) if part.len == len => return Ok(()),
            Some(part) if !too_large && part.len <= len => part.len = len,
            _ => return Err(ImageError::TooLarge(vec![len])),
        }
        if memory + 1 == parts { self.set_file_length() } else { Ok(()) }
    }

    /// The file reaches to the end of the last memory, so that no mapping of it ever goes beyond.
    fn set_file_length(&self) -> Result<(), ImageError> {
        let Some(last) = self.parts.last() else { return Ok(()) };
        let length = (self.parts.len() as u64 - 1) * STRIDE + last.len.next_multiple_of(ALIGN) as u64;
        rustix::fs::ftruncate(&self.file, length).map_err(ImageError::system("giving an image its length"))
    }

    /// Puts whole pages at `offset`, and moves the border of what is mapped behind them.
    pub(super) fn put(&mut self, memory: usize, offset: usize, mut bytes: &[u8]) -> Result<(), ImageError> {
        let end = offset + bytes.len();
        let mut at = memory as u64 * STRIDE + offset as u64;
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, at) {
                Ok(0) => return Err(ImageError::System { deed: "writing an image", cause: Errno::IO }),
                Ok(put) => {
                    bytes = &bytes[put..];
                    at += put as u64;
                }
                Err(Errno::INTR) => (),
                Err(cause) => return Err(ImageError::System { deed: "writing an image", cause }),
            }
        }
        if let Some(part) = self.parts.get_mut(memory) {
            part.backed = part.backed.max(end.next_multiple_of(ALIGN));
        }
        Ok(())
    }

    /// Makes whole pages a hole.
    pub(super) fn punch(&mut self, memory: usize, offset: usize, bytes: usize) -> Result<(), ImageError> {
        let at = memory as u64 * STRIDE + offset as u64;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, at, bytes as u64)
            .map_err(ImageError::system("emptying a part of an image"))
    }
}

/// An image in the making.
#[derive(Debug)]
pub struct Draft(Image);

impl Draft {
    /// Of memories of `sizes` bytes, all zero.
    pub fn new(sizes: &[usize]) -> Result<Self, ImageError> {
        if sizes.len() > MEMORIES_MAX || sizes.iter().any(|size| *size as u64 > STRIDE) {
            return Err(ImageError::TooLarge(sizes.to_vec()));
        }
        raise_open_files();
        let file = rustix::fs::memfd_create(c"reel image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let file = file.map_err(ImageError::system("making an image"))?;
        let parts = sizes.iter().map(|len| Part { len: *len, backed: 0 }).collect();
        let image = Image { file, parts };
        image.set_file_length()?;
        // What is mapped stays mappable: a file that became shorter would turn accesses into bus errors.
        rustix::fs::fcntl_add_seals(&image.file, SealFlags::SHRINK).map_err(ImageError::system("sealing an image"))?;
        Ok(Self(image))
    }

    /// Sets one page. Zeros in a page that was not set before cost nothing.
    pub fn write(&mut self, at: PageAt, bytes: &[u8]) -> Result<(), ImageError> {
        self.0.check(at)?;
        if bytes.len() != PAGE {
            return Err(ImageError::PageLength(bytes.len()));
        }
        let (memory, offset) = (at.memory as usize, at.page as usize * PAGE);
        if bytes != ZEROS {
            return self.0.put(memory, offset, bytes);
        }
        if offset < self.0.backed(memory) { self.0.punch(memory, offset, PAGE) } else { Ok(()) }
    }

    /// Takes over all of `other`, whose memories are not longer.
    pub(super) fn copy(&mut self, other: &Image) -> Result<(), ImageError> {
        other.runs(|memory, offset, bytes| self.0.put(memory, offset, bytes))
    }

    /// What it is so far.
    pub(super) fn image(&mut self) -> &mut Image {
        &mut self.0
    }

    /// Done.
    pub fn freeze(self) -> Arc<Image> {
        Arc::new(self.0)
    }
}

/// Every image is an open file, and many systems begin with 1024: lets this process have as many as it may. Where that fails, so does a later image, and
/// says so.
fn raise_open_files() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    });
}
