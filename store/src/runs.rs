//! Runs and their frames: what the log knows of executions.

use reel_abi::id::{CommitNo, Position, RunId, Seq};
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::record::{CommitRecord, Frame, LogItem, OutboxEntry};
use reel_abi::wire::{CodecError, Wire};

use crate::error::{ReadError, Trouble};
use crate::live::Live;
use crate::row::{self, ItemPlace};
use crate::slice::FramePlace;
use crate::spaces::pruned;
use crate::state;
use crate::store::Shared;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number.
    pub run: RunId,
    /// How it began.
    pub begin: RunBegin,
    /// How it ended; `None` while it goes on, or if it was cut off by a crash.
    pub end: Option<RunEnd>,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRef {
    /// The run.
    pub run: RunId,
    /// Place of its first event.
    pub first: Seq,
    /// How many events it holds.
    pub count: u32,
    /// The row of the log.
    pub row: Position,
    /// Offset in the row, in bytes.
    pub offset: u32,
}

impl FrameRef {
    /// The event after its last.
    pub fn next(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)))
    }
}

/// Refuses what needs the events of a run that a retention removed.
fn refuse_pruned(live: &Live, run: RunId) -> Result<(), ReadError> {
    match &live.retention {
        Some(retention) if run < retention.runs_before => Err(pruned(format!("what run {run} did"), retention)),
        _ => Ok(()),
    }
}

impl Shared {
    pub(crate) fn run(&self, run: RunId) -> Result<Option<RunRecord>, ReadError> {
        let live = self.live.read();
        let begin = live.slices().find_map(|slice| slice.begins.get(&run).cloned());
        let end = live.slices().find_map(|slice| slice.ends.get(&run).cloned());
        drop(live);
        let unreadable = |e: CodecError| Trouble::from(e).in_file(self.state.path());
        let begin = begin.map(|bytes| RunBegin::from_bytes(&bytes)).transpose().map_err(unreadable)?;
        let end = end.map(|bytes| RunEnd::from_bytes(&bytes)).transpose().map_err(unreadable)?;
        let (begin, end) = match (begin, end) {
            (Some(begin), Some(end)) => (Some(begin), Some(end)),
            // An end is never older than its begin, so it is not in the file if the begin is not.
            (begin, end) => state::read(&self.state, |snapshot| {
                let begin = if begin.is_some() { begin.clone() } else { snapshot.begin(run)? };
                let end = if end.is_some() { end.clone() } else { snapshot.end(run)? };
                Ok(Some((begin, end)))
            })?
            .unwrap_or((begin, end)),
        };
        Ok(begin.map(|begin| RunRecord { run, begin, end }))
    }

    pub(crate) fn runs(&self, before: Option<RunId>, limit: usize) -> Result<Vec<RunRecord>, ReadError> {
        let before = before.unwrap_or(RunId(u64::MAX));
        let live = self.live.read();
        let mut ids: Vec<RunId> = Vec::new();
        for slice in live.slices() {
            ids.extend(slice.begins.range(..before).rev().take(limit).map(|(run, _)| *run));
        }
        drop(live);
        ids.extend(state::read(&self.state, |snapshot| snapshot.runs_before(before.0, limit))?);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(limit);
        ids.into_iter().filter_map(|run| self.run(run).transpose()).collect()
    }

    pub(crate) fn runs_without_end(&self, first: RunId) -> Result<Vec<RunRecord>, ReadError> {
        let live = self.live.read();
        let mut runs: Vec<RunId> = Vec::new();
        for slice in live.slices() {
            runs.extend(slice.begins.range(first..).map(|(run, _)| *run).filter(|run| !slice.ends.contains_key(run)));
        }
        drop(live);
        runs.extend(state::read(&self.state, |snapshot| snapshot.runs_without_end(first))?);
        runs.sort_unstable();
        runs.dedup();
        // The end of one may be in another slice.
        let records = runs.into_iter().filter_map(|run| self.run(run).transpose());
        records.filter(|record| record.as_ref().map_or(true, |record| record.end.is_none())).collect()
    }

    pub(crate) fn frames(&self, run: RunId, from: Seq) -> Result<Vec<FrameRef>, ReadError> {
        let live = self.live.read();
        refuse_pruned(&live, run)?;
        let mut found: Vec<(Seq, FramePlace)> = Vec::new();
        for slice in live.slices() {
            let before = slice.frames.range((run, Seq(0))..(run, from)).next_back();
            let after = slice.frames.range((run, from)..=(run, Seq(u64::MAX)));
            found.extend(before.into_iter().chain(after).map(|((_, first), place)| (*first, *place)));
        }
        drop(live);
        found.extend(state::read(&self.state, |snapshot| snapshot.frames(run, from))?);
        found.sort_unstable_by_key(|(first, _)| *first);
        found.dedup_by_key(|(first, _)| *first);
        let frames = found.into_iter().map(|(first, FramePlace { place, count })| FrameRef {
            run,
            first,
            count,
            row: place.row,
            offset: place.offset,
        });
        Ok(frames.skip_while(|frame| frame.next() <= from).collect())
    }

    pub(crate) fn frame(&self, at: &FrameRef) -> Result<Frame, ReadError> {
        let place = ItemPlace { row: at.row, offset: at.offset };
        refuse_pruned(&self.live.read(), at.run)?;
        let frame = self.item(place, |item| match item {
            LogItem::Frame { frame } if frame.run == at.run && frame.first == at.first => Some(frame),
            _ => None,
        });
        Ok(frame?)
    }

    pub(crate) fn commit_record(&self, commit: CommitNo) -> Result<Option<CommitRecord>, ReadError> {
        let live = self.live.read();
        let place = live.slices().find_map(|slice| slice.commits.get(&commit).copied());
        drop(live);
        let place = match place {
            Some(place) => Some(place),
            None => state::read(&self.state, |snapshot| snapshot.commit(commit))?,
        };
        let through = self.live.read().retention.as_ref().map_or(Position(0), |gone| gone.rows_through);
        let Some(place) = place.filter(|place| place.row > through) else {
            let live = self.live.read();
            let gone = live.retention.as_ref().filter(|gone| gone.rows_through > Position(0));
            return match gone.filter(|_| commit > CommitNo(0) && commit.0 <= live.newest.commit) {
                Some(retention) => Err(pruned(format!("the record of commit {commit}"), retention)),
                None => Ok(None),
            };
        };
        let record = self.item(place, |item| match item {
            LogItem::Commit { record } if record.number == commit => Some(record),
            _ => None,
        })?;
        Ok(Some(record))
    }

    pub(crate) fn undelivered(&self) -> Result<Vec<(CommitNo, Vec<OutboxEntry>)>, ReadError> {
        let live = self.live.read();
        let mut known = std::collections::BTreeMap::new();
        for slice in live.slices() {
            for (commit, entries) in &slice.outbox {
                known.entry(*commit).or_insert_with(|| entries.clone());
            }
        }
        drop(live);
        for (commit, entries) in state::read(&self.state, |snapshot| snapshot.outbox())? {
            known.entry(commit).or_insert(Some(entries));
        }
        Ok(known.into_iter().filter_map(|(commit, entries)| Some((commit, entries?))).collect())
    }

    /// Reads an item that an index points at.
    fn item<T>(&self, place: ItemPlace, is: impl FnOnce(LogItem) -> Option<T>) -> Result<T, crate::error::Fault> {
        let wrong =
            |what: &str| Trouble::Corrupt(format!("points to {what} in row {}, offset {}", place.row, place.offset));
        let found = self.log.row(place.row, |bytes| Ok(row::item(bytes, place.offset)?))?;
        let item = found.ok_or_else(|| wrong("nothing").in_file(self.state.path()))?;
        is(item).ok_or_else(|| wrong("another item").in_file(self.state.path()))
    }
}
