//! One run on its way: as it was when it ran, and executed again by whatever component.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{Seq, WallTime};
use reel_abi::limits::LimitKind;
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::types::MonotonicReading;
use reel_abi::vocabulary::{CallBegins, RunEnds};
use reel_store::RunRecord;

use super::effects::Effects;
use super::one::{Retried, Verdict};
use super::world::Kept;
use crate::calls::heard::Heard;
use crate::calls::http::state::Http;
use crate::calls::session::{Console, Session};
use crate::gate::cursor::Cursor;
use crate::gate::past::PastClock;
use crate::gate::{Halt, Mode};
use crate::port::{Clock, Entropy, HostDir};
use crate::runtime::drive::{Bounds, Driven, Stop, drive};
use crate::runtime::engines::Engines;
use crate::runtime::replay::ReplayError;
use crate::runtime::reproduce::origin::AsItRan;
use crate::runtime::resident::enact::{Enacted, enact};
use crate::runtime::resident::instance::{Instance, Ready};
use crate::runtime::resident::waking::stay;
use crate::runtime::run::{GateOptions, session_of};
use crate::runtime::source::LoggedFrames;
use crate::runtime::target::Target;

/// A run on its way.
pub(super) struct Case<'a> {
    /// As it is in the log.
    pub record: &'a RunRecord,
    /// As it was when it ran.
    pub there: AsItRan,
    /// How it was entered, if it is a call.
    pub call: Option<CallBegins>,
    /// How long it may compute.
    pub deadline: Duration,
}

/// Who executes it.
pub(super) enum Actor {
    /// A fresh instance.
    Fresh(Engines, Target),
    /// A resident as it was before the call, with the time of its birth; nothing before that.
    Stays(Arc<Ready>, Option<(Instance, WallTime)>),
}

/// A run that was executed again.
pub(super) struct Performed {
    /// How it stopped.
    pub stop: Stop,
    /// What its function gave, if it is a call of a resident.
    pub results: Option<String>,
    left: Left,
}

/// What is left of it.
enum Left {
    Session(Box<Session>),
    Guest(Box<Enacted>),
}

/// What is known of a run as it was.
pub(super) struct Then {
    pub effects: Effects,
    pub heard: Arc<Heard>,
    pub http: Http,
}

impl Performed {
    /// The host's side of it.
    pub fn session(&mut self) -> &mut Session {
        match &mut self.left {
            Left::Session(session) => session,
            Left::Guest(enacted) => enacted.session(),
        }
    }

    /// The resident after its call.
    pub fn alive(self) -> Option<Instance> {
        match self.left {
            Left::Session(_) => None,
            Left::Guest(enacted) => enacted.guest.ok(),
        }
    }
}

impl Case<'_> {
    /// Whether it is a part of the life of its guest.
    pub fn is_of_life(&self) -> bool {
        let disposition = self.record.end.as_ref().map(|end| &end.disposition);
        matches!(disposition, Some(Disposition::Committed { .. }))
    }

    /// It cannot be told what it would be.
    pub fn cannot(&self, why: String) -> Retried {
        Retried::alone(self.record, Verdict::Cannot(why))
    }

    /// Against the log, and no further.
    pub fn replaying(&self) -> Result<Mode, ReplayError> {
        let frames = LoggedFrames::new(&self.there.store, self.record.run)?;
        Ok(Mode::Replay(Cursor::new(Box::new(frames))))
    }

    /// How it ended; nothing if it was cut off.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.record.end.as_ref().map(|end| &end.outcome)
    }

    /// What it works with.
    pub fn session(
        &self,
        mode: Mode,
        clock: Arc<dyn Clock>,
        entropy: Option<Box<dyn Entropy>>,
        console: Console,
    ) -> Result<Session, ReplayError> {
        let AsItRan { store, run, begin, .. } = &self.there;
        let dirs: Vec<Option<Box<dyn HostDir>>> = begin.dirs.iter().map(|_| None).collect();
        Ok(session_of(store, *run, begin, mode, clock, entropy, console, dirs, &GateOptions::default())?)
    }

    /// Whether somebody does all that is in the log; what is left of it then.
    pub async fn same(&self, actor: Actor) -> Result<Option<Performed>, ReplayError> {
        let clock = PastClock::at(self.there.begin.at.0, 0);
        let session = self.session(self.replaying()?, clock, None, Console::default())?;
        let mut performed = self.perform(actor, session, std::future::pending()).await?;
        let is_same = match outcome_of(&performed.stop) {
            // Its memory is another one, whatever it does.
            Some(outcome) if !outcome.is_cut() => {
                performed.session().gate.finish(RunEnds { outcome, memory: None }).is_ok()
            }
            Some(_) => false,
            None => matches!(performed.stop, Stop::LogEnds(_)),
        };
        Ok(is_same.then_some(performed))
    }

    /// The run as it was, with all that came in from others and all that it left behind; or why that cannot be had.
    pub async fn then(&self, actor: Actor) -> Result<Result<(Then, Performed), String>, ReplayError> {
        let clock = PastClock::at(self.there.begin.at.0, 0);
        let (out, err, heard) = (Kept::default(), Kept::default(), Arc::new(Heard::default()));
        let mut session = self.session(self.replaying()?, clock, None, console(&out, &err))?;
        session.heard = Some(Arc::clone(&heard));
        let mut performed = self.perform(actor, session, std::future::pending()).await?;
        let log_ends = matches!(performed.stop, Stop::LogEnds(_));
        let outcome = match outcome_of(&performed.stop) {
            Some(outcome) if outcome.is_cut() => {
                return Ok(Err(format!("the recorded component came to no end when it was executed again: {outcome}")));
            }
            Some(outcome)
                if performed.session().gate.finish(RunEnds { outcome: outcome.clone(), memory: None }).is_ok() =>
            {
                Some(outcome)
            }
            None if log_ends => self.outcome().cloned(),
            _ => {
                let why = "the recorded component does not do again what is in the log: `reel replay` tells where";
                return Ok(Err(why.to_owned()));
            }
        };
        let results = performed.results.take();
        let session = performed.session();
        let effects = Effects::of(session, &self.there.begin, outcome, results, (&out, &err)).map_err(failed)?;
        let then = Then { effects, heard, http: std::mem::take(&mut session.http) };
        Ok(Ok((then, performed)))
    }

    /// Executes it, whatever the mode of the session's gate.
    pub async fn perform(
        &self,
        actor: Actor,
        mut session: Session,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Performed, ReplayError> {
        let begin = &self.there.begin;
        let own = match begin.limits.deadline_millis {
            0 => self.deadline,
            millis => Duration::from_millis(millis),
        };
        let bounds = Bounds { deadline: Some(own.min(self.deadline)), interrupt };
        match actor {
            Actor::Fresh(engines, target) => {
                let halted = match target.begin(&mut session.gate) {
                    Ok(()) => None,
                    Err(Halt::Diverged(mismatch)) => Some(Stop::Diverged(mismatch)),
                    Err(Halt::LogEnds(seq)) => Some(Stop::LogEnds(seq)),
                    Err(halt) => return Err(failed(halt)),
                };
                if let Some(stop) = halted {
                    return Ok(Performed { stop, results: None, left: Left::Session(Box::new(session)) });
                }
                let Driven { stop, session, .. } = drive(&engines, &target, session, bounds).await;
                Ok(Performed { stop, results: None, left: Left::Session(Box::new(session)) })
            }
            Actor::Stays(ready, before) => {
                let call = self.call.clone().ok_or_else(|| ReplayError::Failed("it is no call".to_owned()))?;
                stay(&mut session, &begin.space);
                let instance = before.map(|(instance, born)| {
                    session.gate.go_on_from(MonotonicReading(begin.at.0.saturating_sub(born.0)));
                    instance
                });
                let mut enacted = enact(&ready, instance, session, call, bounds).await;
                let stop = std::mem::replace(&mut enacted.stop, Stop::Until(Seq(0)));
                let results = enacted.results.take();
                Ok(Performed { stop, results, left: Left::Guest(Box::new(enacted)) })
            }
        }
    }

    /// Why it came to no end that can be told of, if it did not.
    pub fn late(&self, outcome: &Outcome) -> Option<String> {
        let Outcome::Limit { kind: LimitKind::Deadline, limit } = outcome else { return None };
        let own = self.there.begin.limits.deadline_millis;
        (*limit != own).then(|| format!("it has come to no end in {:?}, which is the deadline here", self.deadline))
    }
}

/// Streams that keep what is said on them.
pub(super) fn console(out: &Kept, err: &Kept) -> Console {
    Console { stdin: None, stdout: Some(Box::new(out.clone())), stderr: Some(Box::new(err.clone())), echo: true }
}

/// How a run ended that did.
fn outcome_of(stop: &Stop) -> Option<Outcome> {
    if let Stop::Outcome(outcome) = stop { Some(outcome.clone()) } else { None }
}

/// It cannot be gone on with.
pub(super) fn failed(halt: Halt) -> ReplayError {
    ReplayError::Failed(halt.to_string())
}
