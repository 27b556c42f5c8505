//! What was under a path or a key, and what made it so: newest first, as a version sees it, through rollbacks and forks.
//!
//! ```text
//! versions    1 - 2 - 3 - 4 - 5 - 6             6 is a rollback to 3: seen from 6, the line is 6, 3, 2, 1
//! timeline    of /a/b: which node the path led to along that line. Directories above it may be renamed or made anew, so that each part of
//!             the path has a timeline of its own, which is laid into that of the part before.
//! ```

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::id::{SpaceName, Version, WallTime};
use reel_abi::record::{CellValue, family};
use reel_abi::types::{NodeKind, WallReading};
use reel_abi::wire::Wire;
use reel_store::{Change, Head, Made, ReadError, Store, VersionRecord};

use super::cells::Cells;
use super::files_at::LookError;
use super::keys_at::cell_key;
use crate::txn::node::{Entry, Node, ROOT, Times, entry_key, node_key};

/// Changes of one cell that are looked at for the past of a path.
const CHANGES: usize = 100_000;

/// What the past of is asked for.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A path, without `/` at its ends; links in it are not followed.
    Path(String),
    /// A key of a bucket.
    Key {
        /// The bucket.
        bucket: Vec<u8>,
        /// The key.
        key: Vec<u8>,
    },
}

/// A version that changed the subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The space: the one asked for, or one that it was forked from.
    pub space: SpaceName,
    /// The version.
    pub version: Version,
    /// When it was made.
    pub at: WallTime,
    /// What made it.
    pub made: Made,
    /// What was there before it.
    pub before: Found,
    /// What is there since.
    pub after: Found,
}

/// What is somewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file, directory or link.
    Node(u64, Node),
    /// A value.
    Value(CellValue),
    /// What retention has removed.
    Unknown,
}

/// Up to `limit` versions that changed the subject, newest first.
pub fn past(
    store: &Store,
    space: &SpaceName,
    head: Head,
    subject: &Subject,
    limit: usize,
) -> Result<Vec<Step>, LookError> {
    let line = Line::seen(store, space, head)?;
    let found = match subject {
        Subject::Key { bucket, key } => line.key(&cell_key(bucket, key), limit)?,
        Subject::Path(path) => line.path(path)?,
    };
    line.steps(found, subject, limit)
}

/// The versions that a head sees, newest first.
struct Line<'a> {
    store: &'a Store,
    head: Head,
    versions: Vec<(SpaceName, VersionRecord)>,
    /// Where they stand in time: the oldest has 1.
    places: BTreeMap<(SpaceName, Version), usize>,
}

/// What was there from a place in time on, oldest first.
type Timeline = Vec<(usize, Found)>;

impl<'a> Line<'a> {
    fn seen(store: &'a Store, space: &SpaceName, head: Head) -> Result<Self, ReadError> {
        let mut versions = Vec::new();
        let (mut space, mut from) = (space.clone(), Some(head.version));
        let mut walked = BTreeSet::new();
        while let Some(top) = from.take().filter(|top| walked.insert((space.clone(), *top))) {
            let mut next = top;
            let mut source = None;
            for record in store.history(&space)?.into_iter().rev().filter(|record| record.version <= top) {
                if record.version > next {
                    continue;
                }
                match &record.made {
                    Made::Rollback { to } => next = *to,
                    Made::Fork { source: name, version } => source = Some((name.clone(), *version)),
                    Made::Commit { .. } => {}
                }
                versions.push((space.clone(), record));
                if source.is_some() {
                    break;
                }
            }
            if let Some((name, version)) = source {
                (space, from) = (name, Some(version));
            }
        }
        let count = versions.len();
        let places = versions.iter().enumerate();
        let places = places.map(|(index, (space, record))| ((space.clone(), record.version), count - index)).collect();
        Ok(Self { store, head, versions, places })
    }

    fn place(&self, change: &Change) -> Option<usize> {
        self.places.get(&(change.space.clone(), change.version)).copied()
    }

    fn changes(&self, family: u8, key: &[u8], limit: usize) -> Result<Vec<(usize, CellValue)>, ReadError> {
        let mut changes = Vec::new();
        for change in self.store.key_history(self.head, family, key, limit)? {
            changes.extend(self.place(&change).map(|place| (place, change.value)));
        }
        changes.reverse();
        Ok(changes)
    }

    fn key(&self, cell: &[u8], limit: usize) -> Result<Timeline, LookError> {
        // One more, so that what was before the last one is known.
        let changes = self.changes(family::KEY_VALUE, cell, limit.saturating_add(1))?;
        let found = |value| if value == CellValue::Tombstone { Found::Nothing } else { Found::Value(value) };
        Ok(changes.into_iter().map(|(place, value)| (place, found(value))).collect())
    }

    fn path(&self, path: &str) -> Result<Timeline, LookError> {
        let mut nodes = vec![(0, Some(ROOT))];
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let mut deeper = Vec::new();
            for (start, end, dir) in spans(&nodes) {
                let Some(dir) = dir else {
                    deeper.push((start, None));
                    continue;
                };
                let changes = self.changes(family::ENTRY, &entry_key(dir, name), CHANGES)?;
                let mut first = None;
                let mut later = Vec::new();
                for (place, value) in changes {
                    let node = decoded::<Entry>(&value)?.map(|entry| entry.node);
                    match place {
                        _ if place <= start => first = node,
                        _ if place < end => later.push((place, node)),
                        _ => {}
                    }
                }
                deeper.push((start, first));
                deeper.append(&mut later);
            }
            deeper.dedup_by_key(|(_, node)| *node);
            nodes = deeper;
        }
        let mut timeline = Vec::new();
        for (start, end, id) in spans(&nodes) {
            let Some(id) = id else {
                timeline.push((start, Found::Nothing));
                continue;
            };
            let nodes = self.states::<Node>(family::NODE, id, start, end)?;
            let is_directory = |node: &Node| node.kind == NodeKind::Directory;
            let may_hold = id == ROOT || nodes.values().flatten().any(is_directory);
            let times = if may_hold { self.states::<Times>(family::TIMES, id, start, end)? } else { BTreeMap::new() };
            // The root is there before it is written.
            let unwritten = (id == ROOT).then(|| Node::new(NodeKind::Directory, WallReading(0)));
            let mut states: BTreeMap<usize, Found> = BTreeMap::new();
            for place in nodes.keys().chain(times.keys()).chain(unwritten.is_some().then_some(&start)) {
                let node = newest(&nodes, *place).or(unwritten.clone());
                let times = newest(&times, *place);
                let node = match times {
                    Some(times) => node.map(|node| if is_directory(&node) { node.dated(times) } else { node }),
                    None => node,
                };
                states.insert(*place, node.map_or(Found::Nothing, |node| Found::Node(id, node)));
            }
            timeline.extend(states);
        }
        Ok(timeline)
    }

    /// What a cell of a node held from which place on, of those in which the path led to it; what it held before them, at the first.
    fn states<T: Wire>(
        &self,
        family: u8,
        id: u64,
        start: usize,
        end: usize,
    ) -> Result<BTreeMap<usize, Option<T>>, LookError> {
        let mut states = BTreeMap::new();
        for (place, value) in self.changes(family, &node_key(id), CHANGES)? {
            if place < end {
                states.insert(place.max(start), decoded::<T>(&value)?);
            }
        }
        Ok(states)
    }

    /// Whether the version at a place can still be looked at.
    fn is_kept(&self, place: usize) -> Result<bool, ReadError> {
        let at = self.versions.len().checked_sub(place).and_then(|index| self.versions.get(index));
        // Before the first version there was nothing.
        let Some((space, record)) = at else { return Ok(true) };
        is_kept(self.store, space, record.version)
    }

    /// The newest of a timeline as steps, with the rollbacks and forks that lie between.
    fn steps(&self, timeline: Timeline, subject: &Subject, limit: usize) -> Result<Vec<Step>, LookError> {
        let mut steps = BTreeMap::new();
        let ends = timeline.iter().skip(1).map(|(place, _)| *place).chain([self.versions.len() + 1]);
        let ends: Vec<usize> = ends.collect();
        let mut before = Found::Nothing;
        let mut newest = Vec::new();
        for ((place, after), end) in timeline.into_iter().zip(ends) {
            newest.push((place, end, before, after.clone()));
            before = after;
        }
        for (place, end, mut before, after) in newest.into_iter().rev().filter(|(place, ..)| *place > 0) {
            // What no version shows any more may have lost a part.
            if !self.is_kept(end - 1)? && !self.is_kept(place)? {
                continue;
            }
            if !self.is_kept(place - 1)? {
                before = Found::Unknown;
            }
            if !matches!((&before, &after), (Found::Nothing | Found::Unknown, Found::Nothing)) {
                steps.insert(place, (before, after));
            }
            if steps.len() >= limit {
                break;
            }
        }
        for (index, (space, record)) in self.versions.iter().enumerate() {
            let place = self.versions.len() - index;
            match &record.made {
                Made::Commit { .. } => {}
                Made::Rollback { .. } => {
                    let after = self.found(space, record.version, subject)?;
                    let before = record.version.0.checked_sub(1).map(Version);
                    let before = before.map_or(Ok(Found::Nothing), |before| self.found(space, before, subject))?;
                    // What it led away from may not be kept any more.
                    if before != after && before != Found::Unknown && after != Found::Unknown {
                        steps.insert(place, (before, after));
                    }
                }
                Made::Fork { .. } => {
                    let found = self.found(space, record.version, subject)?;
                    if !matches!(found, Found::Nothing | Found::Unknown) {
                        steps.insert(place, (found.clone(), found));
                    }
                }
            }
        }
        let newest = steps.into_iter().rev().take(limit);
        let step = newest.filter_map(|(place, (before, after))| {
            let (space, VersionRecord { version, at, made }) =
                self.versions.get(self.versions.len().checked_sub(place)?)?.clone();
            Some(Step { space, version, at, made, before, after })
        });
        Ok(step.collect())
    }

    /// What a version of a space holds.
    fn found(&self, space: &SpaceName, version: Version, subject: &Subject) -> Result<Found, LookError> {
        let Some(head) = self.store.head_at(space, version)? else { return Ok(Found::Nothing) };
        match Cells::at(self.store, head) {
            Err(LookError::Read(ReadError::Pruned { .. })) => Ok(Found::Unknown),
            cells => found(&cells?, subject),
        }
    }
}

/// Whether a version can still be looked at: retention may have removed it.
pub fn is_kept(store: &Store, space: &SpaceName, version: Version) -> Result<bool, ReadError> {
    match store.head_at(space, version).and_then(|head| head.map(|head| store.view(head)).transpose()) {
        Ok(_) => Ok(true),
        Err(ReadError::Pruned { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is under a path or key at a version.
fn found(cells: &Cells, subject: &Subject) -> Result<Found, LookError> {
    match subject {
        Subject::Key { bucket, key } => {
            let value = cells.view.get(family::KEY_VALUE, &cell_key(bucket, key))?;
            Ok(value.map_or(Found::Nothing, Found::Value))
        }
        Subject::Path(path) => {
            let mut at = ROOT;
            for name in path.split('/').filter(|name| !name.is_empty()) {
                match cells.entry(at, name)? {
                    Some(entry) => at = entry.node,
                    None => return Ok(Found::Nothing),
                }
            }
            Ok(cells.dated(at)?.map_or(Found::Nothing, |node| Found::Node(at, node)))
        }
    }
}

/// From where to where which node was there.
fn spans(nodes: &[(usize, Option<u64>)]) -> impl Iterator<Item = (usize, usize, Option<u64>)> {
    let ends = nodes.iter().skip(1).map(|(start, _)| *start).chain([usize::MAX]);
    nodes.iter().zip(ends).map(|((start, node), end)| (*start, end, *node))
}

/// What a cell held at a place.
fn newest<T: Clone>(states: &BTreeMap<usize, Option<T>>, place: usize) -> Option<T> {
    states.range(..=place).next_back().and_then(|(_, state)| state.clone())
}

fn decoded<T: Wire>(value: &CellValue) -> Result<Option<T>, LookError> {
    match value {
        CellValue::Tombstone => Ok(None),
        CellValue::Inline { bytes } => {
            T::from_bytes(bytes).map(Some).map_err(|error| LookError::Failed(error.to_string()))
        }
        _ => Err(LookError::Failed("a name or node of the space is no small value".into())),
    }
}
