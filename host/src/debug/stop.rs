//! A stop at an event, with all that can be seen there.

use reel_abi::id::{RunId, Seq, Version, WallTime};
use reel_abi::outcome::{Outcome, RunBegin};
use reel_abi::types::NodeKind;
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use reel_store::{RunRecord, Store};

use super::chronicle::{Chronicle, Said};
use super::earlier::hands;
use super::enacting::UNKNOWN;
use super::error::DebugError;
use super::memory::Memory;
use super::name::Name;
use super::past::{Past, Thing};
use super::payloads::Payloads;
use super::search::{Found, Quest};
use super::timeline::Timeline;
use crate::runtime::examine;
use crate::runtime::keys_at::KeysAt;
use crate::runtime::recall::as_it_ran;

/// Names that a stop shows of those that changed, and as many of the others.
const SHOWN: usize = 200;

/// Bytes that a stop shows of a value or file.
const VALUE: usize = 64 << 10;

/// Bytes that a stop shows of what was said.
const SAID: usize = 16 << 10;

/// What only a replay can tell. Both answer in words if it cannot.
pub trait Again {
    /// Executes the run again, and tells all payloads.
    fn payloads(&mut self, payloads: &Payloads) -> Result<(), String>;
    /// The memories as they were when the guest asked for an event.
    fn memory(&mut self, seq: Seq) -> Result<Memory, String>;
    /// Whether somebody wants what goes on to end.
    fn is_stopped(&self) -> bool;
}

/// A name of the space, and what it stood for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The name.
    pub name: Name,
    /// The event that wrote it last; none if this transaction did not.
    pub at: Option<Seq>,
    /// What was there, if anything; or why that cannot be told.
    pub thing: Result<Option<Thing>, String>,
}

/// A stop: right after an event was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// The event.
    pub seq: Seq,
    /// What it is.
    pub event: EventView,
    /// Between these times it was recorded.
    pub times: (WallTime, WallTime),
    /// The version that the transaction reads.
    pub base: Version,
    /// What this transaction has written so far, the newest first.
    pub changed: Vec<Held>,
    /// Whether there is more of that.
    pub more: bool,
    /// What else there is in the space, from its beginning.
    pub others: Vec<Held>,
    /// Whether there is more of that.
    pub others_more: bool,
    /// What was said on stdout and stderr.
    pub said: [Said; 2],
    /// What cannot be shown, and why.
    pub notes: Vec<String>,
}

/// A run that is stepped through.
pub struct Debugger<'a> {
    /// Its events.
    pub timeline: Timeline,
    store: Store,
    run: RunId,
    begin: RunBegin,
    chronicle: Option<Chronicle>,
    past: Option<Past>,
    payloads: Payloads,
    brought: Option<Result<(), String>>,
    again: Box<dyn Again + 'a>,
    notes: Vec<String>,
}

impl<'a> Debugger<'a> {
    /// Opens a run.
    ///
    /// # Errors
    /// `Empty`, and those of reading.
    pub fn new(store: &Store, record: RunRecord, again: Box<dyn Again + 'a>) -> Result<Self, DebugError> {
        let (store_then, run, begin) = as_it_ran(store, &record)?;
        let timeline = Timeline::new(store, record)?;
        let mut notes = Vec::new();
        if !begin.dirs.is_empty() {
            notes.push("what lies in directories of the host is not shown, only that of the space".to_owned());
        }
        let (chronicle, past, payloads, brought) = Default::default();
        Ok(Self { timeline, store: store_then, run, begin, chronicle, past, payloads, brought, again, notes })
    }

    /// Who wrote what when; from one pass over the events, the first time.
    pub fn chronicle(&mut self) -> Result<&Chronicle, DebugError> {
        Ok(self.parts()?.0)
    }

    fn parts(&mut self) -> Result<(&Chronicle, &mut Past, &mut Timeline, &Payloads, &dyn Again), DebugError> {
        if self.chronicle.is_none() || self.past.is_none() {
            let stopped = || self.again.is_stopped();
            let here = self.timeline.record().run;
            let (hands, some_missing) = hands(&self.store, here, &stopped)?;
            if some_missing {
                self.notes.push("the guest has lived long: not all handles of its earlier calls are followed".into());
            }
            let past = Past::new(&self.store, self.run, &self.begin, &hands)?;
            let chronicle = Chronicle::new(&mut self.timeline, &self.begin, hands, &stopped)?;
            if chronicle.is_cut {
                self.notes.push("the run writes more often than is followed: the last writes are not found".into());
            }
            (self.past, self.chronicle) = (Some(past), Some(chronicle));
        }
        match (&self.chronicle, &mut self.past) {
            (Some(chronicle), Some(past)) => {
                Ok((chronicle, past, &mut self.timeline, &self.payloads, self.again.as_ref()))
            }
            _ => Err(DebugError::Stopped),
        }
    }

    /// The payloads that the log has not, once.
    fn bring(&mut self) -> Result<(), String> {
        if let Some(brought) = &self.brought {
            return brought.clone();
        }
        let brought = self.again.payloads(&self.payloads);
        self.brought = Some(brought.clone());
        brought
    }

    /// The event with all its bytes, as far as they can be brought back.
    pub fn event(&mut self, seq: Seq) -> Result<(EventView, Option<String>), DebugError> {
        let mut event = self.timeline.event(seq)?;
        let why = if examine::needs_replay(&event) { self.bring().err() } else { None };
        for value in event.request.iter_mut().map(|(_, value)| value).chain([&mut event.reply]) {
            fill(value, &self.payloads);
        }
        examine::fill(&self.store, &mut event, None)?;
        Ok((event, why))
    }

    /// The stop after an event. `others` says whether all of the space is wanted, not only what changed.
    pub fn stop(&mut self, seq: Seq, others: bool) -> Result<Stop, DebugError> {
        let (event, why) = self.event(seq)?;
        let times = self.timeline.times(seq)?;
        let mut notes: Vec<String> = why.into_iter().collect();
        let mut sought = self.seek(seq);
        if let Err(DebugError::Apart { what, .. }) = &sought
            && what == UNKNOWN
            && self.brought.is_none()
        {
            match self.bring() {
                Ok(()) => sought = self.seek(seq),
                Err(why) => notes.push(why),
            }
        }
        let apart = match sought {
            Ok(()) => None,
            Err(error @ DebugError::Apart { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        let (chronicle, past, timeline, ..) = self.parts()?;
        let said = [chronicle.said(timeline, seq, 0, SAID)?, chronicle.said(timeline, seq, 1, SAID)?];
        let (names, more) = if apart.is_none() { chronicle.changed(seq, SHOWN) } else { (Vec::new(), false) };
        let base = past.base();
        let changed: Vec<Held> = names.into_iter().map(|(name, at)| held(past, name, Some(at))).collect();
        let (mut rest, mut others_more) = (Vec::new(), false);
        if others && apart.is_none() {
            (rest, others_more) = self.others(base, &changed)?;
        }
        notes.extend(apart);
        notes.extend(self.notes.iter().cloned());
        let base = base.version;
        Ok(Stop { seq, event, times, base, changed, more, others: rest, others_more, said, notes })
    }

    fn seek(&mut self, seq: Seq) -> Result<(), DebugError> {
        let (_, past, timeline, payloads, again) = self.parts()?;
        past.seek(timeline, payloads, seq, &|| again.is_stopped())
    }

    /// What is in the space beside what changed.
    fn others(&mut self, base: reel_store::Head, changed: &[Held]) -> Result<(Vec<Held>, bool), DebugError> {
        let store = self.store.clone();
        let (_, past, ..) = self.parts()?;
        let is_new = |name: &Name| changed.iter().all(|held| held.name != *name);
        let (mut names, mut more) = (Vec::new(), false);
        let mut open = vec![String::new()];
        while let Some(dir) = open.pop() {
            let Ok(list) = past.list(&dir) else { continue };
            for (name, kind) in list.into_iter().take(SHOWN) {
                let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                if kind == NodeKind::Directory {
                    open.push(path.clone());
                }
                names.push(Name::Path(path));
            }
            if names.len() >= SHOWN {
                more = true;
                break;
            }
        }
        let keys = KeysAt::new(&store, base)?;
        for bucket in keys.buckets()? {
            let left = (2 * SHOWN).saturating_sub(names.len());
            let found = keys.keys(&bucket, b"", None)?;
            more |= found.len() > left;
            let bucket = String::from_utf8_lossy(&bucket).into_owned();
            names.extend(found.into_iter().take(left).map(|found| Name::Key(bucket.clone(), found.key)));
            if left == 0 {
                break;
            }
        }
        let held = |name: Name| held(past, name, None);
        Ok((names.into_iter().filter(is_new).map(held).collect(), more))
    }

    /// What a key or path stood for after an event, with more of it than a stop shows.
    pub fn look(&mut self, seq: Seq, name: &Name, most: usize) -> Result<Result<Option<Thing>, String>, DebugError> {
        self.seek(seq)?;
        let (_, past, ..) = self.parts()?;
        Ok(thing(past, name, most))
    }

    /// The last event before one that wrote a name.
    pub fn last_write(&mut self, name: &Name, before: Seq) -> Result<Option<Seq>, DebugError> {
        Ok(self.chronicle()?.last_write(name, before))
    }

    /// The last event before one that wrote anything.
    pub fn last_of_all(&mut self, before: Seq) -> Result<Option<(Seq, Name)>, DebugError> {
        Ok(self.chronicle()?.last_of_all(before).map(|(seq, name)| (seq, name.clone())))
    }

    /// Looks for an event.
    pub fn find(&mut self, quest: &Quest, from: Seq, forward: bool) -> Result<Found, DebugError> {
        let again = &self.again;
        quest.find(&mut self.timeline, from, forward, &|| again.is_stopped())
    }

    /// The event at which the run failed: its end mark, or the last one if it was cut off; nothing if it did not.
    pub fn failure(&self) -> Option<Seq> {
        let end = self.timeline.record().end.as_ref();
        match end.map(|end| &end.outcome) {
            Some(Outcome::Exit { code: 0 }) => None,
            _ => Some(self.timeline.last()),
        }
    }

    /// The memories at an event.
    pub fn memory(&mut self, seq: Seq) -> Result<Memory, String> {
        self.again.memory(seq)
    }
}

fn thing(past: &mut Past, name: &Name, most: usize) -> Result<Option<Thing>, String> {
    match name {
        Name::Key(bucket, key) => past.key(bucket, key, most),
        Name::Path(path) => past.path(path, most),
    }
}

fn held(past: &mut Past, name: Name, at: Option<Seq>) -> Held {
    let thing = thing(past, &name, VALUE);
    Held { name, at, thing }
}

/// Puts bytes in the place of digests.
fn fill(value: &mut Value, payloads: &Payloads) {
    match value {
        Value::Elsewhere { len, digest } if digest.len() == 16 => {
            if let Some(bytes) = payloads.of_digest(*len, digest) {
                *value = Value::Bytes(bytes.to_vec());
            }
        }
        Value::List(values) => values.iter_mut().for_each(|value| fill(value, payloads)),
        Value::Record(fields) => fields.iter_mut().for_each(|(_, value)| fill(value, payloads)),
        Value::Failure(inner) => fill(inner, payloads),
        _ => {}
    }
}
