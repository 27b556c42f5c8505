//! A submission in the form that costs least under the lock of the order: sorted, encoded where its numbers do not matter, with the
//! keys that the state will have. Made before, by threads of which there are many; the lock is one.

use reel_abi::id::{CommitNo, RunId, SegmentId, SpaceName, Version, WallTime};
use reel_abi::outcome::{Disposition, RunBegin};
use reel_abi::record::{Cell, CellValue, Frame, OutboxEntry};
use reel_abi::wire::{Wire, Writer};

use crate::chain::Head;
use crate::error::AppendError;
use crate::reads::ReadSet;
use crate::submission::{Counter, Elsewhere, Ending, JoinedRun, Part, Proposal, Submission};
use crate::tables::CellKey;

/// A cell under the key that it has in the state; its version is set when it is known.
pub(crate) type KeyedCell = (CellKey, CellValue);

/// A submission ready to be decided on.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) run: RunId,
    pub(crate) begun: Option<PreparedBegin>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) commit: Option<PreparedCommit>,
    pub(crate) ending: Option<PreparedEnd>,
}

/// How a run begins.
#[derive(Debug)]
pub(crate) struct PreparedBegin {
    pub(crate) space: SpaceName,
    pub(crate) head: Head,
    pub(crate) at: WallTime,
    pub(crate) encoded: Box<[u8]>,
}

/// What is to be committed.
#[derive(Debug)]
pub(crate) struct PreparedCommit {
    pub(crate) at: WallTime,
    pub(crate) space: SpaceName,
    pub(crate) base: Head,
    pub(crate) reads: ReadSet,
    pub(crate) cells: Vec<KeyedCell>,
    pub(crate) counters: Vec<Counter>,
    pub(crate) outbox: Vec<OutboxEntry>,
    pub(crate) others: Vec<PreparedElsewhere>,
    pub(crate) parts: Vec<PreparedPart>,
    pub(crate) runs: Vec<PreparedRun>,
    pub(crate) only_asks: bool,
}

/// What was read and is to be written in a space beside the own.
#[derive(Debug)]
pub(crate) struct PreparedPart {
    pub(crate) space: SpaceName,
    pub(crate) base: Head,
    pub(crate) reads: ReadSet,
    pub(crate) cells: Vec<KeyedCell>,
    pub(crate) counters: Vec<Counter>,
}

/// A run that ends with the transaction of another.
#[derive(Debug)]
pub(crate) struct PreparedRun {
    pub(crate) run: RunId,
    pub(crate) begun: Option<PreparedBegin>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: PreparedEnd,
    pub(crate) part: Option<usize>,
}

/// What is to be written in another space. Its cells have a segment when the committer knows where the space stands.
#[derive(Debug)]
pub(crate) struct PreparedElsewhere {
    pub(crate) space: SpaceName,
    pub(crate) cells: Vec<KeyedCell>,
    pub(crate) counters: Vec<Counter>,
}

/// How a run ends, but for what became of its transaction.
#[derive(Debug)]
pub(crate) struct PreparedEnd {
    /// The encoded fields of [`reel_abi::outcome::RunEnd`], the disposition being missing at `at`.
    encoded: Vec<u8>,
    at: usize,
    otherwise: Disposition,
}

impl Prepared {
    /// Checks and prepares a submission.
    pub(crate) fn new(submission: Submission) -> Result<Self, AppendError> {
        submission.check()?;
        let Submission { run, begun, frames, commit, ending } = submission;
        let begun = begun.map(PreparedBegin::new);
        Ok(Self { run, begun, frames, commit: commit.map(PreparedCommit::new), ending: ending.map(PreparedEnd::new) })
    }

    /// About how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        let runs = self.commit.iter().flat_map(|commit| &commit.runs);
        let frames = self.frames.iter().chain(runs.clone().flat_map(|run| &run.frames));
        let frames: usize = frames.map(|frame| 64 + frame.packed.len()).sum();
        let begins = self.begun.iter().chain(runs.filter_map(|run| run.begun.as_ref()));
        let begin: usize = begins.map(|begin| begin.encoded.len()).sum();
        let elsewhere = self.commit.iter().flat_map(|commit| &commit.others).flat_map(|other| &other.cells);
        let joined = self.commit.iter().flat_map(|commit| &commit.parts).flat_map(|part| &part.cells);
        let cells = self.commit.iter().flat_map(|commit| &commit.cells).chain(elsewhere).chain(joined);
        let cell = |(key, value): &KeyedCell| match value {
            CellValue::Inline { bytes } => 16 + key.bytes().len() + bytes.len(),
            _ => 56 + key.bytes().len(),
        };
        256 + begin + frames + cells.map(cell).sum::<usize>()
    }
}

impl PreparedBegin {
    fn new(begin: RunBegin) -> Self {
        let head = Head { segment: begin.segment, version: begin.version };
        Self { head, at: begin.at, encoded: begin.to_bytes().into(), space: begin.space }
    }
}

impl PreparedCommit {
    fn new(proposal: Proposal) -> Self {
        let Proposal { at, space, base, mut reads, cells, counters, outbox, others, joined } = proposal;
        reads.settle();
        let (cells, counters) = (keyed(base.segment, cells), counted(counters));
        let others = others.into_iter().map(|Elsewhere { space, cells, counters }| PreparedElsewhere {
            space,
            cells: keyed(SegmentId(0), cells),
            counters: counted(counters),
        });
        let others = others.collect();
        let parts = joined.parts.into_iter().map(PreparedPart::new).collect();
        let runs = joined.runs.into_iter().map(PreparedRun::new).collect();
        let only_asks = joined.only_asks;
        Self { at, space, base, reads, cells, counters, outbox, others, parts, runs, only_asks }
    }

    /// Whether it holds whatever was written since: it leaves nothing that others could see, and has read one version of one space.
    pub(crate) fn is_empty(&self) -> bool {
        let writes = self.cells.len() + self.counters.len() + self.outbox.len() + self.others.len();
        writes == 0 && self.parts.is_empty()
    }
}

impl PreparedPart {
    fn new(Part { space, base, mut reads, cells, counters }: Part) -> Self {
        reads.settle();
        Self { space, base, reads, cells: keyed(base.segment, cells), counters: counted(counters) }
    }
}

impl PreparedRun {
    fn new(JoinedRun { run, begun, frames, ending, part }: JoinedRun) -> Self {
        Self { run, begun: begun.map(PreparedBegin::new), frames, end: PreparedEnd::new(ending), part }
    }
}

fn keyed(segment: SegmentId, cells: Vec<Cell>) -> Vec<KeyedCell> {
    let key = |cell: &Cell| CellKey::new(segment, cell.family, &cell.key, Version(0));
    cells.into_iter().map(|cell| (key(&cell), cell.value)).collect()
}

/// Each key once.
fn counted(mut counters: Vec<Counter>) -> Vec<Counter> {
    counters.sort_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
    counters.dedup_by(|next, kept| {
        let same = (next.family, &next.key) == (kept.family, &kept.key);
        if same {
            kept.add = kept.add.saturating_add(next.add);
        }
        same
    });
    counters
}

impl PreparedEnd {
    fn new(ending: Ending) -> Self {
        let Ending { at, outcome, events, logged_bytes, written_bytes, memory, otherwise } = ending;
        let mut writer = Writer::new();
        at.put(&mut writer);
        outcome.put(&mut writer);
        let hole = writer.len();
        events.put(&mut writer);
        logged_bytes.put(&mut writer);
        written_bytes.put(&mut writer);
        memory.put(&mut writer);
        Self { encoded: writer.into_bytes(), at: hole, otherwise }
    }

    /// The encoded [`reel_abi::outcome::RunEnd`].
    pub(crate) fn encoded(self, committed: Option<(CommitNo, Version)>) -> Box<[u8]> {
        let disposition =
            committed.map_or(self.otherwise, |(commit, version)| Disposition::Committed { commit, version });
        let (before, after) = self.encoded.split_at(self.at);
        [before, &disposition.to_bytes(), after].concat().into()
    }
}

/// Where a key stands in sorted cells, or would.
pub(crate) fn place(cells: &[KeyedCell], family: u8, key: &[u8]) -> Result<usize, usize> {
    cells.binary_search_by(|(cell, _)| cell.parts().cmp(&(family, key)))
}

#[cfg(test)]
mod tests {
    use reel_abi::outcome::{Outcome, RunEnd};

    use super::*;

    #[test]
    fn an_end_put_together_is_the_end_encoded_whole() {
        let ending = |otherwise: Disposition| Ending {
            at: WallTime(77),
            outcome: Outcome::Trap { message: "m".into(), backtrace: vec!["f".into()] },
            events: 300,
            logged_bytes: 4000,
            written_bytes: 5,
            memory: Some(9),
            otherwise,
        };
        let committed = Some((CommitNo(300), Version(200)));
        let lost = Disposition::Lost { again: Some(RunId(500)) };
        for (otherwise, committed, disposition) in [
            (Disposition::Aborted, committed, Disposition::Committed { commit: CommitNo(300), version: Version(200) }),
            (lost.clone(), None, lost),
        ] {
            let Ending { at, outcome, events, logged_bytes, written_bytes, memory, .. } = ending(otherwise.clone());
            let whole = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
            assert_eq!(PreparedEnd::new(ending(otherwise)).encoded(committed).to_vec(), whole.to_bytes());
        }
    }
}
