//! What may follow what in a log, and how much state it must give. Pure bookkeeping, fed with one item after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reel_abi::id::{CommitNo, Digest, Position, RunId, SegmentId, Seq, SpaceName, TagName, Version};
use reel_abi::record::{
    CellValue, Chunk, CommitRecord, Frame, HostChange, LogItem, OutboxEntry, Retention, SpaceChange,
};

use crate::chain::Head;
use crate::cuts;
use crate::error::Trouble;
use crate::state::Snapshot;
use crate::tags::Tag;
use crate::verify::{Place, VerifyReport};

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Whether nothing before the next item is known, because rows are gone or unreadable.
    blind: bool,
    /// Open runs and the event that comes next in each.
    runs: BTreeMap<RunId, Seq>,
    commit: Option<CommitNo>,
    /// Where names stand, or stood when they were removed.
    pub(crate) heads: BTreeMap<SpaceName, Head>,
    pub(crate) removed: BTreeSet<SpaceName>,
    pub(crate) tags: BTreeMap<TagName, Tag>,
    /// The head of a space that the item before opened.
    opened: Option<(Position, Head)>,
    /// Commits with effects, until delivered.
    pub(crate) outbox: BTreeMap<CommitNo, Effects>,
    /// The newest retention in the rows so far.
    pub(crate) retained: Option<Retention>,
    /// The newest retention of all: what it removed need not be there.
    known: Option<Arc<Retention>>,
    /// Segments, and the newest version of each.
    segments: BTreeMap<SegmentId, Version>,
    pub(crate) totals: Totals,
    /// Payloads that an item names, and one place that does.
    pub(crate) named: BTreeMap<Digest, Place>,
}

/// Effects of a commit.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// How many entries.
    pub(crate) len: usize,
    /// The payloads that they need.
    needed: Vec<Digest>,
}

/// How many entries each table of the state must have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cells: u64,
    pub(crate) segments: u64,
    pub(crate) versions: u64,
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    pub(crate) frames: u64,
    pub(crate) commits: u64,
}

impl Audit {
    /// Books that know what a retention removed.
    pub(crate) fn new(known: Option<Arc<Retention>>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Goes on from a state that stands for all rows before: nothing is missing any more.
    pub(crate) fn resume(&mut self, state: &Snapshot<'_>) -> Result<(), Trouble> {
        let named = std::mem::take(&mut self.named);
        *self = Self { named, ..Self::new(self.known.take()) };
        self.totals = state.totals()?;
        self.commit = Some(CommitNo(state.newest()?.commit)).filter(|commit| *commit > CommitNo(0));
        self.heads = state.heads()?.into_iter().collect();
        self.removed = state.removed()?.into_iter().map(|(space, _)| space).collect();
        self.tags = state.tags()?.into_iter().map(|tag| (tag.tag.clone(), tag)).collect();
        self.retained = state.retained()?;
        for (commit, entries) in state.outbox()? {
            self.outbox.insert(commit, effects(&entries));
        }
        for (id, segment) in state.segments()? {
            self.segments.insert(id, segment.opened);
        }
        for (space, last) in &self.heads {
            let mut newest = last.version;
            for (opened, segment) in state.openings(space)?.into_iter().rev() {
                self.segments.insert(segment, newest);
                newest = Version(opened.0.saturating_sub(1));
            }
        }
        for run in state.runs_from(RunId(0))? {
            if state.end(run)?.is_none() {
                let last = state.frames(run, Seq(u64::MAX))?.pop();
                let next = last.map_or(0, |(first, place)| first.0.saturating_add(u64::from(place.count)));
                self.runs.insert(run, Seq(next));
            }
        }
        Ok(())
    }

    /// Names what undelivered effects need.
    pub(crate) fn name_effects(&mut self) {
        for (commit, effects) in std::mem::take(&mut self.outbox) {
            for digest in effects.needed {
                self.named.entry(digest).or_insert_with(|| Place::Commit(commit));
            }
        }
    }

    /// Whether the events of a run are gone.
    fn is_forgotten(&self, run: RunId) -> bool {
        self.known.as_ref().is_some_and(|known| run < known.runs_before)
    }

    /// The first row there is comes after this one.
    pub(crate) fn begins_at(&mut self, before: Position) {
        self.blind = before != Position(0);
    }

    /// Something in between could not be read.
    pub(crate) fn forget(&mut self) {
        self.blind = true;
        self.runs.clear();
        self.commit = None;
        self.heads.clear();
        self.removed.clear();
        self.tags.clear();
        self.segments.clear();
        self.outbox.clear();
    }

    /// Whether the books are complete since the first row.
    pub(crate) fn is_complete(&self) -> bool {
        !self.blind
    }

    /// Takes in an item.
    pub(crate) fn item(&mut self, row: Position, at: Place, item: &LogItem, report: &mut VerifyReport) {
        let opened = self.opened.take();
        match item {
            LogItem::Begun { run, begin } => {
                let head = Head { segment: begin.segment, version: begin.version };
                self.totals.versions += u64::from(opened == Some((row, head)));
                report.runs += 1;
                self.totals.begins += 1;
                if !self.is_forgotten(*run) {
                    self.name(begin.content, &at);
                }
                if self.runs.insert(*run, Seq(0)).is_some() {
                    report.add(at, format!("run {run} begins twice"));
                }
            }
            LogItem::Frame { frame } => self.frame(at, frame, report),
            LogItem::Commit { record } => self.commit(at, record, report),
            LogItem::Ended { run, .. } => {
                self.totals.ends += 1;
                if self.runs.remove(run).is_none() && !self.blind {
                    report.add(at, format!("run {run} ends but is not open"));
                }
            }
            LogItem::Delivered { commit } => {
                self.outbox.remove(commit);
            }
            LogItem::SpaceOpened { space, segment, version, parent } => {
                let head = Head { segment: *segment, version: *version };
                self.opening(&at, space, head, *parent, report);
                self.opened = Some((row, head));
            }
            LogItem::Branched { space, segment, version, source, parent, .. } => {
                self.totals.versions += 1;
                let (stands, removed) = (self.heads.contains_key(space), self.removed.contains(space));
                if stands && !removed && source != space {
                    report.add(at.clone(), format!("space {space} is forked from {source} but is there already"));
                }
                self.opening(&at, space, Head { segment: *segment, version: *version }, Some(*parent), report);
            }
            LogItem::SpaceRemoved { space, .. } => {
                let known = self.heads.contains_key(space);
                if !self.removed.insert(space.clone()) || (!known && !self.blind) {
                    report.add(at, format!("space {space} is removed and was not there"));
                }
            }
            LogItem::TagSet { tag, space, segment, version, at: time } => {
                self.see(&at, *segment, *version, report);
                let head = Head { segment: *segment, version: *version };
                self.tags.insert(tag.clone(), Tag { tag: tag.clone(), space: space.clone(), head, at: *time });
            }
            LogItem::TagRemoved { tag, .. } => {
                if self.tags.remove(tag).is_none() && !self.blind {
                    report.add(at, format!("tag {tag} is removed and was not there"));
                }
            }
            LogItem::Retained { retention } => self.retained = Some(retention.clone()),
        }
    }

    fn opening(
        &mut self,
        at: &Place,
        space: &SpaceName,
        head: Head,
        parent: Option<(SegmentId, Version)>,
        report: &mut VerifyReport,
    ) {
        let Head { segment, version } = head;
        self.totals.segments += 1;
        if let Some((parent, seen)) = parent {
            if parent >= segment {
                report.add(at.clone(), format!("segment {segment} lies over one that is not older"));
            }
            self.see(at, parent, seen, report);
        }
        if self.segments.insert(segment, version).is_some() {
            report.add(at.clone(), format!("segment {segment} was opened before"));
        }
        let last = self.heads.insert(space.clone(), head);
        let due = last.map_or(Version(0), |last| last.version.next());
        if version != due && !(self.blind && last.is_none()) {
            report.add(at.clone(), format!("{space} goes on with version {version} where {due} is due"));
        }
        self.removed.remove(space);
    }

    /// Notes that a version is looked at.
    fn see(&self, at: &Place, segment: SegmentId, version: Version, report: &mut VerifyReport) {
        let newest = self.segments.get(&segment);
        if newest.is_none_or(|newest| version > *newest) && !(self.blind && newest.is_none()) {
            report.add(at.clone(), format!("segment {segment} has no version {version}"));
        }
    }

    fn frame(&mut self, at: Place, frame: &Frame, report: &mut VerifyReport) {
        report.frames += 1;
        report.events += u64::from(frame.count);
        self.totals.frames += 1;
        let next = Seq(frame.first.0.saturating_add(u64::from(frame.count)));
        match self.runs.insert(frame.run, next) {
            Some(expected) if expected != frame.first => {
                let what = format!("run {} goes on with event {} instead of {expected}", frame.run, frame.first);
                report.add(at, what);
            }
            None if !self.blind => report.add(at, format!("a frame of run {}, which is not open", frame.run)),
            _ => {}
        }
    }

    fn commit(&mut self, at: Place, record: &CommitRecord, report: &mut VerifyReport) {
        report.commits += 1;
        self.totals.commits += 1;
        let last = self.commit.replace(record.number);
        let expected = last.map(CommitNo::next).or((!self.blind).then_some(CommitNo(1)));
        if let Some(expected) = expected.filter(|expected| *expected != record.number) {
            report.add(at.clone(), format!("commit {} follows where {expected} is due", record.number));
        }
        for change in &record.spaces {
            self.change(&at, change, report);
        }
        if !record.outbox.is_empty() {
            self.outbox.insert(record.number, effects(&record.outbox));
        }
    }

    fn change(&mut self, at: &Place, change: &SpaceChange, report: &mut VerifyReport) {
        let SpaceChange { space, segment, version, cells } = change;
        report.cells += cells.len() as u64;
        self.totals.cells += cells.len() as u64;
        self.totals.versions += 1;
        if !cells.is_sorted_by(|a, b| (a.family, &a.key) < (b.family, &b.key)) {
            report.add(at.clone(), format!("cells of {space}@{version} are not sorted and unique"));
        }
        // Below the border of a cut it depends on what is still there, see `compare`.
        let cut = self.known.as_ref().and_then(|known| cuts::cut(known, *segment));
        if cut.is_none_or(|cut| *version >= cut.border) {
            for cell in cells {
                if let CellValue::Blob { digest, .. } | CellValue::Content { digest, .. } = &cell.value {
                    self.name(*digest, at);
                }
            }
        }
        let head = Head { segment: *segment, version: *version };
        self.segments.insert(*segment, *version);
        if self.removed.contains(space) {
            report.add(at.clone(), format!("a commit to {space}, which was removed"));
        }
        match self.heads.insert(space.clone(), head) {
            Some(old) if old.segment != *segment || old.version.next() != *version => {
                let what =
                    format!("{space}@{version} in segment {segment} after {space}@{} in {}", old.version, old.segment);
                report.add(at.clone(), what);
            }
            None if !self.blind => report.add(at.clone(), format!("space {space} was never opened")),
            _ => {}
        }
        if *version == Version(0) {
            report.add(at.clone(), "a commit makes version 0");
        }
    }

    pub(crate) fn name(&mut self, digest: Digest, at: &Place) {
        self.named.entry(digest).or_insert_with(|| at.clone());
    }
}

fn effects(entries: &[OutboxEntry]) -> Effects {
    let mut needed = Vec::new();
    for change in entries.iter().flat_map(|entry| &entry.changes) {
        let HostChange::File { chunks, .. } = change else { continue };
        for chunk in chunks {
            if let Chunk::Blob { digest, .. } = chunk {
                needed.push(*digest);
            }
        }
    }
    Effects { len: entries.len(), needed }
}
