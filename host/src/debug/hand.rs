//! What the handles of a run stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::outcome::RunBegin;

use super::deed::{Deed, tree_of};
use super::name::{Name, joined};

/// Handles that are followed; no run has more at once, but a damaged log may.
const HANDLES: usize = 1 << 20;

/// What a handle stands for.
#[derive(Debug, Clone)]
pub(super) enum Hand {
    /// A directory, file or stream of the space, under this path when it was opened.
    Path(Arc<str>),
    /// One of a directory of the host.
    Outside,
    Bucket(Arc<str>),
    Cas(Arc<str>, Arc<[u8]>),
}

/// Those of a run, as names.
#[derive(Debug, Clone, Default)]
pub(super) struct Hands {
    known: BTreeMap<u32, Hand>,
}

impl Hands {
    /// All of them.
    pub fn known(&self) -> &BTreeMap<u32, Hand> {
        &self.known
    }

    /// The next deed, and what it wrote.
    pub fn follow(&mut self, begin: &RunBegin, deed: &Deed) -> Vec<Name> {
        match deed {
            Deed::Preopens(list) => {
                for (handle, name) in list {
                    let own = tree_of(begin, name) == 0;
                    self.learn(*handle, if own { Hand::Path("".into()) } else { Hand::Outside });
                }
                Vec::new()
            }
            Deed::Opened { dir, path, how, handle, .. } => {
                let at = self.below(*dir, path);
                self.learn(*handle, at.clone().map_or(Hand::Outside, |at| Hand::Path(at.into())));
                let wrote = how.create() || how.truncate();
                at.filter(|_| wrote).map(Name::Path).into_iter().collect()
            }
            Deed::Writer { file, handle, .. } => {
                let hand = self.known.get(file).cloned();
                hand.into_iter().for_each(|hand| self.learn(*handle, hand));
                Vec::new()
            }
            Deed::Written { file, .. } | Deed::Resized { file, .. } | Deed::Timed { file, .. } => self.path(*file),
            Deed::Streamed { stream, .. } => self.path(*stream),
            Deed::TimedAt { dir, path, .. }
            | Deed::MadeDirectory { dir, path }
            | Deed::RemovedDirectory { dir, path }
            | Deed::Symlinked { dir, path, .. }
            | Deed::Unlinked { dir, path } => self.below(*dir, path).map(Name::Path).into_iter().collect(),
            Deed::Linked { dir, path, new_dir, new_path } | Deed::Renamed { dir, path, new_dir, new_path } => {
                let both = [self.below(*dir, path), self.below(*new_dir, new_path)];
                both.into_iter().flatten().map(Name::Path).collect()
            }
            Deed::Bucket { name, handle } => {
                self.learn(*handle, Hand::Bucket(name.as_str().into()));
                Vec::new()
            }
            Deed::Set { bucket, entries } => self.keys(*bucket, entries.iter().map(|(key, _)| key)),
            Deed::Deleted { bucket, keys } => self.keys(*bucket, keys.iter()),
            Deed::Added { bucket, key, .. } => self.keys(*bucket, std::iter::once(key)),
            Deed::Cas { bucket, key, handle } => {
                if let Some(Hand::Bucket(bucket)) = self.known.get(bucket).cloned() {
                    self.learn(*handle, Hand::Cas(bucket, key.as_slice().into()));
                }
                Vec::new()
            }
            Deed::Swapped { cas, .. } => match self.known.remove(cas) {
                Some(Hand::Cas(bucket, key)) => vec![Name::Key(bucket.to_string(), key.to_vec())],
                _ => Vec::new(),
            },
            Deed::CasAgain { cas, again } => {
                let hand = self.known.remove(cas);
                hand.into_iter().for_each(|hand| self.learn(*again, hand));
                Vec::new()
            }
            Deed::Dropped { handle, .. } => {
                self.known.remove(handle);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn learn(&mut self, handle: u32, hand: Hand) {
        if self.known.len() < HANDLES {
            self.known.insert(handle, hand);
        }
    }

    fn below(&self, dir: u32, path: &str) -> Option<String> {
        match self.known.get(&dir) {
            Some(Hand::Path(above)) => Some(joined(above, path)),
            _ => None,
        }
    }

    fn path(&self, handle: u32) -> Vec<Name> {
        match self.known.get(&handle) {
            Some(Hand::Path(path)) => vec![Name::Path(path.to_string())],
            _ => Vec::new(),
        }
    }

    fn keys<'a>(&self, bucket: u32, keys: impl Iterator<Item = &'a Vec<u8>>) -> Vec<Name> {
        match self.known.get(&bucket) {
            Some(Hand::Bucket(bucket)) => keys.map(|key| Name::Key(bucket.to_string(), key.clone())).collect(),
            _ => Vec::new(),
        }
    }
}
