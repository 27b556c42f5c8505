//! Calls of residents: a guest that stays is what its life has made it, so that another component lives that life again before it is called.
//!
//! ```text
//! in the log   birth ── call ── call ── call ── call        those that were committed
//!                │       │       │        │       │
//! again          same ── same ── same ─ other ─ other       from the first one that becomes another, each is gone on with from what the one before has made
//!                                         │                 of the memory; the state of the space is that of its time for all of them
//!                                         └─ one that fails now is left out, as it would have been
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use reel_abi::id::{RunId, SpaceName};
use reel_abi::resident::Life;
use tokio::sync::Mutex;

use super::case::{Actor, Case, Performed};
use super::one::{Retried, Retrier, Verdict};
use crate::gate::past::{MadeUp, PastClock};
use crate::port::Clock;
use crate::runtime::drive::Stop;
use crate::runtime::replay::ReplayError;
use crate::runtime::reproduce::origin::as_it_ran;
use crate::runtime::resident::cells::call_begin;
use crate::runtime::resident::instance::Ready;
use crate::runtime::resident::replaying::{Living, before, calls_before};
use crate::runtime::resident::waking::WakeError;

/// Residents that are kept awake for the next of their calls.
const AWAKE: usize = 8;

/// The lives that are lived again, by their spaces.
#[derive(Default)]
pub(super) struct Lives(std::sync::Mutex<BTreeMap<SpaceName, Arc<Mutex<Known>>>>);

/// What is known of the guests of one space.
#[derive(Default)]
pub(super) struct Known {
    /// The other component, as far as it has lived.
    now: Option<Living>,
    /// The recorded one.
    then: Option<Living>,
    /// The first call of its life that the other component makes another one.
    other: Option<RunId>,
    /// Calls that fail with the other component, and had not.
    lost: BTreeSet<RunId>,
    /// A call after which nothing is known, and why.
    ends: Option<(RunId, String)>,
}

/// Both components.
struct Both {
    now: Arc<Ready>,
    then: Arc<Ready>,
}

/// What came of a call in a life.
enum Step {
    /// This, and the guest after it, if it can be called again.
    Done(Box<Retried>, Option<Living>),
    /// It is the first that is another one. It must be made once more, on the guest as it was before.
    IsOther,
}

impl Lives {
    /// What is known of a space.
    fn of(&self, space: &SpaceName) -> Arc<Mutex<Known>> {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lives.len() >= AWAKE && !lives.contains_key(space) {
            lives.retain(|_, life| Arc::strong_count(life) > 1);
        }
        Arc::clone(lives.entry(space.clone()).or_default())
    }
}

impl Known {
    /// A life begins: what is known of an earlier one is of no use.
    fn begin(&mut self, birth: RunId) {
        self.other = self.other.filter(|other| *other >= birth);
    }
}

impl Retrier {
    /// A call of a resident.
    pub(super) async fn resident(&self, case: &Case<'_>) -> Result<Retried, ReplayError> {
        let now = self.programs.ready(case, &self.with)?;
        let then = match self.programs.recorded(case).and_then(|program| self.programs.ready(case, &program)) {
            Ok(ready) => ready,
            Err(error) => return Ok(case.cannot(format!("the recorded component: {error}"))),
        };
        let (both, known) = (Both { now, then }, self.lives.of(&case.there.begin.space));
        let mut known = known.lock().await;
        if case.is_of_life() {
            return self.live(case, &both, &mut known).await;
        }
        // It is no part of the life, and whoever makes it is of no use for the next call.
        let mut alone =
            Known { other: known.other, lost: known.lost.clone(), ends: known.ends.clone(), ..Known::default() };
        drop(known);
        self.live(case, &both, &mut alone).await
    }

    /// A call, after all those before it in its life.
    async fn live(&self, case: &Case<'_>, both: &Both, known: &mut Known) -> Result<Retried, ReplayError> {
        loop {
            let brought = tokio::time::timeout(self.deadline, self.bring(case, both, known)).await;
            let Ok(brought) = brought else {
                return Ok(case.cannot(format!("to live its life again takes more than {:?}", self.deadline)));
            };
            let living = match brought? {
                Ok(living) => living,
                Err(why) => return Ok(case.cannot(why)),
            };
            if let Step::Done(retried, living) = self.step(case, both, known, living).await? {
                known.now = living;
                return Ok(*retried);
            }
        }
    }

    /// The other component as it is before a call; nothing before its birth.
    async fn bring(
        &self,
        case: &Case<'_>,
        both: &Both,
        known: &mut Known,
    ) -> Result<Result<Option<Living>, String>, ReplayError> {
        let (Some(call), store, begin) = (&case.call, &case.there.store, &case.there.begin) else {
            return Ok(Ok(None));
        };
        if call.after.is_none() {
            known.begin(case.record.run);
            return Ok(Ok(None));
        }
        loop {
            let mut living = known.now.take();
            let from = living.as_ref().map(|living| (living.life.birth, living.life.last));
            let runs = match calls_before(store, begin, call, from)? {
                Some(runs) => runs,
                None => {
                    // What is awake has lived another life, or is further in this one.
                    living = None;
                    let runs = calls_before(store, begin, call, None)?.unwrap_or_default();
                    runs.first().into_iter().for_each(|birth| known.begin(*birth));
                    runs
                }
            };
            let mut is_other = false;
            for run in runs.into_iter().filter(|run| !known.lost.contains(run)).collect::<Vec<_>>() {
                if let Some((at, why)) = known.ends.as_ref().filter(|(at, _)| *at == run) {
                    return Ok(Err(format!("after run {at}, an earlier call of its life: {why}")));
                }
                let Some(record) = self.store.run(run)? else {
                    return Ok(Err(format!("run {run}, an earlier call of its life, is not in the log")));
                };
                let there = as_it_ran(&self.store.aside(), &record)?;
                let call = call_begin(&there.store, run)?;
                let earlier = Case { record: &record, there, call, deadline: self.deadline };
                match self.step(&earlier, both, known, living.take()).await? {
                    Step::Done(_, Some(alive)) => living = Some(alive),
                    // It fails now, or nothing is known after it.
                    Step::Done(_, None) | Step::IsOther => is_other = true,
                }
                if is_other {
                    break;
                }
            }
            if !is_other {
                return Ok(Ok(living));
            }
        }
    }

    /// One call, on the guest as it is before it.
    async fn step(
        &self,
        case: &Case<'_>,
        both: &Both,
        known: &mut Known,
        living: Option<Living>,
    ) -> Result<Step, ReplayError> {
        let (run, in_life) = (case.record.run, case.is_of_life());
        let life = living.as_ref().map(|living| living.life.clone());
        let actor = |ready: &Arc<Ready>, living: Option<Living>| {
            Actor::Stays(Arc::clone(ready), living.map(|Living { instance, life }| (instance, life.born)))
        };
        if in_life && known.other.is_none_or(|other| run < other) {
            let Some(performed) = case.same(actor(&both.now, living)).await? else {
                known.other = Some(run);
                return Ok(Step::IsOther);
            };
            let living = lived(case, performed, life);
            if living.is_none() {
                known.ends = Some((run, "it leaves nothing that can be called".to_owned()));
            }
            return Ok(Step::Done(Box::new(Retried::alone(case.record, Verdict::Same)), living));
        }
        let mut ended = |why: &str| {
            if in_life {
                known.ends = Some((run, why.to_owned()));
            }
        };
        let recorded = match self.recorded_before(case, both, &mut known.then).await {
            Ok(recorded) => recorded,
            Err(why) => {
                let why = format!("the recorded component: {why}");
                ended(&why);
                return Ok(Step::Done(Box::new(case.cannot(why)), None));
            }
        };
        let life_then = recorded.as_ref().map(|living| living.life.clone());
        let then = match case.then(actor(&both.then, recorded)).await? {
            Ok((then, performed)) => {
                known.then = if in_life { lived(case, performed, life_then) } else { None };
                then
            }
            Err(why) => {
                ended(&why);
                return Ok(Step::Done(Box::new(case.cannot(why)), None));
            }
        };
        let (mut retried, performed) = self.changed(case, actor(&both.now, living), then).await?;
        if known.other.is_some_and(|other| other < run) && life.is_some() {
            retried.made_up.push(MadeUp::Memory);
        }
        let ends_well = matches!(&performed.stop, Stop::Outcome(outcome) if outcome.is_success());
        let living = match &retried.verdict {
            Verdict::NewRequest(why) | Verdict::Cannot(why) => {
                ended(why);
                None
            }
            _ if in_life && ends_well => {
                let living = lived(case, performed, life);
                if living.is_none() {
                    ended("it leaves nothing that can be called");
                }
                living
            }
            _ if in_life => {
                known.lost.insert(run);
                None
            }
            _ => None,
        };
        Ok(Step::Done(Box::new(retried), living))
    }

    /// The recorded component as it was before a call.
    async fn recorded_before(
        &self,
        case: &Case<'_>,
        both: &Both,
        then: &mut Option<Living>,
    ) -> Result<Option<Living>, String> {
        let (Some(call), store, begin) = (&case.call, &case.there.store, &case.there.begin) else {
            return Ok(None);
        };
        let clock: Arc<dyn Clock> = PastClock::at(begin.at.0, 0);
        let brought = async {
            if let Some(living) = then.take()
                && let Ok(living) = living.before(store, &both.then, begin, call, &clock).await?
            {
                return Ok(Some(living));
            }
            let brought = before(store, &both.then, begin.component, begin, call, &clock).await?;
            Ok(brought.map(|(instance, life)| Living { instance, life }))
        };
        match tokio::time::timeout(case.deadline, brought).await {
            Ok(brought) => brought.map_err(|error: WakeError| error.to_string()),
            Err(_) => Err(format!("to live its life again takes more than {:?}", case.deadline)),
        }
    }
}

/// A guest after a call of its life.
fn lived(case: &Case<'_>, performed: Performed, life: Option<Life>) -> Option<Living> {
    let (run, begin) = (case.record.run, &case.there.begin);
    let life = match life {
        Some(life) => Life { last: run, calls: life.calls + 1, ..life },
        None => Life { birth: run, born: begin.at, last: run, calls: 0, name: begin.space.clone() },
    };
    Some(Living { instance: performed.alive()?, life })
}
