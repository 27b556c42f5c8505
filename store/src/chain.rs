//! Which cells a version sees through forks and rollbacks. Pure: no I/O, no time.
//!
//! ```text
//! orders:   1 - 2 - 3 - 4 - 5                         segment A, versions 1..5
//!                    \          (rollback to 3)
//!                     6 - 7                           segment B, parent A@3
//!                      \       (fork of orders@6)
//!           trial:      1 - 2                         segment C, parent B@6
//!
//! trial@2 sees the newest cell of C up to 2, else of B up to 6, else of A up to 3: its chain is [C@2, B@6, A@3].
//! ```
//!
//! A parent is always older than its child, so a chain ends; one that says otherwise is damaged and refused.

use reel_abi::id::{SegmentId, SpaceName, Version};
use reel_abi::wire_struct;
use thiserror::Error;

wire_struct! {
    /// Where a space stands: the segment it is written to and its version.
    #[derive(Copy, Hash, PartialOrd, Ord)]
    pub struct Head {
        /// The segment.
        pub segment: SegmentId,
        /// The version; 0 if nothing was committed yet.
        pub version: Version,
    }
}

wire_struct! {
    /// A stretch of versions of one space.
    pub struct Segment {
        /// The space it was opened for.
        pub space: SpaceName,
        /// Version of the space when it was opened.
        pub opened: Version,
        /// What lies under it.
        pub parent: Option<(SegmentId, Version)>,
    }
}

/// Why a chain of parents cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainError {
    /// A parent that was never opened.
    #[error("segment {0} was never opened")]
    Unknown(SegmentId),
    /// A parent that is not older than its child.
    #[error("segment {child} says that segment {parent} lies under it, which is not older")]
    NotOlder {
        /// The child.
        child: SegmentId,
        /// Its parent.
        parent: SegmentId,
    },
}

/// The segments that `head` sees, nearest first, each with the newest version to be seen in it.
pub(crate) fn chain<E: From<ChainError>>(
    head: Head,
    mut segment: impl FnMut(SegmentId) -> Result<Option<Segment>, E>,
) -> Result<Vec<Head>, E> {
    let mut chain = vec![head];
    let mut at = head.segment;
    loop {
        let Segment { parent, .. } = segment(at)?.ok_or(ChainError::Unknown(at))?;
        let Some((parent, version)) = parent else { return Ok(chain) };
        if parent >= at {
            return Err(ChainError::NotOlder { child: at, parent }.into());
        }
        chain.push(Head { segment: parent, version });
        at = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(id: SegmentId) -> Result<Option<Segment>, ChainError> {
        let space: SpaceName = "s".parse().map_err(|_| ChainError::Unknown(id))?;
        let parent = match id.0 {
            1 => None,
            2 => Some((SegmentId(1), Version(3))),
            3 => Some((SegmentId(2), Version(6))),
            4 => Some((SegmentId(4), Version(1))),
            5 => Some((SegmentId(9), Version(1))),
            6 => Some((SegmentId(0), Version(1))),
            _ => return Ok(None),
        };
        Ok(Some(Segment { space, opened: Version(0), parent }))
    }

    fn head(segment: u64, version: u64) -> Head {
        Head { segment: SegmentId(segment), version: Version(version) }
    }

    #[test]
    fn the_drawn_example() {
        assert_eq!(chain(head(3, 2), segments), Ok(vec![head(3, 2), head(2, 6), head(1, 3)]));
        assert_eq!(chain(head(1, 5), segments), Ok(vec![head(1, 5)]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let not_older = |child, parent| ChainError::NotOlder { child: SegmentId(child), parent: SegmentId(parent) };
        assert_eq!(chain(head(4, 1), segments), Err(not_older(4, 4)));
        assert_eq!(chain(head(5, 1), segments), Err(not_older(5, 9)));
        assert_eq!(chain(head(6, 1), segments), Err(ChainError::Unknown(SegmentId(0))));
    }
}
