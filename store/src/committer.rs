//! The one thread that writes the log.
//!
//! It takes all that waits, decides in order which proposals hold, writes one row (several if they are very large) in one
//! durable commit, shows the result to readers, and only then answers. If a write fails, nobody in the batch is told that it
//! succeeded, and nothing is accepted afterwards: what reached the disk is only known when the log is read again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use reel_abi::id::{CommitNo, RunId, SpaceName, TagName, Version};
use reel_abi::outcome::{Disposition, RunEnd};
use reel_abi::record::{CommitRecord, LogItem, Retention, SpaceChange};

use crate::answer::Answer;
use crate::chain::Head;
use crate::counting::{self, Counts};
use crate::error::AppendError;
use crate::queue::{Entry, Task, Work};
use crate::recent::Recent;
use crate::row::{Row, RowBuilder, RowEnd};
use crate::store::Shared;
use crate::submission::{self, Counter, Ending, Proposal, Receipt, Submission};
use crate::view;

/// A row is closed when it is longer than this, so that reading one frame back never costs much more.
const ROW_BYTES: usize = 16 << 20;

/// With more spaces than this known to the committer they are forgotten and looked up again.
const SPACES: usize = 64 << 10;

/// Runs until the queue is stopped and empty.
pub(crate) fn run(shared: Arc<Shared>, end: RowEnd) {
    shared.queue.serve();
    let newest = shared.live.read().newest;
    let mut committer = Committer {
        shared: shared.clone(),
        end,
        commit: CommitNo(newest.commit),
        heads: BTreeMap::new(),
        recent: Recent::default(),
        counts: Counts::default(),
    };
    if catch_unwind(AssertUnwindSafe(|| committer.run())).is_err() {
        shared.refuse("the committer panicked");
        // Who came since is told so when its entry is dropped.
        loop {
            match shared.queue.take(|| u64::MAX) {
                Task::Batch(batch) => drop(batch),
                Task::AwaitBlobs(_) | Task::Stop => return,
            }
        }
    }
}

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    end: RowEnd,
    commit: CommitNo,
    /// Where spaces stand, with all that was written. Only the committer moves them.
    heads: BTreeMap<SpaceName, Option<Head>>,
    recent: Recent,
    counts: Counts,
}

/// A batch in the making: rows, and where its spaces stand with it.
pub(crate) struct Batch {
    rows: Vec<Row>,
    row: RowBuilder,
    end: RowEnd,
    commit: CommitNo,
    pub(crate) heads: BTreeMap<SpaceName, Option<Head>>,
    recent: Recent,
    counts: Counts,
    /// Where names stood that the batch removes.
    pub(crate) gone: BTreeMap<SpaceName, Head>,
    /// Tags that the batch sets, and removes.
    pub(crate) tags: BTreeMap<TagName, bool>,
    /// Whether it names a version of the past.
    pub(crate) pinned: bool,
    /// What it removes of the past.
    pub(crate) retained: Option<Retention>,
}

impl Committer {
    fn run(&mut self) {
        loop {
            self.shared.applying.wait_for_room(&self.shared);
            match self.shared.queue.take(|| self.shared.blobs.durable()) {
                Task::Stop => return,
                Task::AwaitBlobs(ticket) => drop(self.shared.blobs.wait(ticket)),
                Task::Batch(entries) => self.write(entries),
            }
        }
    }

    fn write(&mut self, entries: Vec<Entry>) {
        if let Some(fault) = self.shared.blobs.failed() {
            self.shared.refuse(&fault.to_string());
        }
        let mut batch = Batch {
            rows: Vec::new(),
            row: RowBuilder::new(self.end.position.next()),
            end: self.end,
            commit: self.commit,
            heads: std::mem::take(&mut self.heads),
            recent: std::mem::take(&mut self.recent),
            counts: std::mem::take(&mut self.counts),
            gone: BTreeMap::new(),
            tags: BTreeMap::new(),
            pinned: false,
            retained: None,
        };
        if batch.heads.len() > SPACES {
            batch.heads.clear();
        }
        batch.recent.begin_batch();
        batch.counts.begin_batch();
        let mut answers = Vec::with_capacity(entries.len());
        for Entry { work, answer, .. } in entries {
            let result = match self.shared.refused() {
                Some(refused) => Err(refused),
                None => self.stage(&mut batch, work),
            };
            if let (Err(error), None) = (&result, &answer) {
                tracing::error!("events of a run are lost: {error}");
            }
            answers.push((answer, result));
        }
        batch.close_row();
        self.heads = std::mem::take(&mut batch.heads);
        self.recent = std::mem::take(&mut batch.recent);
        self.counts = std::mem::take(&mut batch.counts);
        if let Err(error) = self.append(batch) {
            for (_, result) in answers.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        for (answer, result) in answers {
            if let Some(answer) = answer {
                answer.send(result);
            }
        }
    }

    /// Writes the batch's rows and shows them to readers.
    fn append(&mut self, batch: Batch) -> Result<(), AppendError> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        if let Err(fault) = self.shared.log.append(self.end, &batch.rows) {
            self.shared.refuse(&fault.to_string());
            return Err(fault.into());
        }
        self.end = batch.end;
        self.commit = batch.commit;
        let mut live = self.shared.live.write();
        for row in batch.rows {
            live.absorb_row(row.end, row.items, row.bytes.len());
        }
        let frozen = live.freeze_if_large();
        drop(live);
        if frozen {
            self.shared.applying.begin(&self.shared);
        }
        Ok(())
    }

    fn stage(&self, batch: &mut Batch, work: Work) -> Result<Answer, AppendError> {
        match work {
            Work::Submit(submission) => self.stage_submission(batch, *submission).map(Answer::Receipt),
            Work::Delivered(commit) => {
                batch.push(LogItem::Delivered { commit });
                Ok(Answer::Receipt(Receipt { committed: None }))
            }
            Work::History(deed) => self.stage_deed(batch, *deed),
        }
    }

    /// Decides on a submission's proposal and adds its items; adds nothing if it does not hold.
    fn stage_submission(&self, batch: &mut Batch, submission: Submission) -> Result<Receipt, AppendError> {
        let Submission { run, begun, frames, mut commit, ending } = submission;
        if let Some(begin) = &begun {
            let head = Head { segment: begin.segment, version: begin.version };
            self.open_if_promised(batch, &begin.space, head)?;
        }
        let made = commit.as_mut().map(|proposal| self.decide(batch, proposal)).transpose()?;
        if let Some(begin) = begun {
            batch.push(LogItem::Begun { run, begin });
        }
        for frame in frames {
            batch.push(LogItem::Frame { frame });
        }
        let committed = commit.zip(made).map(|(proposal, made)| batch.push_commit(run, proposal, made));
        if let Some(Ending { at, outcome, events, logged_bytes, written_bytes, memory, otherwise }) = ending {
            let disposition =
                committed.map_or(otherwise, |(commit, version)| Disposition::Committed { commit, version });
            let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
            batch.push(LogItem::Ended { run, end });
        }
        Ok(Receipt { committed })
    }

    /// Where the proposal's space stands with it, if nothing that it read was written since. Its counters become cells.
    fn decide(&self, batch: &mut Batch, proposal: &mut Proposal) -> Result<Head, AppendError> {
        self.open_if_promised(batch, &proposal.space, proposal.base)?;
        let Proposal { space, base, reads, .. } = &*proposal;
        let head = self.head(batch, space)?;
        let conflict = |what| AppendError::Conflict { space: space.clone(), base: *base, head, what };
        let Some(at) = head else { return Err(conflict("the space is not there".to_owned())) };
        // What leaves nothing behind is serialised at the version that it read.
        if proposal.is_empty() {
            return Ok(*base);
        }
        if at != *base {
            if at.segment != base.segment || at.version < base.version {
                return Err(conflict("another version was put in its place".to_owned()));
            }
            if !reads.is_empty() {
                let known_after = batch.recent.overtaken(space, *base, at, reads).map_err(conflict)?;
                let unknown = (base.version, known_after);
                let what = self.shared.overtaken(space, base.segment, unknown, reads);
                if let Some(what) = what.map_err(|error| self.unreadable(error))? {
                    return Err(conflict(what));
                }
            }
        }
        let mut counted = Vec::with_capacity(proposal.counters.len());
        for counter in &proposal.counters {
            counted.push(counting::counted(counter, self.number(batch, space, at, counter)?)?);
        }
        for cell in counted {
            let (Ok(place) | Err(place)) = submission::place(&proposal.cells, cell.family, &cell.key);
            proposal.cells.insert(place, cell);
        }
        let version = if proposal.cells.is_empty() { proposal.base.version } else { at.version.next() };
        Ok(Head { segment: at.segment, version })
    }

    /// The number in a cell of a space that stands at `at`; `None` if it holds something else.
    fn number(
        &self,
        batch: &Batch,
        space: &SpaceName,
        at: Head,
        counter: &Counter,
    ) -> Result<Option<u64>, AppendError> {
        if let Some(known) = batch.counts.get(space, at.segment, counter) {
            return Ok(known);
        }
        let durable = self.shared.head(space).map_err(|error| self.unreadable(error))?;
        if durable != Some(at) {
            if let Some(value) = counting::staged(batch.newest_first(), at.segment, counter) {
                return Ok(counting::number_in(value));
            }
            // It was opened in this batch, and nobody can have read it.
            if durable.is_none_or(|durable| durable.segment != at.segment) {
                return Ok(Some(0));
            }
        }
        let chain = self.shared.chain(durable.unwrap_or(at)).map_err(|error| self.unreadable(error))?;
        let value = view::value(&self.shared, &chain, counter.family, &counter.key);
        Ok(value.map_err(|error| self.unreadable(error))?.as_ref().map_or(Some(0), counting::number_in))
    }

    /// Opens the space if `head` is the one that was promised for it.
    fn open_if_promised(&self, batch: &mut Batch, space: &SpaceName, head: Head) -> Result<(), AppendError> {
        if self.shared.live.read().reserved.get(space) != Some(&head) || self.head(batch, space)?.is_some() {
            return Ok(());
        }
        batch.heads.insert(space.clone(), Some(head));
        let Head { segment, version } = head;
        batch.push(LogItem::SpaceOpened { space: space.clone(), segment, version, parent: None });
        Ok(())
    }

    /// Where a space stands with the batch.
    pub(crate) fn head(&self, batch: &mut Batch, space: &SpaceName) -> Result<Option<Head>, AppendError> {
        if let Some(head) = batch.heads.get(space) {
            return Ok(*head);
        }
        let head = self.shared.head(space).map_err(|error| self.unreadable(error))?;
        batch.heads.insert(space.clone(), head);
        Ok(head)
    }
}

impl Batch {
    /// Adds what a proposal becomes, its space being `made` with it.
    fn push_commit(&mut self, run: RunId, proposal: Proposal, made: Head) -> (CommitNo, Version) {
        let number = self.commit.next();
        self.commit = number;
        let Proposal { at, space, cells, counters, outbox, .. } = proposal;
        let mut spaces = Vec::new();
        if !cells.is_empty() {
            self.heads.insert(space.clone(), Some(made));
            self.recent.note(&space, made, run, &cells);
            self.counts.learn(&space, made.segment, &counters, &cells);
            spaces.push(SpaceChange { space, segment: made.segment, version: made.version, cells });
        }
        self.push(LogItem::Commit { record: CommitRecord { number, run, at, spaces, outbox } });
        (number, made.version)
    }

    fn newest_first(&self) -> impl Iterator<Item = &LogItem> {
        let closed = self.rows.iter().rev().flat_map(|row| row.items.iter().rev());
        self.row.items().iter().rev().chain(closed).map(|(_, item)| item)
    }

    pub(crate) fn push(&mut self, item: LogItem) {
        // A space's first run stays with its opening, whose time it tells.
        if self.row.len() >= ROW_BYTES && !matches!(item, LogItem::Begun { .. }) {
            self.close_row();
        }
        self.row.push(item);
    }

    fn close_row(&mut self) {
        if self.row.is_empty() {
            return;
        }
        let next = RowBuilder::new(self.end.position.next().next());
        let row = std::mem::replace(&mut self.row, next).finish(self.end.link);
        self.end = row.end;
        self.rows.push(row);
    }
}
