//! A fork of a resident that is awake: in this process, without the log. Both share the pages that neither has changed since.

use reel_abi::id::{SpaceName, WallTime};
use reel_store::{AppendError, Head};
use tokio::sync::oneshot;

use super::calling::CallError;
use super::capture;
use super::household::{Awake, Household, Room};
use super::waking::{WakeError, again};

impl Household {
    /// Forks a guest as it is now. Its resident is awake under both names then, if its state can be captured; else the fork wakes at its first
    /// call.
    pub async fn fork(&self, name: &SpaceName, new: &SpaceName) -> Result<Head, CallError> {
        let room = self.room(name);
        let mut room = room.lock().await;
        self.rouse(&mut room, name).await?;
        self.fork_awake(&mut room, name, new).await
    }

    /// The same, if it is awake here as it was at that version, and not busy.
    pub async fn fork_at(&self, name: &SpaceName, from: Head, new: &SpaceName) -> Result<Option<Head>, CallError> {
        let room = self.room(name);
        let Ok(mut room) = room.try_lock() else { return Ok(None) };
        match &room.awake {
            Some(awake) if awake.head == from => self.fork_awake(&mut room, name, new).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn fork_awake(&self, room: &mut Room, name: &SpaceName, new: &SpaceName) -> Result<Head, CallError> {
        let Some(awake) = &mut room.awake else { return Err(CallError::Unborn(name.clone())) };
        let seat = self.seat().await;
        let now = WallTime(self.clock.wall());
        let (done, forked) = oneshot::channel();
        self.store.fork_then(name, awake.head, new, now, move |forked| drop(done.send(forked)))?;
        // While the disk is busy with that.
        let born = match awake.ready.plan_for(&awake.instance) {
            Ok(_) => Some(again(&self.store, &awake.ready, None, awake.life.birth, None, &self.clock).await),
            Err(_) => None,
        };
        let copied = match born {
            Some(Ok(mut born)) => {
                let copied = capture::copy(&mut awake.instance, &mut born, &awake.ready, &mut awake.pages).await;
                Some(copied.map(|()| born).map_err(WakeError::from))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        let head = forked.await.unwrap_or(Err(AppendError::Invalid("the committer ended")))?;
        let instance = match copied {
            None => return Ok(head),
            Some(Ok(instance)) => instance,
            Some(Err(error)) => {
                // The fork wakes from its space.
                tracing::warn!(%error, guest = %name, "a fork is not awake at once");
                return Ok(head);
            }
        };
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
            _seat: seat,
            debt: awake.debt,
            saving: None,
        };
        self.room(new).lock().await.awake = Some(fork);
        Ok(head)
    }
}
