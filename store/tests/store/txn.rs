//! Transactions as a guest would make them.

use std::collections::BTreeMap;

use reel_abi::record::CellValue;
use reel_store::{AppendError, Counter, Head, Proposal, ReadSet, Receipt, Store, View};

use crate::support::*;

pub const SPACE: &str = "s";

/// A transaction as a guest would make it: it notes what it reads.
pub struct Txn {
    pub view: View,
    pub reads: ReadSet,
    pub cells: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
    pub counters: Vec<Counter>,
}

impl Txn {
    pub fn begin(store: &Store, head: Head) -> Self {
        let view = store.view(head).unwrap();
        Self { view, reads: ReadSet::default(), cells: BTreeMap::new(), counters: vec![] }
    }

    pub fn at_head(store: &Store) -> Self {
        Self::begin(store, store.head_or_new(&name(SPACE)).unwrap())
    }

    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.reads.key(1, key);
        self.view.get(1, key).unwrap().map(inline)
    }

    pub fn scan(&mut self, from: &[u8], until: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.reads.range(1, from, until);
        let found = self.view.scan(1, from, until, usize::MAX).unwrap();
        found.into_iter().map(|(key, value)| (key, inline(value))).collect()
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.cells.insert((1, key.to_vec()), Some(value.to_vec()));
    }

    pub fn count(&mut self, key: &[u8], add: i64) {
        self.counters.push(Counter { family: 2, key: key.to_vec(), add });
    }

    pub fn proposal(self) -> Proposal {
        let made = |((family, key), value): ((u8, Vec<u8>), Option<Vec<u8>>)| cell(family, &key, value.as_deref());
        Proposal {
            at: reel_abi::id::WallTime(7),
            space: name(SPACE),
            base: self.view.head(),
            reads: self.reads,
            cells: self.cells.into_iter().map(made).collect(),
            counters: self.counters,
            outbox: vec![],
            others: vec![],
            joined: Default::default(),
        }
    }

    pub fn commit(self, store: &Store) -> Result<Receipt, AppendError> {
        let mut submission = whole(store, &name(SPACE), self.view.head(), vec![], vec![]);
        submission.commit = Some(self.proposal());
        store.append(submission)
    }
}

pub fn inline(value: CellValue) -> Vec<u8> {
    match value {
        CellValue::Inline { bytes } => bytes.0,
        other => panic!("{other:?}"),
    }
}
