//! The one thread that writes the log.
//!
//! It takes all that waits, decides in order which proposals hold, writes one row (several if they are very large) in one
//! durable commit, shows the result to readers, and only then answers. If a write fails, nobody in the batch is told that it
//! succeeded, and nothing is accepted afterwards: what reached the disk is only known when the log is read again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use reel_abi::id::{CommitNo, SpaceName, TagName};
use reel_abi::outcome::{Disposition, RunEnd};
use reel_abi::record::{CommitRecord, LogItem, Retention, SpaceChange};

use crate::chain::Head;
use crate::error::AppendError;
use crate::queue::{Answer, Entry, Task, Work};
use crate::row::{Row, RowBuilder, RowEnd};
use crate::store::Shared;
use crate::submission::{Ending, Proposal, Receipt, Submission};

/// A row is closed when it is longer than this, so that reading one frame back never costs much more.
const ROW_BYTES: usize = 16 << 20;

/// Runs until the queue is stopped and empty.
pub(crate) fn run(shared: Arc<Shared>, end: RowEnd) {
    let newest = shared.live.read().newest;
    let mut committer = Committer { shared: shared.clone(), end, commit: CommitNo(newest.commit) };
    if catch_unwind(AssertUnwindSafe(|| committer.run())).is_err() {
        shared.refuse("the committer panicked");
        // Answers of callers that came since are dropped, which they notice.
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
}

/// A batch in the making: rows, and where its spaces stand with it.
pub(crate) struct Batch {
    rows: Vec<Row>,
    row: RowBuilder,
    end: RowEnd,
    commit: CommitNo,
    pub(crate) heads: BTreeMap<SpaceName, Option<Head>>,
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
            heads: BTreeMap::new(),
            gone: BTreeMap::new(),
            tags: BTreeMap::new(),
            pinned: false,
            retained: None,
        };
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
        if let Err(error) = self.append(batch) {
            for (_, result) in answers.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        for (answer, result) in answers {
            // Nobody is there any more if the caller's thread died while it waited.
            let _ = answer.map(|answer| answer.send(result));
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
                Ok(Answer::Receipt(Receipt { disposition: None }))
            }
            Work::History(deed) => self.stage_deed(batch, *deed),
        }
    }

    /// Checks a submission's proposal and adds its items; adds nothing if it does not hold.
    fn stage_submission(&self, batch: &mut Batch, submission: Submission) -> Result<Receipt, AppendError> {
        let Submission { run, begun, frames, ending } = submission;
        if let Some(begin) = &begun {
            let head = Head { segment: begin.segment, version: begin.version };
            self.open_if_promised(batch, &begin.space, head)?;
        }
        let proposal = ending.as_ref().and_then(|ending| ending.commit.as_ref());
        if let Some(Proposal { space, base, cells, outbox }) = proposal {
            self.open_if_promised(batch, space, *base)?;
            let head = self.head(batch, space)?;
            // What wrote nothing and sends nothing is serialised at the version that it read.
            let reads_only = cells.is_empty() && outbox.is_empty() && head.is_some();
            if head != Some(*base) && !reads_only {
                return Err(AppendError::Conflict { space: space.clone(), base: *base, head });
            }
        }
        if let Some(begin) = begun {
            batch.push(LogItem::Begun { run, begin });
        }
        for frame in frames {
            batch.push(LogItem::Frame { frame });
        }
        let disposition = ending.map(|Ending { at, outcome, events, logged_bytes, written_bytes, memory, commit }| {
            let disposition = commit.map_or(Disposition::Aborted, |proposal| {
                let number = batch.commit.next();
                batch.commit = number;
                let Proposal { space, base, cells, outbox } = proposal;
                let mut version = base.version;
                let mut spaces = Vec::new();
                if !cells.is_empty() {
                    version = version.next();
                    batch.heads.insert(space.clone(), Some(Head { segment: base.segment, version }));
                    spaces.push(SpaceChange { space, segment: base.segment, version, cells });
                }
                let record = CommitRecord { number, run, at, spaces, outbox };
                batch.push(LogItem::Commit { record });
                Disposition::Committed { commit: number, version }
            });
            let kept = disposition.clone();
            let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
            batch.push(LogItem::Ended { run, end });
            kept
        });
        Ok(Receipt { disposition })
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
