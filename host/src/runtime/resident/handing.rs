//! One guest's turn of taking messages.
//!
//! ```text
//! look ──> found ──> begun: up to 64 at once of a handler, one of a resident      one of each key; those behind it wait for it
//!                      │ has its place in the log
//!                      v
//!                    landed: the next one of its key is begun ──> durable, later, many in one write of the disk
//! ```
//!
//! A delivery that has its place in the log is one that was made: whoever comes after it reads what it has written. So the next one need not wait for the
//! disk; only who was sent something waits, and whoever is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use reel_abi::id::{SpaceName, WallTime};
use reel_abi::message::Place;
use reel_abi::outcome::Disposition;
use reel_abi::resident::{Entry, GuestKind};

use super::calling::CallError;
use super::delivery::{Inbox, Ordered};
use super::household::Household;
use super::queue::{Fate, Lying, Queue, STATES, at, messages};
use super::receiving::RECEIVE;

/// Messages of one guest that are delivered before others have their turn.
const TURN: usize = 256;

/// Messages that are looked at at once.
const LOOK: usize = 256;

/// Deliveries to one handler at once.
const AT_ONCE: usize = 64;

/// Messages of one guest that are begun, or wait for one of their key that is.
const BEGUN: usize = 1024;

/// Deliveries to one guest that are not durable yet.
const UNSURE: usize = 1024;

/// Keys of one guest that are held back; with more of them its later messages wait too.
const HELD: usize = 10_000;

/// How long a guest is let be that takes no calls.
const SOON: Duration = Duration::from_secs(1);

/// While deliveries take their time, it is looked so often whether others can be begun.
const BESIDE: Duration = Duration::from_millis(50);

/// Deliveries after which others of this thread have their turn.
const YIELD: usize = 16;

/// What came of one delivery.
enum Delivered {
    /// It was taken.
    Taken,
    /// It is a dead letter, or gone.
    Done,
    /// It is tried again later; those of its key wait until then.
    Held(WallTime),
    /// It waits by itself until then.
    Waits(WallTime),
    /// The guest cannot be called for so long.
    Not(Duration),
}

/// A delivery that has its place in the log, and what is left until it is durable.
type Landing<'a> = (Delivered, Option<Rest<'a>>);
type Rest<'a> = Pin<Box<dyn Future<Output = Result<(), CallError>> + 'a>>;
type Flight<'a> = Pin<Box<dyn Future<Output = (Place, Option<Ordered>, Result<Landing<'a>, CallError>)> + 'a>>;

/// A message that was found.
struct Found {
    place: Place,
    ordered: Option<Ordered>,
    /// It has failed, and is not to be tried before.
    not_before: Option<WallTime>,
}

struct Hands<'a> {
    household: &'a Household,
    name: &'a SpaceName,
    inbox: &'a mut Inbox,
    at_once: usize,
    /// Where to look next.
    next: Vec<u8>,
    found: VecDeque<Found>,
    /// There was nothing more when it was looked.
    all_found: bool,
    flying: FuturesUnordered<Flight<'a>>,
    /// The keys of which one is begun, with those that wait behind it.
    keys: BTreeMap<Ordered, VecDeque<Place>>,
    /// Those of them of which the next is to be begun.
    next_of: VecDeque<Ordered>,
    /// All that are begun, or wait behind one that is.
    begun: BTreeSet<Place>,
    rests: FuturesOrdered<Rest<'a>>,
    left: usize,
    /// Whether those are to be looked at that wait for a time.
    waiting: bool,
    /// Nothing more is begun in this turn; whether there is to be another one at once.
    ends: Option<bool>,
}

impl Household {
    /// Delivers for a while; whether there may be more at once.
    pub(super) async fn hand_over<'a>(
        &'a self,
        name: &'a SpaceName,
        inbox: &'a mut Inbox,
        taken: &mut usize,
    ) -> Result<bool, CallError> {
        let Some(seen) = self.seen.guest(&self.store, name)? else {
            return Err(CallError::NoSuchGuest(name.clone()));
        };
        let head = self.store.head(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        if inbox.anew || inbox.segment != Some(head.segment) {
            *inbox = Inbox::of(head.segment);
        }
        let at_once = if seen.guest.kind == GuestKind::Handler { AT_ONCE } else { 1 };
        let hands = Hands {
            household: self,
            name,
            at_once,
            next: std::mem::take(&mut inbox.from),
            inbox,
            found: VecDeque::new(),
            all_found: false,
            flying: FuturesUnordered::new(),
            keys: BTreeMap::new(),
            next_of: VecDeque::new(),
            begun: BTreeSet::new(),
            rests: FuturesOrdered::new(),
            left: TURN,
            waiting: true,
            ends: None,
        };
        hands.work(taken).await
    }

    /// Delivers one message. Returns as soon as that has its place in the log.
    async fn deliver_one<'a>(&'a self, name: &'a SpaceName, place: Place) -> Result<Landing<'a>, CallError> {
        let (run, end, conflict, fate, rest): (_, _, _, _, Rest<'a>) = match self.handler(name)? {
            Some(seen) => {
                if seen.stopped {
                    return Ok((Delivered::Not(SOON), None));
                }
                let head = self.store.newest(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
                let Some(message) = at(&self.store, &self.store.view(head)?, place)? else {
                    return Ok((Delivered::Done, None));
                };
                let wanted = seen.guest.subscriptions.iter().find(|wanted| wanted.topic == message.topic);
                // Whoever does not want it any more has no function for it, and the run says so.
                let function = wanted.map_or_else(|| RECEIVE.to_owned(), |wanted| wanted.function.clone());
                let topic = message.topic.clone();
                let entry = Entry::Message { cell: place.key().into(), topic: message.topic, name: function };
                let landed = self.call_afresh(name, &seen.guest, entry, message.trace).await?;
                let (run, end, conflict) =
                    (landed.report.run, landed.report.end.clone(), landed.report.conflict.clone());
                let fate = self.not_taken(name, place, &topic, run, &end, conflict.is_some()).await?;
                (run, end, conflict, fate, Box::pin(async move { self.landed(landed).await.map(drop) }))
            }
            None => match self.enter_for_message(name, place).await {
                Ok(entered) => {
                    let report = &entered.made.report;
                    let (run, end, conflict) = (report.run, report.end.clone(), report.conflict.clone());
                    let fate = entered.fate.clone();
                    (run, end, conflict, fate, Box::pin(async move { entered.durable(self).await.map(drop) }))
                }
                Err(CallError::NotSet) => return Ok((Delivered::Done, None)),
                Err(CallError::Asleep { .. } | CallError::Stopped(_)) => return Ok((Delivered::Not(SOON), None)),
                Err(error) => return Err(error),
            },
        };
        if matches!(end.disposition, Disposition::Committed { .. }) {
            return Ok((Delivered::Taken, Some(rest)));
        }
        let why = conflict.unwrap_or_else(|| end.outcome.to_string());
        tracing::debug!(guest = %name, %run, why, "a message was not taken");
        let delivered = match fate {
            Some(Fate::Held(until)) => Delivered::Held(until),
            Some(Fate::Waits(until)) => Delivered::Waits(until),
            Some(Fate::Dead | Fate::Gone) => Delivered::Done,
            None => Delivered::Not(SOON),
        };
        Ok((delivered, Some(rest)))
    }
}

impl<'a> Hands<'a> {
    async fn work(mut self, taken: &mut usize) -> Result<bool, CallError> {
        let (mut failed, mut since) = (None, 0);
        loop {
            if self.ends.is_none()
                && let Err(error) = self.begin().await
            {
                failed = failed.or(Some(error));
                self.ends = Some(false);
            }
            if self.flying.is_empty() && self.rests.is_empty() {
                // What was sent meanwhile to itself is known by now.
                if self.ends.is_some() || !self.hears() {
                    break;
                }
                continue;
            }
            let hungry = self.ends.is_none() && self.all_found;
            tokio::select! {
                biased;
                Some((place, ordered, landing)) = self.flying.next() => {
                    let landed = match landing {
                        Ok((delivered, rest)) => {
                            *taken += usize::from(matches!(delivered, Delivered::Taken));
                            self.rests.extend(rest);
                            self.landed(place, ordered, delivered).await
                        }
                        // It stays begun, so that the next turn looks there again.
                        Err(error) => Err(error),
                    };
                    if let Err(error) = landed {
                        failed = failed.or(Some(error));
                        self.ends = Some(false);
                    }
                    since += 1;
                    if since % YIELD == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Some(rest) = self.rests.next() => {
                    if let Err(error) = rest {
                        failed = failed.or(Some(error));
                        self.ends = Some(false);
                    }
                }
                () = tokio::time::sleep(BESIDE), if hungry => {}
            }
            if hungry {
                self.hears();
            }
        }
        let found = self.found.iter().map(|found| found.place).min();
        let open = self.begun.first().copied().into_iter().chain(found).min();
        self.inbox.from = open.map_or(self.next.clone(), |open| self.next.clone().min(open.key()));
        match failed {
            Some(error) => Err(error),
            None => Ok(self.ends.unwrap_or(false)),
        }
    }

    /// Whether something has come.
    fn hears(&mut self) -> bool {
        let (changed, anew) = self.household.news(self.name);
        if anew {
            self.ends = Some(true);
        } else if changed {
            (self.all_found, self.waiting) = (false, true);
        }
        changed || anew
    }

    /// Waits until all that has landed is durable.
    async fn settle(&mut self) -> Result<(), CallError> {
        while let Some(rest) = self.rests.next().await {
            rest?;
        }
        Ok(())
    }

    /// Begins as many deliveries as may be under way at once.
    async fn begin(&mut self) -> Result<(), CallError> {
        let now = WallTime(self.household.clock.wall());
        if self.waiting || self.inbox.waits.is_some_and(|waits| waits <= now) {
            let queue = Queue::open(&self.household.store, &self.household.clock, self.name)?;
            let (woken, waits) = queue.wake_due(LOOK).await?;
            self.inbox.waits = waits;
            self.waiting = woken == LOOK;
            self.all_found &= woken == 0;
        }
        while self.flying.len() < self.at_once && !self.next_of.is_empty() && self.may_begin() {
            let Some(key) = self.next_of.pop_front() else { break };
            match self.keys.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(next) => self.start(next, Some(key)),
                None => drop(self.keys.remove(&key)),
            }
        }
        let due = self.inbox.held.iter().filter(|(key, (until, _))| *until <= now && !self.keys.contains_key(*key));
        let due: Vec<_> = due.map(|(key, (_, place))| (key.clone(), *place)).take(self.at_once).collect();
        for (key, place) in due {
            if self.flying.len() < self.at_once && self.may_begin() {
                self.start(place, Some(key));
            }
        }
        while self.flying.len() < self.at_once && self.may_begin() && self.begun.len() < BEGUN {
            let Some(Found { place, ordered, not_before }) = self.found.pop_front() else {
                if self.all_found || !self.look()? {
                    return Ok(());
                }
                continue;
            };
            if self.begun.contains(&place) || ordered.as_ref().is_some_and(|key| self.inbox.held.contains_key(key)) {
                continue;
            }
            if self.inbox.held.len() >= HELD {
                self.found.push_front(Found { place, ordered, not_before });
                self.ends = Some(false);
                return Ok(());
            }
            if let (Some(until), Some(key)) = (not_before.filter(|until| *until > now), &ordered) {
                // It has failed, before this process was there.
                self.inbox.held.insert(key.clone(), (until, place));
                continue;
            }
            if let Some(behind) = ordered.as_ref().and_then(|key| self.keys.get_mut(key)) {
                behind.push_back(place);
                self.begun.insert(place);
                continue;
            }
            self.start(place, ordered);
        }
        Ok(())
    }

    fn may_begin(&mut self) -> bool {
        if self.left == 0 {
            // A delivery that takes its time keeps back those that can be begun beside it only if other guests wait.
            match self.flying.is_empty() || self.household.others_wait() {
                true => self.ends = Some(true),
                false => self.left = TURN,
            }
        }
        self.ends.is_none() && self.rests.len() < UNSURE
    }

    fn start(&mut self, place: Place, ordered: Option<Ordered>) {
        if let Some(key) = &ordered {
            self.keys.entry(key.clone()).or_default();
        }
        self.begun.insert(place);
        self.left = self.left.saturating_sub(1);
        let (household, name) = (self.household, self.name);
        self.flying.push(Box::pin(async move { (place, ordered, household.deliver_one(name, place).await) }));
    }

    /// Looks for more; whether there was any.
    fn look(&mut self) -> Result<bool, CallError> {
        let store = &self.household.store;
        let head = store.head(self.name)?.ok_or_else(|| CallError::NoSuchGuest(self.name.clone()))?;
        if self.inbox.segment != Some(head.segment) {
            // It was rolled back, or is another one.
            self.ends = Some(true);
            return Ok(false);
        }
        let mut seen = 0;
        for found in messages(store, &store.view(head)?, STATES[0], &self.next, LOOK)? {
            let (key, Lying { place, message }) = found?;
            seen += 1;
            self.next = [key.as_slice(), &[0]].concat();
            let not_before = (message.attempts > 0).then_some(message.due);
            let ordered = message.key.map(|key| (message.topic, key.0));
            self.found.push_back(Found { place, ordered, not_before });
        }
        self.all_found = seen < LOOK;
        Ok(seen > 0)
    }

    /// Does what is to be done after a delivery.
    async fn landed(&mut self, place: Place, ordered: Option<Ordered>, delivered: Delivered) -> Result<(), CallError> {
        match delivered {
            Delivered::Taken | Delivered::Done => {
                self.begun.remove(&place);
                let Some(key) = ordered else { return Ok(()) };
                if self.inbox.held.remove(&key).is_some() {
                    // Those that it has held back were passed by. What was taken meanwhile is to be gone when they are looked for.
                    self.settle().await?;
                    self.next = std::mem::take(&mut self.next).min(place.key());
                    self.found.clear();
                    self.all_found = false;
                }
                match self.keys.get(&key).is_some_and(|behind| !behind.is_empty()) {
                    true => self.next_of.push_back(key),
                    false => drop(self.keys.remove(&key)),
                }
            }
            Delivered::Held(until) => {
                self.begun.remove(&place);
                let Some(key) = ordered else { return Ok(()) };
                for behind in self.keys.remove(&key).into_iter().flatten() {
                    self.begun.remove(&behind);
                }
                self.inbox.held.insert(key, (until, place));
            }
            Delivered::Waits(until) => {
                self.begun.remove(&place);
                self.inbox.waits = Some(self.inbox.waits.map_or(until, |first| first.min(until)));
            }
            Delivered::Not(wait) => {
                self.household.rest_for(self.inbox, wait);
                self.ends = Some(false);
            }
        }
        Ok(())
    }
}
