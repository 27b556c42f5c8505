//! The open transaction as a whole: files, buckets and messages over one snapshot, savepoints, and what is to be committed.

use std::collections::BTreeMap;

use reel_abi::faults::TxnFault;
use reel_abi::id::{RunId, SpaceName, WallTime};
use reel_abi::limits::SAVEPOINTS;
use reel_abi::outcome::{DirGrant, RunBegin};
use reel_abi::record::{CellValue, OutboxEntry};
use reel_store::{Head, Joined, Proposal, Store, View};

use super::buckets::Buckets;
use super::files::Files;
use super::lower::Lower;
use super::messages::{Messages, Posted};
use super::node::NODES_PER_RUN;
use super::snapshot::Snapshot;
use super::tree::Tree;
use crate::gate::Halt;

/// What a run has changed and nobody else can see yet.
pub struct Transaction {
    /// File trees: that of the space, then the granted directories.
    pub files: Files,
    /// Key-value buckets.
    pub buckets: Buckets,
    /// Messages.
    pub messages: Messages,
    store: Store,
    space: SpaceName,
    grants: Vec<DirGrant>,
    snapshot: Snapshot,
    /// Names of the savepoints that are set, the first one first.
    savepoints: Vec<u64>,
    named: u64,
    /// How many of them are the host's own.
    marks: usize,
}

impl Transaction {
    /// The transaction that reads `view` of a space. `host` are the trees of the granted directories; `first` is the first number for a new
    /// file.
    pub fn new(store: Store, space: SpaceName, view: View, host: Vec<Tree>, grants: Vec<DirGrant>, first: u64) -> Self {
        let snapshot = Snapshot::new(view);
        let tree = Tree::new(Lower::Space(snapshot.clone()), false, first);
        let files = Files::new(store.clone(), std::iter::once(tree).chain(host).collect());
        let buckets = Buckets::new(store.clone(), space.clone(), snapshot.clone());
        let messages = Messages::new(space.clone(), RunId::default());
        Self { files, buckets, messages, store, space, grants, snapshot, savepoints: Vec::new(), named: 0, marks: 0 }
    }

    /// The space.
    pub fn space(&self) -> &SpaceName {
        &self.space
    }

    /// What the transaction reads.
    pub fn base(&self) -> Head {
        self.snapshot.head()
    }

    /// A value of the space that the host keeps for the guest, noted as read.
    pub fn kept(&self, family: u8, key: &[u8]) -> Result<Option<CellValue>, Halt> {
        self.snapshot.get(family, key)
    }

    /// Sets a savepoint and gives its name.
    pub fn set_savepoint(&mut self) -> Result<u64, TxnFault> {
        if self.savepoints.len() - self.marks >= SAVEPOINTS {
            return Err(TxnFault::TooManySavepoints);
        }
        Ok(self.name_savepoint())
    }

    /// Sets a savepoint whatever their number; for who only looks back at what a guest did.
    pub fn name_savepoint(&mut self) -> u64 {
        self.files.mark();
        self.buckets.mark();
        self.messages.mark();
        self.named += 1;
        self.savepoints.push(self.named);
        self.named
    }

    /// A call begins, in a transaction that goes from call to call: `run` is the one that makes it, and the first `standing` of those before it stand.
    /// What the others did is dropped.
    pub fn begin_call(&mut self, run: RunId, begin: &RunBegin, standing: usize) {
        self.undo_calls(standing);
        self.files.number_from(run.0.saturating_mul(NODES_PER_RUN));
        self.messages.sent_by(run, begin);
        self.name_savepoint();
        self.marks += 1;
    }

    /// The call that was begun last has returned: what it did stands, and its savepoints are gone.
    pub fn end_call(&mut self) {
        let marks = self.marks;
        self.files.release(marks);
        self.buckets.release(marks);
        self.messages.release(marks);
        self.savepoints.truncate(marks);
    }

    /// Drops what all calls but the first `standing` did.
    pub fn undo_calls(&mut self, standing: usize) {
        if standing < self.marks {
            // A mark has the place of its call, since each call leaves one.
            self.files.roll_back(standing);
            self.buckets.roll_back(standing);
            self.messages.roll_back(standing);
            self.marks = standing;
            self.end_call();
        }
    }

    /// Drops what was done since a savepoint, and the savepoints after it.
    pub fn roll_back(&mut self, savepoint: u64) -> Result<(), TxnFault> {
        let place = self.savepoints.iter().position(|name| *name == savepoint).ok_or(TxnFault::Gone)?;
        self.files.roll_back(place);
        self.buckets.roll_back(place);
        self.messages.roll_back(place);
        self.savepoints.truncate(place + 1);
        Ok(())
    }

    /// Gives up a savepoint, and those after it, but nothing that was done.
    pub fn release(&mut self, savepoint: u64) {
        if let Some(place) = self.savepoints.iter().position(|name| *name == savepoint) {
            self.files.release(place);
            self.buckets.release(place);
            self.messages.release(place);
            self.savepoints.truncate(place);
        }
    }

    /// What is to be committed.
    pub fn propose(&mut self, at: WallTime) -> Result<Proposal, Halt> {
        self.propose_after(at, &mut BTreeMap::new())
    }

    /// What is to be committed with others who have sent so many messages to each space.
    pub fn propose_after(&mut self, at: WallTime, sent: &mut BTreeMap<SpaceName, u32>) -> Result<Proposal, Halt> {
        let (mut cells, nodes) = self.files.cells()?;
        let (keys, count) = self.buckets.cells();
        cells.extend(keys);
        let Posted { cells: letters, counter, others } = self.messages.post(self.store.blobs(), at, sent)?;
        cells.extend(letters);
        cells.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        let outbox = self.outbox()?;
        let (space, base, reads) = (self.space.clone(), self.base(), self.snapshot.read_set());
        let counters = nodes.into_iter().chain(count).chain(counter).collect();
        Ok(Proposal { at, space, base, reads, cells, counters, outbox, others, joined: Joined::default() })
    }

    /// What is to leave the machine with the commit.
    pub fn outbox(&mut self) -> Result<Vec<OutboxEntry>, Halt> {
        let changes = self.files.host_changes()?;
        let entries = self.grants.iter().cloned().zip(changes).filter(|(_, changes)| !changes.is_empty());
        Ok(entries.map(|(dir, changes)| OutboxEntry { dir, changes }).collect())
    }

    /// Begins the next transaction of the run at `base`, after the commit of this one (`kept`) or its loss. Savepoints are gone; files that
    /// are open and still there stay open.
    pub fn rebase(&mut self, base: Head, kept: bool) -> Result<(), Halt> {
        let view = self.store.view(base).map_err(|e| Halt::host("reading the space", &e))?;
        self.snapshot = Snapshot::new(view);
        self.savepoints.clear();
        self.marks = 0;
        self.files.rebase(self.snapshot.clone(), kept);
        self.buckets.rebase(self.snapshot.clone());
        self.messages.rebase();
        Ok(())
    }
}
