//! What a retention leaves. Pure: no I/O.
//!
//! ```text
//! segment A   1 - 2 - 3 - 4 - 5 - 6          border 5, kept 2 (a fork lies on it)
//!             k=a     k=b     k=c            kept versions: 2, 5, 6; so the cell of 1 stays for 2, that of 3 goes, that of 5 stays
//! ```
//!
//! A cell is seen from its version up to the next one of its key. It stays if one of these versions can still be read.

use reel_abi::id::{SegmentId, Version};
use reel_abi::record::{Cut, Retention};

use crate::row::NUMBERS_END;
use crate::tables::{cell_key_prefix, cell_key_segment, cell_key_version};

/// The border of a segment of which nothing can be read but what is kept.
pub(crate) const ALL: Version = Version(NUMBERS_END - 1);

/// What a retention left of a segment; `None` if all.
pub(crate) fn cut(retention: &Retention, segment: SegmentId) -> Option<&Cut> {
    let at = retention.segments.binary_search_by_key(&segment, |cut| cut.segment).ok()?;
    retention.segments.get(at)
}

/// Whether a version cannot be read any more.
pub(crate) fn is_gone(cut: &Cut, version: Version) -> bool {
    version < cut.border && cut.kept.binary_search(&version).is_err()
}

/// Whether a cell of `version`, the next newer of whose key is of `newer`, is still seen by somebody.
pub(crate) fn is_seen(cut: &Cut, version: Version, newer: Option<Version>) -> bool {
    let above = cut.border != ALL && newer.is_none_or(|newer| newer > cut.border);
    let from = cut.kept.partition_point(|kept| *kept < version);
    above || cut.kept.get(from).is_some_and(|kept| newer.is_none_or(|newer| *kept < newer))
}

/// Says of one cell after the other, in the order of the table, which stay.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    retention: &'a Retention,
    prefix: Vec<u8>,
    newer: Option<Version>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(retention: &'a Retention) -> Self {
        Self { retention, prefix: Vec::new(), newer: None }
    }

    /// Whether the cell with this key stays. What is no cell key stays too.
    pub(crate) fn keeps(&mut self, cell: &[u8]) -> bool {
        let (Some(segment), Some(version)) = (cell_key_segment(cell), cell_key_version(cell)) else { return true };
        let prefix = cell_key_prefix(cell);
        if self.prefix != prefix {
            self.prefix = prefix.to_vec();
            self.newer = None;
        }
        let newer = self.newer.replace(version);
        cut(self.retention, segment).is_none_or(|cut| is_seen(cut, version, newer))
    }
}

/// Both cuts of one segment: what either took is gone.
pub(crate) fn both(one: &Cut, other: &Cut) -> Cut {
    let (low, high) = if one.border <= other.border { (one, other) } else { (other, one) };
    let kept = high.kept.iter().copied().filter(|version| !is_gone(low, *version)).collect();
    Cut { segment: high.segment, border: high.border, kept }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_cut(border: u64, mut kept: Vec<u64>) -> Cut {
        kept.sort_unstable();
        kept.dedup();
        kept.retain(|version| *version < border);
        let border = if border == 9 { ALL } else { Version(border) };
        Cut { segment: SegmentId(1), border, kept: kept.into_iter().map(Version).collect() }
    }

    proptest! {
        #[test]
        fn a_cell_stays_exactly_while_somebody_sees_it(
            border in 0u64..10, kept in prop::collection::vec(0u64..9, 0..4),
            version in 0u64..9, newer in prop::option::of(1u64..9),
        ) {
            let cut = a_cut(border, kept);
            let newest = 8;
            let newer = newer.map(|newer| version + newer);
            let seen = (version..newer.unwrap_or(newest + 1)).any(|at| !is_gone(&cut, Version(at)));
            // Versions above the newest may come, and see it.
            let later = cut.border != ALL && newer.is_none_or(|newer| newer > newest);
            prop_assert_eq!(is_seen(&cut, Version(version), newer.map(Version)), seen || later);
        }

        #[test]
        fn what_either_took_is_gone(
            old in (0u64..10, prop::collection::vec(0u64..9, 0..4)),
            later in 0u64..10, tagged in prop::collection::vec(0u64..9, 0..4),
        ) {
            let old = a_cut(old.0, old.1);
            let new = a_cut(later, tagged);
            let both = both(&old, &new);
            prop_assert!(both.kept.is_sorted());
            for version in (0..9).map(Version) {
                prop_assert_eq!(is_gone(&both, version), is_gone(&old, version) || is_gone(&new, version));
            }
        }
    }
}
