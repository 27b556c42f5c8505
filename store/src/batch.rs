//! A batch in the making: rows, what they change, and where its spaces stand with it.
//!
//! Each item goes two ways at once: encoded into the row, and into the slice that readers see when the row is durable.

use std::collections::BTreeMap;

use reel_abi::id::{CommitNo, Position, RunId, Seq, SpaceName, Version};
use reel_abi::record::{Frame, LogItem, OutboxEntry};
use reel_abi::wire::Wire;

use crate::chain::Head;
use crate::counting::Counts;
use crate::prepared::{
    KeyedCell, Prepared, PreparedBegin, PreparedCommit, PreparedElsewhere, PreparedEnd, PreparedPart,
};
use crate::recent::Recent;
use crate::row::{ItemPlace, RowBuilder};
use crate::slice::{FramePlace, Origin, Slice};

/// A row is closed when it is longer than this, so that reading one frame back never costs much more.
const ROW_BYTES: usize = 16 << 20;

/// With more spaces than this known they are forgotten and looked up again.
const SPACES: usize = 64 << 10;

// Tags of `LogItem`.
const BEGUN: u8 = 1;
const FRAME: u8 = 2;
const COMMIT: u8 = 3;
const ENDED: u8 = 4;

/// A batch in the making.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Rows that take no more items.
    full: Vec<RowBuilder>,
    row: RowBuilder,
    pub(crate) standing: Standing,
}

/// Where everything stands with all that was ordered so far, kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The last commit.
    pub(crate) commit: CommitNo,
    /// Spaces that were asked for; any may be forgotten.
    pub(crate) heads: BTreeMap<SpaceName, Option<Head>>,
    /// What was written lately.
    pub(crate) recent: Recent,
    /// What was counted lately.
    pub(crate) counts: Counts,
}

/// What the items of a submission change.
pub(crate) struct Changes {
    begun: Vec<(RunId, PreparedBegin)>,
    frames: Vec<((RunId, Seq), FramePlace)>,
    commit: Option<Committed>,
    ended: Vec<(RunId, Box<[u8]>)>,
}

struct Committed {
    place: ItemPlace,
    number: CommitNo,
    outbox: Vec<OutboxEntry>,
    /// Where the space of its transaction stands now.
    own: Head,
    /// Those of its other parts.
    parts: Vec<Head>,
    /// The spaces that it changed.
    moved: Vec<(SpaceName, Head, Vec<KeyedCell>)>,
    origin: Origin,
}

/// Where spaces stand after a commit.
pub(crate) struct Made {
    /// That of its transaction.
    pub(crate) own: Head,
    /// Those of its other parts, in their order.
    pub(crate) parts: Vec<Head>,
    /// The others that it writes, in their order.
    pub(crate) others: Vec<Head>,
}

impl Batch {
    /// An empty batch whose first row will be at `position`.
    pub(crate) fn new(position: Position, standing: Standing) -> Self {
        Self { full: Vec::new(), row: RowBuilder::new(position), standing }
    }

    /// Adds an item; returns where.
    pub(crate) fn push(&mut self, item: &LogItem) -> ItemPlace {
        self.make_room();
        let place = self.row.place();
        item.put(self.row.writer());
        place
    }

    /// Adds what a run hands over, with where its spaces are after the commit. Returns what that changes, and what
    /// became of the commit.
    pub(crate) fn push_submission(
        &mut self,
        submission: Prepared,
        made: Option<Made>,
    ) -> (Changes, Option<(CommitNo, Version)>) {
        let Prepared { run, begun, frames, mut commit, ending } = submission;
        let joined = commit.as_mut().map(|commit| std::mem::take(&mut commit.runs)).unwrap_or_default();
        // In one row with the opening of its space, whose time it tells.
        let mut begins: Vec<_> = begun.map(|begin| self.push_begin(run, begin)).into_iter().collect();
        let mut places: Vec<_> = frames.iter().map(|frame| self.push_frame(frame)).collect();
        let mut ends = Vec::with_capacity(joined.len());
        for joined in joined {
            begins.extend(joined.begun.map(|begin| self.push_begin(joined.run, begin)));
            places.extend(joined.frames.iter().map(|frame| self.push_frame(frame)));
            ends.push((joined.run, joined.end, joined.part));
        }
        let commit = commit.zip(made).map(|(proposal, made)| self.push_commit(run, proposal, made));
        let committed = commit.as_ref().map(|commit| (commit.number, commit.own.version));
        let mut ended: Vec<_> = ending.map(|end| self.push_end(run, end, committed)).into_iter().collect();
        for (run, end, part) in ends {
            let part =
                commit.as_ref().zip(part).and_then(|(commit, part)| Some((commit.number, commit.parts.get(part)?)));
            ended.push(self.push_end(run, end, part.map(|(number, head)| (number, head.version))));
        }
        (Changes { begun: begins, frames: places, commit, ended }, committed)
    }

    fn push_begin(&mut self, run: RunId, begin: PreparedBegin) -> (RunId, PreparedBegin) {
        let writer = self.row.writer();
        writer.u8(BEGUN);
        run.put(writer);
        writer.raw(&begin.encoded);
        (run, begin)
    }

    fn push_end(&mut self, run: RunId, end: PreparedEnd, committed: Option<(CommitNo, Version)>) -> (RunId, Box<[u8]>) {
        let encoded = end.encoded(committed);
        self.make_room();
        let writer = self.row.writer();
        writer.u8(ENDED);
        run.put(writer);
        writer.raw(&encoded);
        (run, encoded)
    }

    fn push_frame(&mut self, frame: &Frame) -> ((RunId, Seq), FramePlace) {
        self.make_room();
        let place = self.row.place();
        let writer = self.row.writer();
        writer.u8(FRAME);
        frame.put(writer);
        ((frame.run, frame.first), FramePlace { place, count: frame.count })
    }

    fn push_commit(&mut self, run: RunId, commit: PreparedCommit, made: Made) -> Committed {
        self.make_room();
        let number = self.standing.commit.next();
        self.standing.commit = number;
        let Made { own, parts, others } = made;
        let mut changes = Vec::with_capacity(1 + parts.len() + others.len());
        if !commit.cells.is_empty() {
            changes.push((commit.space, own, commit.cells, commit.counters));
        }
        for (PreparedPart { space, cells, counters, .. }, made) in commit.parts.into_iter().zip(&parts) {
            if !cells.is_empty() {
                changes.push((space, *made, cells, counters));
            }
        }
        for (PreparedElsewhere { space, cells, counters }, made) in commit.others.into_iter().zip(others) {
            changes.push((space, made, cells, counters));
        }
        let (at, outbox) = (commit.at, commit.outbox);
        let place = self.row.place();
        let writer = self.row.writer();
        writer.u8(COMMIT);
        number.put(writer);
        run.put(writer);
        at.put(writer);
        writer.varint(changes.len() as u64);
        for (space, made, cells, _) in &mut changes {
            space.put(writer);
            made.segment.put(writer);
            made.version.put(writer);
            writer.varint(cells.len() as u64);
            for (cell, value) in cells {
                cell.set(made.segment, made.version);
                cell.stamp(number);
                let (family, key) = cell.parts();
                writer.u8(family);
                writer.blob(key);
                value.put(writer);
            }
        }
        outbox.put(writer);
        let mut moved = Vec::with_capacity(changes.len());
        for (space, made, cells, counters) in changes {
            self.standing.moved(&space, made);
            self.standing.recent.note(&space, made, run, &cells);
            self.standing.counts.learn(&space, made.segment, &counters, &cells);
            moved.push((space, made, cells));
        }
        let origin = Origin { commit: number, run, at };
        Committed { place, number, outbox, own, parts, moved, origin }
    }

    /// Whether it has no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.row.is_empty()
    }

    /// Takes its rows; the next batch begins.
    pub(crate) fn close(&mut self) -> Vec<RowBuilder> {
        if !self.row.is_empty() {
            self.close_row();
        }
        self.standing.begin_batch();
        std::mem::take(&mut self.full)
    }

    fn make_room(&mut self) {
        if self.row.len() >= ROW_BYTES {
            self.close_row();
        }
    }

    fn close_row(&mut self) {
        let next = RowBuilder::new(self.row.position().next());
        self.full.push(std::mem::replace(&mut self.row, next));
    }
}

impl Changes {
    /// Puts them into the slice of the batch.
    pub(crate) fn show(self, slice: &mut Slice) {
        let Self { begun, frames, commit, ended } = self;
        for (run, begin) in begun {
            slice.absorb_begin(run, (&begin.space, begin.head), begin.at, begin.encoded);
        }
        for (first, place) in frames {
            slice.absorb_frame(first, place);
        }
        if let Some(Committed { place, number, outbox, moved, origin, .. }) = commit {
            slice.absorb_commit(place, number, outbox);
            for (space, made, cells) in moved {
                slice.absorb_change(space, made, cells, origin);
            }
        }
        for (run, encoded) in ended {
            slice.absorb_end(run, encoded);
        }
    }
}

impl Standing {
    fn begin_batch(&mut self) {
        if self.heads.len() > SPACES {
            self.heads.clear();
        }
        self.recent.begin_batch();
        self.counts.begin_batch();
    }

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
    use reel_abi::id::WallTime;
    use reel_abi::limits::Limits;
    use reel_abi::outcome::{Disposition, Outcome, RunBegin};
    use reel_abi::record::{Cell, CellValue};

    use super::*;
    use crate::error::AppendError;
    use crate::row::{self, Row, RowEnd};
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
            net: Vec::new(),
            calls: Vec::new(),
            limits: Limits::default(),
            space: space.clone(),
            segment: base.segment,
            version: base.version,
            commit_on_failure: false,
            engine: "e".into(),
            trace: None,
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
                others: vec![],
                joined: Default::default(),
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
        let (mut batch, mut grown) = (Batch::new(Position(1), Standing::default()), Slice::default());
        let segment = reel_abi::id::SegmentId(3);
        let push = |batch: &mut Batch, grown: &mut Slice, item: LogItem| {
            let place = batch.push(&item);
            grown.absorb(place, item);
        };
        let opened = LogItem::SpaceOpened { space: space.clone(), segment, version: Version(1), parent: None };
        push(&mut batch, &mut grown, opened);
        for run in 1..5 {
            let made = Head { segment, version: Version(run + 1) };
            let submission = Prepared::new(submission(&space, run)?)?;
            let (changes, _) =
                batch.push_submission(submission, Some(Made { own: made, parts: vec![], others: vec![] }));
            changes.show(&mut grown);
        }
        push(&mut batch, &mut grown, LogItem::Delivered { commit: CommitNo(1) });
        let mut end = RowEnd::default();
        let mut read_back = Slice::default();
        for row in batch.close() {
            let Row { end: at, bytes } = row.finish(end.link);
            end = at;
            let items = row::items(&bytes)?;
            let mut writer = reel_abi::wire::Writer::new();
            items.iter().for_each(|(_, item)| item.put(&mut writer));
            assert_eq!(writer.bytes(), &bytes[row::LINK_BYTES..]);
            read_back.absorb_row(at, items, bytes.len());
            grown.end_rows(at, 1, bytes.len());
        }
        assert_eq!(grown.begins.len(), 4);
        assert_eq!(format!("{grown:?}"), format!("{read_back:?}"));
        Ok(())
    }
}
