//! What undoes the changes of a file tree since its savepoints. Nothing is written down while there is no savepoint.
//!
//! What is learnt from below stays learnt: only changes of the run are undone.

use std::collections::BTreeSet;

use super::blocks::{Block, BlockId};
use super::node::Entry;
use super::tree::Held;

/// What was there before a change.
pub(super) enum Before {
    Node(u64, Option<Held>),
    /// What was known of a name, and whether it was changed by the run already.
    Name(u64, String, Option<Option<Entry>>, bool),
    Block(BlockId, Option<Block>),
}

/// Something that can be changed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Node(u64),
    Name(u64, String),
    Block(BlockId),
}

/// The changes since the first savepoint.
#[derive(Default)]
pub(super) struct Journal {
    changes: Vec<Before>,
    marks: Vec<usize>,
    /// What was written down since the last savepoint: later changes of it need no line.
    seen: BTreeSet<Thing>,
}

impl Journal {
    /// A journal with a savepoint.
    pub(super) fn begun() -> Self {
        Self { marks: vec![0], ..Self::default() }
    }

    /// Whether the thing's state has to be written down before it is changed.
    pub(super) fn wants(&mut self, thing: Thing) -> bool {
        !self.marks.is_empty() && self.seen.insert(thing)
    }

    /// Writes down what was there.
    pub(super) fn note(&mut self, before: Before) {
        self.changes.push(before);
    }

    /// Sets a savepoint above all others.
    pub(super) fn mark(&mut self) {
        self.marks.push(self.changes.len());
        self.seen.clear();
    }

    /// What there was since a savepoint, newest change first; later savepoints are gone.
    pub(super) fn take_back(&mut self, place: usize) -> Vec<Before> {
        let Some(&len) = self.marks.get(place) else { return Vec::new() };
        self.marks.truncate(place + 1);
        self.seen.clear();
        let mut changes = self.changes.split_off(len);
        changes.reverse();
        changes
    }

    /// Drops savepoints from a place on.
    pub(super) fn release(&mut self, place: usize) {
        self.marks.truncate(place);
        if self.marks.is_empty() {
            *self = Self::default();
        }
    }
}
