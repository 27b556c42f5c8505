//! Whether a proposal holds: decided here and nowhere else, against all that lies before it in the order.
//!
//! What was ordered lately is known; the rest is looked up in what is pending, in memory and in the state. What is not durable
//! yet is in no log to be asked, so [`Recent`](crate::recent::Recent) does not forget it.

use reel_abi::id::{CommitNo, SpaceName};
use reel_abi::record::LogItem;

use crate::answer::Answer;
use crate::batch::{Batch, Made};
use crate::chain::Head;
use crate::counting;
use crate::error::{AppendError, ReadError};
use crate::pending::Reach;
use crate::prepared::{self, KeyedCell, Prepared, PreparedCommit, PreparedElsewhere, PreparedPart};
use crate::reads::ReadSet;
use crate::store::Shared;
use crate::submission::{Counter, Receipt};
use crate::view;

fn not_there(space: &SpaceName, base: Head) -> AppendError {
    AppendError::Conflict { space: space.clone(), base, head: None, what: "the space is not there".to_owned() }
}

impl Shared {
    /// Adds an item to the batch, and shows it to who sees what is ordered.
    pub(crate) fn push(&self, batch: &mut Batch, item: LogItem) {
        let place = batch.push(&item);
        self.pending.write().open.absorb(place, item);
    }

    /// Notes that the effects of a commit were carried out.
    pub(crate) fn stage_delivered(&self, batch: &mut Batch, commit: CommitNo) -> Answer {
        self.push(batch, LogItem::Delivered { commit });
        Answer::Receipt(Receipt { committed: None })
    }

    /// Decides on a submission's proposal and adds its items; adds nothing if it does not hold.
    pub(crate) fn stage_submission(&self, batch: &mut Batch, mut submission: Prepared) -> Result<Receipt, AppendError> {
        if let Some(begin) = &submission.begun {
            self.open_if_promised(batch, &begin.space, begin.head)?;
        }
        let made = submission.commit.as_mut().map(|proposal| self.decide(batch, proposal)).transpose()?;
        let made = made.filter(|_| submission.commit.as_ref().is_some_and(|commit| !commit.only_asks));
        let (changes, committed) = batch.push_submission(submission, made);
        changes.show(&mut self.pending.write().open);
        Ok(Receipt { committed })
    }

    /// Where the spaces stand with the proposal, if nothing that it read was written since. Its counters become cells.
    fn decide(&self, batch: &mut Batch, proposal: &mut PreparedCommit) -> Result<Made, AppendError> {
        self.open_if_promised(batch, &proposal.space, proposal.base)?;
        let PreparedCommit { space, base, reads, .. } = &*proposal;
        // What leaves nothing behind is serialised at the version that it read.
        if proposal.is_empty() {
            return match self.standing_head(batch, space)? {
                Some(_) => Ok(Made { own: *base, parts: Vec::new(), others: Vec::new() }),
                None => Err(not_there(space, *base)),
            };
        }
        let at = self.holds(batch, space, *base, reads)?;
        let mut parts = Vec::with_capacity(proposal.parts.len());
        for PreparedPart { space, base, reads, .. } in &proposal.parts {
            parts.push(self.holds(batch, space, *base, reads)?);
        }
        let mut others = Vec::with_capacity(proposal.others.len());
        for other in &proposal.others {
            // Nothing of it was read, so wherever it stands is right.
            let there = self.standing_head(batch, &other.space)?;
            let gone = || AppendError::Conflict {
                space: other.space.clone(),
                base: proposal.base,
                head: None,
                what: format!("the space {}, to which it sends, is not there", other.space),
            };
            others.push(there.ok_or_else(gone)?);
        }
        let PreparedCommit { space, cells, counters, .. } = &mut *proposal;
        self.count(batch, space, at, (cells, counters))?;
        for (PreparedElsewhere { space, cells, counters }, at) in proposal.others.iter_mut().zip(&mut others) {
            self.count(batch, space, *at, (cells, counters))?;
            at.version = at.version.next();
        }
        for (PreparedPart { space, base, cells, counters, .. }, at) in proposal.parts.iter_mut().zip(&mut parts) {
            self.count(batch, space, *at, (cells, counters))?;
            at.version = if cells.is_empty() { base.version } else { at.version.next() };
        }
        let version = if proposal.cells.is_empty() { proposal.base.version } else { at.version.next() };
        Ok(Made { own: Head { segment: at.segment, version }, parts, others })
    }

    /// Where a space stands, if nothing that was read of it at `base` was written since.
    fn holds(&self, batch: &mut Batch, space: &SpaceName, base: Head, reads: &ReadSet) -> Result<Head, AppendError> {
        let Some(at) = self.standing_head(batch, space)? else { return Err(not_there(space, base)) };
        let conflict = |what| AppendError::Conflict { space: space.clone(), base, head: Some(at), what };
        if at == base {
            return Ok(at);
        }
        if at.segment != base.segment || at.version < base.version {
            return Err(conflict("another version was put in its place".to_owned()));
        }
        if !reads.is_empty() {
            let known_after = batch.standing.recent.overtaken(space, base, at, reads).map_err(conflict)?;
            let unknown = (base.version, known_after);
            let what = self.overtaken(space, base.segment, unknown, reads);
            if let Some(what) = what.map_err(|error| self.unreadable(error))? {
                return Err(conflict(what));
            }
        }
        Ok(at)
    }

    /// Makes cells of the counters of a space that stands at `at`.
    fn count(
        &self,
        batch: &Batch,
        space: &SpaceName,
        at: Head,
        (cells, counters): (&mut Vec<KeyedCell>, &[Counter]),
    ) -> Result<(), AppendError> {
        let mut counted = Vec::with_capacity(counters.len());
        for counter in counters {
            let number = self.number(batch, space, at, counter)?;
            counted.push(counting::counted(at.segment, counter, number)?);
        }
        for (key, value) in counted {
            let (family, name) = key.parts();
            let (Ok(place) | Err(place)) = prepared::place(cells, family, name);
            cells.insert(place, (key, value));
        }
        Ok(())
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
        let chain = self.chain(at, Reach::Ordered).map_err(|error| self.unreadable(error))?;
        let value = view::value(self, Reach::Ordered, &chain, counter.family, &counter.key);
        Ok(value.map_err(|error| self.unreadable(error))?.as_ref().map_or(Some(0), counting::number_in))
    }

    /// Opens the space if `head` is the one that was promised for it.
    fn open_if_promised(&self, batch: &mut Batch, space: &SpaceName, head: Head) -> Result<(), AppendError> {
        if matches!(batch.standing.heads.get(space), Some(Some(_))) {
            return Ok(());
        }
        if self.live.read().reserved.get(space) != Some(&head) || self.standing_head(batch, space)?.is_some() {
            return Ok(());
        }
        // It was used meanwhile if the name was taken and given up again.
        let last = self.last_head(space, Reach::Ordered).map_err(|error| self.unreadable(error))?;
        if last.is_some_and(|last| last.version >= head.version) {
            return Ok(());
        }
        batch.standing.heads.insert(space.clone(), Some(head));
        let Head { segment, version } = head;
        self.push(batch, LogItem::SpaceOpened { space: space.clone(), segment, version, parent: None });
        Ok(())
    }

    /// Where a space stands with the batch.
    pub(crate) fn standing_head(&self, batch: &mut Batch, space: &SpaceName) -> Result<Option<Head>, AppendError> {
        if let Some(head) = batch.standing.heads.get(space) {
            return Ok(*head);
        }
        let head = self.head(space, Reach::Ordered).map_err(|error| self.unreadable(error))?;
        batch.standing.heads.insert(space.clone(), head);
        Ok(head)
    }

    /// Something needed for deciding cannot be read.
    pub(crate) fn unreadable(&self, error: ReadError) -> AppendError {
        AppendError::unreadable(error, self.state.path())
    }
}
