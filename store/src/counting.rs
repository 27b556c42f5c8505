//! Counters: numbers in cells that transactions add to without reading them.
//!
//! The numbers that were counted lately are known, those that are only ordered included, so that counting seldom reads
//! anything.

use std::collections::BTreeMap;

use reel_abi::id::{SegmentId, SpaceName, Version};
use reel_abi::record::CellValue;
use reel_abi::wire::Wire;

use crate::error::AppendError;
use crate::prepared::{KeyedCell, place};
use crate::submission::Counter;
use crate::tables::CellKey;

/// No more numbers than this are known at once.
const NUMBERS: usize = 16 << 10;

/// The numbers that were counted lately.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    spaces: BTreeMap<SpaceName, Known>,
    len: usize,
}

#[derive(Debug)]
struct Known {
    segment: SegmentId,
    /// `None` where a cell holds something else.
    numbers: BTreeMap<(u8, Vec<u8>), Option<u64>>,
}

impl Counts {
    /// A new batch begins; what was staged before it can be read.
    pub(crate) fn begin_batch(&mut self) {
        if self.len > NUMBERS {
            *self = Self::default();
        }
    }

    /// The number in a cell, if it is known.
    pub(crate) fn get(&self, space: &SpaceName, segment: SegmentId, counter: &Counter) -> Option<Option<u64>> {
        let known = self.spaces.get(space).filter(|known| known.segment == segment)?;
        known.numbers.get(&(counter.family, counter.key.clone())).copied()
    }

    /// Learns the numbers of what was counted, and those in known cells that were written.
    pub(crate) fn learn(&mut self, space: &SpaceName, segment: SegmentId, counters: &[Counter], cells: &[KeyedCell]) {
        if counters.is_empty() && !self.spaces.contains_key(space) {
            return;
        }
        let known = self.spaces.entry(space.clone()).or_insert_with(|| Known { segment, numbers: BTreeMap::new() });
        if known.segment != segment {
            self.len -= known.numbers.len();
            *known = Known { segment, numbers: BTreeMap::new() };
        }
        for ((family, key), number) in &mut known.numbers {
            if let Ok(at) = place(cells, *family, key) {
                *number = number_in(&cells[at].1);
            }
        }
        for Counter { family, key, .. } in counters {
            if let Ok(at) = place(cells, *family, key) {
                let old = known.numbers.insert((*family, key.clone()), number_in(&cells[at].1));
                self.len += usize::from(old.is_none());
            }
        }
    }
}

/// What a cell is after it was counted.
pub(crate) fn counted(segment: SegmentId, counter: &Counter, number: Option<u64>) -> Result<KeyedCell, AppendError> {
    let number = number.ok_or(AppendError::Invalid("a counter counts on a cell that holds no number"))?;
    let sum = number.saturating_add_signed(counter.add);
    let key = CellKey::new(segment, counter.family, &counter.key, Version(0));
    Ok((key, CellValue::Inline { bytes: sum.to_bytes().into() }))
}

/// The number in a value; `None` if there is none.
pub(crate) fn number_in(value: &CellValue) -> Option<u64> {
    match value {
        CellValue::Inline { bytes } => u64::from_bytes(bytes).ok(),
        CellValue::Tombstone => Some(0),
        CellValue::Blob { .. } | CellValue::Content { .. } => None,
    }
}
