//! Reading the log in its own order, and many runs at once: for those who ask about all that happened.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, Position, RunId, WallTime};
use reel_abi::outcome::{RunBegin, RunEnd};
use reel_abi::record::{Frame, LogItem};
use reel_abi::wire::{CodecError, Wire};

use crate::error::{ReadError, Trouble};
use crate::row;
use crate::runs::{FrameRef, RunRecord};
use crate::state;
use crate::store::{Shared, Store};

/// Rows looked at for one that says when it was written; others stand between two that do.
const UNDATED: u64 = 64;

/// A stretch of the log.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Its items, in their order.
    pub items: Vec<LogItem>,
    /// The row that follows; nothing if there is none up to the one that was asked for.
    pub next: Option<Position>,
}

impl Store {
    /// The last row that is durable, and the last commit.
    pub fn end(&self) -> (Position, CommitNo) {
        let live = self.shared().live.read();
        (live.end.position, CommitNo(live.newest.commit))
    }

    /// The first row that is there.
    pub fn first_row(&self) -> Result<Position, ReadError> {
        Ok(self.shared().log.before_first()?.position.next())
    }

    /// The rows from one on, no further than `through`, until they have that many bytes; at least one.
    pub fn stretch(&self, from: Position, through: Position, bytes: usize) -> Result<Stretch, ReadError> {
        self.shared().stretch(from, through, bytes)
    }

    /// A row at or before the first that was written at or after a moment, as the rows in the middle say: where the clock of the machine was set
    /// back, it is one of several.
    pub fn row_at(&self, at: WallTime, through: Position) -> Result<Position, ReadError> {
        self.shared().row_at(at, through)
    }

    /// Up to `limit` runs of `[from, until)`, ascending.
    pub fn runs_between(&self, from: RunId, until: RunId, limit: usize) -> Result<Vec<RunRecord>, ReadError> {
        self.shared().runs_between(from, until, limit)
    }

    /// Reads frames that lie in the same row at once.
    pub fn frames_in_row(&self, all: &[FrameRef]) -> Result<Vec<Frame>, ReadError> {
        self.shared().frames_in_row(all)
    }
}

impl Shared {
    fn stretch(&self, from: Position, through: Position, bytes: usize) -> Result<Stretch, ReadError> {
        let mut stretch = Stretch::default();
        if from > through {
            return Ok(stretch);
        }
        let (mut read, mut last) = (0, None);
        let next = self.log.walk(from, &mut |position, row| {
            if position > through {
                return Ok(false);
            }
            last = Some(position);
            stretch.items.extend(row::items(row)?.into_iter().map(|(_, item)| item));
            read += row.len();
            Ok(read < bytes && position < through)
        })?;
        // It stopped by itself at the end of a file, or here.
        stretch.next = next.or_else(|| last.filter(|last| *last < through && read >= bytes).map(Position::next));
        Ok(stretch)
    }

    fn row_at(&self, at: WallTime, through: Position) -> Result<Position, ReadError> {
        let first = self.log.before_first()?.position.next();
        let (mut low, mut high) = (first.0, through.0.saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            match self.dated(middle, high)? {
                Some(time) if time < at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(Position(low.saturating_sub(1).max(first.0)))
    }

    /// When a row was written, or the next one that says so.
    fn dated(&self, row: u64, before: u64) -> Result<Option<WallTime>, ReadError> {
        for position in row..before.min(row.saturating_add(UNDATED)) {
            let items = self.log.row(Position(position), |bytes| Ok(row::items(bytes)?))?;
            let time = items.unwrap_or_default().iter().filter_map(|(_, item)| time(item)).max();
            if time.is_some() {
                return Ok(time);
            }
        }
        Ok(None)
    }

    fn runs_between(&self, from: RunId, until: RunId, limit: usize) -> Result<Vec<RunRecord>, ReadError> {
        if from >= until {
            return Ok(Vec::new());
        }
        let unreadable = |e: CodecError| Trouble::from(e).in_file(self.state.path());
        let live = self.live.read();
        let (mut begins, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for slice in live.slices() {
            for (run, bytes) in slice.begins.range(from..until).take(limit) {
                begins.insert(*run, RunBegin::from_bytes(bytes).map_err(unreadable)?);
            }
        }
        for slice in live.slices() {
            for (run, bytes) in slice.ends.range(from..until) {
                ends.insert(*run, RunEnd::from_bytes(bytes).map_err(unreadable)?);
                if ends.len() > 2 * limit {
                    break;
                }
            }
        }
        drop(live);
        let (older, closed) = state::read(&self.state, |snapshot| {
            let older = snapshot.begins_between(from, until, limit)?;
            let last = older.last().map_or(until, |(run, _)| run.next());
            let closed = snapshot.ends_between(from, last, usize::MAX)?;
            Ok((older, closed))
        })?;
        begins.extend(older);
        ends.extend(closed);
        let mut records = Vec::with_capacity(limit.min(begins.len()));
        for (run, begin) in begins.into_iter().take(limit) {
            let end = match ends.remove(&run) {
                Some(end) => Some(end),
                None => self.run(run)?.and_then(|record| record.end),
            };
            records.push(RunRecord { run, begin, end });
        }
        Ok(records)
    }

    fn frames_in_row(&self, all: &[FrameRef]) -> Result<Vec<Frame>, ReadError> {
        let Some(first) = all.first() else { return Ok(Vec::new()) };
        if all.len() == 1 || all.iter().any(|at| at.row != first.row) {
            return all.iter().map(|at| self.frame(at)).collect();
        }
        let wrong = |what: &str| Trouble::Corrupt(format!("points to {what} in row {}", first.row));
        let found = self.log.row(first.row, |bytes| {
            let mut frames = Vec::with_capacity(all.len());
            for at in all {
                match row::item(bytes, at.offset)? {
                    LogItem::Frame { frame } if frame.run == at.run && frame.first == at.first => frames.push(frame),
                    _ => return Err(wrong("another item")),
                }
            }
            Ok(frames)
        })?;
        Ok(found.ok_or_else(|| wrong("nothing").in_file(self.state.path()))?)
    }
}

/// When an item was written, if it says so.
fn time(item: &LogItem) -> Option<WallTime> {
    match item {
        LogItem::Begun { begin, .. } => Some(begin.at),
        LogItem::Frame { frame } => Some(frame.closed),
        LogItem::Commit { record } => Some(record.at),
        LogItem::Ended { end, .. } => Some(end.at),
        LogItem::Branched { at, .. } | LogItem::SpaceRemoved { at, .. } => Some(*at),
        LogItem::TagSet { at, .. } | LogItem::TagRemoved { at, .. } => Some(*at),
        LogItem::Retained { retention } => Some(retention.at),
        LogItem::Delivered { .. } | LogItem::SpaceOpened { .. } => None,
    }
}
