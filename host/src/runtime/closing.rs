//! The end of every live run, of a command, a request or a call: what it did gets its place in the log, committed or not; if another transaction came first,
//! it is said whether it is to be executed again; and once all of it is durable, what it has promised to directories of the host is carried out.
//!
//! ```text
//! close ──> ordered: others may read what it has written ──> durable: anybody may know of it
//! ```

use reel_abi::id::{CommitNo, RunId};
use reel_abi::outcome::{Disposition, RunEnd};
use reel_abi::record::OutboxEntry;
use reel_store::{AppendError, Ending, JoinedRun, Proposal, Receipt, Store, Submission};
use tokio::sync::oneshot;

use super::joined::Joint;
use super::outbox::{DeliveryError, deliver};
use super::sink::Remainder;
use super::turns::Turn;

/// A run whose guest has stopped.
pub(super) struct Closing<'a> {
    pub store: &'a Store,
    pub turn: &'a Turn,
    pub run: RunId,
    /// What is not in the log yet.
    pub remainder: Remainder,
    /// What it wants to commit.
    pub commit: Option<Proposal>,
    /// How it ended, and what becomes of it if it does not commit.
    pub ending: Ending,
    /// What was done in other spaces, which is part of it.
    pub joint: &'a Joint,
}

/// What became of it.
pub(super) enum Closed {
    /// It is over, and has its place.
    Over(Box<Ordered>),
    /// Another transaction came first. The next attempt goes under this number.
    Overtaken(RunId),
}

/// A run that has its place in the log. Nobody may know of it before it is durable.
#[must_use = "wait for it with `durable`"]
pub(super) struct Ordered {
    /// How it ended.
    pub end: RunEnd,
    /// What another transaction has changed before this one committed.
    pub conflict: Option<String>,
    durable: oneshot::Receiver<Result<Receipt, AppendError>>,
    outbox: Option<(CommitNo, Vec<OutboxEntry>)>,
}

impl Ordered {
    /// Whether something arrives in directories of the host once it is durable: who reads those next has to wait for it.
    pub fn delivers(&self) -> bool {
        self.outbox.is_some()
    }

    /// Returns when all of it is durable, with the effects that have not arrived yet.
    pub async fn durable(self, store: &Store) -> Result<Option<DeliveryError>, AppendError> {
        self.durable.await.unwrap_or(Err(AppendError::Invalid("the committer ended")))?;
        Ok(self.outbox.and_then(|(commit, outbox)| deliver(store, commit, &outbox).err()))
    }
}

impl Closing<'_> {
    /// Gives the end its place. `again` is asked only if the run was overtaken: whether it may be executed once more.
    pub async fn close(self, again: impl FnOnce() -> bool) -> Result<Closed, AppendError> {
        let Self { store, turn, run, remainder: Remainder { begun, frames }, mut commit, ending, joint } = self;
        let runs = joint
            .runs(ending.at, Some(&ending.outcome))
            .map_err(|halt| AppendError::Refused(halt.to_string().into()))?;
        match &mut commit {
            Some(commit) => commit.joined.runs.clone_from(&runs),
            None => roll_back(store, &runs, &Disposition::Aborted)?,
        }
        let outbox = commit
            .as_ref()
            .filter(|commit| !commit.joined.only_asks)
            .map(|commit| commit.outbox.clone())
            .unwrap_or_default();
        let only_asks = commit.as_ref().is_some_and(|commit| commit.joined.only_asks);
        let kept = commit.is_some().then(|| (begun.clone(), frames.clone()));
        // Whoever commits nothing waits for nobody.
        let allowed = if commit.is_some() { Some(turn.to_commit(joint.spaces()).await) } else { None };
        let result = order(store, Submission { run, begun, frames, commit, ending: Some(ending.clone()) });
        drop(allowed);
        let (mut conflict, mut disposition, mut committed) = (None, ending.otherwise.clone(), None);
        let durable = match (result, kept) {
            (Ok((receipt, durable)), _) => {
                if let Some((commit, version)) = receipt.committed {
                    disposition = Disposition::Committed { commit, version };
                    committed = Some(commit);
                }
                durable
            }
            (Err(AppendError::Conflict { what, .. }), Some((begun, frames))) => {
                let again = again();
                turn.want(joint.spaces());
                // Who fails by itself, and cannot be executed again, has failed.
                let lost = match again || !only_asks {
                    true => Disposition::Lost { again: None },
                    false => Disposition::Aborted,
                };
                if again && begun.is_some() {
                    // Nothing of it is in the log yet.
                    let logged: Vec<_> = runs.into_iter().filter(|run| run.begun.is_none()).collect();
                    roll_back(store, &logged, &lost)?;
                    return Ok(Closed::Overtaken(run));
                }
                let next = again.then(|| store.next_run());
                roll_back(store, &runs, &lost)?;
                if disposition == Disposition::Aborted && (again || !only_asks) {
                    disposition = Disposition::Lost { again: next };
                }
                let ending = Some(Ending { otherwise: disposition.clone(), ..ending.clone() });
                let (_, durable) = order(store, Submission { run, begun, frames, commit: None, ending })?;
                if let Some(next) = next {
                    return Ok(Closed::Overtaken(next));
                }
                conflict = (!only_asks).then_some(what);
                durable
            }
            (Err(error), _) => return Err(error),
        };
        turn.give_back();
        let outbox = committed.filter(|_| !outbox.is_empty()).map(|commit| (commit, outbox));
        let Ending { at, outcome, events, logged_bytes, written_bytes, memory, .. } = ending;
        let end = RunEnd { at, outcome, disposition, events, logged_bytes, written_bytes, memory };
        Ok(Closed::Over(Box::new(Ordered { end, conflict, durable, outbox })))
    }
}

/// Ends runs that were parts of a transaction which does not commit.
fn roll_back(store: &Store, runs: &[JoinedRun], otherwise: &Disposition) -> Result<(), AppendError> {
    for JoinedRun { run, begun, frames, ending, .. } in runs.iter().cloned() {
        let ending = Some(Ending { otherwise: otherwise.clone(), ..ending });
        let _ = order(store, Submission { run, begun, frames, commit: None, ending })?;
    }
    Ok(())
}

type Durable = oneshot::Receiver<Result<Receipt, AppendError>>;

fn order(store: &Store, submission: Submission) -> Result<(Receipt, Durable), AppendError> {
    let (done, durable) = oneshot::channel();
    let receipt = store.order(submission, move |result| drop(done.send(result)))?;
    Ok((receipt, durable))
}
