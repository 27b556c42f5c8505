//! How a guest is entered: by a call, a timer, a message or a request, one at a time.

use std::future::Future;
use std::pin::pin;

use reel_abi::id::SpaceName;
use reel_abi::message::{Message, Place};
use reel_abi::resident::Entry;
use tokio::sync::OwnedMutexGuard;

use super::calling::{CallError, CallReport, CallRequest, Made, message_of};
use super::function;
use super::household::{Arrival, Awake, Household, Room};
use super::queue::{Fate, Queue};
use super::timers::{Deed, Timer};
use crate::calls::http::state::Http;
use crate::calls::session::Console;
use crate::runtime::again::Streams;
use crate::runtime::handlers::Arrived;
use crate::txn::messages::Letter;

impl Household {
    /// Does what a timer is set for that is due. The call, if it is one.
    pub async fn ring(&self, name: &SpaceName, timer: &Timer) -> Result<Option<CallReport>, CallError> {
        let Deed::Send { topic, payload } = &timer.deed else {
            return self.call_for_timer(name, timer).await.map(Some);
        };
        if self.seen.guest(&self.store, name)?.is_some_and(|seen| seen.stopped) {
            return Err(CallError::Stopped(name.clone()));
        }
        let (topic, payload) = (topic.clone(), payload.clone().into_bytes());
        let letter = Letter { topic, key: None, payload, headers: Vec::new(), delay_millis: 0 };
        Queue::open(&self.store, &self.clock, name)?.put_for_timer(&letter, timer).await?;
        self.look_at_messages(name);
        Ok(None)
    }

    /// Makes the call of a timer that is due.
    pub async fn call_for_timer(&self, name: &SpaceName, timer: &Timer) -> Result<CallReport, CallError> {
        if let Some(seen) = self.handler(name)? {
            return self.call_handler_for_timer(name, &seen, timer).await;
        }
        let Deed::Call { function, args } = timer.deed.clone() else { return Err(CallError::NotSet) };
        let args = vec![args];
        let request = CallRequest { name: name.clone(), function, args };
        Ok(self.call_for(&request, Cause::Timer(timer), std::future::pending()).await?.0)
    }

    /// Calls a function. Returns when the call, and all it committed, is durable. One that was overtaken by another transaction is executed again.
    pub async fn call(
        &self,
        request: &CallRequest,
        interrupt: impl Future<Output = ()>,
    ) -> Result<CallReport, CallError> {
        Ok(self.call_for(request, Cause::Asked, interrupt).await?.0)
    }

    /// Lets a resident answer a request. Returns when the call, and all it committed, is durable.
    pub async fn answer(&self, name: &SpaceName, arrived: Arrived) -> Result<(CallReport, Http), CallError> {
        let line = arrived.line();
        let Arrived { head, body, trace, .. } = arrived;
        let (body, _) = Streams::new(Console { stdin: Some(body), ..Console::default() }, true);
        let arrival = Arrival { request: Some((head, body)), trace };
        let entry = |_: &Awake| Ok((Entry::Request { line }, arrival));
        let (report, http, _) = self.enter(name, entry, std::future::pending()).await?;
        Ok((report, http))
    }

    pub(super) async fn call_for(
        &self,
        request: &CallRequest,
        cause: Cause<'_>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<(CallReport, Option<Fate>), CallError> {
        let entry = |awake: &Awake| self.entry(awake, request, cause);
        let (report, _, fate) = self.enter(&request.name, entry, interrupt).await?;
        Ok((report, fate))
    }

    async fn enter(
        &self,
        name: &SpaceName,
        entry: impl FnOnce(&Awake) -> Result<(Entry, Arrival), CallError>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<(CallReport, Http, Option<Fate>), CallError> {
        self.enter_ordered(name, entry, interrupt).await?.durable(self).await
    }

    /// Enters a guest. Returns as soon as the call has its place in the log.
    async fn enter_ordered(
        &self,
        name: &SpaceName,
        entry: impl FnOnce(&Awake) -> Result<(Entry, Arrival), CallError>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Entered, CallError> {
        let mut room = self.room(name).lock_owned().await;
        let mut interrupt = pin!(interrupt);
        if let Some((run, until)) = room.asleep {
            if self.is_open(name, run)? {
                return Err(CallError::Asleep { name: name.clone(), run, until });
            }
            room.asleep = None;
        }
        let mut woken = self.rouse(&mut room, name).await?;
        let (entry, arrival) = match &room.awake {
            Some(awake) => entry(awake)?,
            None => return Err(CallError::Unborn(name.clone())),
        };
        if let Some(awake) = &room.awake
            && awake.life.name != *name
            && function::has_forked(&awake.ready.component)
        {
            let told = Entry::Forked { name: name.clone() };
            let alone = Arrival::default();
            let mut told = self.transact(&mut room, name, told, &alone, &mut woken, interrupt.as_mut()).await?;
            if !told.report.end.outcome.is_success() {
                told.report.results = None;
                return Ok(Entered { made: told, held: None, woken: None, fate: None });
            }
        }
        let made = self.transact(&mut room, name, entry.clone(), &arrival, &mut woken, interrupt).await?;
        let CallReport { run, end, conflict, .. } = &made.report;
        let fate = match message_of(&entry) {
            Some((place, topic)) => self.not_taken(name, place, topic, *run, end, conflict.is_some()).await?,
            None => None,
        };
        if room.awake.as_ref().is_some_and(|awake| awake.debt.exceeds(&self.habits.debt) && awake.saving.is_none()) {
            self.begin_checkpoint(&mut room, name).await;
        }
        // The next call need not wait for the disk, unless it could read what is on its way to a directory of the host.
        let held = made.ordered.delivers().then_some(room);
        Ok(Entered { made, held, woken, fate })
    }

    /// Makes the call for a message. Returns as soon as it has its place in the log.
    pub(super) async fn enter_for_message(&self, name: &SpaceName, place: Place) -> Result<Entered, CallError> {
        let request = CallRequest { name: name.clone(), function: String::new(), args: Vec::new() };
        let entry = |awake: &Awake| self.entry(awake, &request, Cause::Message(place));
        self.enter_ordered(name, entry, std::future::pending()).await
    }

    /// How a call begins, unless what it is made for is not there any more.
    fn entry(&self, awake: &Awake, request: &CallRequest, cause: Cause<'_>) -> Result<(Entry, Arrival), CallError> {
        let alone = |entry| (entry, Arrival::default());
        let place = match cause {
            Cause::Asked => return entry(awake, request, None).map(alone),
            Cause::Timer(timer) => {
                return match timer.is_set(&self.store, &self.store.view(awake.head)?)? {
                    true => entry(awake, request, Some(timer)).map(alone),
                    false => Err(CallError::NotSet),
                };
            }
            Cause::Message(place) => place,
        };
        let message = super::queue::at(&self.store, &self.store.view(awake.head)?, place)?;
        let Message { topic, trace, .. } = message.ok_or(CallError::NotSet)?;
        let wanted = awake.guest.subscriptions.iter().find(|wanted| wanted.topic == topic);
        // Whoever does not want it any more has no function for it, and the call says so.
        let name = wanted.map_or_else(|| super::receiving::RECEIVE.to_owned(), |wanted| wanted.function.clone());
        Ok((Entry::Message { cell: place.key().into(), topic, name }, Arrival { request: None, trace }))
    }
}

/// A call that has its place in the log. Nobody may know of it before it is durable.
#[must_use = "wait for it with `durable`"]
pub(super) struct Entered {
    pub made: Made,
    /// Nobody else enters before.
    held: Option<OwnedMutexGuard<Room>>,
    woken: Option<usize>,
    /// What became of a message that was not taken.
    pub fate: Option<Fate>,
}

impl Entered {
    /// Returns when it is durable.
    pub async fn durable(self, household: &Household) -> Result<(CallReport, Http, Option<Fate>), CallError> {
        let Self { made, held, woken, fate } = self;
        let (report, http) = made.durable(household).await?;
        drop(held);
        Ok((CallReport { woken, ..report }, http, fate))
    }
}

/// What a call is made for.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    /// Somebody has asked for it.
    Asked,
    /// A timer that is due.
    Timer(&'a Timer),
    /// A message that lies there.
    Message(Place),
}

/// How a request enters a guest.
fn entry(awake: &Awake, request: &CallRequest, timer: Option<&Timer>) -> Result<Entry, CallError> {
    let engine = awake.ready.engines.engine();
    let (name, ty) = function::find(engine, &awake.ready.component, &request.function)?;
    let args = function::given(&name, &ty, &request.args)?;
    let name = name.to_string();
    Ok(match timer {
        None => Entry::Function { name, args },
        Some(Timer { name: key, text, .. }) => Entry::Timer { key: key.clone().into(), text: text.clone(), name, args },
    })
}
