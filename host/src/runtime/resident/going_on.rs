//! Calls that go on: those that a crash cut off, those that sleep, and those that go another way from one of their events.

use std::future::Future;
use std::pin::pin;

use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::resident::{Entry, OnCrash};
use reel_store::Head;

use super::calling::{Attempt, Attempted, Beginning, CallError, CallReport, Over, message_of};
use super::cells::{call_begin, guests, lodging, results, sleeps_until};
use super::household::{Awake, Household, Room};
use crate::runtime::again::Streams;

/// A call that is in the log without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The call.
    pub run: RunId,
    /// The guest.
    pub name: SpaceName,
    /// Until when it sleeps; nothing if it was cut off by a crash.
    pub until: Option<WallTime>,
}

impl Household {
    /// Goes on with a call where its log ends. Returns as [`Household::call`] does; at once if somebody else has gone on with it to its end.
    pub async fn resume(&self, run: RunId, interrupt: impl Future<Output = ()>) -> Result<CallReport, CallError> {
        let refused = |why| CallError::NotResumable(run, why);
        let record = self.store.run(run)?.ok_or(refused("there is no such run"))?;
        let call = call_begin(&self.store, run)?.ok_or(refused("it is no call of a resident"))?;
        let name = record.begin.space.clone();
        let room = self.room(&name);
        let mut room = room.lock().await;
        if let Some(end) = self.store.run(run)?.and_then(|record| record.end) {
            let results = if end.outcome.is_success() { results(&self.store, run)? } else { None };
            let (undelivered, conflict) = (None, None);
            return Ok(CallReport { run, end, results, undelivered, conflict, attempts: 1, woken: None });
        }
        let woken = self.rouse(&mut room, &name).await?;
        if room.asleep.is_some_and(|(asleep, _)| asleep == run) {
            room.asleep = None;
        }
        if !self.is_open(&name, run)? {
            return Err(refused("another call was committed since, it was given up, or the guest was rolled back"));
        }
        let base = Head { segment: record.begin.segment, version: record.begin.version };
        let beginning = Beginning::CutOff(Box::new(record.begin));
        let report = self.once(&mut room, &name, run, Some(base), call.entry, beginning, interrupt).await?;
        Ok(CallReport { woken, ..report })
    }

    /// A fork of a guest from the middle of one of its calls: it does what the call did until that event, and lives on from there under the new name.
    pub async fn fork_within(
        &self,
        run: RunId,
        until: Seq,
        name: &SpaceName,
        interrupt: impl Future<Output = ()>,
    ) -> Result<CallReport, CallError> {
        let refused = |why| CallError::NotResumable(run, why);
        let record = self.store.run(run)?.ok_or(refused("there is no such run"))?;
        let call = call_begin(&self.store, run)?.ok_or(refused("it is no call of a resident"))?;
        if call.after.is_none() {
            return Err(refused("a guest that is not born yet cannot be forked"));
        }
        let logged = self.store.frames(run, Seq(0))?.last().map_or(Seq(0), |at| at.next());
        let ended = u64::from(record.end.is_some());
        if until.0 == 0 || until.0 + ended > logged.0 {
            return Err(refused("it has no such event to go on from"));
        }
        let base = Head { segment: record.begin.segment, version: record.begin.version };
        self.store.fork(&record.begin.space, base, name, WallTime(self.clock.wall()))?;
        let room = self.room(name);
        let mut room = room.lock().await;
        let woken = self.rouse(&mut room, name).await?;
        let beginning = Beginning::Within { run, until };
        let next = self.store.next_run();
        let report = self.once(&mut room, name, next, None, call.entry, beginning, interrupt).await?;
        Ok(CallReport { woken, ..report })
    }

    /// Executes a call that is not executed again if it is overtaken.
    #[expect(clippy::too_many_arguments, reason = "the parts of a call, each once")]
    async fn once(
        &self,
        room: &mut Room,
        name: &SpaceName,
        run: RunId,
        base: Option<Head>,
        entry: Entry,
        beginning: Beginning,
        interrupt: impl Future<Output = ()>,
    ) -> Result<CallReport, CallError> {
        let interrupt = pin!(interrupt);
        let Some(awake) = room.awake.take() else { return Err(CallError::Unborn(name.clone())) };
        let turn = awake.ready.engines.turns().of(name);
        let mut world = self.world_of(&awake.guest)?;
        let (streams, console) = Streams::new(std::mem::take(&mut world.console), true);
        world.console = console;
        let attempt = Attempt {
            store: &self.store,
            ready: &awake.ready,
            run,
            name,
            base: base.unwrap_or(awake.head),
            guest: &awake.guest,
            life: Some(&awake.life),
            entry: entry.clone(),
            turn: &turn,
            again: false,
            body: None,
            sleeps_after: self.habits.sleeps_after,
            topics: self.topics(),
            beginning,
            schedules: &[],
        };
        match attempt.make(world, Some(awake.instance), interrupt).await? {
            Attempted::Over(over) => {
                let Over { mut made, lives, .. } = *over;
                made.streams = Some(streams);
                let used = self.clock.monotonic();
                room.awake = lives.map(|(instance, life, head)| Awake { instance, life, head, used, ..awake });
                let (report, _) = made.durable(self).await?;
                if let Some((place, topic)) = message_of(&entry) {
                    self.not_taken(name, place, topic, report.run, &report.end, report.conflict.is_some()).await?;
                    self.look_at_all_messages(name);
                }
                Ok(report)
            }
            Attempted::Asleep(until) => {
                streams.show();
                Err(room.fall_asleep(name, run, until))
            }
            Attempted::Overtaken(_) => Err(CallError::NotResumable(run, "it was to be executed again")),
        }
    }

    /// Whether a call without an end is still to come to one: no other was committed since, and the guest was neither rolled back nor replaced.
    pub(super) fn is_open(&self, name: &SpaceName, run: RunId) -> Result<bool, CallError> {
        if self.store.run(run)?.is_none_or(|record| record.end.is_some()) {
            return Ok(false);
        }
        let Some(head) = self.store.head(name)? else { return Ok(false) };
        let Some(lodging) = lodging(&self.store, head)? else { return Ok(false) };
        if lodging.given_up >= Some(run) {
            return Ok(false);
        }
        let last = lodging.life.map(|life| life.last);
        Ok(last.is_some() && call_begin(&self.store, run)?.and_then(|call| call.after) == last)
    }

    /// Goes on with what an earlier process left of one guest; takes note of a call that sleeps.
    pub async fn go_on(&self, name: &SpaceName, interrupt: impl Future<Output = ()>) -> Result<(), CallError> {
        let mut interrupt = pin!(interrupt);
        for CutOff { run, until, .. } in self.cut_off(Some(name))? {
            match until.filter(|until| until.0 > self.clock.wall()) {
                Some(until) => self.sleeps(name, run, until).await,
                None => drop(self.resume(run, interrupt.as_mut()).await?),
            }
        }
        Ok(())
    }

    /// The calls without an end that are to be gone on with: those that sleep, and those that were cut off of guests that want it. Only what no
    /// later call has made obsolete.
    pub fn cut_off(&self, only: Option<&SpaceName>) -> Result<Vec<CutOff>, CallError> {
        let lives = match only {
            None => guests(&self.store)?,
            Some(name) => {
                let lodging = self.store.head(name)?.map(|head| lodging(&self.store, head)).transpose()?.flatten();
                lodging.map(|lodging| (name.clone(), lodging)).into_iter().collect()
            }
        };
        let last = |life: &reel_abi::resident::Life| life.last;
        let Some(oldest) = lives.iter().filter_map(|(_, lodging)| lodging.life.as_ref().map(last)).min() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for record in self.store.runs_without_end(oldest.next())? {
            let Some((name, lodging)) = lives.iter().find(|(name, _)| *name == record.begin.space) else { continue };
            if lodging.given_up >= Some(record.run) {
                continue;
            }
            let Some(call) = call_begin(&self.store, record.run)? else { continue };
            if call.after.is_none() || call.after != lodging.life.as_ref().map(last) {
                continue;
            }
            let until = sleeps_until(&self.store, record.run)?;
            if until.is_some() || lodging.guest.on_crash == OnCrash::Resume {
                found.push(CutOff { run: record.run, name: name.clone(), until });
            }
        }
        Ok(found)
    }
}

impl Room {
    /// Nothing of the guest stays in memory, and it takes no other calls until this one is over.
    pub(super) fn fall_asleep(&mut self, name: &SpaceName, run: RunId, until: WallTime) -> CallError {
        self.awake = None;
        self.asleep = Some((run, until));
        CallError::Asleep { name: name.clone(), run, until }
    }
}
