//! Backward: who wrote a value, and what they had read before.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::id::{RunId, Seq, SpaceName};
use reel_abi::message::{Message, Place};
use reel_abi::record::family;
use reel_abi::resident::Entry;
use reel_abi::vocabulary::{Call, HttpRequest};
use reel_abi::wire::Wire;
use reel_store::{Head, Made, ReadError, RunRecord, Store};
use thiserror::Error;

use super::graph::{Bounds, Graph, Name, What};
use super::touches::{Deed, Touch, touches};
use crate::runtime::files_at::LookError;
use crate::runtime::past::{Step, past};
use crate::runtime::replay::events;
use crate::runtime::resident::cells::{CellsError, call_begin};
use crate::txn::values;

/// Steps of the past that are looked at for the commit among forks and rollbacks.
const STEPS: usize = 16;

/// Why it cannot be told.
#[derive(Debug, Error)]
pub enum LineageError {
    /// The database cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A space cannot be looked at.
    #[error("{0}")]
    Look(String),
    /// Whoever asked wants it no more.
    #[error("it was interrupted")]
    Stopped,
}

impl From<LookError> for LineageError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Read(error) => Self::Read(error),
            other => Self::Look(other.to_string()),
        }
    }
}

impl From<CellsError> for LineageError {
    fn from(error: CellsError) -> Self {
        match error {
            CellsError::Read(error) => Self::Read(error),
            other => Self::Look(other.to_string()),
        }
    }
}

/// Who wrote a value.
pub(super) struct Written {
    /// The space, and the version, in which it was.
    pub step: Step,
    /// By which run.
    pub run: RunId,
    /// Through which forks and rollbacks it came.
    pub through: Vec<String>,
}

/// Who wrote what a version of a space shows under a name; nothing if it was never there.
pub(super) fn written(
    store: &Store,
    space: &SpaceName,
    head: Head,
    name: &Name,
) -> Result<Option<Written>, LineageError> {
    let mut through = Vec::new();
    for step in past(store, space, head, &name.subject(), STEPS)? {
        match &step.made {
            Made::Commit { run, .. } => {
                let run = *run;
                return Ok(Some(Written { step, run, through }));
            }
            Made::Fork { source, version } => {
                through.push(format!("{} was forked from {source}@{version}", step.space));
            }
            Made::Rollback { to } => {
                through.push(format!("{}@{} was rolled back to {to}", step.space, step.version));
            }
        }
    }
    Ok(None)
}

/// A run as a node.
pub(super) fn run_node(store: &Store, record: &RunRecord, seq: Option<Seq>) -> Result<What, LineageError> {
    let begin = &record.begin;
    let entry = call_begin(store, record.run)?.map(|call| call.entry);
    let asked = match entry {
        Some(Entry::Function { name, args } | Entry::Timer { name, args, .. }) => Some(format!("{name}{args}")),
        Some(Entry::Request { line }) => Some(line),
        Some(Entry::Message { topic, .. }) => Some(format!("a message about {topic}")),
        _ => request(store, record.run)?.or_else(|| (begin.args.len() > 1).then(|| begin.args[1..].join(" "))),
    };
    let (space, program) = (begin.space.clone(), begin.name.clone());
    Ok(What::Run { run: record.run, space, program, seq, asked })
}

/// What an HTTP request asked for.
fn request(store: &Store, run: RunId) -> Result<Option<String>, ReadError> {
    let first = events(store, run, Seq(1), 1)?;
    let Some((_, event)) = first.first().filter(|(_, event)| event.code == HttpRequest::CODE) else { return Ok(None) };
    let reel_abi::value::Value::Record(fields) = &event.reply else { return Ok(None) };
    let text = |wanted| {
        fields.iter().find_map(|(name, value)| match value {
            reel_abi::value::Value::Text(text) | reel_abi::value::Value::Word(text) if *name == wanted => {
                Some(text.clone())
            }
            _ => None,
        })
    };
    Ok(text("method").map(|method| format!("{method} {}", text("path").unwrap_or_default())))
}

/// What is behind a value as a version of its space shows it. `stopped` is asked now and then.
pub fn why(
    store: &Store,
    space: &SpaceName,
    head: Head,
    name: &Name,
    bounds: Bounds,
    stopped: &dyn Fn() -> bool,
) -> Result<Graph, LineageError> {
    let mut search = Why { store, graph: Graph::default(), bounds, stopped, records: BTreeMap::new() };
    search.value(space, head, name, 0)?;
    Ok(search.graph)
}

struct Why<'a> {
    store: &'a Store,
    graph: Graph,
    bounds: Bounds,
    stopped: &'a dyn Fn() -> bool,
    records: BTreeMap<RunId, Option<RunRecord>>,
}

impl Why<'_> {
    fn record(&mut self, run: RunId) -> Result<Option<RunRecord>, ReadError> {
        if let Some(known) = self.records.get(&run) {
            return Ok(known.clone());
        }
        let record = self.store.run(run)?;
        self.records.insert(run, record.clone());
        Ok(record)
    }

    fn is_full(&self) -> bool {
        self.graph.nodes.len() >= self.bounds.nodes
    }

    fn value(&mut self, space: &SpaceName, head: Head, name: &Name, depth: usize) -> Result<usize, LineageError> {
        if (self.stopped)() {
            return Err(LineageError::Stopped);
        }
        let written = match written(self.store, space, head, name) {
            Err(LineageError::Read(error @ ReadError::Pruned { .. })) => {
                return Ok(self.graph.add(What::Gone { why: error.to_string() }).0);
            }
            written => written?,
        };
        let Some(Written { step, run, through }) = written else {
            let space = space.clone();
            let what = What::Value { space, name: name.clone(), version: None, at: None, through: Vec::new() };
            return Ok(self.graph.add(what).0);
        };
        let Step { space, version, at, .. } = step;
        let (version, at) = (Some(version), Some(at));
        let (node, is_new) = self.graph.add(What::Value { space, name: name.clone(), version, at, through });
        if is_new {
            match depth >= self.bounds.depth || self.is_full() {
                true => self.graph.nodes[node].deep = true,
                false => {
                    let last = self.last_write(run, name)?;
                    if let Some(by) = self.run(run, last, depth + 1)? {
                        self.graph.join(node, "written by".to_owned(), by);
                    }
                }
            }
        }
        Ok(node)
    }

    /// The last event of a run that wrote a name; nothing if no event says so, as with a rename of what lies above.
    fn last_write(&self, run: RunId, name: &Name) -> Result<Option<Seq>, ReadError> {
        let touches = match touches(self.store, run, None) {
            Err(ReadError::Pruned { .. }) => return Ok(None),
            touches => touches?,
        };
        let writes = |touch: &&Touch| matches!(&touch.deed, Deed::Wrote(wrote) if wrote == name);
        Ok(touches.iter().rev().find(writes).map(|touch| touch.seq))
    }

    /// A run, and what it had read before an event.
    fn run(&mut self, run: RunId, until: Option<Seq>, depth: usize) -> Result<Option<usize>, LineageError> {
        let Some(record) = self.record(run)? else { return Ok(None) };
        let (node, is_new) = self.graph.add(run_node(self.store, &record, until)?);
        if !is_new {
            return Ok(Some(node));
        }
        if depth > self.bounds.depth || self.is_full() {
            self.graph.nodes[node].deep = true;
            return Ok(Some(node));
        }
        let touches = match touches(self.store, run, until) {
            Err(error @ ReadError::Pruned { .. }) => {
                let gone = self.graph.add(What::Gone { why: error.to_string() }).0;
                self.graph.join(node, "did".to_owned(), gone);
                return Ok(Some(node));
            }
            touches => touches?,
        };
        self.entered(node, &record, depth)?;
        let (mut base, mut own, mut seen, mut told) = (
            Head { segment: record.begin.segment, version: record.begin.version },
            BTreeSet::new(),
            BTreeSet::new(),
            0,
        );
        for Touch { seq, deed } in touches {
            match deed {
                Deed::Began(head) => {
                    base = head;
                    own.clear();
                }
                Deed::Wrote(name) => drop(own.insert(name)),
                Deed::Read(name) => {
                    if own.contains(&name) || !seen.insert((base, name.clone())) {
                        continue;
                    }
                    if told >= self.bounds.each || self.is_full() {
                        self.graph.nodes[node].more += 1;
                        continue;
                    }
                    told += 1;
                    let value = self.value(&record.begin.space, base, &name, depth)?;
                    self.graph.join(node, format!("had read at {seq}"), value);
                }
                Deed::Called(callee) => {
                    if told >= self.bounds.each || self.is_full() {
                        self.graph.nodes[node].more += 1;
                        continue;
                    }
                    told += 1;
                    if let Some(callee) = self.run(callee, None, depth + 1)? {
                        self.graph.join(node, format!("had called at {seq}"), callee);
                    }
                }
                Deed::Scanned(..) | Deed::Sent(_) => {}
            }
        }
        Ok(Some(node))
    }

    /// What a run was entered by: a message's sender, a caller, the calls before it.
    fn entered(&mut self, node: usize, record: &RunRecord, depth: usize) -> Result<(), LineageError> {
        let Some(call) = call_begin(self.store, record.run)? else { return Ok(()) };
        match call.entry {
            Entry::Message { cell, .. } => {
                let Some(message) = self.message(record, &cell)? else { return Ok(()) };
                let seq = self.sent_at(message.run, &message.topic)?;
                if let Some(sender) = self.run(message.run, seq, depth + 1)? {
                    self.graph.join(node, "sent by".to_owned(), sender);
                }
            }
            Entry::Joined { caller, seq, .. } => {
                if let Some(caller) = self.run(caller, Some(seq), depth + 1)? {
                    self.graph.join(node, "called by".to_owned(), caller);
                }
            }
            _ => {}
        }
        // What a resident keeps in its memory it has from the calls before.
        if let Some(before) = call.after
            && let Some(before) = self.run(before, None, depth + 1)?
        {
            self.graph.join(node, "lived on after".to_owned(), before);
        }
        Ok(())
    }

    fn message(&self, record: &RunRecord, cell: &[u8]) -> Result<Option<Message>, LineageError> {
        if Place::parse(cell).is_none() {
            return Ok(None);
        }
        let view = match self.store.view(Head { segment: record.begin.segment, version: record.begin.version }) {
            Err(ReadError::Pruned { .. }) => return Ok(None),
            view => view?,
        };
        let Some(value) = view.get(family::QUEUE, cell)? else { return Ok(None) };
        let bytes = values::load(self.store.blobs(), &value).map_err(|halt| LineageError::Look(halt.to_string()))?;
        Ok(bytes.and_then(|bytes| Message::from_bytes(&bytes).ok()))
    }

    /// The last event by which a run sent something about a topic.
    fn sent_at(&self, run: RunId, topic: &str) -> Result<Option<Seq>, ReadError> {
        let touches = match touches(self.store, run, None) {
            Err(ReadError::Pruned { .. }) => return Ok(None),
            touches => touches?,
        };
        let sends = |touch: &&Touch| matches!(&touch.deed, Deed::Sent(about) if about == topic);
        Ok(touches.iter().rev().find(sends).map(|touch| touch.seq))
    }
}
