//! A fork of a resident that is awake: in this process, without the log. Both share the pages that neither has changed since.

use reel_abi::id::{SpaceName, WallTime};
use reel_store::Head;

use super::calling::CallError;
use super::capture;
use super::household::{Awake, Household};
use super::waking::again;

impl Household {
    /// Forks a guest as it is now. Its resident is awake under both names then, if its state can be captured; else the fork wakes at its first
    /// call.
    pub async fn fork(&self, name: &SpaceName, new: &SpaceName) -> Result<Head, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await?;
        let Some(awake) = &mut room.awake else { return Err(CallError::Unborn(name.clone())) };
        let head = self.store.fork(name, awake.head, new, WallTime(self.clock.wall()))?;
        if awake.ready.plan_for(&awake.instance).is_err() {
            return Ok(head);
        }
        let mut instance = again(&self.store, &awake.ready, None, awake.life.birth, None, &self.clock).await?;
        if let Err(error) = capture::copy(&mut awake.instance, &mut instance, &awake.ready).await {
            // The fork wakes from its space.
            tracing::warn!(%error, guest = %name, "a fork is not awake at once");
            return Ok(head);
        }
        let mut pages = awake.pages.clone();
        if let Some(saving) = &awake.saving {
            // That checkpoint comes after the version that was forked.
            pages.owe(saving.taken.clone());
        }
        let fork = Awake {
            instance,
            ready: awake.ready.clone(),
            guest: awake.guest.clone(),
            life: awake.life.clone(),
            head,
            used: self.clock.monotonic(),
            pages,
            debt: awake.debt,
            saving: None,
        };
        self.room(new).lock().await.awake = Some(fork);
        Ok(head)
    }
}
