//! The open transaction as a whole: files and buckets over one snapshot, savepoints, and what is to be committed.

use reel_abi::faults::TxnFault;
use reel_abi::id::{SpaceName, WallTime};
use reel_abi::limits::SAVEPOINTS;
use reel_abi::outcome::DirGrant;
use reel_abi::record::{CellValue, OutboxEntry};
use reel_store::{Head, Proposal, Store, View};

use super::buckets::Buckets;
use super::files::Files;
use super::lower::Lower;
use super::snapshot::Snapshot;
use super::tree::Tree;
use crate::gate::Halt;

/// What a run has changed and nobody else can see yet.
pub struct Transaction {
    /// File trees: that of the space, then the granted directories.
    pub files: Files,
    /// Key-value buckets.
    pub buckets: Buckets,
    store: Store,
    space: SpaceName,
    grants: Vec<DirGrant>,
    snapshot: Snapshot,
    /// Names of the savepoints that are set, the first one first.
    savepoints: Vec<u64>,
    named: u64,
}

impl Transaction {
    /// The transaction that reads `view` of a space. `host` are the trees of the granted directories; `first` is the first number for a new
    /// file.
    pub fn new(store: Store, space: SpaceName, view: View, host: Vec<Tree>, grants: Vec<DirGrant>, first: u64) -> Self {
        let snapshot = Snapshot::new(view);
        let tree = Tree::new(Lower::Space(snapshot.clone()), false, first);
        let files = Files::new(store.clone(), std::iter::once(tree).chain(host).collect());
        let buckets = Buckets::new(store.clone(), space.clone(), snapshot.clone());
        Self { files, buckets, store, space, grants, snapshot, savepoints: Vec::new(), named: 0 }
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
        if self.savepoints.len() >= SAVEPOINTS {
            return Err(TxnFault::TooManySavepoints);
        }
        self.files.mark();
        self.buckets.mark();
        self.named += 1;
        self.savepoints.push(self.named);
        Ok(self.named)
    }

    /// Drops what was done since a savepoint, and the savepoints after it.
    pub fn roll_back(&mut self, savepoint: u64) -> Result<(), TxnFault> {
        let place = self.savepoints.iter().position(|name| *name == savepoint).ok_or(TxnFault::Gone)?;
        self.files.roll_back(place);
        self.buckets.roll_back(place);
        self.savepoints.truncate(place + 1);
        Ok(())
    }

    /// Gives up a savepoint, and those after it, but nothing that was done.
    pub fn release(&mut self, savepoint: u64) {
        if let Some(place) = self.savepoints.iter().position(|name| *name == savepoint) {
            self.files.release(place);
            self.buckets.release(place);
            self.savepoints.truncate(place);
        }
    }

    /// What is to be committed.
    pub fn propose(&mut self, at: WallTime) -> Result<Proposal, Halt> {
        let (mut cells, nodes) = self.files.cells()?;
        let (keys, count) = self.buckets.cells();
        cells.extend(keys);
        cells.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
        let outbox = self.outbox()?;
        let (space, base, reads) = (self.space.clone(), self.base(), self.snapshot.read_set());
        Ok(Proposal { at, space, base, reads, cells, counters: nodes.into_iter().chain(count).collect(), outbox })
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
        self.files.rebase(self.snapshot.clone(), kept);
        self.buckets.rebase(self.snapshot.clone());
        Ok(())
    }
}
