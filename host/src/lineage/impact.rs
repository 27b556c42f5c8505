//! Forward: who read a value, and what they wrote after that.
//!
//! Nothing in the database says who has read what, so that the events of runs are looked through: of those that came after the one that wrote it, the
//! oldest first, and of no more than the bounds allow.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use reel_abi::id::{CommitNo, RunId, Seq, SpaceName, Version};
use reel_abi::outcome::Disposition;
use reel_abi::record::family;
use reel_abi::resident::Entry;
use reel_store::{Head, ReadError, RunRecord, Store};

use super::graph::{Bounds, Graph, Name, What};
use super::touches::{Deed, Touch, touches};
use super::why::{LineageError, Written, run_node, written};
use crate::runtime::resident::cells::call_begin;

/// Runs fetched at a time.
const BATCH: usize = 256;

/// Who was affected by a value as a version of its space shows it. `seen` is told how many runs were looked at, and says whether to stop.
pub fn impact(
    store: &Store,
    space: &SpaceName,
    head: Head,
    name: &Name,
    bounds: Bounds,
    seen: &mut dyn FnMut(usize) -> bool,
) -> Result<Graph, LineageError> {
    let Some(Written { step, run, through }) = written(store, space, head, name)? else {
        let what =
            What::Value { space: space.clone(), name: name.clone(), version: None, at: None, through: Vec::new() };
        let mut graph = Graph::default();
        graph.add(what);
        return Ok(graph);
    };
    let (later, unseen) = later(store, run, bounds.runs)?;
    let mut search = Impact {
        store,
        graph: Graph { unseen, ..Graph::default() },
        bounds,
        seen,
        looked: 0,
        later: Rc::new(later),
        deeds: BTreeMap::new(),
        writers: BTreeMap::new(),
    };
    let (version, at) = (Some(step.version), Some(step.at));
    let what = What::Value { space: step.space.clone(), name: name.clone(), version, at, through };
    let (node, _) = search.graph.add(what);
    search.readers(node, &(step.space, step.version), name, run, 0)?;
    Ok(search.graph)
}

/// The runs from the writer on, oldest first, and how many more there are.
fn later(store: &Store, writer: RunId, most: usize) -> Result<(Vec<RunRecord>, usize), ReadError> {
    let (mut found, mut before) = (Vec::new(), None);
    let newest = store.newest_run().unwrap_or(writer).0;
    let unseen = (newest.saturating_sub(writer.0) as usize).saturating_sub(most);
    // The oldest of them are nearest to the value.
    if unseen > 0 {
        before = Some(RunId(writer.0.saturating_add(most as u64).saturating_add(1)));
    }
    loop {
        let batch = store.runs(before, BATCH)?;
        let Some(last) = batch.last().map(|record| record.run) else { break };
        let done = last <= writer || batch.len() < BATCH;
        found.extend(batch.into_iter().filter(|record| record.run > writer));
        if done {
            break;
        }
        before = Some(last);
    }
    found.reverse();
    Ok((found, unseen))
}

struct Impact<'a> {
    store: &'a Store,
    graph: Graph,
    bounds: Bounds,
    seen: &'a mut dyn FnMut(usize) -> bool,
    looked: usize,
    later: Rc<Vec<RunRecord>>,
    deeds: BTreeMap<RunId, Rc<Vec<Touch>>>,
    /// Who wrote what a version shows under a name.
    writers: BTreeMap<(SpaceName, Head, Name), Option<(SpaceName, Version)>>,
}

impl Impact<'_> {
    fn deeds(&mut self, run: RunId) -> Result<Rc<Vec<Touch>>, LineageError> {
        if let Some(known) = self.deeds.get(&run) {
            return Ok(known.clone());
        }
        self.looked += 1;
        if (self.seen)(self.looked) {
            return Err(LineageError::Stopped);
        }
        let found = match touches(self.store, run, None) {
            Err(ReadError::Pruned { .. }) => Vec::new(),
            found => found?,
        };
        let found = Rc::new(found);
        self.deeds.insert(run, found.clone());
        Ok(found)
    }

    fn writer(
        &mut self,
        space: &SpaceName,
        head: Head,
        name: &Name,
    ) -> Result<Option<(SpaceName, Version)>, LineageError> {
        let key = (space.clone(), head, name.clone());
        if let Some(known) = self.writers.get(&key) {
            return Ok(known.clone());
        }
        let found = match written(self.store, space, head, name) {
            Err(LineageError::Read(ReadError::Pruned { .. } | ReadError::NoSuchHead(_))) => None,
            found => found?.map(|Written { step, .. }| (step.space, step.version)),
        };
        self.writers.insert(key, found.clone());
        Ok(found)
    }

    /// The runs that read a value, and what they did after.
    fn readers(
        &mut self,
        node: usize,
        made: &(SpaceName, Version),
        name: &Name,
        writer: RunId,
        depth: usize,
    ) -> Result<(), LineageError> {
        if depth >= self.bounds.depth {
            self.graph.nodes[node].deep = true;
            return Ok(());
        }
        let later = Rc::clone(&self.later);
        let mut told = 0;
        for record in later.iter().filter(|record| record.run > writer) {
            let Some(at) = self.reader(record, made, name)? else { continue };
            if told >= self.bounds.each || self.graph.nodes.len() >= self.bounds.nodes {
                self.graph.nodes[node].more += 1;
                continue;
            }
            told += 1;
            let (reader, is_new) = self.graph.add(run_node(self.store, record, Some(at))?);
            self.graph.join(node, format!("read at {at} by"), reader);
            if is_new {
                self.after(reader, record, at, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The first event by which a run read the value, if it did.
    fn reader(
        &mut self,
        record: &RunRecord,
        made: &(SpaceName, Version),
        name: &Name,
    ) -> Result<Option<Seq>, LineageError> {
        let mut base = Head { segment: record.begin.segment, version: record.begin.version };
        let mut own = false;
        for Touch { seq, deed } in self.deeds(record.run)?.iter() {
            let reads = match deed {
                Deed::Began(head) => {
                    (base, own) = (*head, false);
                    false
                }
                Deed::Wrote(wrote) => {
                    own |= wrote == name;
                    false
                }
                Deed::Read(read) => read == name,
                Deed::Scanned(bucket, prefix) => {
                    matches!(name, Name::Key(of, key) if of == bucket && key.starts_with(prefix))
                }
                Deed::Sent(_) | Deed::Called(_) => false,
            };
            if reads && !own && self.writer(&record.begin.space, base, name)?.as_ref() == Some(made) {
                return Ok(Some(*seq));
            }
        }
        Ok(None)
    }

    /// What a run wrote and sent after an event.
    fn after(&mut self, node: usize, record: &RunRecord, from: Seq, depth: usize) -> Result<(), LineageError> {
        let committed = match record.end.as_ref().map(|end| &end.disposition) {
            Some(Disposition::Committed { commit, version } | Disposition::Partly { commit, version }) => {
                Some((*commit, *version))
            }
            _ => None,
        };
        let Some((commit, version)) = committed else { return Ok(()) };
        let deeds = self.deeds(record.run)?;
        let (mut told, mut known, mut sent) = (0, BTreeSet::new(), false);
        for Touch { deed, .. } in deeds.iter().filter(|touch| touch.seq > from) {
            sent |= matches!(deed, Deed::Sent(_));
            let Deed::Wrote(name) = deed else { continue };
            if !known.insert(name.clone()) {
                continue;
            }
            if told >= self.bounds.each || self.graph.nodes.len() >= self.bounds.nodes {
                self.graph.nodes[node].more += 1;
                continue;
            }
            told += 1;
            let space = record.begin.space.clone();
            let Some(head) = self.store.head_at(&space, version)? else { continue };
            let Some(Written { step, run, through }) = written(self.store, &space, head, name)? else { continue };
            if run != record.run {
                continue;
            }
            let (made, at) = ((step.space.clone(), step.version), Some(step.at));
            let what = What::Value { space: step.space, name: name.clone(), version: Some(step.version), at, through };
            let (value, is_new) = self.graph.add(what);
            self.graph.join(node, "wrote".to_owned(), value);
            if is_new {
                self.readers(value, &made, name, record.run, depth)?;
            }
        }
        if sent {
            self.receivers(node, record.run, commit, depth)?;
        }
        Ok(())
    }

    /// The runs that took the messages of a commit.
    fn receivers(&mut self, node: usize, sender: RunId, commit: CommitNo, depth: usize) -> Result<(), LineageError> {
        let record = match self.store.commit(commit) {
            Ok(Some(record)) => record,
            Ok(None) | Err(ReadError::Pruned { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut letters = BTreeSet::new();
        for change in record.spaces {
            let cells = change.cells.into_iter().filter(|cell| cell.family == family::QUEUE && !cell.key.is_empty());
            letters.extend(cells.map(|cell| (change.space.clone(), cell.key)));
        }
        let later = Rc::clone(&self.later);
        for record in later.iter().filter(|record| record.run > sender) {
            if !letters.iter().any(|(space, _)| *space == record.begin.space) {
                continue;
            }
            let Some(call) = call_begin(self.store, record.run)? else { continue };
            let Entry::Message { cell, .. } = call.entry else { continue };
            if !letters.contains(&(record.begin.space.clone(), cell)) {
                continue;
            }
            if self.graph.nodes.len() >= self.bounds.nodes {
                self.graph.nodes[node].more += 1;
                continue;
            }
            let (receiver, is_new) = self.graph.add(run_node(self.store, record, None)?);
            self.graph.join(node, "sent a message to".to_owned(), receiver);
            if is_new && depth < self.bounds.depth {
                self.after(receiver, record, Seq(0), depth + 1)?;
            }
        }
        Ok(())
    }
}
