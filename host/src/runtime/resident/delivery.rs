//! Delivering messages: each is a call of its receiver, in whose transaction it is also taken.
//!
//! ```text
//! ready     a1 a2 b1 c1 a3 b2 c2 ...       the order of the commits; the letter is the key
//!                    ^ from                everything before is taken, or of a key that is held back
//! held      a until 12:00, at a1           a1 has failed: a2 and a3 wait for it, others do not
//! ```
//!
//! What is known here is where to look next, and never what there is: of a million messages the places of one look are in memory, and after a restart
//! everything is found again in the space. Messages that wait for a time are in the order of that; only the first is looked at. `handing` makes the
//! deliveries of one guest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use reel_abi::id::{RunId, SegmentId, SpaceName, WallTime};
use reel_abi::message::Place;
use reel_abi::outcome::{Disposition, Outcome, RunEnd};
use reel_abi::record::family;

use super::calling::CallError;
use super::cells::{CellsError, guests};
use super::household::Household;
use super::queue::{ATTEMPTS, Fate, Lying, Queue, STATES, messages};
use crate::runtime::subscribers::count;
use crate::txn::messages::Letter;

/// Messages that are put back or taken away in one transaction.
const BATCH: usize = 100;

/// How long a guest is let be that cannot be called.
const LATER: Duration = Duration::from_secs(10);

/// A topic and a key in it.
pub(super) type Ordered = (String, Vec<u8>);

/// What is known of the messages of one guest.
#[derive(Default)]
pub(super) struct Inbox {
    /// The segment that it is known of: another one is a fork or rollback.
    pub(super) segment: Option<SegmentId>,
    /// The key from which on to look for messages that are ready.
    pub(super) from: Vec<u8>,
    /// Keys that are held back: until when, and by what.
    pub(super) held: BTreeMap<Ordered, (WallTime, Place)>,
    /// When the first of those comes that wait.
    pub(super) waits: Option<WallTime>,
    /// Whether there may be something to do.
    changed: bool,
    /// Whether all is to be looked through again.
    pub(super) anew: bool,
    /// Whether it is in the line, or being delivered.
    busy: bool,
    /// Until when nothing is tried.
    pub(super) quiet: WallTime,
}

/// The messages of all guests, as far as they are known.
#[derive(Default)]
pub(super) struct Mail {
    inboxes: BTreeMap<SpaceName, Inbox>,
    /// Those who have something to do, in the order of their turns.
    line: VecDeque<SpaceName>,
    /// What [`reel_store::Store::branchings`] was when all were looked through.
    branchings: u64,
}

impl Mail {
    fn wake(&mut self, name: &SpaceName) {
        let inbox = self.inboxes.entry(name.clone()).or_default();
        inbox.changed = true;
        if !inbox.busy {
            inbox.busy = true;
            self.line.push_back(name.clone());
        }
    }
}

impl Inbox {
    /// Nothing is known of the messages in a segment.
    pub(super) fn of(segment: SegmentId) -> Self {
        Self { segment: Some(segment), ..Self::default() }
    }

    /// When something is to be done next, by what is known.
    fn next(&self) -> Option<WallTime> {
        let held = self.held.values().map(|(until, _)| *until).min();
        let next = held.into_iter().chain(self.waits).min();
        if self.changed { Some(self.quiet) } else { next.map(|next| next.max(self.quiet)) }
    }
}

impl Household {
    /// The messages that lie with up to `guests` of those who have subscribed: all of them, and how many are dead letters, counted up to `most`.
    pub fn messages(&self, guests: usize, most: usize) -> Result<Vec<(SpaceName, u64, usize)>, CellsError> {
        let mut lying = Vec::new();
        for name in self.subscribers.names(guests)? {
            let Some(head) = self.store.head(&name)? else { continue };
            let view = self.store.view(head)?;
            let (all, [_, _, dead]) = (count(&view)?, STATES);
            let (from, until) = dead.range();
            let dead = if all > 0 { view.scan(family::QUEUE, &from, Some(&until), most)?.len() } else { 0 };
            lying.push((name, all, dead));
        }
        Ok(lying)
    }

    /// Takes note of the messages of all guests.
    pub fn note_all_messages(&self) -> Result<(), CellsError> {
        let branchings = self.store.branchings();
        for (name, lodging) in guests(&self.store)? {
            if count(&self.store.view(lodging.head)?)? > 0 {
                self.look_at_messages(&name);
            }
        }
        self.mail().branchings = branchings;
        Ok(())
    }

    /// Something was sent to a guest.
    pub fn look_at_messages(&self, name: &SpaceName) {
        self.mail().wake(name);
        self.mailed.notify_one();
    }

    /// Messages of a guest were put back or taken away: all that lie there are looked through.
    pub fn look_at_all_messages(&self, name: &SpaceName) {
        if let Some(inbox) = self.mail().inboxes.get_mut(name) {
            inbox.anew = true;
        }
        self.look_at_messages(name);
    }

    /// Puts those into the line whose time has come; also all that may have come with a fork or a rollback.
    pub fn look_at_due_messages(&self) -> Result<(), CellsError> {
        let now = WallTime(self.clock.wall());
        let mut mail = self.mail();
        if mail.branchings != self.store.branchings() {
            drop(mail);
            self.note_all_messages()?;
            mail = self.mail();
        }
        let is_due = |inbox: &Inbox| !inbox.busy && inbox.next().is_some_and(|next| next <= now);
        let due: Vec<_> =
            mail.inboxes.iter().filter(|(_, inbox)| is_due(inbox)).map(|(name, _)| name.clone()).collect();
        due.iter().for_each(|name| mail.wake(name));
        let any = !mail.line.is_empty();
        drop(mail);
        if any {
            self.mailed.notify_one();
        }
        Ok(())
    }

    /// The next guest whose turn it is; waits until there is one.
    pub async fn next_in_line(&self) -> SpaceName {
        loop {
            if let Some(name) = self.mail().line.pop_front() {
                return name;
            }
            self.mailed.notified().await;
        }
    }

    /// Delivers to a guest whose turn it is, for as long as its turn is. How many messages it has taken.
    pub async fn deliver(&self, name: &SpaceName) -> usize {
        let mut inbox = {
            let mut mail = self.mail();
            let known = mail.inboxes.entry(name.clone()).or_default();
            std::mem::replace(known, Inbox { busy: true, ..Inbox::default() })
        };
        inbox.changed = false;
        let mut taken = 0;
        let more = if inbox.quiet.0 > self.clock.wall() {
            // Not before then, whatever has come.
            inbox.changed = true;
            false
        } else {
            match self.hand_over(name, &mut inbox, &mut taken).await {
                Ok(more) => more,
                Err(CallError::NoSuchGuest(_)) => {
                    inbox = Inbox::default();
                    false
                }
                Err(error) => {
                    tracing::warn!(guest = %name, %error, "its messages cannot be delivered");
                    self.rest_for(&mut inbox, LATER);
                    false
                }
            }
        };
        let mut mail = self.mail();
        let came = mail.inboxes.remove(name).unwrap_or_default();
        inbox.busy = false;
        inbox.anew |= came.anew;
        if more || (came.changed && inbox.quiet.0 <= self.clock.wall()) {
            mail.inboxes.insert(name.clone(), inbox);
            mail.wake(name);
            self.mailed.notify_one();
        } else {
            inbox.changed |= came.changed;
            if inbox.next().is_some() || !inbox.held.is_empty() {
                mail.inboxes.insert(name.clone(), inbox);
            }
        }
        taken
    }

    /// Nothing is tried for so long.
    pub(super) fn rest_for(&self, inbox: &mut Inbox, wait: Duration) {
        inbox.quiet = self.after(wait);
        inbox.changed = true;
    }

    /// What has come for a guest that is being delivered to: whether there may be more, and whether all is to be looked through again.
    pub(super) fn news(&self, name: &SpaceName) -> (bool, bool) {
        let mut mail = self.mail();
        let Some(came) = mail.inboxes.get_mut(name) else { return (false, false) };
        (std::mem::take(&mut came.changed), came.anew)
    }

    /// Whether other guests wait for their turn.
    pub(super) fn others_wait(&self) -> bool {
        !self.mail().line.is_empty()
    }

    /// A message whose call has failed is to be tried again, or not.
    pub(in crate::runtime) async fn not_taken(
        &self,
        name: &SpaceName,
        place: Place,
        topic: &str,
        run: RunId,
        end: &RunEnd,
        overtaken: bool,
    ) -> Result<Option<Fate>, CallError> {
        let committed = matches!(end.disposition, Disposition::Committed { .. });
        if committed || overtaken || end.outcome == Outcome::Interrupted {
            return Ok(None);
        }
        let queue = Queue::open(&self.store, &self.clock, name)?;
        let guest = super::cells::guest_of(&self.store, name)?;
        let wanted = guest.as_ref().and_then(|guest| guest.subscriptions.iter().find(|wanted| wanted.topic == topic));
        let attempts = wanted.map_or(ATTEMPTS, |wanted| wanted.attempts);
        let why = format!("run {run}: {}", end.outcome);
        queue.fail(place, attempts, &why).await.map(Some)
    }

    /// Sends a message to a guest from outside. Returns when it is durable.
    pub async fn put_message(&self, name: &SpaceName, letter: &Letter) -> Result<(), CallError> {
        Queue::open(&self.store, &self.clock, name)?.put(letter).await?;
        self.look_at_messages(name);
        Ok(())
    }

    /// Puts dead letters back into the order, those that are chosen; how many.
    pub async fn put_back(&self, name: &SpaceName, chosen: &dyn Fn(&Lying) -> bool) -> Result<usize, CallError> {
        let all = self.change(name, &STATES[2..], chosen, async |queue, chosen| queue.put_back(chosen).await).await;
        self.look_at_all_messages(name);
        all
    }

    /// Takes messages away, those that are chosen; how many.
    pub async fn drop_messages(&self, name: &SpaceName, chosen: &dyn Fn(&Lying) -> bool) -> Result<usize, CallError> {
        let drop = async |queue: &Queue<'_>, chosen: Vec<Lying>| {
            queue.drop_all(chosen.into_iter().map(|lying| lying.place)).await
        };
        let all = self.change(name, &STATES, chosen, drop).await;
        self.look_at_all_messages(name);
        all
    }

    /// Changes messages of some states, a batch after the other.
    async fn change(
        &self,
        name: &SpaceName,
        states: &[Place],
        chosen: &dyn Fn(&Lying) -> bool,
        deed: impl AsyncFn(&Queue<'_>, Vec<Lying>) -> Result<usize, CallError>,
    ) -> Result<usize, CallError> {
        let mut count = 0;
        for state in states {
            let mut from = Vec::new();
            loop {
                let queue = Queue::open(&self.store, &self.clock, name)?;
                let (mut meant, mut last) = (Vec::new(), None);
                for found in messages(&self.store, &queue.view, *state, &from, BATCH)? {
                    let (key, lying) = found?;
                    last = Some(key);
                    meant.extend(Some(lying).filter(chosen));
                }
                let Some(last) = last else { break };
                from = [last.as_slice(), &[0]].concat();
                if !meant.is_empty() {
                    count += deed(&queue, meant).await?;
                }
            }
        }
        Ok(count)
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
