//! Where somebody stands in a run, and what becomes of an action: no terminal, no printing.

use std::collections::BTreeMap;

use reel_abi::id::{RunId, Seq};
use reel_abi::vocabulary::EventView;
use reel_store::RunRecord;

use super::action::Action;
use super::failed;
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::marks;
use crate::cli::state::State;
use crate::debug::{DebugError, Debugger, Found, Quest, Stop};

/// Bookmarks of one walk.
const MARKS: usize = 1000;

/// Makes a fork at an event: its name, the space, the run.
pub type Forks<'a> = Box<dyn FnMut(Seq, &str, &str, RunId) -> Result<String, Failure> + 'a>;

/// What is to be shown.
pub enum Told {
    /// A stop.
    Stop(Box<Stop>),
    /// Some bytes of a memory.
    Memory(Window),
    /// Words.
    Words(String),
    /// Nothing more.
    End,
}

/// Bytes of a memory at an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The event.
    pub seq: Seq,
    /// Which memory.
    pub memory: u32,
    /// Bytes that it has.
    pub size: u64,
    /// The address of the first byte.
    pub from: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Somebody who walks through a run.
pub struct Walk<'a> {
    debugger: Debugger<'a>,
    /// The event at which it stands.
    pub at: Seq,
    /// Bookmarks.
    pub marks: BTreeMap<String, Seq>,
    /// Whether the run goes on.
    pub goes_on: bool,
    quest: Option<Quest>,
    /// Where the last memory that was shown begins.
    address: u64,
    forks: Forks<'a>,
}

impl<'a> Walk<'a> {
    /// One that stands at the first event.
    pub fn new(debugger: Debugger<'a>, database: &Opened, forks: Forks<'a>) -> Self {
        let goes_on = State::of(debugger.timeline.record(), &database.running) == State::Running;
        Self { debugger, at: Seq(0), marks: BTreeMap::new(), goes_on, quest: None, address: 0, forks }
    }

    /// The run.
    pub fn record(&self) -> &RunRecord {
        self.debugger.timeline.record()
    }

    /// Its last event.
    pub fn last(&self) -> Seq {
        self.debugger.timeline.last()
    }

    /// To an event.
    pub fn go(&mut self, seq: Seq) -> Result<(), Failure> {
        self.debugger.timeline.frame_of(seq).map_err(failed)?;
        self.at = seq;
        Ok(())
    }

    /// The events from one on, each alone.
    pub fn events(&mut self, first: Seq, count: u64) -> Result<Vec<(Seq, EventView)>, Failure> {
        let mut events = self.debugger.timeline.events_from(first, count).map_err(failed)?;
        let record = self.record();
        events.iter_mut().for_each(|(_, event)| marks::complete_line(event, record));
        Ok(events)
    }

    /// The stop here.
    pub fn stop(&mut self, all: bool) -> Result<Told, Failure> {
        let mut stop = self.debugger.stop(self.at, all).map_err(failed)?;
        marks::complete(&mut stop.event, self.record());
        if self.goes_on {
            stop.notes.push("the run goes on; these are its events so far".into());
        }
        Ok(Told::Stop(Box::new(stop)))
    }

    /// Does something; what cannot be done changes nothing.
    pub fn act(&mut self, action: &Action) -> Result<Told, Failure> {
        match action {
            Action::Next(count) => self.at = Seq(self.at.0.saturating_add(*count)).min(self.last()),
            Action::Back(count) => self.at = Seq(self.at.0.saturating_sub(*count)),
            Action::Go(seq) => self.go(*seq)?,
            Action::First => self.at = Seq(0),
            Action::Last => self.at = self.last(),
            Action::Failure => match self.debugger.failure() {
                Some(seq) => self.at = seq,
                None => return Err(Failure::not_found(format!("run {} did not fail", self.record().run))),
            },
            Action::Error(forward) => self.find(&Quest::Failure, *forward)?,
            Action::Find(text, forward) => {
                let quest = Quest::Text(text.clone());
                self.quest = Some(quest.clone());
                self.find(&quest, *forward)?;
            }
            Action::Again(forward) => match self.quest.clone() {
                Some(quest) => self.find(&quest, *forward)?,
                None => return Err(Failure::not_found("nothing was looked for yet")),
            },
            Action::LastWrite(name) => match self.debugger.last_write(name, self.at).map_err(failed)? {
                Some(seq) => self.at = seq,
                None => {
                    let what = format!("run {} has not written {name} before event {}", self.record().run, self.at);
                    return Err(Failure::not_found(what));
                }
            },
            Action::LastOfAll => match self.debugger.last_of_all(self.at).map_err(failed)? {
                Some((seq, _)) => self.at = seq,
                None => {
                    let what = format!("run {} has written nothing before event {}", self.record().run, self.at);
                    return Err(Failure::not_found(what));
                }
            },
            Action::Mark(name) => {
                if self.marks.len() >= MARKS && !self.marks.contains_key(name) {
                    return Err(Failure::usage(format!("{MARKS} bookmarks are the most")));
                }
                self.marks.insert(name.clone(), self.at);
                return Ok(Told::Words(format!("{name}: event {}", self.at)));
            }
            Action::ToMark(name) => match self.marks.get(name) {
                Some(seq) => self.at = *seq,
                None => return Err(Failure::not_found(format!("there is no bookmark {name}"))),
            },
            Action::All => return self.stop(true),
            Action::Memory(memory, from, len) => return self.memory(*memory, *from, *len),
            Action::FindMemory(text) => return self.find_in_memory(text),
            Action::Fork(name) => {
                let (space, run) = (self.record().begin.space.to_string(), self.record().run);
                return (self.forks)(self.at, name, &space, run).map(Told::Words);
            }
            Action::Quit => return Ok(Told::End),
        }
        self.stop(false)
    }

    fn find(&mut self, quest: &Quest, forward: bool) -> Result<(), Failure> {
        match self.debugger.find(quest, self.at, forward).map_err(failed)? {
            Found::At(seq) => {
                self.at = seq;
                Ok(())
            }
            Found::Stopped => Err(failed(DebugError::Stopped)),
            Found::Nowhere => {
                let what = match quest {
                    Quest::Text(text) => format!("{text:?}"),
                    Quest::Failure => "an answer that is a failure".to_owned(),
                };
                let way = if forward { "after" } else { "before" };
                Err(Failure::not_found(format!("{what} is nowhere {way} event {}", self.at)))
            }
        }
    }

    fn memory(&mut self, memory: u32, from: u64, len: u64) -> Result<Told, Failure> {
        let kept = self.debugger.memory(self.at).map_err(|why| Failure::new(Exit::NO_REPLAY, why))?.0;
        let Some(size) = kept.sizes().get(memory as usize).copied() else {
            let count = kept.sizes().len();
            return Err(Failure::not_found(format!(
                "there is no memory {memory} at event {}: it has {count}",
                self.at
            )));
        };
        if from > size {
            return Err(Failure::not_found(format!("memory {memory} ends at {size:#x} ({size} bytes)")));
        }
        self.address = from;
        let bytes = kept.bytes(memory as usize, from, len as usize);
        Ok(Told::Memory(Window { seq: self.at, memory, size, from, bytes }))
    }

    fn find_in_memory(&mut self, text: &str) -> Result<Told, Failure> {
        let memory = self.debugger.memory(self.at).map_err(|why| Failure::new(Exit::NO_REPLAY, why))?;
        let next = memory.find(0, self.address.saturating_add(1), text.as_bytes());
        match next.or_else(|| memory.find(0, 0, text.as_bytes())) {
            Some(found) => {
                let told = self.memory(0, found & !15, 256)?;
                self.address = found;
                Ok(told)
            }
            None => Err(Failure::not_found(format!("{text:?} is not in memory 0 at event {}", self.at))),
        }
    }
}
