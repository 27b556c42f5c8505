//! Spaces: where they stand, where they stood, and what made them.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::id::{SegmentId, SpaceName, Version};
use reel_abi::record::Retention;

use crate::chain::{self, Head, Segment};
use crate::cuts;
use crate::error::ReadError;
use crate::pending::Reach;
use crate::slice::Slice;
use crate::state;
use crate::store::Shared;

/// Where a name stands, or stood when it was removed.
#[derive(Debug, Clone, Copy)]
struct Standing {
    head: Head,
    removed: bool,
}

/// What memory says of a name.
#[derive(Debug, Clone, Copy)]
struct InMemory {
    head: Option<Head>,
    removed: Option<bool>,
}

fn in_memory<'a>(newest_first: impl Iterator<Item = &'a Slice>, space: &SpaceName) -> InMemory {
    let mut known = InMemory { head: None, removed: None };
    for slice in newest_first {
        let head = slice.heads.get(space).copied();
        // What was committed to was there, and that it was removed later would be in this slice or a newer one.
        let removed = slice.removed.get(space).map(|at| at.is_some()).or(head.map(|_| false));
        known.removed = known.removed.or(removed);
        known.head = known.head.or(head);
        if known.head.is_some() {
            break;
        }
    }
    known
}

/// Says that a retention removed something.
pub(crate) fn pruned(what: String, retention: &Retention) -> ReadError {
    ReadError::Pruned { what, policy: retention.policy.clone(), at: retention.at }
}

impl Shared {
    pub(crate) fn head(&self, space: &SpaceName, reach: Reach) -> Result<Option<Head>, ReadError> {
        let standing = self.standing(space, reach)?;
        Ok(standing.filter(|standing| !standing.removed).map(|standing| standing.head))
    }

    /// Where a name stands, or stood when it was removed.
    pub(crate) fn last_head(&self, space: &SpaceName, reach: Reach) -> Result<Option<Head>, ReadError> {
        Ok(self.standing(space, reach)?.map(|standing| standing.head))
    }

    fn standing(&self, space: &SpaceName, reach: Reach) -> Result<Option<Standing>, ReadError> {
        let in_memory = in_memory(self.memory(reach).slices(), space);
        self.complete(in_memory, space)
    }

    /// Asks the state file for what is not in memory.
    fn complete(&self, known: InMemory, space: &SpaceName) -> Result<Option<Standing>, ReadError> {
        if let InMemory { head: Some(head), removed: Some(removed) } = known {
            return Ok(Some(Standing { head, removed }));
        }
        let InMemory { head, removed } = known;
        Ok(state::read(&self.state, |snapshot| {
            let head = head.map_or_else(|| snapshot.head(space), |head| Ok(Some(head)))?;
            let removed = removed.map_or_else(|| snapshot.is_removed(space), Ok)?;
            Ok(head.map(|head| Standing { head, removed }))
        })?
        // Without a file nothing was removed that memory does not know of.
        .or(head.map(|head| Standing { head, removed: removed.unwrap_or(false) })))
    }

    pub(crate) fn head_or_new(&self, space: &SpaceName, reach: Reach) -> Result<Head, ReadError> {
        if let Some(head) = self.head(space, reach)? {
            return Ok(head);
        }
        // It may have been opened meanwhile. Nothing moves from memory to the file while this lock is held.
        let pending = (reach == Reach::Ordered).then(|| self.pending.read());
        let mut live = self.live.write();
        let newest_first = pending.iter().flat_map(|pending| pending.slices()).chain(live.slices());
        let last = self.complete(in_memory(newest_first, space), space)?;
        if let Some(Standing { head, removed: false }) = last {
            return Ok(head);
        }
        // What was promised may be used and given up again, and not be durable yet.
        let unused = |promised: &&Head| last.is_none_or(|last| promised.version > last.head.version);
        if let Some(promised) = live.reserved.get(space).filter(unused) {
            return Ok(*promised);
        }
        let version = last.map_or(Version(0), |last| last.head.version.next());
        let head = Head { segment: live.take_segment(), version };
        live.reserved.insert(space.clone(), head);
        Ok(head)
    }

    pub(crate) fn spaces(&self) -> Result<Vec<(SpaceName, Head)>, ReadError> {
        let (mut heads, removed) = self.spaces_ever()?;
        heads.retain(|space, _| !removed.contains(space));
        Ok(heads.into_iter().collect())
    }

    /// All spaces that there ever were, and those of them that were removed.
    pub(crate) fn spaces_ever(&self) -> Result<(BTreeMap<SpaceName, Head>, BTreeSet<SpaceName>), ReadError> {
        let (mut heads, mut removed) = (BTreeMap::new(), BTreeMap::new());
        for slice in self.live.read().slices() {
            for (space, head) in &slice.heads {
                heads.entry(space.clone()).or_insert(*head);
            }
            for (space, at) in &slice.removed {
                removed.entry(space.clone()).or_insert(at.is_some());
            }
        }
        let (known, gone) = state::read(&self.state, |snapshot| Ok((snapshot.heads()?, snapshot.removed()?)))?;
        for (space, head) in known {
            heads.entry(space).or_insert(head);
        }
        for (space, _) in gone {
            removed.entry(space).or_insert(true);
        }
        removed.retain(|_, removed| *removed);
        Ok((heads, removed.into_keys().collect()))
    }

    pub(crate) fn head_at(&self, space: &SpaceName, version: Version) -> Result<Option<Head>, ReadError> {
        let Some(head) = self.last_head(space, Reach::Durable)? else { return Ok(None) };
        if version > head.version {
            return Ok(None);
        }
        let opening = self.opening(space, version, Reach::Durable)?;
        Ok(opening.map(|(_, segment)| Head { segment, version }))
    }

    /// The newest segment of a space opened at or before a version.
    pub(crate) fn opening(
        &self,
        space: &SpaceName,
        at: Version,
        reach: Reach,
    ) -> Result<Option<(Version, SegmentId)>, ReadError> {
        let memory = self.memory(reach);
        let range = (space.clone(), Version(0))..=(space.clone(), at);
        let in_memory = memory.slices().find_map(|slice| slice.openings.range(range.clone()).next_back());
        let in_memory = in_memory.map(|((_, version), segment)| (*version, *segment));
        drop(memory);
        match in_memory {
            Some(opening) => Ok(Some(opening)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.opening(space, at))?),
        }
    }

    /// The segments that a head sees, nearest first, back to the beginning of all.
    pub(crate) fn chain(&self, head: Head, reach: Reach) -> Result<Vec<Head>, ReadError> {
        self.check_head(head, reach)?;
        chain::chain(head, |segment| self.segment(segment, reach))
    }

    /// The segments to be looked at for what a head sees, nearest first: the chain down to the first flat one.
    pub(crate) fn seen(&self, head: Head, reach: Reach) -> Result<Vec<Head>, ReadError> {
        self.check_head(head, reach)?;
        chain::chain(head, |id| {
            let known = self.memory(reach).segment(id);
            match known {
                Some(known) => Ok(Some(known)),
                None => Ok(state::read(&self.state, |snapshot| snapshot.seen_segment(id))?),
            }
        })
    }

    fn check_head(&self, head: Head, reach: Reach) -> Result<(), ReadError> {
        let Some(segment) = self.segment(head.segment, reach)? else { return Err(ReadError::NoSuchHead(head)) };
        if head.version < segment.opened || head.version > self.newest_in(head.segment, &segment, reach)? {
            return Err(ReadError::NoSuchHead(head));
        }
        self.check_kept(head, &segment.space, reach)
    }

    /// [`ReadError::Pruned`] if a retention removed the version. Asked after reading, it tells whether what was read is right:
    /// nothing is removed before this is known.
    pub(crate) fn check_kept(&self, head: Head, space: &SpaceName, reach: Reach) -> Result<(), ReadError> {
        let memory = self.memory(reach);
        let Some(retention) = memory.retention() else { return Ok(()) };
        match cuts::cut(retention, head.segment) {
            Some(cut) if cuts::is_gone(cut, head.version) => {
                Err(pruned(format!("version {} of {space}", head.version), retention))
            }
            _ => Ok(()),
        }
    }

    /// What is known of a segment.
    pub(crate) fn segment(&self, segment: SegmentId, reach: Reach) -> Result<Option<Segment>, ReadError> {
        let known = self.memory(reach).segment(segment);
        match known {
            Some(known) => Ok(Some(known)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.segment(segment))?),
        }
    }

    /// The newest version that a segment has: its space's, or the one before its space went on elsewhere.
    fn newest_in(&self, id: SegmentId, segment: &Segment, reach: Reach) -> Result<Version, ReadError> {
        let Some(head) = self.last_head(&segment.space, reach)? else { return Ok(segment.opened) };
        if head.segment == id {
            return Ok(head.version);
        }
        // Openings of a space ascend with its versions: search the first after this one.
        let (mut low, mut high) = (segment.opened.0, head.version.0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.opening(&segment.space, Version(middle), reach)? {
                Some((_, at)) if at == id => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(Version(low))
    }
}
