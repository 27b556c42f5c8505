//! Which keys the newest commits of each space wrote: in memory for the newest and all that is not durable yet, from the log
//! for those before.
//!
//! Whether a transaction's reads were overtaken costs as much as what was committed since it began, however large the space is
//! and however much it read.

use std::collections::{BTreeMap, VecDeque};

use reel_abi::id::{CommitNo, RunId, SegmentId, SpaceName, Version};

use crate::chain::Head;
use crate::error::{ReadError, Trouble};
use crate::prepared::KeyedCell;
use crate::reads::{ReadSet, Reading, mark};
use crate::redb_file::{ascending, table};
use crate::state::{self, Snapshot};
use crate::store::Shared;
use crate::tables::VERSIONS;
use crate::words;

/// So much is remembered of one space, in bytes of keys and their lengths.
const SPACE_BYTES: usize = 256 << 10;

/// So much is remembered of all spaces, in bytes; beyond it all that is durable is forgotten, and the log is asked for it.
const BYTES: usize = 64 << 20;

/// What an entry costs beside its keys, in bytes.
const ENTRY_BYTES: usize = 64;

/// Versions looked up at once when the log is asked.
const AT_ONCE: u64 = 1024;

/// The written keys of the newest commits.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    spaces: BTreeMap<SpaceName, Ring>,
    bytes: usize,
    batch: u64,
}

/// The newest commits of one space, without gaps.
#[derive(Debug)]
struct Ring {
    segment: SegmentId,
    commits: VecDeque<Written>,
    bytes: usize,
}

#[derive(Debug)]
struct Written {
    version: Version,
    run: RunId,
    batch: u64,
    /// `length of the key: u32 | its mark: u32 | family | key`, one after the other.
    keys: Box<[u8]>,
}

impl Recent {
    /// The next batch begins; the one so far goes to be written, and what was noted before that is in the log.
    pub(crate) fn begin_batch(&mut self) {
        self.batch += 1;
        if self.bytes > BYTES {
            let batch = self.batch;
            self.spaces.retain(|_, ring| {
                while ring.forget(batch) > 0 {}
                !ring.commits.is_empty()
            });
            self.bytes = self.spaces.values().map(|ring| ring.bytes).sum();
        }
    }

    /// Notes what a commit of this batch writes.
    pub(crate) fn note(&mut self, space: &SpaceName, made: Head, run: RunId, cells: &[KeyedCell]) {
        let mut keys = Vec::with_capacity(cells.iter().map(|(key, _)| 9 + key.parts().1.len()).sum());
        for (cell, _) in cells {
            let (family, key) = cell.parts();
            keys.extend_from_slice(&(key.len() as u32).to_le_bytes());
            keys.extend_from_slice(&mark(family, key).to_le_bytes());
            keys.push(family);
            keys.extend_from_slice(key);
        }
        let written = Written { version: made.version, run, batch: self.batch, keys: keys.into() };
        let ring = match self.spaces.get_mut(space) {
            Some(ring) => ring,
            None => {
                let ring = Ring { segment: made.segment, commits: VecDeque::new(), bytes: 0 };
                self.spaces.entry(space.clone()).or_insert(ring)
            }
        };
        let follows = ring.commits.back().is_none_or(|last| last.version.next() == made.version);
        if ring.segment != made.segment || !follows {
            self.bytes -= ring.bytes;
            *ring = Ring { segment: made.segment, commits: VecDeque::new(), bytes: 0 };
        }
        let bytes = ENTRY_BYTES + written.keys.len();
        ring.bytes += bytes;
        self.bytes += bytes;
        ring.commits.push_back(written);
        while ring.bytes > SPACE_BYTES {
            let forgotten = ring.forget(self.batch);
            if forgotten == 0 {
                break;
            }
            self.bytes -= forgotten;
        }
    }

    /// The first read, in words, that a remembered commit after `base` overtook; else the version up to which the log has to be
    /// asked too.
    pub(crate) fn overtaken(
        &self,
        space: &SpaceName,
        base: Head,
        head: Head,
        reads: &ReadSet,
    ) -> Result<Version, String> {
        let Some(ring) = self.spaces.get(space).filter(|ring| ring.segment == base.segment) else {
            return Ok(head.version);
        };
        let mut known_after = head.version;
        for written in ring.commits.iter().rev().take_while(|written| written.version > base.version) {
            for (mark, family, key) in keys(&written.keys) {
                if let Some(reading) = reads.reading_marked(mark, family, key) {
                    return Err(overtaken_by(reading, (family, key), written.version, written.run));
                }
            }
            known_after = Version(written.version.0 - 1);
        }
        Ok(known_after)
    }
}

impl Ring {
    /// Forgets the oldest commit while `batch` is open, unless it is nowhere else; returns its bytes.
    fn forget(&mut self, batch: u64) -> usize {
        // The batch before the open one may be on its way to the log.
        let oldest = self.commits.pop_front_if(|oldest| oldest.batch + 1 < batch);
        let bytes = oldest.map_or(0, |oldest| ENTRY_BYTES + oldest.keys.len());
        self.bytes -= bytes;
        bytes
    }
}

/// The keys of [`Written`].
fn keys(mut packed: &[u8]) -> impl Iterator<Item = (u32, u8, &[u8])> {
    std::iter::from_fn(move || {
        let (len, rest) = packed.split_first_chunk::<4>()?;
        let (mark, rest) = rest.split_first_chunk::<4>()?;
        let (family, rest) = rest.split_first()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        packed = rest;
        Some((u32::from_le_bytes(*mark), *family, key))
    })
}

fn overtaken_by(reading: Reading, (family, key): (u8, &[u8]), version: Version, run: RunId) -> String {
    let cell = words::cell(family, key);
    match reading {
        Reading::Key => format!("it had read {cell}, which run {run} wrote in version {version}"),
        Reading::Range => {
            format!("run {run} wrote {cell} in version {version}, which lies in a range that it had read")
        }
    }
}

impl Shared {
    /// The first read, in words, that a durable commit in versions (`after`, `through`] of a space overtook.
    pub(crate) fn overtaken(
        &self,
        space: &SpaceName,
        segment: SegmentId,
        (mut after, through): (Version, Version),
        reads: &ReadSet,
    ) -> Result<Option<String>, ReadError> {
        while after < through {
            let last = Version(through.0.min(after.0.saturating_add(AT_ONCE)));
            let made = self.made(space, (after.next(), last))?;
            if made.len() as u64 != last.0 - after.0 {
                return Ok(Some(format!("what was written since version {after} is not remembered any more")));
            }
            for (version, commit) in made {
                let record = match self.commit_record(commit) {
                    Err(ReadError::Pruned { .. }) => None,
                    found => found?,
                };
                let change = record.as_ref().and_then(|record| {
                    record.spaces.iter().find(|change| change.space == *space && change.segment == segment)
                });
                let (Some(change), Some(run)) = (change, record.as_ref().map(|record| record.run)) else {
                    return Ok(Some(format!("what version {version} wrote is not remembered any more")));
                };
                for cell in &change.cells {
                    if let Some(reading) = reads.reading(cell.family, &cell.key) {
                        return Ok(Some(overtaken_by(reading, (cell.family, &cell.key), version, run)));
                    }
                }
            }
            after = last;
        }
        Ok(None)
    }

    /// The commits that made the versions `[from, through]` of a space, as far as they are known.
    fn made(
        &self,
        space: &SpaceName,
        (from, through): (Version, Version),
    ) -> Result<Vec<(Version, CommitNo)>, ReadError> {
        let mut made = BTreeMap::new();
        for slice in self.live.read().slices() {
            let range = slice.versions.range((space.clone(), from)..=(space.clone(), through));
            made.extend(range.map(|((_, version), origin)| (*version, origin.commit)));
        }
        if made.len() as u64 <= through.0 - from.0 {
            made.extend(state::read(&self.state, |snapshot| snapshot.made(space, (from, through)))?);
        }
        Ok(made.into_iter().collect())
    }
}

impl Snapshot<'_> {
    /// The commits that made the versions `[from, through]` of a space.
    fn made(
        &self,
        space: &SpaceName,
        (from, through): (Version, Version),
    ) -> Result<Vec<(Version, CommitNo)>, Trouble> {
        let Some(versions) = table(self.0, VERSIONS)? else { return Ok(Vec::new()) };
        let range = versions.range((space.as_str(), from.0)..=(space.as_str(), through.0))?;
        ascending(range)
            .map(|entry| {
                let (key, value) = entry?;
                Ok((Version(key.value().1), CommitNo(value.value().0)))
            })
            .collect()
    }
}
