//! How pages that a guest has changed are found.
//!
//! The kernel tracks them without being asked: a page that was written in a private mapping belongs to the process, one that was not belongs to the
//! file. Which ways to ask work is tried once, on a mapping of which the answer is known; where none does, the bytes themselves are compared.

use std::ops::Range;
use std::sync::OnceLock;

use super::image::{Draft, Image, ImageError, PAGE, PageAt, ZEROS};
use super::mapping::{ALIGN, Mapping};
use super::pagemap;

/// A way to find changed pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tracker {
    /// The best of the others that works on this machine.
    #[default]
    Best,
    /// The ioctl `PAGEMAP_SCAN` (Linux 6.7): by ranges, without looking at what was never touched.
    Scan,
    /// `/proc/self/pagemap`: a word for each page.
    Pagemap,
    /// Comparing every byte with the image. Works everywhere, and counts no page that has its old content again.
    Compare,
}

impl Tracker {
    /// Whether it gives right answers on this machine.
    pub fn works(self) -> bool {
        match self {
            Self::Best | Self::Compare => true,
            Self::Scan | Self::Pagemap => {
                static KNOWN: [OnceLock<bool>; 2] = [OnceLock::new(), OnceLock::new()];
                *KNOWN[usize::from(self == Self::Pagemap)].get_or_init(|| passes(self))
            }
        }
    }

    /// What `Best` stands for here.
    pub fn chosen(self) -> Self {
        match self {
            Self::Best => [Self::Scan, Self::Pagemap].into_iter().find(|way| way.works()).unwrap_or(Self::Compare),
            chosen => chosen,
        }
    }

    /// Pages, ascending, that may differ from the image, or from zero where it has none.
    pub(super) fn changed(
        self,
        mapping: &Mapping,
        image: Option<(&Image, usize)>,
    ) -> Result<Vec<Range<usize>>, ImageError> {
        let mut ranges = self.private(mapping, image)?;
        let backed = image.map_or(0, |(image, memory)| image.backed(memory)) / PAGE;
        if ranges.last().is_some_and(|last| last.end > backed) {
            ranges = without_zeros(mapping, ranges, backed);
        }
        Ok(ranges)
    }

    /// Pages that the process has for itself alone; for `Compare`, those that differ.
    pub(super) fn private(
        self,
        mapping: &Mapping,
        image: Option<(&Image, usize)>,
    ) -> Result<Vec<Range<usize>>, ImageError> {
        if mapping.len() == 0 {
            return Ok(Vec::new());
        }
        let base = mapping.base().as_ptr() as u64;
        let addresses = base..base + mapping.accessible() as u64;
        let page = |address: u64| (address - base) as usize / PAGE;
        let pages = |ranges: Vec<Range<u64>>| -> Vec<Range<usize>> {
            ranges.into_iter().map(|range| page(range.start)..page(range.end)).collect()
        };
        let refused = ImageError::system("asking for the changed pages of a memory");
        match self.chosen() {
            Self::Scan => {
                let found = pagemap::scan(addresses, base + mapping.shown() as u64).map_err(refused)?;
                let ranges = pages(found.private);
                mapping.tidy(found.of_file, &ranges);
                Ok(ranges)
            }
            Self::Pagemap => pagemap::read(addresses).map(pages).map_err(refused),
            Self::Compare | Self::Best => compare(mapping, image),
        }
    }
}

fn compare(mapping: &Mapping, image: Option<(&Image, usize)>) -> Result<Vec<Range<usize>>, ImageError> {
    let mut ranges = Vec::new();
    let mut old = vec![0; ALIGN];
    for offset in (0..mapping.len()).step_by(ALIGN) {
        let new = mapping.bytes(offset..offset + ALIGN);
        match image {
            Some((image, memory)) if offset < image.backed(memory) => image.read(memory, offset as u64, &mut old)?,
            _ => old.fill(0),
        }
        if *new == *old {
            continue;
        }
        for (index, (new, old)) in new.chunks(PAGE).zip(old.chunks(PAGE)).enumerate() {
            if new != old {
                push(&mut ranges, offset / PAGE + index);
            }
        }
    }
    Ok(ranges)
}

/// Leaves out zero pages from page `from` on.
fn without_zeros(mapping: &Mapping, ranges: Vec<Range<usize>>, from: usize) -> Vec<Range<usize>> {
    let mut kept = Vec::with_capacity(ranges.len());
    for range in ranges {
        if range.end <= from {
            kept.push(range);
            continue;
        }
        for page in range {
            if page < from || *mapping.bytes(page * PAGE..(page + 1) * PAGE) != ZEROS {
                push(&mut kept, page);
            }
        }
    }
    kept
}

fn push(ranges: &mut Vec<Range<usize>>, page: usize) {
    match ranges.last_mut() {
        Some(last) if last.end == page => last.end = page + 1,
        _ => ranges.push(page..page + 1),
    }
}

/// Whether the way gives the known answer: pages of an image of which one was read and two were written, and one page beyond it.
fn passes(way: Tracker) -> bool {
    if rustix::param::page_size() != PAGE {
        return false;
    }
    let answer = || -> Option<Vec<Range<usize>>> {
        let mapping = Mapping::reserve(4 * ALIGN).ok()?;
        mapping.grow_to(2 * ALIGN).ok()?;
        let mut draft = Draft::new(&[2 * ALIGN]).ok()?;
        for page in 0..4 {
            draft.write(PageAt { memory: 0, page }, &[7; PAGE]).ok()?;
        }
        let image = draft.freeze();
        mapping.show(image.window(0)).ok()?;
        if mapping.bytes(0..PAGE)[0] != 7 {
            return None;
        }
        mapping.write(PAGE, &[1]);
        mapping.write(2 * PAGE + 9, &[7]);
        mapping.write(ALIGN + PAGE, &[1]);
        way.changed(&mapping, Some((&image, 0))).ok()
    };
    let beyond = ALIGN / PAGE + 1;
    answer() == Some(vec![1..3, beyond..beyond + 1])
}
