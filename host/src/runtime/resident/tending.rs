//! What a household does in time: waking those that sleep, letting the idle leave memory, stopping and starting guests.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use reel_abi::id::{Digest, RunId, SpaceName, WallTime};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::{GIVEN_UP_KEY, STOPPED_KEY};
use reel_store::Head;
use tokio::sync::Mutex as Turnstile;

use super::calling::CallError;
use super::capture::digest;
use super::cells::{cell, lodging};
use super::checkpoint::{self, CheckpointError};
use super::household::{Awake, Household, Room};

/// Residents that are sent to sleep one after the other before something else is done.
const AT_ONCE: usize = 32;

/// Where a guest is while a household looks after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A call is being made, or something else that takes its time.
    Busy,
    /// It is in memory; its memories have so many bytes.
    Awake(u64),
    /// One of its calls sleeps until then.
    Asleep(WallTime),
}

impl Household {
    /// Where the guests are that this household knows of; the others are not in memory.
    pub fn presence(&self) -> BTreeMap<SpaceName, Presence> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let presence = |room: &Turnstile<Room>| {
            let Ok(room) = room.try_lock() else { return Some(Presence::Busy) };
            let bytes = |awake: &Awake| awake.instance.memories().sizes().iter().map(|bytes| *bytes as u64).sum();
            let awake = || room.awake.as_ref().map(|awake| Presence::Awake(bytes(awake)));
            room.asleep.map(|(_, until)| Presence::Asleep(until)).or_else(awake)
        };
        rooms.iter().filter_map(|(name, room)| Some((name.clone(), presence(room)?))).collect()
    }

    /// Takes note of a call that sleeps.
    pub async fn sleeps(&self, name: &SpaceName, run: RunId, until: WallTime) {
        let room = self.room(name);
        room.lock().await.asleep = Some((run, until));
    }

    /// The calls that are to wake now.
    pub fn due(&self) -> Vec<RunId> {
        let now = self.clock.wall();
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = rooms.values().filter_map(|room| room.try_lock().ok()?.asleep);
        asleep.filter(|(_, until)| until.0 <= now).map(|(run, _)| run).collect()
    }

    /// A call that sleeps cannot be gone on with.
    pub async fn forget(&self, run: RunId) {
        self.reconsider(run, None).await;
    }

    /// A call that sleeps cannot be gone on with now.
    pub async fn later(&self, run: RunId, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.reconsider(run, Some(WallTime(self.clock.wall().saturating_add(nanos)))).await;
    }

    async fn reconsider(&self, run: RunId, until: Option<WallTime>) {
        for name in self.names() {
            let room = self.room(&name);
            let mut room = room.lock().await;
            if room.asleep.is_some_and(|(asleep, _)| asleep == run) {
                room.asleep = until.map(|until| (run, until));
            }
        }
    }

    /// Lets residents leave memory that were not called for so long; not all at once if they are many.
    pub async fn hibernate_idle(&self, millis: u64) {
        let now = self.clock.monotonic();
        let is_idle = |used: u64| now.saturating_sub(used) / 1_000_000 >= millis;
        let idle: Vec<_> = self.idle().filter(|(used, _)| is_idle(*used)).take(AT_ONCE).collect();
        for (_, name) in idle {
            self.hibernate(&name).await;
        }
    }

    /// Those that are awake and not busy, with the time of their last call.
    pub(super) fn idle(&self) -> impl Iterator<Item = (u64, SpaceName)> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |room: &Turnstile<Room>| Some(room.try_lock().ok()?.awake.as_ref()?.used);
        let idle = rooms.iter().filter_map(|(name, room)| Some((used(room)?, name.clone())));
        idle.collect::<Vec<_>>().into_iter()
    }

    /// A digest of what a resident is between two calls: of its memories, its globals, its handles and all that the host keeps for it. It is woken
    /// for that. However it came to be what it is, the same calls make the same digest.
    pub async fn digest(&self, name: &SpaceName) -> Result<Digest, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await?;
        let Some(awake) = &mut room.awake else { return Err(CallError::Unborn(name.clone())) };
        let digest = digest(&mut awake.instance, &awake.ready).await;
        digest.map_err(|error| {
            room.awake = None;
            CheckpointError::from(error).into()
        })
    }

    /// Lets all residents leave memory.
    pub async fn all_asleep(&self) {
        for name in self.names() {
            self.hibernate(&name).await;
        }
    }

    fn names(&self) -> Vec<SpaceName> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Lets a guest take no calls, and gives up the one that sleeps or was cut off: it is as it was before that. Says which version of its space that is.
    pub async fn stop_and_give_up(&self, name: &SpaceName) -> Result<Head, CallError> {
        let head = self.set_stopped(name, true).await?;
        let room = self.room(name);
        let mut room = room.lock().await;
        let Some(last) = self.cut_off(Some(name))?.last().map(|call| call.run) else { return Ok(head) };
        let head = self.store.head(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        let cell = cell(self.store.blobs(), GIVEN_UP_KEY, &last).map_err(CheckpointError::Halt)?;
        let (_, made) = checkpoint::commit(&self.store, &self.clock, "stop", name, head, vec![cell])?;
        (room.awake, room.asleep) = (None, None);
        Ok(made)
    }

    /// Lets a guest take no calls, or calls again. Says which version of its space that is.
    pub async fn set_stopped(&self, name: &SpaceName, stopped: bool) -> Result<Head, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        let head = self.store.head(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        let lodging = lodging(&self.store, head)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        if lodging.stopped == stopped {
            return Ok(head);
        }
        let value = if stopped { CellValue::Inline { bytes: Vec::new().into() } } else { CellValue::Tombstone };
        let cell = Cell { family: family::RESIDENT, key: STOPPED_KEY.to_vec().into(), value };
        let what = if stopped { "stop" } else { "start" };
        let (_, made) = checkpoint::commit(&self.store, &self.clock, what, name, head, vec![cell])?;
        room.awake = None;
        Ok(made)
    }
}
