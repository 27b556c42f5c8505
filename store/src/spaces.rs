//! Spaces: where they stand, where they stood, and what made them.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, RunId, SegmentId, SpaceName, Version, WallTime};

use crate::chain::{self, Head, Segment};
use crate::error::ReadError;
use crate::state;
use crate::store::Shared;

impl Shared {
    pub(crate) fn head(&self, space: &SpaceName) -> Result<Option<Head>, ReadError> {
        let known = self.live.read().slices().find_map(|slice| slice.heads.get(space).copied());
        match known {
            Some(head) => Ok(Some(head)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.head(space))?),
        }
    }

    pub(crate) fn head_or_new(&self, space: &SpaceName) -> Result<Head, ReadError> {
        if let Some(head) = self.head(space)? {
            return Ok(head);
        }
        let mut live = self.live.write();
        // It may have been opened between the two locks; then it is in memory still.
        if let Some(head) = live.slices().find_map(|slice| slice.heads.get(space).copied()) {
            return Ok(head);
        }
        let segment = match live.reserved.get(space) {
            Some(segment) => *segment,
            None => {
                let segment = live.take_segment();
                live.reserved.insert(space.clone(), segment);
                segment
            }
        };
        Ok(Head { segment, version: Version(0) })
    }

    pub(crate) fn spaces(&self) -> Result<Vec<(SpaceName, Head)>, ReadError> {
        let mut spaces = BTreeMap::new();
        for slice in self.live.read().slices() {
            for (space, head) in &slice.heads {
                spaces.entry(space.clone()).or_insert(*head);
            }
        }
        for (space, head) in state::read(&self.state, |snapshot| snapshot.heads())? {
            spaces.entry(space).or_insert(head);
        }
        Ok(spaces.into_iter().collect())
    }

    pub(crate) fn head_at(&self, space: &SpaceName, version: Version) -> Result<Option<Head>, ReadError> {
        let Some(head) = self.head(space)? else { return Ok(None) };
        if version > head.version {
            return Ok(None);
        }
        let opening = self.opening(space, version)?;
        Ok(opening.map(|(_, segment)| Head { segment, version }))
    }

    /// The newest segment of a space opened at or before a version.
    fn opening(&self, space: &SpaceName, at: Version) -> Result<Option<(Version, SegmentId)>, ReadError> {
        let live = self.live.read();
        let range = (space.clone(), Version(0))..=(space.clone(), at);
        let in_memory = live.slices().find_map(|slice| slice.openings.range(range.clone()).next_back());
        let in_memory = in_memory.map(|((_, version), segment)| (*version, *segment));
        drop(live);
        match in_memory {
            Some(opening) => Ok(Some(opening)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.opening(space, at))?),
        }
    }

    pub(crate) fn history(&self, space: &SpaceName) -> Result<Vec<(Version, CommitNo, RunId, WallTime)>, ReadError> {
        let mut history = BTreeMap::new();
        for slice in self.live.read().slices() {
            let range = (space.clone(), Version(0))..=(space.clone(), Version(u64::MAX));
            for ((_, version), made) in slice.versions.range(range) {
                history.insert(*version, *made);
            }
        }
        for (version, commit, run, at) in state::read(&self.state, |snapshot| snapshot.versions(space))? {
            history.insert(version, (commit, run, at));
        }
        Ok(history.into_iter().map(|(version, (commit, run, at))| (version, commit, run, at)).collect())
    }

    /// The segments that a head sees, nearest first.
    pub(crate) fn chain(&self, head: Head) -> Result<Vec<Head>, ReadError> {
        let Some(segment) = self.segment(head.segment)? else { return Err(ReadError::NoSuchHead(head)) };
        if head.version < segment.opened || head.version > self.newest_in(head.segment, &segment)? {
            return Err(ReadError::NoSuchHead(head));
        }
        chain::chain(head, |segment| self.segment(segment))
    }

    fn segment(&self, segment: SegmentId) -> Result<Option<Segment>, ReadError> {
        let known = self.live.read().segment(segment);
        match known {
            Some(known) => Ok(Some(known)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.segment(segment))?),
        }
    }

    /// The newest version that a segment has: its space's, or the one before its space went on elsewhere.
    fn newest_in(&self, id: SegmentId, segment: &Segment) -> Result<Version, ReadError> {
        let Some(head) = self.head(&segment.space)? else { return Ok(segment.opened) };
        if head.segment == id {
            return Ok(head.version);
        }
        // Openings of a space ascend with its versions: search the first after this one.
        let (mut low, mut high) = (segment.opened.0, head.version.0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.opening(&segment.space, Version(middle))? {
                Some((_, at)) if at == id => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(Version(low))
    }
}
