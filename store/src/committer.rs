//! The one thread that writes the log.
//!
//! It takes all that waits, decides in order which proposals hold, writes one row (several if they are very large) in one
//! durable commit, shows the result to readers, and only then answers. If a write fails, nobody in the batch is told that it
//! succeeded, and nothing is accepted afterwards: what reached the disk is only known when the log is read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use reel_abi::id::{CommitNo, SpaceName};
use reel_abi::record::LogItem;

use crate::answer::{Answer, Reply};
pub(crate) use crate::batch::Batch;
use crate::batch::Standing;
use crate::chain::Head;
use crate::counting;
use crate::error::AppendError;
use crate::gathering::Gathering;
use crate::prepared::{self, Prepared, PreparedCommit};
use crate::queue::{Entry, Task, Work};
use crate::row::RowEnd;
use crate::store::Shared;
use crate::submission::{Counter, Receipt};
use crate::view;

/// One batch takes no more than this, roughly.
const BATCH_BYTES: usize = 32 << 20;

/// With more spaces than this known to the committer they are forgotten and looked up again.
const SPACES: usize = 64 << 10;

/// Runs until the queue is stopped and empty.
pub(crate) fn run(shared: Arc<Shared>, end: RowEnd) {
    shared.queue.serve();
    let standing = Standing { commit: CommitNo(shared.live.read().newest.commit), ..Standing::default() };
    let mut committer =
        Committer { shared: shared.clone(), end, standing, gathering: Gathering::default(), unmerged: false };
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
    standing: Standing,
    gathering: Gathering,
    /// Whether something is to be merged while the disk is busy.
    unmerged: bool,
}

type Answers = Vec<(Option<Reply>, Result<Answer, AppendError>)>;

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
        let mut standing = std::mem::take(&mut self.standing);
        if standing.heads.len() > SPACES {
            standing.heads.clear();
        }
        standing.recent.begin_batch();
        standing.counts.begin_batch();
        let mut batch = Batch::new(self.end, standing);
        let mut answers = Answers::with_capacity(entries.len());
        let mut asked = self.stage_all(&mut batch, entries, &mut answers);
        // Those who were answered last are likely to be back at once.
        while batch.len() < BATCH_BYTES
            && let Some(more) = self.gathering.more(&self.shared, asked)
        {
            asked += self.stage_all(&mut batch, more, &mut answers);
        }
        batch.close_row();
        self.standing = std::mem::take(&mut batch.standing);
        if let Err(error) = self.append(batch) {
            for (_, result) in answers.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        self.gathering.answered(asked, self.shared.queue.urgent());
        for (answer, result) in answers {
            if let Some(answer) = answer {
                answer.send(result);
            }
        }
    }

    /// Stages entries; returns how many of them somebody waits for.
    fn stage_all(&self, batch: &mut Batch, entries: Vec<Entry>, answers: &mut Answers) -> usize {
        let mut asked = 0;
        for Entry { work, answer, .. } in entries {
            let result = match self.shared.refused() {
                Some(refused) => Err(refused),
                None => self.stage(batch, work),
            };
            if let (Err(error), None) = (&result, &answer) {
                tracing::error!("events of a run are lost: {error}");
            }
            asked += usize::from(answer.is_some());
            answers.push((answer, result));
        }
        asked
    }

    /// Writes the batch's rows and shows them to readers.
    fn append(&mut self, batch: Batch) -> Result<(), AppendError> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.unmerged) {
            self.shared.merging.begin(&self.shared);
        }
        if let Err(fault) = self.shared.log.append(self.end, &batch.rows) {
            self.shared.refuse(&fault.to_string());
            return Err(fault.into());
        }
        self.end = batch.end;
        let mut live = self.shared.live.write();
        self.unmerged = live.publish(batch.slice);
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
    fn stage_submission(&self, batch: &mut Batch, submission: Prepared) -> Result<Receipt, AppendError> {
        let Prepared { run, begun, frames, mut commit, ending } = submission;
        if let Some(begin) = &begun {
            self.open_if_promised(batch, &begin.space, begin.head)?;
        }
        let made = commit.as_mut().map(|proposal| self.decide(batch, proposal)).transpose()?;
        if let Some(begin) = begun {
            batch.push_begin(run, begin);
        }
        for frame in &frames {
            batch.push_frame(frame);
        }
        let committed = commit.zip(made).map(|(proposal, made)| batch.push_commit(run, proposal, made));
        if let Some(ending) = ending {
            batch.push_end(run, ending.encoded(committed));
        }
        Ok(Receipt { committed })
    }

    /// Where the proposal's space stands with it, if nothing that it read was written since. Its counters become cells.
    fn decide(&self, batch: &mut Batch, proposal: &mut PreparedCommit) -> Result<Head, AppendError> {
        self.open_if_promised(batch, &proposal.space, proposal.base)?;
        let PreparedCommit { space, base, reads, .. } = &*proposal;
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
                let known_after = batch.standing.recent.overtaken(space, *base, at, reads).map_err(conflict)?;
                let unknown = (base.version, known_after);
                let what = self.shared.overtaken(space, base.segment, unknown, reads);
                if let Some(what) = what.map_err(|error| self.unreadable(error))? {
                    return Err(conflict(what));
                }
            }
        }
        let mut counted = Vec::with_capacity(proposal.counters.len());
        for counter in &proposal.counters {
            let number = self.number(batch, space, at, counter)?;
            counted.push(counting::counted(at.segment, counter, number)?);
        }
        for (key, value) in counted {
            let (family, name) = key.parts();
            let (Ok(place) | Err(place)) = prepared::place(&proposal.cells, family, name);
            proposal.cells.insert(place, (key, value));
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
        if let Some(known) = batch.standing.counts.get(space, at.segment, counter) {
            return Ok(known);
        }
        let durable = self.shared.head(space).map_err(|error| self.unreadable(error))?;
        if durable != Some(at) {
            let staged = batch.slice.staged(at.segment, counter.family, &counter.key);
            if let Some(value) = staged {
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
        if matches!(batch.standing.heads.get(space), Some(Some(_))) {
            return Ok(());
        }
        if self.shared.live.read().reserved.get(space) != Some(&head) || self.head(batch, space)?.is_some() {
            return Ok(());
        }
        batch.standing.heads.insert(space.clone(), Some(head));
        let Head { segment, version } = head;
        batch.push(LogItem::SpaceOpened { space: space.clone(), segment, version, parent: None });
        Ok(())
    }

    /// Where a space stands with the batch.
    pub(crate) fn head(&self, batch: &mut Batch, space: &SpaceName) -> Result<Option<Head>, AppendError> {
        if let Some(head) = batch.standing.heads.get(space) {
            return Ok(*head);
        }
        let head = self.shared.head(space).map_err(|error| self.unreadable(error))?;
        batch.standing.heads.insert(space.clone(), head);
        Ok(head)
    }
}
