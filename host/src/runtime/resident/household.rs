//! All residents of a database that this process looks after: each has a room, in which one call at a time is made.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use reel_abi::http::RequestHead;
use reel_abi::id::{Digest, RunId, SpaceName, WallTime};
use reel_abi::resident::{Entry, Guest, Life};
use reel_abi::trace::Trace;
use reel_store::{Head, Store};
use tokio::sync::{Mutex as Turnstile, Notify, Semaphore};

use super::calling::{Attempt, Attempted, Beginning, CallError, Made, Over};
use super::capture::{Pages, Taken, capture};
use super::cells::{Lodging, lodging};
use super::checkpoint::{self, CheckpointError, Keeping};
use super::delivery::Mail;
use super::habits::{Debt, Habits};
use super::instance::{Instance, Ready};
use super::seats::Seat;
use super::timers::Noted;
use super::waking::{Woken, wake};
use crate::engine::cache::CompileError;
use crate::port::{Clock, Topics};
use crate::runtime::Engines;
use crate::runtime::again::Streams;
use crate::runtime::commit_point::all_durable;
use crate::runtime::handlers::{Instances, Known, OCCASIONS};
use crate::runtime::joined::Guests;
use crate::runtime::prepare::{PrepareError, kept, refuse_missing};
use crate::runtime::run::{ATTEMPTS, OPTIMISTIC_ATTEMPTS, Surroundings};
use crate::runtime::subscribers::Subscribers;

/// Gives the world that a call may touch, anew for each.
pub type World = dyn Fn(&Guest) -> Result<Surroundings, String> + Send + Sync;

/// The residents.
pub struct Household {
    pub(in crate::runtime) store: Store,
    world: Arc<World>,
    callees: Arc<Guests>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) habits: Habits,
    pub(super) rooms: Mutex<BTreeMap<SpaceName, Arc<Turnstile<Room>>>>,
    pub(super) timers: Mutex<BTreeMap<SpaceName, Noted>>,
    pub(super) mail: Mutex<Mail>,
    pub(super) mailed: Notify,
    pub(super) taken: Arc<AtomicUsize>,
    pub(super) subscribers: Arc<Subscribers>,
    /// Those who are no residents, and take messages and calls at a time like them.
    pub(in crate::runtime) instances: Arc<Instances>,
    pub(in crate::runtime) seen: Known,
    pub(in crate::runtime) occasions: Semaphore,
    engines: Mutex<BTreeMap<u64, Engines>>,
    ready: Mutex<BTreeMap<(Digest, u64), Arc<Ready>>>,
}

/// Where one resident is, if it is awake.
#[derive(Default)]
pub(super) struct Room {
    pub(super) awake: Option<Awake>,
    /// The call that sleeps, and until when.
    pub(super) asleep: Option<(RunId, WallTime)>,
}

/// What a call comes with from outside.
#[derive(Default)]
pub(super) struct Arrival {
    /// The request that it answers, and its body.
    pub request: Option<(RequestHead, Streams)>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

/// A resident that is awake.
pub(super) struct Awake {
    pub instance: Instance,
    pub ready: Arc<Ready>,
    pub guest: Guest,
    pub life: Life,
    /// The version of its space that its last call made.
    pub head: Head,
    /// When it was last called, by the host's monotonic clock.
    pub used: u64,
    /// What is known of its pages.
    pub pages: Pages,
    /// What a replay since its last checkpoint would cost.
    pub debt: Debt,
    /// Held as long as it is in memory.
    pub _seat: Seat,
    /// The checkpoint that is being kept.
    pub saving: Option<Saving>,
}

/// A checkpoint on its way to the disk.
pub(super) struct Saving {
    thread: JoinHandle<Result<Head, CheckpointError>>,
    pub taken: Taken,
}

impl Household {
    /// A household of which nobody is awake.
    pub fn new(store: Store, clock: Arc<dyn Clock>, world: Box<World>) -> Self {
        Self::with_habits(store, clock, world, Habits::default())
    }

    /// The same, of other habits.
    pub fn with_habits(store: Store, clock: Arc<dyn Clock>, world: Box<World>, habits: Habits) -> Self {
        let (rooms, timers, mail, mailed, taken, engines, ready) = Default::default();
        let subscribers = Arc::new(Subscribers::new(store.clone()));
        let world: Arc<World> = world.into();
        let callees = Arc::new(Guests::new(store.clone(), Arc::clone(&world)));
        let (instances, occasions) = (Arc::new(Instances::new(store.clone())), Semaphore::new(OCCASIONS as usize));
        Self {
            store,
            world,
            callees,
            clock,
            habits,
            rooms,
            timers,
            mail,
            mailed,
            taken,
            subscribers,
            instances,
            seen: Known::default(),
            occasions,
            engines,
            ready,
        }
    }

    /// The world of one call.
    pub(in crate::runtime) fn world_of(&self, guest: &Guest) -> Result<Surroundings, CallError> {
        let world = (self.world)(guest).map_err(CallError::World)?;
        Ok(Surroundings { callees: Some(Arc::clone(&self.callees)), ..world })
    }

    /// Makes a call a transaction, again and again until nobody overtakes it.
    pub(super) async fn transact(
        &self,
        room: &mut Room,
        name: &SpaceName,
        entry: Entry,
        arrival: &Arrival,
        woken: &mut Option<usize>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Made, CallError> {
        let mut interrupt = pin!(interrupt);
        let mut key = String::new();
        let (mut run, mut attempt) = (self.store.next_run(), 1);
        let mut turn = None;
        loop {
            if let Some(calls) = self.rouse(room, name).await? {
                *woken = Some(woken.map_or(calls, |earlier| earlier + calls));
            }
            let Some(awake) = room.awake.take() else { return Err(CallError::Unborn(name.clone())) };
            let mut debt = awake.debt;
            let turn = turn.get_or_insert_with(|| awake.ready.engines.turns().of(name));
            if attempt > OPTIMISTIC_ATTEMPTS {
                turn.give_back();
                turn.take().await;
            }
            let mut world = self.world_of(&awake.guest)?;
            let (streams, console) = Streams::new(std::mem::take(&mut world.console), true);
            world.console = console;
            world.http.trace = arrival.trace;
            if let Some((head, body)) = &arrival.request {
                world.http.request = Some(head.clone());
                world.console.stdin = body.input();
            }
            // Others know its requests again, however often it is executed.
            world.http.key.clone_from(&key);
            let (net, calls) = (&awake.guest.net, &awake.guest.calls);
            world.http.key_from(&mut *world.entropy, net, calls).map_err(CallError::Log)?;
            key.clone_from(&world.http.key);
            let making = Attempt {
                store: &self.store,
                ready: &awake.ready,
                run,
                name,
                base: awake.head,
                guest: &awake.guest,
                life: Some(&awake.life),
                entry: entry.clone(),
                turn,
                again: attempt < ATTEMPTS,
                body: arrival.request.as_ref().map(|(_, body)| body),
                sleeps_after: self.habits.sleeps_after,
                topics: self.topics(),
                beginning: Beginning::Fresh,
                schedules: &[],
            };
            match making.make(world, Some(awake.instance), interrupt.as_mut()).await? {
                Attempted::Over(over) => {
                    turn.give_back();
                    let Over { mut made, lives, nanos } = *over;
                    made.streams = Some(streams);
                    made.report.attempts = attempt;
                    debt.calls += 1;
                    debt.events += made.report.end.events;
                    let used = self.clock.monotonic();
                    debt.nanos += nanos;
                    room.awake =
                        lives.map(|(instance, life, head)| Awake { instance, life, head, used, debt, ..awake });
                    return Ok(made);
                }
                Attempted::Overtaken(next) => run = next,
                Attempted::Asleep(until) => {
                    // It is not executed again, so that nothing of it is said twice.
                    streams.show();
                    return Err(room.fall_asleep(name, run, until));
                }
            }
            attempt += 1;
        }
    }

    /// Wakes the resident of a space, or finds it awake and as its space says. Says how many calls were replayed, if it slept.
    pub(super) async fn rouse(&self, room: &mut Room, name: &SpaceName) -> Result<Option<usize>, CallError> {
        if room
            .awake
            .as_ref()
            .is_some_and(|awake| awake.saving.as_ref().is_some_and(|saving| saving.thread.is_finished()))
        {
            finish(room);
        }
        let nobody = || CallError::NoSuchGuest(name.clone());
        let head = self.store.newest(name)?.ok_or_else(nobody)?;
        if room.awake.as_ref().is_some_and(|awake| awake.head == head) {
            return Ok(None);
        }
        if self.store.head(name)? != Some(head) {
            // Calls are found in the log, once they are there.
            all_durable(&self.store).await?;
        }
        let lodging = lodging(&self.store, head)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        if lodging.stopped {
            room.awake = None;
            return Err(CallError::Stopped(name.clone()));
        }
        let Some(life) = lodging.life.clone() else { return Err(CallError::Unborn(name.clone())) };
        if let Some(awake) = &mut room.awake
            && awake.head.segment == head.segment
            && awake.life == life
            && awake.guest == lodging.guest
        {
            // The host's own doing. What lies in another segment may lack the pages of checkpoints that were made in this one.
            awake.head = head;
            return Ok(None);
        }
        room.awake = None;
        let seat = self.seat().await;
        let ready = self.ready_for(&lodging.guest)?;
        let Woken { instance, pages, replayed } = wake(&self.store, &ready, &lodging, &life, &self.clock).await?;
        let Lodging { guest, .. } = lodging;
        let debt = Debt { calls: replayed as u64, ..Debt::default() };
        let used = self.clock.monotonic();
        room.awake = Some(Awake { instance, ready, guest, life, head, used, pages, debt, _seat: seat, saving: None });
        Ok(Some(replayed))
    }

    /// Makes a checkpoint of a resident as it is now, and waits until it is durable. Says which version of the space it is.
    pub async fn checkpoint(&self, name: &SpaceName) -> Result<Head, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await?;
        finish(&mut room);
        let Some(keeping) = self.capture(&mut room, name).await? else { return Err(CallError::Unborn(name.clone())) };
        let kept = checkpoint::store(&self.store, &self.clock, &keeping);
        if let (Err(_), Some(awake)) = (&kept, &mut room.awake) {
            awake.pages.owe(keeping.captured.taken());
        }
        Ok(kept?)
    }

    /// Wakes a resident, if it sleeps. Says how many calls were replayed then.
    pub async fn rouse_now(&self, name: &SpaceName) -> Result<Option<usize>, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await
    }

    /// Takes what a resident is now, and leaves it to a thread to keep that as a checkpoint; [`Household::rest`] waits for it.
    pub async fn checkpoint_soon(&self, name: &SpaceName) -> Result<(), CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await?;
        finish(&mut room);
        self.begin_checkpoint(&mut room, name).await;
        Ok(())
    }

    /// Lets a resident sleep: a checkpoint if a replay would be felt, and nothing of it stays in memory. Where there can be no checkpoint (the
    /// space was rolled back meanwhile, say) its calls are replayed when it wakes.
    pub async fn hibernate(&self, name: &SpaceName) {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.leave_memory(&mut room, name).await;
    }

    pub(super) async fn leave_memory(&self, room: &mut Room, name: &SpaceName) {
        finish(room);
        if room
            .awake
            .as_ref()
            .is_some_and(|awake| awake.debt.exceeds(&self.habits.felt) && awake.ready.plan_for(&awake.instance).is_ok())
            && let Err(error) = self.keep(room, name).await
        {
            tracing::warn!(%error, guest = %name, "it sleeps without a checkpoint");
        }
        room.awake = None;
    }

    async fn keep(&self, room: &mut Room, name: &SpaceName) -> Result<(), CallError> {
        if let Some(keeping) = self.capture(room, name).await? {
            checkpoint::store(&self.store, &self.clock, &keeping)?;
        }
        Ok(())
    }

    /// Waits until all checkpoints that are on their way are durable.
    pub async fn rest(&self) {
        let rooms: Vec<_> = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for room in rooms {
            finish(&mut *room.lock().await);
        }
    }

    /// Takes what a resident is, at rest.
    async fn capture(&self, room: &mut Room, name: &SpaceName) -> Result<Option<Keeping>, CallError> {
        let Some(awake) = &mut room.awake else { return Ok(None) };
        match capture(&mut awake.instance, &awake.ready, &mut awake.pages).await {
            Ok(captured) => {
                awake.debt = Debt::default();
                let (guest, life) = (awake.guest.clone(), awake.life.clone());
                Ok(Some(Keeping { name: name.clone(), base: awake.head, guest, life, captured }))
            }
            Err(error) => {
                // What was added to it may have stopped half-way.
                room.awake = None;
                Err(CheckpointError::from(error).into())
            }
        }
    }

    /// Takes what a resident is, and leaves it to a thread to keep that.
    pub(super) async fn begin_checkpoint(&self, room: &mut Room, name: &SpaceName) {
        if room.awake.as_ref().is_none_or(|awake| awake.ready.plan_for(&awake.instance).is_err()) {
            return;
        }
        let keeping = match self.capture(room, name).await {
            Ok(Some(keeping)) => keeping,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, guest = %name, "no checkpoint"),
        };
        let taken = keeping.captured.taken();
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        let thread = std::thread::spawn(move || checkpoint::store(&store, &clock, &keeping));
        if let Some(awake) = &mut room.awake {
            awake.saving = Some(Saving { thread, taken });
        }
    }

    /// The room of a resident.
    pub(super) fn room(&self, name: &SpaceName) -> Arc<Turnstile<Room>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        match rooms.get(name) {
            Some(room) => Arc::clone(room),
            None => Arc::clone(rooms.entry(name.clone()).or_default()),
        }
    }

    /// The component of a guest that was deployed, compiled and linked.
    pub(super) fn ready_for(&self, guest: &Guest) -> Result<Arc<Ready>, CallError> {
        let stack = guest.limits.stack_bytes;
        if let Some(ready) = self.known(guest.component, stack) {
            return Ok(ready);
        }
        let bytes = kept(&self.store, guest.component, guest.content)?;
        self.ready_of(guest.component, &bytes, stack, &|| ())
    }

    /// Who has subscribed to what.
    pub(super) fn topics(&self) -> Arc<dyn Topics> {
        Arc::clone(&self.subscribers) as Arc<dyn Topics>
    }

    /// A guest was deployed, so that others than before may have subscribed.
    pub fn is_deployed(&self, name: &SpaceName) {
        self.subscribers.forget();
        self.look_at_timers(name);
        self.look_at_messages(name);
    }

    /// Something was committed: messages to these, and other timers of those.
    pub fn has_committed(&self, posted: &[SpaceName], timed: &[SpaceName]) {
        posted.iter().for_each(|name| self.look_at_messages(name));
        timed.iter().for_each(|name| self.look_at_timers(name));
    }

    fn known(&self, digest: Digest, stack: u64) -> Option<Arc<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(&(digest, stack)).cloned()
    }

    /// A component, compiled and linked.
    pub(super) fn ready_of(
        &self,
        digest: Digest,
        bytes: &[u8],
        stack: u64,
        on_compile: &dyn Fn(),
    ) -> Result<Arc<Ready>, CallError> {
        if let Some(ready) = self.known(digest, stack) {
            return Ok(ready);
        }
        let engines = self.engines_of(stack)?;
        let (component, plan) = super::preparing::component(&self.store, &engines, digest, bytes, on_compile)?;
        refuse_missing(&engines, &component)?;
        let ready = Ready::new(&engines, component, plan, self.habits.tracker)
            .map_err(|e| PrepareError::from(CompileError::Compile(format!("{e:#}"))))?;
        let ready = Arc::new(ready);
        let mut known = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry((digest, stack)).or_insert(ready)))
    }

    /// Lets go of what is compiled for others than these; whoever is awake keeps theirs.
    pub fn keep_only(&self, components: &[Digest]) {
        let mut known = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(component, _), _| components.contains(component));
    }

    fn engines_of(&self, stack: u64) -> Result<Engines, CallError> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = engines.get(&stack) {
            return Ok(engines.clone());
        }
        let made =
            Engines::for_commands(stack).map_err(|e| CallError::World(format!("cannot set up the engine: {e:#}")))?;
        Ok(engines.entry(stack).or_insert(made).clone())
    }
}

/// Waits for the checkpoint of a room that is on its way.
pub(super) fn finish(room: &mut Room) {
    let Some(awake) = &mut room.awake else { return };
    let Some(Saving { thread, taken }) = awake.saving.take() else { return };
    match thread.join() {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "a checkpoint was not kept");
            awake.pages.owe(taken);
        }
        Err(_) => awake.pages.owe(taken),
    }
}
