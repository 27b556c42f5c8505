//! Calls at a time: timers that guests set, in a bucket of their space, so that they are set and cancelled with a transaction, like everything else.
//!
//! ```text
//! bucket "reel:timers"    name of the timer -> "1795000000000 remind(\"Ada\")"                  once, at milliseconds since 1970
//!                                              "1795000000000/3600000 tick()"                   then, and every hour
//! ```
//!
//! The call and the end of its timer are one transaction: a timer that was due is due until its call has committed, and then never again, also if the
//! call slept or was cut off meanwhile. A guest that sets the same timer in that call keeps it as it has set it.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::record::family;
use reel_abi::resident::Entry;
use reel_store::{Store, View};

use super::cells::{CellsError, guests};
use super::household::Household;
use crate::calls::session::Session;
use crate::gate::Halt;
use crate::txn::buckets::{Bucket, Fault};
use crate::txn::values;

/// The bucket of timers.
pub const BUCKET: &str = "reel:timers";

/// Timers of one guest that are looked at.
const TIMERS: usize = 100_000;

/// Timers of one guest that ring one after the other before they are read again.
const RINGING: usize = 100;

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Its name: the key.
    pub name: Vec<u8>,
    /// As it is set: the value.
    pub text: String,
    /// When it is due.
    pub due: WallTime,
    /// Milliseconds until it is due again.
    pub every: Option<u64>,
    /// The function.
    pub function: String,
    /// Its arguments in WAVE.
    pub args: String,
}

impl Timer {
    /// Reads a timer; nothing if the value is none.
    pub fn parse(name: &[u8], value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (when, call) = text.trim().split_once(' ')?;
        let (due, every) = match when.split_once('/') {
            Some((due, every)) => (due, Some(every.parse::<u64>().ok().filter(|every| *every > 0)?)),
            None => (when, None),
        };
        let due = WallTime(due.parse::<u64>().ok()?.checked_mul(1_000_000)?);
        let (function, args) = call.trim().split_once('(')?;
        let args = args.strip_suffix(')')?;
        let (function, args, text) = (function.trim().to_owned(), args.to_owned(), text.to_owned());
        Some(Self { name: name.to_vec(), text, due, every, function, args })
    }

    /// The timer that a call is made for.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let Entry::Timer { key, text, .. } = entry else { return None };
        Self::parse(&key.0, text.as_bytes())
    }

    /// Whether it is set in a version of a space.
    pub(super) fn is_set(&self, store: &Store, view: &View) -> Result<bool, CellsError> {
        let Ok(bucket) = Bucket::new(BUCKET) else { return Ok(false) };
        let Some(value) = view.get(family::KEY_VALUE, &[bucket.prefix(), &self.name].concat())? else {
            return Ok(false);
        };
        let bytes = values::load(store.blobs(), &value).map_err(CellsError::Damaged)?;
        Ok(bytes.as_deref() == Some(self.text.as_bytes()))
    }

    /// What it is set to when its call has been made at `now`: due again at the next of its times.
    fn next(&self, now: WallTime) -> Option<String> {
        let every = self.every?;
        let due = self.due.0 / 1_000_000;
        let missed = (now.0 / 1_000_000).saturating_sub(due) / every;
        let next = due.saturating_add(every.saturating_mul(missed + 1));
        let (_, call) = self.text.trim().split_once(' ')?;
        Some(format!("{next}/{every} {call}"))
    }

    /// Ends it, or sets it to its next time, with the transaction of its call: unless the guest has changed it.
    pub(super) fn settle(&self, session: &mut Session, now: WallTime) -> Result<(), Halt> {
        let told = |fault| match fault {
            Fault::Told(fault) => Halt::Host(format!("a timer could not be set: {fault}")),
            Fault::Halt(halt) => halt,
        };
        let bucket = Bucket::new(BUCKET).map_err(|fault| told(fault.into()))?;
        let Session { gate, txn, .. } = session;
        if txn.buckets.get(&bucket, &self.name).map_err(told)?.as_deref() != Some(self.text.as_bytes()) {
            return Ok(());
        }
        match self.next(now) {
            Some(next) => txn.buckets.set(gate, &bucket, &self.name, next.as_bytes()).map_err(told),
            None => txn.buckets.delete(gate, &bucket, &self.name).map(drop).map_err(told),
        }
    }
}

/// The timers that are set in a version of a space.
pub fn timers(store: &Store, view: &View) -> Result<Vec<Timer>, CellsError> {
    let Ok(bucket) = Bucket::new(BUCKET) else { return Ok(Vec::new()) };
    let prefix = bucket.prefix();
    let until = [&prefix[..prefix.len() - 1], &[prefix[prefix.len() - 1] + 1]].concat();
    let mut found = Vec::new();
    for (key, value) in view.scan(family::KEY_VALUE, prefix, Some(&until), TIMERS)? {
        let bytes = values::load(store.blobs(), &value).map_err(CellsError::Damaged)?.unwrap_or_default();
        found.extend(Timer::parse(&key[prefix.len()..], &bytes));
    }
    Ok(found)
}

/// Whether a cell is one of a timer.
pub(super) fn is_timer(family: u8, key: &[u8]) -> bool {
    family == family::KEY_VALUE
        && key.len() > BUCKET.len()
        && key[1..].starts_with(BUCKET.as_bytes())
        && key[0] as usize == BUCKET.len()
}

/// The timers of one guest as they are looked at.
#[derive(Default)]
pub(super) struct Noted {
    timers: Vec<Timer>,
    /// Whether they are to be read again.
    changed: bool,
    /// Whether calls are under way for those that were due.
    ringing: bool,
    /// Until when none of them rings: the guest takes no calls.
    quiet: WallTime,
    /// Those whose call has failed, by name: what they were set to, and until when they do not ring.
    failed: BTreeMap<Vec<u8>, (String, WallTime)>,
}

impl Noted {
    fn rests(&self, timer: &Timer) -> bool {
        self.failed.get(&timer.name).is_some_and(|(text, _)| *text == timer.text)
    }
}

impl Household {
    /// Takes note of the timers of all guests.
    pub fn note_all_timers(&self) -> Result<(), CellsError> {
        for (name, _) in guests(&self.store)? {
            self.look_at_timers(&name);
        }
        Ok(())
    }

    /// The timers of a guest may have changed.
    pub fn look_at_timers(&self, name: &SpaceName) {
        self.note(name, |noted| noted.changed = true);
    }

    /// The timers that are due, of each guest as many as ring one after the other; no others of it are until [`Household::rang`].
    pub fn due_timers(&self) -> Result<Vec<(SpaceName, Vec<Timer>)>, CellsError> {
        let now = WallTime(self.clock.wall());
        let mut all = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (name, noted) in all.iter_mut().filter(|(_, noted)| !noted.ringing) {
            if noted.changed {
                noted.timers = match self.store.head(name)? {
                    Some(head) => timers(&self.store, &self.store.view(head)?)?,
                    None => Vec::new(),
                };
                noted.changed = false;
            }
            noted.failed.retain(|_, (_, until)| *until > now);
            if noted.quiet > now {
                continue;
            }
            let rings = |timer: &&Timer| timer.due <= now && !noted.rests(timer);
            let ringing: Vec<Timer> = noted.timers.iter().filter(rings).take(RINGING).cloned().collect();
            if !ringing.is_empty() {
                noted.ringing = true;
                due.push((name.clone(), ringing));
            }
        }
        all.retain(|_, noted| noted.ringing || noted.changed || !noted.timers.is_empty());
        Ok(due)
    }

    /// The calls for the timers of a guest that were due are over.
    pub fn rang(&self, name: &SpaceName) {
        self.note(name, |noted| (noted.ringing, noted.changed) = (false, true));
    }

    /// The call for a timer has failed: it is not made again for so long, unless the timer is set to something else.
    pub fn timer_failed(&self, name: &SpaceName, timer: &Timer, wait: Duration) {
        let until = self.after(wait);
        self.note(name, |noted| drop(noted.failed.insert(timer.name.clone(), (timer.text.clone(), until))));
    }

    /// A guest takes no calls: its timers do not ring for so long.
    pub fn let_timers_wait(&self, name: &SpaceName, wait: Duration) {
        let until = self.after(wait);
        self.note(name, |noted| noted.quiet = until);
    }

    fn note(&self, name: &SpaceName, deed: impl FnOnce(&mut Noted)) {
        let mut noted = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        deed(noted.entry(name.clone()).or_default());
    }

    fn after(&self, wait: Duration) -> WallTime {
        WallTime(self.clock.wall().saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_read_and_set_again() {
        let timer = Timer::parse(b"t", b"1000/250 tick(1, \"a)\")").expect("a timer");
        assert_eq!((timer.due, timer.every), (WallTime(1_000_000_000), Some(250)));
        assert_eq!((timer.function.as_str(), timer.args.as_str()), ("tick", "1, \"a)\""));
        assert_eq!(timer.next(WallTime(1_100_000_000)).as_deref(), Some("1250/250 tick(1, \"a)\")"));
        assert_eq!(timer.next(WallTime(1_600_000_000)).as_deref(), Some("1750/250 tick(1, \"a)\")"));
        assert_eq!(Timer::parse(b"t", b"5 f()").expect("a timer").next(WallTime(9)), None);
        for bad in ["", "f()", "x f()", "5", "5 f", "5/0 f()", "99999999999999999999 f()", "5 f("] {
            assert_eq!(Timer::parse(b"t", bad.as_bytes()), None, "{bad}");
        }
    }
}
