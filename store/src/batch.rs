//! A batch in the making: rows, what they change, and where its spaces stand with it.
//!
//! Each item goes two ways at once: encoded into the row, and into a slice of its own that readers see when the row is durable.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, RunId, SpaceName, TagName, Version};
use reel_abi::record::{Frame, LogItem, Retention};
use reel_abi::wire::Wire;

use crate::chain::Head;
use crate::counting::Counts;
use crate::prepared::{PreparedBegin, PreparedCommit};
use crate::recent::Recent;
use crate::row::{Row, RowBuilder, RowEnd};
use crate::slice::{Origin, Slice};

/// A row is closed when it is longer than this, so that reading one frame back never costs much more.
const ROW_BYTES: usize = 16 << 20;

// Tags of `LogItem`.
const BEGUN: u8 = 1;
const FRAME: u8 = 2;
const COMMIT: u8 = 3;
const ENDED: u8 = 4;

/// A batch in the making.
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    row: RowBuilder,
    /// The last closed row.
    pub(crate) end: RowEnd,
    /// What the rows change.
    pub(crate) slice: Slice,
    pub(crate) standing: Standing,
    /// Where names stood that the batch removes.
    pub(crate) gone: BTreeMap<SpaceName, Head>,
    /// Tags that the batch sets, and removes.
    pub(crate) tags: BTreeMap<TagName, bool>,
    /// Whether it names a version of the past.
    pub(crate) pinned: bool,
    /// What it removes of the past.
    pub(crate) retained: Option<Retention>,
}

/// Where everything stands with all that was staged so far. Only the committer moves it, so it is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The last commit.
    pub(crate) commit: CommitNo,
    /// Spaces that were asked for.
    pub(crate) heads: BTreeMap<SpaceName, Option<Head>>,
    /// What was written lately.
    pub(crate) recent: Recent,
    /// What was counted lately.
    pub(crate) counts: Counts,
}

impl Batch {
    /// An empty batch after the row `end`.
    pub(crate) fn new(end: RowEnd, standing: Standing) -> Self {
        Self {
            rows: Vec::new(),
            row: RowBuilder::new(end.position.next()),
            end,
            slice: Slice::default(),
            standing,
            gone: BTreeMap::new(),
            tags: BTreeMap::new(),
            pinned: false,
            retained: None,
        }
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: LogItem) {
        self.make_room();
        let place = self.row.place();
        item.put(self.row.writer());
        self.slice.absorb(place, item);
    }

    /// Adds the begin of a run. It stays in one row with the opening of its space, whose time it tells.
    pub(crate) fn push_begin(&mut self, run: RunId, begin: PreparedBegin) {
        let writer = self.row.writer();
        writer.u8(BEGUN);
        run.put(writer);
        writer.raw(&begin.encoded);
        self.slice.absorb_begin(run, (&begin.space, begin.head), begin.at, begin.encoded);
    }

    /// Adds events.
    pub(crate) fn push_frame(&mut self, frame: &Frame) {
        self.make_room();
        let place = self.row.place();
        let writer = self.row.writer();
        writer.u8(FRAME);
        frame.put(writer);
        self.slice.absorb_frame(place, (frame.run, frame.first), frame.count);
    }

    /// Adds a commit after which its space is at `made`.
    pub(crate) fn push_commit(&mut self, run: RunId, commit: PreparedCommit, made: Head) -> (CommitNo, Version) {
        self.make_room();
        let number = self.standing.commit.next();
        self.standing.commit = number;
        let PreparedCommit { at, space, mut cells, counters, outbox, .. } = commit;
        let place = self.row.place();
        let writer = self.row.writer();
        writer.u8(COMMIT);
        number.put(writer);
        run.put(writer);
        at.put(writer);
        writer.varint(u64::from(!cells.is_empty()));
        if !cells.is_empty() {
            space.put(writer);
            made.segment.put(writer);
            made.version.put(writer);
            writer.varint(cells.len() as u64);
            for (cell, value) in &mut cells {
                cell.set_version(made.version);
                let (family, key) = cell.parts();
                writer.u8(family);
                writer.blob(key);
                value.put(writer);
            }
        }
        outbox.put(writer);
        self.slice.absorb_commit(place, number, outbox);
        if !cells.is_empty() {
            self.standing.moved(&space, made);
            self.standing.recent.note(&space, made, run, &cells);
            self.standing.counts.learn(&space, made.segment, &counters, &cells);
            let origin = Origin { commit: number, run, at };
            self.slice.absorb_change(space, made, cells.into_iter(), origin);
        }
        (number, made.version)
    }

    /// Adds the end of a run.
    pub(crate) fn push_end(&mut self, run: RunId, encoded: Box<[u8]>) {
        self.make_room();
        let writer = self.row.writer();
        writer.u8(ENDED);
        run.put(writer);
        writer.raw(&encoded);
        self.slice.absorb_end(run, encoded);
    }

    /// Bytes of its rows so far.
    pub(crate) fn len(&self) -> usize {
        self.row.len() + self.rows.iter().map(|row| row.bytes.len()).sum::<usize>()
    }

    /// Closes the last row.
    pub(crate) fn close_row(&mut self) {
        if self.row.is_empty() {
            return;
        }
        let next = RowBuilder::new(self.end.position.next().next());
        let row = std::mem::replace(&mut self.row, next).finish(self.end.link);
        self.end = row.end;
        self.slice.end_row(row.end, row.bytes.len());
        self.rows.push(row);
    }

    fn make_room(&mut self) {
        if self.row.len() >= ROW_BYTES {
            self.close_row();
        }
    }
}

impl Standing {
    /// Notes where a space stands now.
    pub(crate) fn moved(&mut self, space: &SpaceName, head: Head) {
        match self.heads.get_mut(space) {
            Some(known) => *known = Some(head),
            None => drop(self.heads.insert(space.clone(), Some(head))),
        }
    }
}

#[cfg(test)]
mod tests {
    use reel_abi::id::{Seq, WallTime};
    use reel_abi::limits::Limits;
    use reel_abi::outcome::{Disposition, Outcome, RunBegin};
    use reel_abi::record::{Cell, CellValue};

    use super::*;
    use crate::error::AppendError;
    use crate::prepared::Prepared;
    use crate::row;
    use crate::submission::{Ending, Proposal, Submission};

    fn submission(space: &SpaceName, run: u64) -> Result<Submission, AppendError> {
        let run = RunId(run);
        let base = Head { segment: reel_abi::id::SegmentId(3), version: Version(run.0) };
        let begin = RunBegin {
            at: WallTime(5),
            component: Default::default(),
            content: Default::default(),
            name: "n".into(),
            args: vec!["a".into()],
            env: vec![],
            dirs: vec![],
            limits: Limits::default(),
            space: space.clone(),
            segment: base.segment,
            version: base.version,
            commit_on_failure: false,
            engine: "e".into(),
        };
        let cell = |n: u8, value| Cell { family: 4, key: vec![n; 3].into(), value };
        let cells = vec![cell(1, CellValue::Inline { bytes: vec![7; 300].into() }), cell(2, CellValue::Tombstone)];
        let frame = Frame::pack(run, Seq(0), 2, (WallTime(1), WallTime(2)), b"events");
        Ok(Submission {
            run,
            begun: Some(begin),
            frames: frame.into_iter().collect(),
            commit: Some(Proposal {
                at: WallTime(6),
                space: space.clone(),
                base,
                reads: Default::default(),
                cells: if run.0.is_multiple_of(2) { cells } else { vec![] },
                counters: vec![],
                outbox: vec![],
            }),
            ending: Some(Ending {
                at: WallTime(7),
                outcome: Outcome::Exit { code: 0 },
                events: 2,
                logged_bytes: 6,
                written_bytes: 0,
                memory: None,
                otherwise: Disposition::Aborted,
            }),
        })
    }

    #[test]
    fn a_row_read_back_changes_what_its_batch_changed() -> Result<(), Box<dyn std::error::Error>> {
        let space: SpaceName = "s".parse()?;
        let mut batch = Batch::new(RowEnd::default(), Standing::default());
        let segment = reel_abi::id::SegmentId(3);
        batch.push(LogItem::SpaceOpened { space: space.clone(), segment, version: Version(1), parent: None });
        for run in 1..5 {
            let Prepared { run, begun, frames, commit, ending } = Prepared::new(submission(&space, run)?)?;
            begun.into_iter().for_each(|begin| batch.push_begin(run, begin));
            frames.iter().for_each(|frame| batch.push_frame(frame));
            let made = Head { segment, version: Version(run.0 + 1) };
            let committed = commit.map(|commit| batch.push_commit(run, commit, made));
            ending.into_iter().for_each(|ending| batch.push_end(run, ending.encoded(committed)));
        }
        batch.push(LogItem::Delivered { commit: CommitNo(1) });
        batch.close_row();
        let mut read_back = Slice::default();
        for Row { end, bytes } in &batch.rows {
            let items = row::items(bytes)?;
            let mut writer = reel_abi::wire::Writer::new();
            items.iter().for_each(|(_, item)| item.put(&mut writer));
            assert_eq!(writer.bytes(), &bytes[row::LINK_BYTES..]);
            read_back.absorb_row(*end, items, bytes.len());
        }
        assert_eq!(batch.slice.begins.len(), 4);
        assert_eq!(format!("{:?}", batch.slice), format!("{read_back:?}"));
        Ok(())
    }
}
