//! What was: the versions of a space and of a key, what made them and when.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, RunId, SpaceName, Version, WallTime};
use reel_abi::record::CellValue;

use crate::chain::{Head, Segment};
use crate::error::{ReadError, Trouble};
use crate::pending::Reach;
use crate::slice::Origin;
use crate::state;
use crate::store::{Shared, Store};
use crate::tables::{CellKey, cell_key_version};

/// A version of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The version.
    pub version: Version,
    /// When it was made.
    pub at: WallTime,
    /// What made it.
    pub made: Made,
}

/// What made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A transaction.
    Commit {
        /// Its place in the database's chain.
        commit: CommitNo,
        /// The run that it was.
        run: RunId,
    },
    /// The space was forked.
    Fork {
        /// From this space,
        source: SpaceName,
        /// at this version.
        version: Version,
    },
    /// The space was rolled back.
    Rollback {
        /// To this version of it.
        to: Version,
    },
}

/// A value that a key had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The space in which it was written: the one asked for, or one that it was forked from.
    pub space: SpaceName,
    /// The version that it is part of.
    pub version: Version,
    /// When it was committed.
    pub at: WallTime,
    /// The commit.
    pub commit: CommitNo,
    /// The run that wrote it.
    pub run: RunId,
    /// The value; a tombstone if it was removed.
    pub value: CellValue,
}

impl Store {
    /// The newest version of a space that was made at or before a moment; `None` if there was none yet.
    pub fn version_at(&self, space: &SpaceName, at: WallTime) -> Result<Option<Version>, ReadError> {
        self.shared().version_at(space, at)
    }

    /// The versions of a space, ascending, and what made them. The empty version that a space begins with is not among them.
    pub fn history(&self, space: &SpaceName) -> Result<Vec<VersionRecord>, ReadError> {
        self.shared().history(space)
    }

    /// What a key held, newest first, as `head` sees it: through forks and rollbacks, and not what came after them elsewhere.
    pub fn key_history(&self, head: Head, family: u8, key: &[u8], limit: usize) -> Result<Vec<Change>, ReadError> {
        self.shared().key_history(head, family, key, limit)
    }
}

impl Shared {
    fn version_at(&self, space: &SpaceName, at: WallTime) -> Result<Option<Version>, ReadError> {
        let range = (space.clone(), Version(0))..=(space.clone(), Version(u64::MAX));
        let live = self.live.read();
        let in_memory = live.slices().find_map(|slice| {
            let mut newest_first = slice.versions.range(range.clone()).rev();
            newest_first.find(|(_, origin)| origin.at <= at).map(|((_, version), _)| *version)
        });
        drop(live);
        match in_memory {
            Some(version) => Ok(Some(version)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.version_at(space, at))?),
        }
    }

    fn history(&self, space: &SpaceName) -> Result<Vec<VersionRecord>, ReadError> {
        let mut origins = BTreeMap::new();
        for slice in self.live.read().slices() {
            let range = (space.clone(), Version(0))..=(space.clone(), Version(u64::MAX));
            origins.extend(slice.versions.range(range).map(|((_, version), origin)| (*version, *origin)));
        }
        origins.extend(state::read(&self.state, |snapshot| snapshot.versions(space))?);
        let mut history = Vec::with_capacity(origins.len());
        for (version, Origin { commit, run, at }) in origins {
            let made = match commit {
                CommitNo(0) => match self.branched(space, version)? {
                    Some(made) => made,
                    None => continue,
                },
                commit => Made::Commit { commit, run },
            };
            history.push(VersionRecord { version, at, made });
        }
        Ok(history)
    }

    /// The branch at which a version was opened; `None` if it was opened by a run.
    fn branched(&self, space: &SpaceName, version: Version) -> Result<Option<Made>, ReadError> {
        let Some((opened, segment)) = self.opening(space, version, Reach::Durable)? else { return Ok(None) };
        let parent = self.segment(segment, Reach::Durable)?.and_then(|segment| segment.parent);
        let Some((parent, seen)) = parent.filter(|_| opened == version) else { return Ok(None) };
        let source = self.segment(parent, Reach::Durable)?.ok_or(crate::chain::ChainError::Unknown(parent))?.space;
        Ok(Some(if source == *space { Made::Rollback { to: seen } } else { Made::Fork { source, version: seen } }))
    }

    /// What made a version; `None` if nothing is known of it.
    pub(crate) fn origin(&self, space: &SpaceName, version: Version) -> Result<Option<Origin>, ReadError> {
        let key = (space.clone(), version);
        let known = self.live.read().slices().find_map(|slice| slice.versions.get(&key).copied());
        match known {
            Some(origin) => Ok(Some(origin)),
            None => Ok(state::read(&self.state, |snapshot| snapshot.origin(space, version))?),
        }
    }

    fn key_history(&self, head: Head, family: u8, key: &[u8], limit: usize) -> Result<Vec<Change>, ReadError> {
        let mut changes = Vec::new();
        for at in self.chain(head, Reach::Durable)? {
            let Some(Segment { space, opened, .. }) = self.segment(at.segment, Reach::Durable)? else { break };
            for (version, value) in self.cell_versions(at, family, key, limit.saturating_sub(changes.len()))? {
                // No commit makes the version at which a segment opens: what is there was copied from below.
                if version == opened {
                    continue;
                }
                let Some(Origin { commit, run, at }) = self.origin(&space, version)? else {
                    let what = format!("knows nothing of {space}@{version}, which wrote {key:?}");
                    return Err(Trouble::Corrupt(what).in_file(self.state.path()).into());
                };
                changes.push(Change { space: space.clone(), version, at, commit, run, value });
            }
            if changes.len() >= limit {
                break;
            }
        }
        changes.truncate(limit);
        Ok(changes)
    }

    /// The versions of a cell in one segment, newest first.
    fn cell_versions(
        &self,
        at: Head,
        family: u8,
        key: &[u8],
        limit: usize,
    ) -> Result<Vec<(Version, CellValue)>, ReadError> {
        let newest = CellKey::new(at.segment, family, key, at.version);
        let oldest = CellKey::new(at.segment, family, key, Version(0));
        let mut found = BTreeMap::new();
        for slice in self.live.read().slices() {
            for (cell, value) in slice.cells.range(newest.clone()..=oldest.clone()).take(limit) {
                found.extend(cell_key_version(cell.bytes()).map(|version| (version, value.clone())));
            }
        }
        found.extend(state::read(&self.state, |snapshot| snapshot.cell_versions(at, family, key, limit))?);
        Ok(found.into_iter().rev().take(limit).collect())
    }
}
