//! The outbox: what leaves the machine once its commit is durable, and again after a crash, until it has arrived.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use reel_abi::id::{CommitNo, WallTime};
use reel_abi::record::{Chunk, HostChange, OutboxEntry};
use reel_store::Store;
use thiserror::Error;

use crate::port::HostDir;
use crate::world::hostdir::GrantedDir;

/// Why a commit's effects have not all arrived. They stay in the outbox.
#[derive(Debug, Error)]
#[error(
    "the writes of commit {commit} to {host} are durable but could not be carried out: {reason}; the next `reel run` tries again, `reel outbox` lists them"
)]
pub struct DeliveryError {
    /// The commit.
    pub commit: CommitNo,
    /// The host directory.
    pub host: String,
    /// What the operating system said.
    pub reason: String,
}

/// Who carries out what others have left does so alone: two at once would use the same file aside.
static ALONE: RwLock<()> = RwLock::new(());

/// Carries out the entries of a commit and says so in the log.
pub fn deliver(store: &Store, commit: CommitNo, entries: &[OutboxEntry]) -> Result<(), DeliveryError> {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    carry_out(store, commit, entries, None)
}

/// Carries out what an earlier process could not, in order; where a directory's entry fails, later ones of it wait. Gives what still cannot be.
///
/// What somebody has changed on the host since the commit is left alone: it is newer.
pub fn deliver_rest(store: &Store) -> Result<Vec<DeliveryError>, reel_store::ReadError> {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let (mut failed, mut stuck) = (Vec::new(), BTreeSet::new());
    for (commit, entries) in store.undelivered()? {
        let hosts = entries.iter().map(|entry| entry.dir.host.clone());
        let result = match hosts.clone().find(|host| stuck.contains(host)) {
            Some(host) => {
                Err(DeliveryError { commit, host, reason: "an earlier commit's writes to it wait too".into() })
            }
            None => carry_out(store, commit, &entries, store.commit(commit)?.map(|record| record.at)),
        };
        if let Err(error) = result {
            stuck.extend(hosts);
            failed.push(error);
        }
    }
    Ok(failed)
}

/// Forgets the effects of a commit that have not arrived.
pub fn abandon(store: &Store, commit: CommitNo) -> Result<(), reel_store::AppendError> {
    store.delivered(commit)
}

fn carry_out(
    store: &Store,
    commit: CommitNo,
    entries: &[OutboxEntry],
    since: Option<WallTime>,
) -> Result<(), DeliveryError> {
    for entry in entries {
        let failed = |reason: String| DeliveryError { commit, host: entry.dir.host.clone(), reason };
        let dir = GrantedDir::open(Path::new(&entry.dir.host)).map_err(|e| failed(e.to_string()))?;
        for change in &entry.changes {
            let path = path(change);
            if since.is_some_and(|since| dir.is_newer(path, since.0)) {
                tracing::warn!(path, %commit, "was changed on the host since the commit; left as it is");
                continue;
            }
            let mut content = Chunks::of(store, change);
            let shown: String = path.chars().take(200).collect();
            dir.apply(change, &mut content).map_err(|e| failed(format!("{shown}: {e}")))?;
        }
        dir.sync().map_err(|e| failed(e.to_string()))?;
    }
    let failed = |reason: String| DeliveryError { commit, host: "the log".into(), reason };
    store.delivered(commit).map_err(|e| failed(e.to_string()))
}

fn path(change: &HostChange) -> &str {
    match change {
        HostChange::Absent { path }
        | HostChange::Directory { path }
        | HostChange::File { path, .. }
        | HostChange::Symlink { path, .. }
        | HostChange::Link { path, .. } => path,
    }
}

/// Reads the content of a change.
struct Chunks<'a> {
    store: &'a Store,
    left: std::slice::Iter<'a, Chunk>,
    now: Vec<u8>,
    at: usize,
    zeros: u64,
}

impl<'a> Chunks<'a> {
    fn of(store: &'a Store, change: &'a HostChange) -> Self {
        let chunks: &[Chunk] = if let HostChange::File { chunks, .. } = change { chunks } else { &[] };
        Self { store, left: chunks.iter(), now: Vec::new(), at: 0, zeros: 0 }
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = buffer.len().min(self.now.len() - self.at);
            if count > 0 {
                buffer[..count].copy_from_slice(&self.now[self.at..self.at + count]);
                self.at += count;
                return Ok(count);
            }
            let count = (buffer.len() as u64).min(self.zeros) as usize;
            if count > 0 {
                buffer[..count].fill(0);
                self.zeros -= count as u64;
                return Ok(count);
            }
            match self.left.next() {
                None => return Ok(0),
                Some(Chunk::Zero { len }) => self.zeros = *len,
                Some(Chunk::Inline { bytes }) => (self.now, self.at) = (bytes.0.clone(), 0),
                Some(Chunk::Blob { digest, len }) => {
                    let blob = self.store.blobs().get(digest).map_err(io::Error::other)?;
                    let mut blob = blob.ok_or_else(|| io::Error::other(format!("blob {digest} is missing")))?;
                    blob.truncate(*len as usize);
                    (self.now, self.at) = (blob, 0);
                }
            }
        }
    }
}
