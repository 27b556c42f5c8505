//! Which keys can differ between two versions.
//!
//! ```text
//! A   1 - 2 - 3 - 4 - 5          a = C@2, its chain C@2, B@6, A@3
//!              \                 b = A@5, its chain A@5
//! B             6 - 7            common: A, at 3 and at 5
//!                \               so: what was written in C up to 2, in B up to 6, and in A by 4 and 5
//! C               1 - 2
//! ```
//!
//! Below the segment that both see, and up to the older of the two versions in it, they see the same. What was written above
//! it is told by the commits; so the cost is that of the commits in between, whatever the size of the space.

use std::collections::BTreeSet;
use std::ops::Bound;

use reel_abi::id::{CommitNo, SegmentId, Version};

use crate::chain::Head;
use crate::error::{ReadError, Trouble};
use crate::pending::Reach;
use crate::redb_file::{ascending, table};
use crate::store::{Shared, Store};
use crate::tables::{CELLS, CellKey, cell_key_family, cell_key_part, cell_key_version};

/// Keys with their family, sorted.
type Keys = BTreeSet<(u8, Vec<u8>)>;

/// Versions of one segment: those after the first number up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    segment: SegmentId,
    after: Version,
    through: Version,
}

impl Store {
    /// Every key whose value may differ between two versions, with its family, sorted and each once. Costs as much as was
    /// committed between them, not as much as there is.
    pub fn changed(&self, a: Head, b: Head) -> Result<Vec<(u8, Vec<u8>)>, ReadError> {
        self.shared().changed(a, b)
    }
}

/// What lies between the common past of two chains and their heads. Stretches of a segment that is seen from its beginning
/// begin at version 0, which no commit makes.
fn between(a: &[Head], b: &[Head]) -> Vec<Stretch> {
    let meet = a.iter().enumerate().find_map(|(index, in_a)| {
        let other = b.iter().position(|in_b| in_b.segment == in_a.segment)?;
        Some((index, other))
    });
    let (upto_a, upto_b) = meet.unwrap_or((a.len(), b.len()));
    let above = a[..upto_a].iter().chain(&b[..upto_b]);
    let whole = |at: &Head| Stretch { segment: at.segment, after: Version(0), through: at.version };
    let mut stretches: Vec<Stretch> = above.map(whole).collect();
    if let Some((in_a, in_b)) = meet.map(|(in_a, in_b)| (a[in_a], b[in_b])) {
        let (after, through) = (in_a.version.min(in_b.version), in_a.version.max(in_b.version));
        stretches.push(Stretch { segment: in_a.segment, after, through });
    }
    stretches.retain(|stretch| stretch.after < stretch.through);
    stretches
}

impl Shared {
    fn changed(&self, a: Head, b: Head) -> Result<Vec<(u8, Vec<u8>)>, ReadError> {
        let mut keys = Keys::new();
        for mut stretch in between(&self.chain(a, Reach::Durable)?, &self.chain(b, Reach::Durable)?) {
            // What is at the version at which a segment opens was copied from below.
            if let Some(of) = self.segment(stretch.segment, Reach::Durable)? {
                stretch.after = stretch.after.max(of.opened);
            }
            if !self.add_committed(stretch, &mut keys)? {
                self.add_stored(stretch, &mut keys)?;
            }
        }
        Ok(keys.into_iter().collect())
    }

    /// Adds the keys that the commits of these versions name; `false` if a commit's row is not there any more.
    fn add_committed(&self, stretch: Stretch, keys: &mut Keys) -> Result<bool, ReadError> {
        let Stretch { segment, after, through } = stretch;
        let Some(of) = self.segment(segment, Reach::Durable)? else { return Ok(false) };
        for version in after.next().0..=through.0 {
            let Some(origin) = self.origin(&of.space, Version(version))? else { return Ok(false) };
            if origin.commit == CommitNo(0) {
                continue;
            }
            let record = match self.commit_record(origin.commit) {
                Ok(Some(record)) => record,
                Ok(None) | Err(ReadError::Pruned { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            let changes = record.spaces.into_iter().filter(|change| change.segment == segment);
            keys.extend(changes.flat_map(|change| change.cells).map(|cell| (cell.family, cell.key.0)));
        }
        Ok(true)
    }

    /// Adds the keys that have cells of these versions.
    fn add_stored(&self, stretch: Stretch, keys: &mut Keys) -> Result<(), ReadError> {
        let Stretch { segment, after, through } = stretch;
        let first = CellKey::new(segment, 0, &[], Version(u64::MAX));
        let mut add = |cell: &[u8]| -> bool {
            let family = cell_key_family(cell);
            let Some(key) = cell_key_part(cell, segment, family) else { return false };
            if cell_key_version(cell).is_some_and(|version| version > after && version <= through) {
                keys.insert((family, key.to_vec()));
            }
            true
        };
        for slice in self.live.read().slices() {
            let cells = slice.cells.range((Bound::Included(&first), Bound::Unbounded));
            let _all = cells.map(|(cell, _)| cell).take_while(|cell| add(cell.bytes())).count();
        }
        self.state.read(|txn| {
            let Some(cells) = table(txn, CELLS)? else { return Ok(()) };
            for entry in ascending(cells.range(first.bytes()..)?) {
                if !add(entry?.0.value()) {
                    break;
                }
            }
            Ok::<(), Trouble>(())
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(segment: u64, version: u64) -> Head {
        Head { segment: SegmentId(segment), version: Version(version) }
    }

    fn stretches(a: &[Head], b: &[Head]) -> Vec<(u64, u64, u64)> {
        between(a, b).into_iter().map(|s| (s.segment.0, s.after.0, s.through.0)).collect()
    }

    #[test]
    fn the_drawn_example() {
        let c = [head(3, 2), head(2, 6), head(1, 3)];
        let a = [head(1, 5)];
        assert_eq!(stretches(&c, &a), [(3, 0, 2), (2, 0, 6), (1, 3, 5)]);
        assert_eq!(stretches(&a, &c), [(3, 0, 2), (2, 0, 6), (1, 3, 5)]);
        assert_eq!(stretches(&c, &c), []);
        assert_eq!(stretches(&c[1..], &[head(2, 7), head(1, 3)]), [(2, 6, 7)]);
        assert_eq!(stretches(&a, &[head(7, 4)]), [(1, 0, 5), (7, 0, 4)]);
    }
}
