//! What a run would leave behind, and how two such sets differ.

use std::collections::BTreeSet;
use std::sync::Arc;

use reel_abi::bytes::Bytes;
use reel_abi::http::{Fields, HttpFault};
use reel_abi::id::WallTime;
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::record::{HostChange, OutboxEntry};
use reel_store::{Head, Overlay, Store};

use super::world::{Asked, Kept, Said};
use crate::calls::session::Session;
use crate::gate::Halt;
use crate::runtime::cells::Cells;
use crate::runtime::diff::{Difference, between};
use crate::runtime::files_at::LookError;
use crate::txn::messages::Letter;

/// An answer as the client would get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status, or why there is none.
    pub status: Result<u16, HttpFault>,
    /// Its fields.
    pub fields: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// What follows the body.
    pub trailers: Fields,
}

/// What a run would leave behind.
pub(super) struct Effects {
    /// How it ended; nothing if it was cut off.
    pub outcome: Option<Outcome>,
    cells: Arc<Overlay>,
    outbox: Vec<OutboxEntry>,
    letters: Vec<Letter>,
    out: Said,
    err: Said,
    answer: Option<Answer>,
    results: Option<String>,
    asked: Vec<Asked>,
    /// What the last transaction of the run has read.
    base: Head,
}

/// One thing as it was and as it would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Two<T> {
    /// As it was.
    pub was: T,
    /// As it would be.
    pub is: T,
}

impl<T: PartialEq> Two<T> {
    fn unless_same(was: T, is: T) -> Option<Self> {
        (was != is).then_some(Self { was, is })
    }
}

/// How two runs differ in what they leave behind.
pub struct Changes {
    /// How they ended.
    pub outcome: Two<Option<Outcome>>,
    /// Files, keys and messages of their space.
    pub state: Difference,
    /// What they send to others.
    pub messages: Option<Two<Vec<Letter>>>,
    /// What they change in directories of the host.
    pub outbox: Option<Two<Vec<OutboxEntry>>>,
    /// What they answer.
    pub answer: Option<Two<Option<Answer>>>,
    /// What the function gave, in WAVE.
    pub results: Option<Two<Option<String>>>,
    /// Requests to others, and calls of other guests, that are not made any more, in words.
    pub unasked: Vec<String>,
    /// What they say on standard output.
    pub out: Option<Two<Said>>,
    /// What they say on standard error.
    pub err: Option<Two<Said>>,
}

impl Changes {
    /// Whether they ended in the same way.
    pub fn same_outcome(&self) -> bool {
        is_same(self.outcome.was.as_ref(), self.outcome.is.as_ref())
    }

    /// Whether something was written, sent or answered differently.
    pub fn in_effects(&self) -> bool {
        let state = !(self.state.paths.is_empty() && self.state.keys.is_empty() && self.state.messages.is_empty());
        let answers = self.answer.is_some() || self.results.is_some();
        state || answers || self.messages.is_some() || self.outbox.is_some() || !self.unasked.is_empty()
    }

    /// Whether something was said differently.
    pub fn in_output(&self) -> bool {
        self.out.is_some() || self.err.is_some()
    }
}

impl Effects {
    /// Those of a run that has ended so, with what its function gave. One that has failed leaves only words.
    pub fn of(
        session: &mut Session,
        begin: &RunBegin,
        outcome: Option<Outcome>,
        results: Option<String>,
        (out, err): (&Kept, &Kept),
    ) -> Result<Self, Halt> {
        let (out, err, asked, base) = (out.said(), err.said(), Asked::left(&session.http), session.txn.base());
        let commits = outcome.as_ref().is_some_and(|outcome| {
            outcome.is_success() || (begin.commit_on_failure && matches!(outcome, Outcome::Exit { .. }))
        });
        if !commits {
            let (cells, outbox, letters) = Default::default();
            // A handler may say itself that it has failed.
            let answer = matches!(outcome, Some(Outcome::Aborted { .. })).then(|| answer(session)).flatten();
            return Ok(Self { outcome, cells, outbox, letters, out, err, answer, results, asked, base });
        }
        let letters = session.txn.messages.letters().cloned().collect();
        let proposal = session.txn.propose(WallTime(0))?;
        let cells = proposal.cells.into_iter().map(|cell| ((cell.family, cell.key.0), cell.value));
        let (cells, outbox) = (Arc::new(cells.collect()), proposal.outbox.into_iter().map(timeless).collect());
        Ok(Self { outcome, cells, outbox, letters, out, err, answer: answer(session), results, asked, base })
    }

    /// How these differ from others. `uncalled` are calls that the other run does not make.
    pub fn compare(self, is: Self, store: &Store, uncalled: Vec<String>) -> Result<Changes, LookError> {
        let cells = |effects: &Self| -> Result<Cells, LookError> {
            Ok(Cells::of(store, store.view(effects.base)?.with(Arc::clone(&effects.cells))))
        };
        let mut keys: BTreeSet<_> = self.cells.keys().chain(is.cells.keys()).cloned().collect();
        if self.base != is.base {
            // The one has committed on its way, and the other has not come so far.
            keys.extend(store.changed(is.base, self.base)?);
        }
        let changed: Vec<_> = keys.into_iter().collect();
        let state = between(store, cells(&self)?, cells(&is)?, &changed, &mut |_| ())?;
        let mut unasked = uncalled;
        let mut made = is.asked;
        for asked in self.asked {
            match made.iter().position(|one| *one == asked) {
                Some(place) => drop(made.swap_remove(place)),
                None => unasked.push(asked.words()),
            }
        }
        Ok(Changes {
            state,
            unasked,
            messages: Two::unless_same(self.letters, is.letters),
            outbox: Two::unless_same(self.outbox, is.outbox),
            answer: Two::unless_same(self.answer, is.answer),
            results: Two::unless_same(self.results, is.results),
            out: Two::unless_same(self.out, is.out),
            err: Two::unless_same(self.err, is.err),
            outcome: Two { was: self.outcome, is: is.outcome },
        })
    }
}

/// Whether two runs ended in the same way. Where in its code a guest trapped is its own affair.
fn is_same(one: Option<&Outcome>, other: Option<&Outcome>) -> bool {
    match (one, other) {
        (Some(Outcome::Trap { message: one, .. }), Some(Outcome::Trap { message: other, .. })) => one == other,
        (one, other) => one == other,
    }
}

/// When a file was written is not what it says.
fn timeless(entry: OutboxEntry) -> OutboxEntry {
    let changes = entry.changes.into_iter().map(|change| match change {
        HostChange::File { path, chunks, .. } => HostChange::File { path, chunks, modified: None },
        other => other,
    });
    OutboxEntry { dir: entry.dir, changes: changes.collect() }
}

fn answer(session: &Session) -> Option<Answer> {
    let answer = session.http.answer.as_ref()?;
    let written = answer.body.and_then(|body| session.http.written.get(body as usize));
    let (body, trailers) = written.map(|body| (body.bytes.clone(), body.trailers.clone())).unwrap_or_default();
    let (status, fields) = match &answer.head {
        Ok(head) => (Ok(head.status), head.headers.clone()),
        Err(fault) => (Err(fault.clone()), Vec::<(String, Bytes)>::new()),
    };
    Some(Answer { status, fields, body, trailers })
}
