//! The memories of a guest at rest: given the content of an image, asked what has changed since, and made the image's next content.
//!
//! Every call here is made while no code of the guest runs: the caller holds its store. A memory sees the image it adopted until it writes; what it has
//! written is its own, and no other guest of the same image ever sees it.
//!
//! ```text
//! instantiate in collect ──> adopt(image) ──> calls ──> changed(), page()  ──> absorb()   the image is this guest's alone: it takes the changes
//!                                               ^                         └──> image()    and forks adopt it as it is
//!                                               └─────────────────────────────────┘
//! ```

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use super::image::{Draft, Image, ImageError, PAGE, PageAt, ZEROS};
use super::mapping::Mapping;
use super::memory::{Adopted, GuestMemories};
use super::tracker::Tracker;

/// Zero pages in a row from which on a hole is worth its making.
const HOLE_PAGES: usize = 16;

/// Ranges of pages from which on a memory forgets all at once: the kernel then walks it once, and file pages that were mapped are mapped again when used.
const RANGES_MAX: usize = 4096;

/// What came of [`GuestMemories::absorb`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a shared image has absorbed nothing"]
pub enum Absorbed {
    /// The image has the content that the guest has; so many pages were written.
    Pages(u64),
    /// Others have the image too: nothing was done.
    Shared,
    /// No image was adopted: nothing was done.
    NoImage,
}

/// Bytes of main memory and of address space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Held by this guest alone: what it wrote since it adopted its image.
    pub private: u64,
    /// Accessible to the guest.
    pub mapped: u64,
}

impl GuestMemories {
    /// Gives the memories the content of the image, whatever was in them. Sizes must be equal. May be called again at any time, with any image.
    ///
    /// # Errors
    /// `Sizes` leaves the memories as they were. `System` leaves them [torn](ImageError::Torn): the guest is to be dropped.
    pub fn adopt(&self, image: &Arc<Image>) -> Result<(), ImageError> {
        let (guest, sizes) = (self.sizes(), image.sizes());
        if guest != sizes {
            return Err(ImageError::Sizes { guest, image: sizes });
        }
        self.show(Some(image))
    }

    /// The image that was adopted last.
    pub fn image(&self) -> Option<Arc<Image>> {
        match &*self.adopted() {
            Adopted::Image(image) => Some(Arc::clone(image)),
            Adopted::Nothing | Adopted::Torn(_) => None,
        }
    }

    /// Pages that may differ from the image that was adopted last, ascending. Where that image has nothing (its memory ended before, or was zero from
    /// there to its end), and if there is none: pages that are not zero.
    pub fn changed(&self) -> Result<Vec<PageAt>, ImageError> {
        let mut pages = Vec::new();
        for (memory, ranges) in self.changed_ranges()?.into_iter().enumerate() {
            let at = |page| PageAt { memory: memory as u32, page: page as u64 };
            pages.extend(ranges.into_iter().flatten().map(at));
        }
        Ok(pages)
    }

    /// Shows one page to `look`.
    pub fn page<T>(&self, at: PageAt, look: impl FnOnce(&[u8; PAGE]) -> T) -> Result<T, ImageError> {
        let mapping = self.list().get(at.memory as usize).cloned().ok_or(ImageError::NoSuchPage(at))?;
        let start = usize::try_from(at.page).ok().and_then(|page| page.checked_mul(PAGE));
        let start = start.filter(|start| *start < mapping.len()).ok_or(ImageError::NoSuchPage(at))?;
        let page = mapping.bytes(start..start + PAGE).as_array().ok_or(ImageError::NoSuchPage(at))?;
        Ok(look(page))
    }

    /// Gives a page another content: one of the guest's own, as if it had written it.
    pub fn write_page(&self, at: PageAt, bytes: &[u8; PAGE]) -> Result<(), ImageError> {
        let mapping = self.list().get(at.memory as usize).cloned().ok_or(ImageError::NoSuchPage(at))?;
        let start = usize::try_from(at.page).ok().and_then(|page| page.checked_mul(PAGE));
        let start = start.filter(|start| *start < mapping.len()).ok_or(ImageError::NoSuchPage(at))?;
        mapping.write(start, bytes);
        Ok(())
    }

    /// One page.
    pub fn read_page(&self, at: PageAt) -> Result<[u8; PAGE], ImageError> {
        self.page(at, |page| *page)
    }

    /// A new image of what the memories hold. Costs as much as they hold.
    pub fn copy(&self) -> Result<Arc<Image>, ImageError> {
        let mut draft = Draft::new(&self.sizes())?;
        let image = self.base()?;
        let changed = self.changed_since(image.as_deref())?;
        if let Some(image) = &image {
            draft.copy(image)?;
        }
        for (memory, (mapping, ranges)) in self.list().iter().zip(changed).enumerate() {
            for range in ranges {
                put(draft.image(), memory, mapping, range)?;
            }
        }
        Ok(draft.freeze())
    }

    /// Makes what the memories hold the content of their image, if nobody else has it: no guest, and nobody who keeps it for a fork. Then nothing is
    /// changed, and nothing private. Costs as much as was changed.
    ///
    /// # Errors
    /// The memories stay as they are; the image may hold some of the changes, which still count as such.
    pub fn absorb(&self) -> Result<Absorbed, ImageError> {
        let changed = self.changed_ranges()?;
        let list = self.list();
        let mut adopted = self.adopted();
        let Adopted::Image(image) = &mut *adopted else { return Ok(Absorbed::NoImage) };
        let Some(image) = Arc::get_mut(image) else { return Ok(Absorbed::Shared) };
        let mut pages = 0;
        for (memory, (mapping, ranges)) in list.iter().zip(&changed).enumerate() {
            image.lengthen(memory, mapping.len())?;
            for range in ranges {
                put(image, memory, mapping, range.clone())?;
                pages += range.len() as u64;
            }
        }
        let exact = self.tracker().chosen() != Tracker::Compare;
        for (memory, (mapping, ranges)) in list.iter().zip(&changed).enumerate() {
            if let Some(window) = image.window(memory)
                && window.bytes > mapping.shown()
                && let Err(cause) = mapping.show_more(window)
            {
                if let Adopted::Image(image) = std::mem::take(&mut *adopted) {
                    *adopted = Adopted::Torn(vec![image]);
                }
                return Err(ImageError::System { deed: "mapping what an image has absorbed", cause });
            }
            forget(mapping, ranges, exact).map_err(ImageError::system("letting go of absorbed pages"))?;
        }
        Ok(Absorbed::Pages(pages))
    }

    /// Gives these memories the content of another guest's, of the same sizes, by the other's image and a copy of what it has changed since. Costs as
    /// much as was changed, whatever the sizes. Neither guest runs meanwhile; afterwards they have nothing to do with each other.
    ///
    /// # Errors
    /// As those of [`GuestMemories::adopt`]; nothing happens to the other.
    pub fn fork_from(&self, other: &Self) -> Result<(), ImageError> {
        if self.is(other) {
            return Ok(());
        }
        let (guest, sizes) = (self.sizes(), other.sizes());
        if guest != sizes {
            return Err(ImageError::Sizes { guest, image: sizes });
        }
        // From here on the image is shared, so that nobody absorbs into it.
        let image = other.base()?;
        let changed = other.changed_since(image.as_deref())?;
        self.show(image.as_ref())?;
        let from = other.list().clone();
        let to = self.list().clone();
        for ((from, to), ranges) in from.iter().zip(&to).zip(changed) {
            for range in ranges {
                let (start, end) = (range.start * PAGE, range.end * PAGE);
                to.write(start, from.bytes(start..end));
            }
        }
        Ok(())
    }

    /// What the memories occupy. Found out by asking for changed pages; by [comparing](super::tracker::Tracker::Compare) it is a lower bound.
    pub fn footprint(&self) -> Result<Footprint, ImageError> {
        let mut footprint = Footprint::default();
        let image = self.base()?;
        for (memory, mapping) in self.list().iter().enumerate() {
            let ranges = self.tracker().private(mapping, image.as_deref().map(|image| (image, memory)))?;
            footprint.private += ranges.iter().map(|range| (range.len() * PAGE) as u64).sum::<u64>();
            footprint.mapped += mapping.len() as u64;
        }
        Ok(footprint)
    }

    fn base(&self) -> Result<Option<Arc<Image>>, ImageError> {
        match &*self.adopted() {
            Adopted::Image(image) => Ok(Some(Arc::clone(image))),
            Adopted::Nothing => Ok(None),
            Adopted::Torn(_) => Err(ImageError::Torn),
        }
    }

    fn changed_ranges(&self) -> Result<Vec<Vec<Range<usize>>>, ImageError> {
        self.changed_since(self.base()?.as_deref())
    }

    fn changed_since(&self, image: Option<&Image>) -> Result<Vec<Vec<Range<usize>>>, ImageError> {
        let one = |(memory, mapping): (usize, &Arc<Mapping>)| {
            self.tracker().changed(mapping, image.map(|image| (image, memory)))
        };
        self.list().iter().enumerate().map(one).collect()
    }

    fn show(&self, image: Option<&Arc<Image>>) -> Result<(), ImageError> {
        let list = self.list();
        let mut adopted = self.adopted();
        if let Adopted::Torn(_) = &*adopted {
            return Err(ImageError::Torn);
        }
        let before = std::mem::replace(&mut *adopted, image.cloned().map_or(Adopted::Nothing, Adopted::Image));
        for (memory, mapping) in list.iter().enumerate() {
            if let Err(cause) = mapping.show(image.and_then(|image| image.window(memory))) {
                let before = if let Adopted::Image(before) = before { Some(before) } else { None };
                *adopted = Adopted::Torn(before.into_iter().chain(image.cloned()).collect());
                return Err(ImageError::System { deed: "mapping an image", cause });
            }
        }
        Ok(())
    }
}

/// Writes pages of a memory into the image, long runs of zeros as holes.
fn put(image: &mut Image, memory: usize, mapping: &Mapping, pages: Range<usize>) -> Result<(), ImageError> {
    let data = |image: &mut Image, pages: Range<usize>| match pages.is_empty() {
        true => Ok(()),
        false => image.put(memory, pages.start * PAGE, mapping.bytes(pages.start * PAGE..pages.end * PAGE)),
    };
    let is_zero = |page: &usize| *mapping.bytes(page * PAGE..(page + 1) * PAGE) == ZEROS;
    let (mut start, mut page) = (pages.start, pages.start);
    while page < pages.end {
        let zeros = (page..pages.end).take_while(is_zero).count();
        if zeros >= HOLE_PAGES {
            data(image, start..page)?;
            image.punch(memory, page * PAGE, zeros * PAGE)?;
            start = page + zeros;
        }
        page += zeros.max(1);
    }
    data(image, start..pages.end)
}

/// Lets go of private pages whose content is now behind them; `exact` if there are no others.
fn forget(mapping: &Mapping, pages: &[Range<usize>], exact: bool) -> Result<(), Errno> {
    let shown = mapping.shown();
    if !exact || pages.len() > RANGES_MAX {
        mapping.forget(0..shown)?;
    } else {
        for range in pages {
            mapping.forget(range.start * PAGE..(range.end * PAGE).min(shown))?;
        }
    }
    // Beyond, whatever is private is zero.
    mapping.forget(shown..mapping.accessible())
}
