//! Commits on the way of a live run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reel_abi::faults::Base;
use reel_abi::id::{CommitNo, RunId, SpaceName, Version};
use reel_abi::outcome::Disposition;
use reel_store::{AppendError, Proposal, Receipt, Store, Submission};
use tokio::sync::oneshot;

use super::joined::Joint;
use super::outbox::deliver;
use super::sink::{LogSink, Remainder};
use super::turns::Turn;
use crate::gate::Halt;
use crate::gate::commit::CommitPoint;
use crate::gate::recorder::RawFrame;
use crate::port::Waiting;

/// Appends without keeping a thread waiting for the disk.
pub(super) async fn append(store: &Store, submission: Submission) -> Result<Receipt, AppendError> {
    let (done, answer) = oneshot::channel();
    store.append_then(submission, move |result| drop(done.send(result)))?;
    answer.await.unwrap_or(Err(AppendError::Invalid("the committer ended")))
}

/// Returns when all that has its place in the log by now is durable.
pub(super) async fn all_durable(store: &Store) -> Result<(), AppendError> {
    let nothing = Submission { run: RunId(0), begun: None, frames: Vec::new(), commit: None, ending: None };
    append(store, nothing).await.map(drop)
}

/// The last commit that a run made on its way, shared with whoever concludes the run.
#[derive(Debug, Clone, Default)]
pub(super) struct LastCommit(Arc<(AtomicU64, AtomicU64)>);

impl LastCommit {
    /// Notes a commit.
    pub(super) fn set(&self, commit: CommitNo, version: Version) {
        self.0.1.store(version.0, Ordering::Relaxed);
        self.0.0.store(commit.0, Ordering::Relaxed);
    }

    /// Commit and version, if there was one.
    pub(super) fn get(&self) -> Option<(CommitNo, Version)> {
        let commit = self.0.0.load(Ordering::Relaxed);
        (commit > 0).then(|| (CommitNo(commit), Version(self.0.1.load(Ordering::Relaxed))))
    }

    /// What becomes of a run of which nothing more is committed.
    pub(super) fn otherwise(&self) -> Disposition {
        match self.get() {
            Some((commit, version)) => Disposition::Partly { commit, version },
            None => Disposition::Aborted,
        }
    }
}

/// Where one run commits.
pub(super) struct Point {
    pub(super) store: Store,
    pub(super) run: RunId,
    pub(super) space: SpaceName,
    pub(super) sink: LogSink,
    pub(super) turn: Turn,
    pub(super) last: LastCommit,
    pub(super) joint: Joint,
}

impl Point {
    async fn append(&mut self, frame: RawFrame, proposal: Proposal) -> Result<bool, Halt> {
        let at = proposal.at;
        let mut proposal = self.joint.join(proposal, at)?;
        proposal.joined.runs = self.joint.runs(at, None)?;
        let failed = |e: &AppendError| Halt::host("committing", e);
        let Remainder { begun, frames } = self.sink.finish()?;
        let mut sent = frames.clone();
        sent.push(self.sink.pack(&frame)?);
        let outbox = proposal.outbox.clone();
        let submission =
            Submission { run: self.run, begun: begun.clone(), frames: sent, commit: Some(proposal), ending: None };
        let turn = self.turn.to_commit(self.joint.spaces()).await;
        let receipt = append(&self.store, submission).await;
        drop(turn);
        let committed = match receipt {
            Ok(receipt) => receipt.committed,
            Err(AppendError::Conflict { .. }) => {
                self.sink.give_back(Remainder { begun, frames });
                self.joint.lost();
                return Ok(false);
            }
            Err(error) => return Err(failed(&error)),
        };
        self.joint.committed();
        if let Some((commit, version)) = committed {
            self.last.set(commit, version);
            if !outbox.is_empty()
                && let Err(error) = deliver(&self.store, commit, &outbox)
            {
                tracing::warn!("{error}");
            }
        }
        Ok(true)
    }
}

impl CommitPoint for Point {
    fn commit(&mut self, frame: RawFrame, proposal: Proposal) -> Waiting<'_, Result<bool, Halt>> {
        Box::pin(self.append(frame, proposal))
    }

    fn newest(&mut self) -> Result<Base, Halt> {
        let head = self.store.head_or_new(&self.space).map_err(|e| Halt::host("reading the space", &e))?;
        Ok(Base { segment: head.segment, version: head.version })
    }
}
