//! Calls at a time: timers that guests set, in a bucket of their space, so that they are set and cancelled with a transaction, like everything else.
//!
//! ```text
//! bucket "reel:timers"    name of the timer -> "1795000000000 remind(\"Ada\")"                  once, at milliseconds since 1970
//!                                              "1795000000000/3600000 tick()"                   then, and every hour
//!                                              "1795000000000/[0 8 * * mon] tick()"             then, and every Monday at eight (UTC)
//!                                              "1795000000000 send orders all of them"          a message to the guest itself
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
use super::cron::Cron;
use super::household::Household;
use crate::calls::session::Session;
use crate::gate::Halt;
use crate::txn::buckets::{Bucket, Fault};
use crate::txn::messages::check_topic;
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
    /// When it is due again.
    pub recurs: Option<Recurs>,
    /// What is done then.
    pub deed: Deed,
}

/// When a timer is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recurs {
    /// After so many milliseconds.
    Every(u64),
    /// At the times of a crontab, as it is written.
    Cron(String, Cron),
}

impl std::fmt::Display for Recurs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(millis) => write!(f, "{millis}"),
            Self::Cron(text, _) => write!(f, "[{text}]"),
        }
    }
}

/// What is done when a timer is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A function is called.
    Call {
        /// The function.
        function: String,
        /// Its arguments in WAVE.
        args: String,
    },
    /// A message is sent to the guest itself.
    Send {
        /// Its topic.
        topic: String,
        /// What it says.
        payload: String,
    },
}

impl Deed {
    /// Reads `tick("a")` or `send TOPIC PAYLOAD`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("send ") {
            let (topic, payload) = rest.split_once(' ').unwrap_or((rest, ""));
            check_topic(topic).ok()?;
            return Some(Self::Send { topic: topic.to_owned(), payload: payload.to_owned() });
        }
        let (function, args) = text.split_once('(')?;
        let args = args.strip_suffix(')')?;
        Some(Self::Call { function: function.trim().to_owned(), args: args.to_owned() })
    }
}

fn told(fault: Fault) -> Halt {
    match fault {
        Fault::Told(fault) => Halt::Host(format!("a timer could not be set: {fault}")),
        Fault::Halt(halt) => halt,
    }
}

impl Timer {
    /// Reads a timer; nothing if the value is none.
    pub fn parse(name: &[u8], value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (when, call) = match text.trim().split_once("/[") {
            Some((due, _)) if !due.contains(' ') => text.trim().split_once("] ")?,
            _ => text.trim().split_once(' ')?,
        };
        let (due, recurs) = match when.split_once('/') {
            None => (when, None),
            Some((due, every)) => match every.strip_prefix('[') {
                Some(cron) => (due, Some(Recurs::Cron(cron.to_owned(), cron.parse().ok()?))),
                None => (due, Some(Recurs::Every(every.parse::<u64>().ok().filter(|every| *every > 0)?))),
            },
        };
        let due = WallTime(due.parse::<u64>().ok()?.checked_mul(1_000_000)?);
        let deed = Deed::parse(call.trim())?;
        Some(Self { name: name.to_vec(), text: text.to_owned(), due, recurs, deed })
    }

    /// The timer that a call is made for.
    pub(in crate::runtime) fn of(entry: &Entry) -> Option<Self> {
        let Entry::Timer { key, text, .. } = entry else { return None };
        Self::parse(&key.0, text.as_bytes())
    }

    /// The key of its cell.
    pub(super) fn cell(&self) -> Result<Vec<u8>, Halt> {
        let bucket = Bucket::new(BUCKET).map_err(|fault| told(fault.into()))?;
        Ok([bucket.prefix(), &self.name].concat())
    }

    /// Whether it is set in a version of a space.
    pub(in crate::runtime) fn is_set(&self, store: &Store, view: &View) -> Result<bool, CellsError> {
        let key = self.cell().map_err(CellsError::Damaged)?;
        let Some(value) = view.get(family::KEY_VALUE, &key)? else { return Ok(false) };
        let bytes = values::load(store.blobs(), &value).map_err(CellsError::Damaged)?;
        Ok(bytes.as_deref() == Some(self.text.as_bytes()))
    }

    /// What it is set to when its call has been made at `now`: due again at the next of its times.
    pub(super) fn next(&self, now: WallTime) -> Option<String> {
        let (due, now) = (self.due.0 / 1_000_000, now.0 / 1_000_000);
        let recurs = self.recurs.as_ref()?;
        let next = match recurs {
            Recurs::Every(every) => {
                let missed = now.saturating_sub(due) / every;
                due.saturating_add(every.saturating_mul(missed + 1))
            }
            Recurs::Cron(_, cron) => cron.after(now.max(due))?,
        };
        let (_, call) = match recurs {
            Recurs::Every(_) => self.text.trim().split_once(' ')?,
            Recurs::Cron(..) => self.text.trim().split_once("] ")?,
        };
        Some(format!("{next}/{recurs} {call}"))
    }

    /// Whether it is still set as it was, for the transaction of its call.
    pub(in crate::runtime) fn holds(&self, session: &mut Session) -> Result<bool, Halt> {
        let bucket = Bucket::new(BUCKET).map_err(|fault| told(fault.into()))?;
        let set = session.txn.buckets.get(&bucket, &self.name).map_err(told)?;
        Ok(set.as_deref() == Some(self.text.as_bytes()))
    }

    /// Ends it, or sets it to its next time, with the transaction of its call: unless the guest has changed it.
    pub(in crate::runtime) fn settle(&self, session: &mut Session, now: WallTime) -> Result<(), Halt> {
        if !self.holds(session)? {
            return Ok(());
        }
        let bucket = Bucket::new(BUCKET).map_err(|fault| told(fault.into()))?;
        let Session { gate, txn, .. } = session;
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

    pub(super) fn after(&self, wait: Duration) -> WallTime {
        WallTime(self.clock.wall().saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_read_and_set_again() {
        let timer = Timer::parse(b"t", b"1000/250 tick(1, \"a)\")").expect("a timer");
        assert_eq!((timer.due, &timer.recurs), (WallTime(1_000_000_000), &Some(Recurs::Every(250))));
        assert_eq!(timer.deed, Deed::Call { function: "tick".into(), args: "1, \"a)\"".into() });
        assert_eq!(timer.next(WallTime(1_100_000_000)).as_deref(), Some("1250/250 tick(1, \"a)\")"));
        assert_eq!(timer.next(WallTime(1_600_000_000)).as_deref(), Some("1750/250 tick(1, \"a)\")"));
        assert_eq!(Timer::parse(b"t", b"5 f()").expect("a timer").next(WallTime(9)), None);
        let monday = Timer::parse(b"t", b"60000/[0 8 * * mon] send a/b one two] (x)").expect("a timer");
        assert_eq!(monday.deed, Deed::Send { topic: "a/b".into(), payload: "one two] (x)".into() });
        let day = 86_400_000;
        let next = format!("{}/[0 8 * * mon] send a/b one two] (x)", 4 * day + 8 * 3_600_000);
        assert_eq!(monday.next(WallTime(61_000_000_000)), Some(next), "the first Monday of 1970");
        let odd = Timer::parse(b"t", b"5 f(\"a/[b] \")").expect("a timer");
        assert_eq!((odd.recurs, odd.deed), (None, Deed::Call { function: "f".into(), args: "\"a/[b] \"".into() }));
        for bad in [
            "5/[* * * *] f()",
            "5/[* * * * * f()",
            "5 send",
            "5 send ",
            "5/[0 0 31 2 *] f()",
            "",
            "f()",
            "x f()",
            "5",
            "5 f",
            "5/0 f()",
            "99999999999999999999 f()",
            "5 f(",
        ] {
            assert_eq!(Timer::parse(b"t", bad.as_bytes()), None, "{bad}");
        }
    }
}
