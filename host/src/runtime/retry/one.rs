//! One run against changed code.

use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{Digest, Seq};
use reel_abi::limits::LimitKind;
use reel_abi::outcome::Outcome;
use reel_abi::resident::Entry;
use reel_abi::vocabulary::EventView;
use reel_store::{RunRecord, Store};

use super::case::{Actor, Case, Performed, Then, console, failed};
use super::effects::{Changes, Effects};
use super::lives::Lives;
use super::programs::{Program, Programs};
use super::world::{Kept, NoCallees, PastClient, Seeded, inputs};
use crate::calls::heard::STDIN;
use crate::calls::http::state::{Http, Traced};
use crate::calls::session::Console;
use crate::gate::cursor::Cursor;
use crate::gate::past::{MadeUp, Past, PastClock, Stopped};
use crate::gate::{Mode, Retry};
use crate::port::Clock;
use crate::runtime::drive::Stop;
use crate::runtime::files_at::LookError;
use crate::runtime::handlers::occasion;
use crate::runtime::prepare::PrepareError;
use crate::runtime::replay::{ReplayError, ReplayRequest, Verdict as Replayed, replay};
use crate::runtime::reproduce::origin::{AsItRan, as_it_ran};
use crate::runtime::resident::cells::call_begin;
use crate::runtime::source::LoggedFrames;
use crate::runtime::subscribers::Subscribers;

/// What would have become of a run.
pub enum Verdict {
    /// The same: how it ended, what it wrote, sent, answered and said.
    Same,
    /// It had failed, and ends well.
    Fixed(Box<Changes>),
    /// It had ended well, and fails.
    Broken(Box<Changes>),
    /// It ends in another way, as well or badly as it did.
    Outcome(Box<Changes>),
    /// It writes, sends or answers something else.
    Effects(Box<Changes>),
    /// It says something else, and nothing more.
    Output(Box<Changes>),
    /// It wanted to ask others what it had not asked them. It was stopped, and nobody was asked.
    NewRequest(String),
    /// It cannot be told, and why.
    Cannot(String),
}

/// A run that was executed against changed code.
pub struct Retried {
    /// The run as it is in the log.
    pub record: RunRecord,
    /// What would have become of it.
    pub verdict: Verdict,
    /// The first event that was another one, and what was asked in its place, if it is not that the log had ended.
    pub left: Option<(Seq, Option<EventView>)>,
    /// What the log did not have, so that it was made up.
    pub made_up: Vec<MadeUp>,
}

/// Executes recorded runs against changed code.
pub struct Retrier {
    pub(super) store: Store,
    pub(super) programs: Programs,
    pub(super) with: Program,
    topics: Arc<Subscribers>,
    pub(super) deadline: Duration,
    pub(super) lives: Lives,
}

impl Retrier {
    /// Against this binary. A run may compute for so long, if its limits do not say less.
    pub fn new(store: &Store, with: Vec<u8>, deadline: Duration) -> Self {
        let (programs, topics) = (Programs::new(store.clone()), Arc::new(Subscribers::new(store.clone())));
        let (store, with, lives) = (store.clone(), Program::new(with), Lives::default());
        Self { store, programs, with, topics, deadline, lives }
    }

    /// Executes one. An error is one of the binary: it fits no run of this kind.
    pub async fn retry(&self, record: &RunRecord) -> Result<Retried, PrepareError> {
        let cannot = |why: String| Retried::alone(record, Verdict::Cannot(why));
        match self.execute(record).await {
            Ok(retried) => Ok(retried),
            Err(ReplayError::Prepare(error @ (PrepareError::Read(_) | PrepareError::Damaged(..)))) => {
                Ok(cannot(error.to_string()))
            }
            Err(ReplayError::Prepare(error)) => Err(error),
            Err(error) => Ok(cannot(error.to_string())),
        }
    }

    async fn execute(&self, record: &RunRecord) -> Result<Retried, ReplayError> {
        if record.begin.component == Digest::of(b"") {
            return Ok(Retried::alone(record, Verdict::Cannot("no guest made it".into())));
        }
        let there = as_it_ran(&self.store.aside(), record)?;
        let call = call_begin(&there.store, record.run)?;
        let case = Case { record, there, call, deadline: self.deadline };
        match &case.call {
            Some(call) if matches!(call.entry, Entry::Joined { .. }) => self.joined(&case).await,
            Some(call) if !occasion::is_one(call) => self.resident(&case).await,
            _ => self.fresh(&case).await,
        }
    }

    /// A run of a fresh instance.
    async fn fresh(&self, case: &Case<'_>) -> Result<Retried, ReplayError> {
        let (engines, target) = self.programs.target(case, &self.with)?;
        let late = matches!(case.outcome(), Some(Outcome::Limit { kind: LimitKind::Deadline, .. }));
        if !late && case.same(Actor::Fresh(engines.clone(), target.clone())).await?.is_some() {
            return Ok(Retried::alone(case.record, Verdict::Same));
        }
        let recorded = match self.programs.recorded(case).and_then(|program| self.programs.target(case, &program)) {
            Ok((engines, target)) => Actor::Fresh(engines, target),
            Err(error) => return Ok(case.cannot(format!("the recorded component: {error}"))),
        };
        match case.then(recorded).await? {
            Ok((then, _)) => Ok(self.changed(case, Actor::Fresh(engines, target), then).await?.0),
            Err(why) => Ok(case.cannot(why)),
        }
    }

    /// The run with the other component, against the recorded one.
    pub(super) async fn changed(
        &self,
        case: &Case<'_>,
        actor: Actor,
        then: Then,
    ) -> Result<(Retried, Performed), ReplayError> {
        let AsItRan { store, run, begin, .. } = &case.there;
        let frames = || LoggedFrames::new(store, case.record.run);
        let past = Arc::new(Past::read(Box::new(frames()?), !begin.net.is_empty()).map_err(failed)?);
        let clock = PastClock::at(begin.at.0, begin.limits.deadline_millis);
        let ends_at_cut = case.outcome().is_none_or(|outcome| matches!(outcome, Outcome::Interrupted));
        let retry = Retry::new(Cursor::new(Box::new(frames()?)), Arc::clone(&past), Arc::clone(&clock), ends_at_cut);
        let request = past.request();
        let now = inputs(Arc::clone(&then.heard), Arc::clone(&past), request.clone(), &then.http);
        let (out, err) = (Kept::default(), Kept::default());
        let console = Console { stdin: now.again(STDIN), ..console(&out, &err) };
        let entropy = Box::new(Seeded::of(case.record.run, self.with.digest, Arc::clone(&past)));
        let mut session = case.session(Mode::Retry(Box::new(retry)), clock, Some(entropy), console)?;
        session.http = Http {
            incoming: request.iter().map(|_| now.again(0)).collect(),
            request,
            client: Some(Arc::new(PastClient::of(&then.http, &then.heard, &now, &past))),
            key: then.http.key.clone(),
            traced: Traced::of(*run, begin),
            ..Http::default()
        };
        session.topics = Some(self.topics.clone());
        session.callees = Some(Box::new(NoCallees(Arc::clone(&past))));
        session.heard = Some(now);
        let mut performed = case.perform(actor, session, past.stops()).await?;
        let results = performed.results.take();
        let left = performed.session().gate.retry().and_then(Retry::left);
        let left = left.map(|(seq, difference)| (seq, difference.map(|mismatch| mismatch.actual.clone())));
        let since = left.as_ref().map(|(seq, _)| *seq);
        let verdict = match (past.stopped().cloned(), &performed.stop) {
            (Some(Stopped::NewRequest(what)), _) => Verdict::NewRequest(what),
            (Some(Stopped::Unknown(why)), _) => Verdict::Cannot(why),
            (None, Stop::Outcome(Outcome::HostFailure { message })) => Verdict::Cannot(message.clone()),
            (None, Stop::Outcome(outcome)) if case.late(outcome).is_some() => {
                Verdict::Cannot(case.late(outcome).unwrap_or_default())
            }
            (None, Stop::Outcome(_)) if since.is_some_and(|seq| past.has_socket_since(seq)) => {
                Verdict::Cannot("it went on with sockets then, after what is other now".into())
            }
            (None, Stop::Outcome(outcome)) => {
                let outcome = Some(outcome.clone());
                let session = performed.session();
                let now = Effects::of(session, begin, outcome, results, (&out, &err)).map_err(failed)?;
                let uncalled = since.map(|seq| past.uncalled(seq)).unwrap_or_default();
                Verdict::of(then.effects.compare(now, store, uncalled).map_err(|error| unread(&error))?)
            }
            (None, _) => Verdict::Cannot("the recorded run was cut off where it was".into()),
        };
        if case.there.imported && left.is_some() {
            past.note(MadeUp::State);
        }
        let made_up = past.made_up().iter().copied().collect();
        Ok((Retried { record: case.record.clone(), verdict, left, made_up }, performed))
    }

    /// A call of one guest by another is a part of something longer: it can be told whether it is the same, and not what else it would be.
    async fn joined(&self, case: &Case<'_>) -> Result<Retried, ReplayError> {
        let record = case.record;
        let engines = self.programs.engines(case.there.begin.limits.stack_bytes, false)?;
        let with = Some(self.with.bytes.to_vec());
        let request = ReplayRequest { run: record.run, until: None, with, keep_payload: false };
        let clock: Arc<dyn Clock> = PastClock::at(case.there.begin.at.0, 0);
        let store = self.store.aside();
        let replayed = replay(&store, &engines, request, clock, Console::default(), &|| ());
        let Ok(report) = tokio::time::timeout(self.deadline, replayed).await else {
            return Ok(case.cannot(format!("it has come to no end in {:?}, which is the deadline here", self.deadline)));
        };
        let (verdict, left) = match report?.verdict {
            Replayed::Same | Replayed::SameToCut(_) | Replayed::Reached(_) => (Verdict::Same, None),
            Replayed::Diverged(divergence) => {
                let why = "it becomes another one, and it is a part of the transaction of another guest";
                let mismatch = divergence.mismatch;
                (Verdict::Cannot(why.into()), Some((mismatch.seq, Some(mismatch.actual))))
            }
        };
        Ok(Retried { left, ..Retried::alone(record, verdict) })
    }
}

impl Retried {
    pub(super) fn alone(record: &RunRecord, verdict: Verdict) -> Self {
        Self { record: record.clone(), verdict, left: None, made_up: Vec::new() }
    }
}

impl Verdict {
    fn of(changes: Changes) -> Self {
        let well = |outcome: &Option<Outcome>| outcome.as_ref().is_some_and(Outcome::is_success);
        let (was, is) = (well(&changes.outcome.was), well(&changes.outcome.is));
        let same = changes.same_outcome();
        let (effects, output) = (changes.in_effects(), changes.in_output());
        let changes = Box::new(changes);
        match (was, is) {
            (false, true) => Self::Fixed(changes),
            (true, false) => Self::Broken(changes),
            _ if !same => Self::Outcome(changes),
            _ if effects => Self::Effects(changes),
            _ if output => Self::Output(changes),
            _ => Self::Same,
        }
    }

    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Fixed(_) => "fixed",
            Self::Broken(_) => "broken",
            Self::Outcome(_) => "outcome",
            Self::Effects(_) => "effects",
            Self::Output(_) => "output",
            Self::NewRequest(_) => "new-request",
            Self::Cannot(_) => "cannot",
        }
    }

    /// How it differs, if that is known.
    pub fn changes(&self) -> Option<&Changes> {
        match self {
            Self::Fixed(changes)
            | Self::Broken(changes)
            | Self::Outcome(changes)
            | Self::Effects(changes)
            | Self::Output(changes) => Some(changes),
            Self::Same | Self::NewRequest(_) | Self::Cannot(_) => None,
        }
    }
}

fn unread(error: &LookError) -> ReplayError {
    ReplayError::Failed(error.to_string())
}
