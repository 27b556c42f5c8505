//! `state.redb`: what the log says, in the order readers ask for it. Derived, so damage to it loses nothing.
//!
//! A slice is written in one durable transaction together with the position it reaches: state is always the exact result of
//! a prefix of the log.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use reel_abi::id::{CommitNo, Digest, Position, RunId, SegmentId, Seq, SpaceName, TagName, Version, WallTime};
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::record::{CellValue, OutboxEntry, Retention};
use reel_abi::wire::{Wire, Writer};

use crate::audit::Totals;
use crate::chain::{Head, Segment};
use crate::error::{Fault, Trouble};
use crate::flat::Flat;
use crate::redb_file::{RedbFile, ascending, table};
use crate::row::{ItemPlace, NUMBERS_END, RowEnd};
use crate::slice::{FramePlace, Origin, Slice};
use crate::tables::*;
use crate::tags::Tag;

/// One snapshot of the state.
pub(crate) struct Snapshot<'a>(pub(crate) &'a ReadTransaction);

/// The highest numbers in use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Newest {
    pub(crate) run: u64,
    pub(crate) commit: u64,
    pub(crate) segment: u64,
}

const APPLIED_KEY: &str = "applied";
const RETAINED_KEY: &str = "retained";
const PRUNED_KEY: &str = "pruned";

/// Reads in one snapshot; the default if there is no state yet.
pub(crate) fn read<T: Default>(
    file: &RedbFile,
    f: impl FnOnce(&Snapshot<'_>) -> Result<T, Trouble>,
) -> Result<T, Fault> {
    Ok(file.read(|txn| f(&Snapshot(txn)))?.unwrap_or_default())
}

impl Snapshot<'_> {
    /// The last row that is in the state.
    pub(crate) fn applied(&self) -> Result<RowEnd, Trouble> {
        let Some(meta) = table(self.0, META)? else { return Ok(RowEnd::default()) };
        if !check_format(&meta)? {
            return Ok(RowEnd::default());
        }
        meta.get(APPLIED_KEY)?.map_or_else(|| Ok(RowEnd::default()), |value| row_end_from(value.value()))
    }

    /// The newest retention in here.
    pub(crate) fn retained(&self) -> Result<Option<Retention>, Trouble> {
        let Some(meta) = table(self.0, META)? else { return Ok(None) };
        meta.get(RETAINED_KEY)?.map(|value| Ok(Retention::from_bytes(value.value())?)).transpose()
    }

    /// Whether a retention was carried out in here.
    pub(crate) fn is_pruned(&self, retention: &Retention) -> Result<bool, Trouble> {
        let Some(meta) = table(self.0, META)? else { return Ok(false) };
        let pruned = meta.get(PRUNED_KEY)?;
        Ok(pruned.is_some_and(|value| value.value() == Digest::of(&retention.to_bytes()).0))
    }

    /// Whether the tables are those of another build.
    pub(crate) fn is_of_other_layout(&self) -> Result<bool, Trouble> {
        let Some(meta) = table(self.0, META)? else { return Ok(false) };
        Ok(check_format(&meta)? && !check_layout(&meta)?)
    }

    /// The highest numbers in use.
    pub(crate) fn newest(&self) -> Result<Newest, Trouble> {
        let mut newest = Newest::default();
        if let Some(begins) = table(self.0, BEGINS)? {
            newest.run = begins.last()?.map_or(0, |(key, _)| key.value());
        }
        if let Some(commits) = table(self.0, COMMITS)? {
            newest.commit = commits.last()?.map_or(0, |(key, _)| key.value());
        }
        if let Some(segments) = table(self.0, SEGMENTS)? {
            newest.segment = segments.last()?.map_or(0, |(key, _)| key.value());
        }
        if newest.run.max(newest.commit).max(newest.segment) >= NUMBERS_END {
            return Err(Trouble::Corrupt("its newest numbers make no sense".to_owned()));
        }
        Ok(newest)
    }

    /// The versions of a cell up to one, newest first, no more than `limit`.
    pub(crate) fn cell_versions(
        &self,
        at: Head,
        family: u8,
        key: &[u8],
        limit: usize,
    ) -> Result<Vec<(Version, CellValue)>, Trouble> {
        let Some(cells) = table(self.0, CELLS)? else { return Ok(Vec::new()) };
        let newest = CellKey::new(at.segment, family, key, at.version);
        let oldest = CellKey::new(at.segment, family, key, Version(0));
        let mut found = Vec::new();
        for entry in ascending(cells.range(newest.bytes()..=oldest.bytes())?).take(limit) {
            let (cell, value) = entry?;
            let version =
                cell_key_version(cell.value()).ok_or_else(|| Trouble::Corrupt("a cell without version".into()))?;
            found.push((version, CellValue::from_bytes(value.value())?));
        }
        Ok(found)
    }

    /// What is known of a segment.
    pub(crate) fn segment(&self, segment: SegmentId) -> Result<Option<Segment>, Trouble> {
        let Some(segments) = table(self.0, SEGMENTS)? else { return Ok(None) };
        segments.get(segment.0)?.map(|value| Ok(Segment::from_bytes(value.value())?)).transpose()
    }

    /// Whether a name was removed and not made again.
    pub(crate) fn is_removed(&self, space: &SpaceName) -> Result<bool, Trouble> {
        let Some(removed) = table(self.0, REMOVED)? else { return Ok(false) };
        Ok(removed.get(space.as_str())?.is_some())
    }

    /// The names that were removed and not made again.
    pub(crate) fn removed(&self) -> Result<Vec<(SpaceName, WallTime)>, Trouble> {
        let Some(removed) = table(self.0, REMOVED)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(removed.iter()?) {
            let (name, at) = entry?;
            let space = name.value().parse().map_err(|e| Trouble::Corrupt(format!("removed: {e}")))?;
            found.push((space, WallTime(at.value())));
        }
        Ok(found)
    }

    /// A tag.
    pub(crate) fn tag(&self, tag: &TagName) -> Result<Option<Tag>, Trouble> {
        let Some(tags) = table(self.0, TAGS)? else { return Ok(None) };
        tags.get(tag.as_str())?.map(|value| Ok(Tag::from_bytes(value.value())?)).transpose()
    }

    /// All tags.
    pub(crate) fn tags(&self) -> Result<Vec<Tag>, Trouble> {
        let Some(tags) = table(self.0, TAGS)? else { return Ok(Vec::new()) };
        ascending(tags.iter()?).map(|entry| Ok(Tag::from_bytes(entry?.1.value())?)).collect()
    }

    /// What is known of a segment, without its parent if nothing of that has to be looked at.
    pub(crate) fn seen_segment(&self, id: SegmentId) -> Result<Option<Segment>, Trouble> {
        let Some(mut segment) = self.segment(id)? else { return Ok(None) };
        if segment.parent.is_some() && self.flat(id)?.is_some_and(|flat| flat.next.is_none()) {
            segment.parent = None;
        }
        Ok(Some(segment))
    }

    /// How far a segment was made flat; `None` if that was not begun.
    pub(crate) fn flat(&self, segment: SegmentId) -> Result<Option<Flat>, Trouble> {
        let Some(flats) = table(self.0, FLAT)? else { return Ok(None) };
        flats.get(segment.0)?.map(|value| Ok(Flat::from_bytes(value.value())?)).transpose()
    }

    /// All segments that are flat or being made so.
    pub(crate) fn flats(&self) -> Result<Vec<(SegmentId, Flat)>, Trouble> {
        let Some(flats) = table(self.0, FLAT)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(flats.iter()?) {
            let (segment, flat) = entry?;
            found.push((SegmentId(segment.value()), Flat::from_bytes(flat.value())?));
        }
        Ok(found)
    }

    /// Where a name stands, or stood when it was removed.
    pub(crate) fn head(&self, space: &SpaceName) -> Result<Option<Head>, Trouble> {
        let Some(heads) = table(self.0, HEADS)? else { return Ok(None) };
        heads.get(space.as_str())?.map(|value| head_from(value.value())).transpose()
    }

    /// Where all names stand or stood.
    pub(crate) fn heads(&self) -> Result<Vec<(SpaceName, Head)>, Trouble> {
        let Some(heads) = table(self.0, HEADS)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(heads.iter()?) {
            let (name, head) = entry?;
            let space = name.value().parse().map_err(|e| Trouble::Corrupt(format!("heads: {e}")))?;
            found.push((space, head_from(head.value())?));
        }
        Ok(found)
    }

    /// The newest segment of a space opened at or before a version.
    pub(crate) fn opening(&self, space: &SpaceName, at: Version) -> Result<Option<(Version, SegmentId)>, Trouble> {
        let Some(openings) = table(self.0, OPENINGS)? else { return Ok(None) };
        let found = openings.range((space.as_str(), 0)..=(space.as_str(), at.0))?.next_back();
        Ok(found.transpose()?.map(|(key, value)| (Version(key.value().1), SegmentId(value.value()))))
    }

    /// What made a version.
    pub(crate) fn origin(&self, space: &SpaceName, version: Version) -> Result<Option<Origin>, Trouble> {
        let Some(versions) = table(self.0, VERSIONS)? else { return Ok(None) };
        Ok(versions.get((space.as_str(), version.0))?.map(|value| origin_from(value.value())))
    }

    /// The newest version of a space that was made at or before a moment.
    pub(crate) fn version_at(&self, space: &SpaceName, at: WallTime) -> Result<Option<Version>, Trouble> {
        let Some(versions) = table(self.0, VERSIONS)? else { return Ok(None) };
        for entry in versions.range((space.as_str(), 0)..=(space.as_str(), u64::MAX))?.rev() {
            let (key, value) = entry?;
            if origin_from(value.value()).at <= at {
                return Ok(Some(Version(key.value().1)));
            }
        }
        Ok(None)
    }

    /// What made a space's versions.
    pub(crate) fn versions(&self, space: &SpaceName) -> Result<Vec<(Version, Origin)>, Trouble> {
        let Some(versions) = table(self.0, VERSIONS)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(versions.range((space.as_str(), 0)..=(space.as_str(), u64::MAX))?) {
            let (key, value) = entry?;
            found.push((Version(key.value().1), origin_from(value.value())));
        }
        Ok(found)
    }

    /// All segments.
    pub(crate) fn segments(&self) -> Result<BTreeMap<SegmentId, Segment>, Trouble> {
        let Some(segments) = table(self.0, SEGMENTS)? else { return Ok(BTreeMap::new()) };
        let mut found = BTreeMap::new();
        for entry in ascending(segments.iter()?) {
            let (id, segment) = entry?;
            found.insert(SegmentId(id.value()), Segment::from_bytes(segment.value())?);
        }
        Ok(found)
    }

    /// The versions at which a space's segments open.
    pub(crate) fn openings(&self, space: &SpaceName) -> Result<Vec<(Version, SegmentId)>, Trouble> {
        let Some(openings) = table(self.0, OPENINGS)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(openings.range((space.as_str(), 0)..=(space.as_str(), u64::MAX))?) {
            let (key, segment) = entry?;
            found.push((Version(key.value().1), SegmentId(segment.value())));
        }
        Ok(found)
    }

    /// The oldest version of a space that was made at or after a moment.
    pub(crate) fn first_version_from(&self, space: &SpaceName, at: WallTime) -> Result<Option<Version>, Trouble> {
        let Some(versions) = table(self.0, VERSIONS)? else { return Ok(None) };
        for entry in ascending(versions.range((space.as_str(), 0)..=(space.as_str(), u64::MAX))?) {
            let (key, value) = entry?;
            if origin_from(value.value()).at >= at {
                return Ok(Some(Version(key.value().1)));
            }
        }
        Ok(None)
    }

    /// The runs from a number on.
    pub(crate) fn runs_from(&self, first: RunId) -> Result<Vec<RunId>, Trouble> {
        let Some(begins) = table(self.0, BEGINS)? else { return Ok(Vec::new()) };
        ascending(begins.range(first.0..)?).map(|entry| Ok(RunId(entry?.0.value()))).collect()
    }

    /// The runs from a number on that have no end.
    pub(crate) fn runs_without_end(&self, first: RunId) -> Result<Vec<RunId>, Trouble> {
        let (Some(begins), Some(ends)) = (table(self.0, BEGINS)?, table(self.0, ENDS)?) else {
            return self.runs_from(first);
        };
        let mut open = Vec::new();
        let mut ends = ascending(ends.range(first.0..)?);
        let mut ended = ends.next().transpose()?.map(|entry| entry.0.value());
        for entry in ascending(begins.range(first.0..)?) {
            let run = entry?.0.value();
            while ended.is_some_and(|ended| ended < run) {
                ended = ends.next().transpose()?.map(|entry| entry.0.value());
            }
            if ended != Some(run) {
                open.push(RunId(run));
            }
        }
        Ok(open)
    }

    /// How many runs there are from one number up to another.
    pub(crate) fn count_runs(&self, first: RunId, end: RunId) -> Result<u64, Trouble> {
        let Some(begins) = table(self.0, BEGINS)? else { return Ok(0) };
        let mut count = 0;
        for entry in ascending(begins.range(first.0..end.0.max(first.0))?) {
            entry?;
            count += 1;
        }
        Ok(count)
    }

    /// The frames of all runs from a number on.
    pub(crate) fn frames_from(&self, first: RunId) -> Result<Vec<(RunId, Seq)>, Trouble> {
        let Some(frames) = table(self.0, FRAMES)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(frames.range((first.0, 0)..)?) {
            let (run, seq) = entry?.0.value();
            found.push((RunId(run), Seq(seq)));
        }
        Ok(found)
    }

    /// How a run began.
    pub(crate) fn begin(&self, run: RunId) -> Result<Option<RunBegin>, Trouble> {
        let Some(begins) = table(self.0, BEGINS)? else { return Ok(None) };
        begins.get(run.0)?.map(|value| Ok(RunBegin::from_bytes(value.value())?)).transpose()
    }

    /// How a run ended.
    pub(crate) fn end(&self, run: RunId) -> Result<Option<RunEnd>, Trouble> {
        let Some(ends) = table(self.0, ENDS)? else { return Ok(None) };
        ends.get(run.0)?.map(|value| Ok(RunEnd::from_bytes(value.value())?)).transpose()
    }

    /// Up to `limit` runs below `before`, newest first.
    pub(crate) fn runs_before(&self, before: u64, limit: usize) -> Result<Vec<RunId>, Trouble> {
        let Some(begins) = table(self.0, BEGINS)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in begins.range(..before)?.rev().take(limit) {
            let run = RunId(entry?.0.value());
            if found.last().is_some_and(|last| *last <= run) {
                return Err(Trouble::Corrupt("its runs are not in order".to_owned()));
            }
            found.push(run);
        }
        Ok(found)
    }

    /// A run's frames from the last one that begins at or before `from`.
    pub(crate) fn frames(&self, run: RunId, from: Seq) -> Result<Vec<(Seq, FramePlace)>, Trouble> {
        let Some(frames) = table(self.0, FRAMES)? else { return Ok(Vec::new()) };
        let holding = frames.range((run.0, 0)..=(run.0, from.0))?.next_back().transpose()?;
        let from = holding.map_or(from.0, |(key, _)| key.value().1);
        let mut found = Vec::new();
        for entry in ascending(frames.range((run.0, from)..=(run.0, u64::MAX))?) {
            let (key, value) = entry?;
            let (row, offset, count) = value.value();
            let place = ItemPlace { row: Position(row), offset };
            found.push((Seq(key.value().1), FramePlace { place, count }));
        }
        Ok(found)
    }

    /// Where a commit's record stands.
    pub(crate) fn commit(&self, commit: CommitNo) -> Result<Option<ItemPlace>, Trouble> {
        let Some(commits) = table(self.0, COMMITS)? else { return Ok(None) };
        let place = commits.get(commit.0)?.map(|value| value.value());
        Ok(place.map(|(row, offset)| ItemPlace { row: Position(row), offset }))
    }

    /// All effects not known to be delivered.
    pub(crate) fn outbox(&self) -> Result<Vec<(CommitNo, Vec<OutboxEntry>)>, Trouble> {
        let Some(outbox) = table(self.0, OUTBOX)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in ascending(outbox.iter()?) {
            let (commit, entries) = entry?;
            found.push((CommitNo(commit.value()), Vec::from_bytes(entries.value())?));
        }
        Ok(found)
    }

    /// How many entries the tables have.
    pub(crate) fn totals(&self) -> Result<Totals, Trouble> {
        let txn = self.0;
        Ok(Totals {
            cells: table(txn, CELLS)?.map_or(Ok(0), |table| table.len())?,
            segments: table(txn, SEGMENTS)?.map_or(Ok(0), |table| table.len())?,
            versions: table(txn, VERSIONS)?.map_or(Ok(0), |table| table.len())?,
            begins: table(txn, BEGINS)?.map_or(Ok(0), |table| table.len())?,
            ends: table(txn, ENDS)?.map_or(Ok(0), |table| table.len())?,
            frames: table(txn, FRAMES)?.map_or(Ok(0), |table| table.len())?,
            commits: table(txn, COMMITS)?.map_or(Ok(0), |table| table.len())?,
        })
    }

    /// The native code of a component.
    pub(crate) fn compiled(&self, key: &Digest) -> Result<Option<Digest>, Trouble> {
        let Some(compiled) = table(self.0, COMPILED)? else { return Ok(None) };
        Ok(compiled.get(key.0)?.map(|value| Digest(value.value())))
    }
}

fn origin_from((commit, run, at): (u64, u64, u64)) -> Origin {
    Origin { commit: CommitNo(commit), run: RunId(run), at: WallTime(at) }
}

fn head_from((segment, version): (u64, u64)) -> Result<Head, Trouble> {
    if segment.max(version) >= NUMBERS_END {
        return Err(Trouble::Corrupt("the numbers of a head make no sense".to_owned()));
    }
    Ok(Head { segment: SegmentId(segment), version: Version(version) })
}

/// Notes that a retention was carried out.
pub(crate) fn put_pruned(file: &RedbFile, retention: &Retention) -> Result<(), Fault> {
    file.write(true, |txn| {
        let digest = Digest::of(&retention.to_bytes());
        txn.open_table(META)?.insert(PRUNED_KEY, digest.0.as_slice())?;
        Ok(())
    })
}

/// Writes a slice and the position it reaches.
pub(crate) fn apply(file: &RedbFile, slice: &Slice) -> Result<(), Fault> {
    file.write(true, |txn| {
        let mut cells = txn.open_table(CELLS)?;
        let mut writer = Writer::new();
        for (key, value) in &slice.cells {
            writer.clear();
            value.put(&mut writer);
            cells.insert(key.bytes(), writer.bytes())?;
        }
        let mut segments = txn.open_table(SEGMENTS)?;
        for (id, segment) in &slice.segments {
            segments.insert(id.0, segment.to_bytes().as_slice())?;
        }
        let mut heads = txn.open_table(HEADS)?;
        for (space, head) in &slice.heads {
            heads.insert(space.as_str(), (head.segment.0, head.version.0))?;
        }
        let mut removed = txn.open_table(REMOVED)?;
        for (space, at) in &slice.removed {
            match at {
                Some(at) => drop(removed.insert(space.as_str(), at.0)?),
                None => drop(removed.remove(space.as_str())?),
            }
        }
        let mut tags = txn.open_table(TAGS)?;
        for (name, tag) in &slice.tags {
            match tag {
                Some(tag) => drop(tags.insert(name.as_str(), tag.to_bytes().as_slice())?),
                None => drop(tags.remove(name.as_str())?),
            }
        }
        let mut openings = txn.open_table(OPENINGS)?;
        for ((space, version), segment) in &slice.openings {
            openings.insert((space.as_str(), version.0), segment.0)?;
        }
        let mut versions = txn.open_table(VERSIONS)?;
        for ((space, version), Origin { commit, run, at }) in &slice.versions {
            versions.insert((space.as_str(), version.0), (commit.0, run.0, at.0))?;
        }
        let mut begins = txn.open_table(BEGINS)?;
        for (run, begin) in &slice.begins {
            begins.insert(run.0, &**begin)?;
        }
        let mut ends = txn.open_table(ENDS)?;
        for (run, end) in &slice.ends {
            ends.insert(run.0, &**end)?;
        }
        let mut frames = txn.open_table(FRAMES)?;
        for ((run, first), frame) in &slice.frames {
            frames.insert((run.0, first.0), (frame.place.row.0, frame.place.offset, frame.count))?;
        }
        let mut commits = txn.open_table(COMMITS)?;
        for (commit, place) in &slice.commits {
            commits.insert(commit.0, (place.row.0, place.offset))?;
        }
        let mut outbox = txn.open_table(OUTBOX)?;
        for (commit, entries) in &slice.outbox {
            match entries {
                Some(entries) => drop(outbox.insert(commit.0, entries.to_bytes().as_slice())?),
                None => drop(outbox.remove(commit.0)?),
            }
        }
        let mut compiled = txn.open_table(COMPILED)?;
        for (key, code) in &slice.compiled {
            compiled.insert(key.0, code.0)?;
        }
        let mut meta = txn.open_table(META)?;
        put_format(&mut meta)?;
        put_layout(&mut meta)?;
        if slice.rows > 0 {
            meta.insert(APPLIED_KEY, row_end_bytes(&slice.end).as_slice())?;
        }
        if let Some(retention) = &slice.retained {
            meta.insert(RETAINED_KEY, retention.to_bytes().as_slice())?;
        }
        Ok(())
    })
}
