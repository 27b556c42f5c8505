//! Content-addressed payloads: put is quick, a thread writes, and whoever needs them durable waits.
//!
//! A payload is found under its digest from the moment it was put. It is written once; the digest is checked whenever it is
//! read, so a damaged payload is never taken for the real one. Payloads lie under ascending ids, found by an index from the
//! digest: with the digest as key of the payload itself every write would land somewhere else in the tree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, WriteTransaction};
use reel_abi::id::Digest;

use crate::error::{AppendError, Fault, ReadError, Trouble};
use crate::redb_file::{RedbFile, table};
use crate::tables::{BLOB_DATA, BLOB_IDS, META, check_format, put_format};
use crate::threads;

/// Bytes of a block of a file in a space.
///
/// redb gives a large value a power of two of pages, with its own few bytes in it: 16,256 bytes fill 16 KiB (file 1.06 times the
/// content), 16,384 take 32 KiB (2.13 times). Measured with random payloads on a disk that takes 343 MB/s from a plain file with
/// a sync every 16 MiB: 4 KiB 192 to 237 MB/s, this 467 to 505, 32 KiB 616 to 664, 64 KiB 746 to 799 (file 1.53 times), and
/// 16,384 exactly 147 to 198. Larger is faster in a row, but a small write costs a whole block: 16 KiB is faster than the disk
/// and costs a quarter of 64 KiB.
pub const BLOCK_BYTES: usize = (16 << 10) - 128;

/// With so many bytes not yet written, [`Blobs::put`] waits.
const QUEUED_BYTES: usize = 32 << 20;

/// redb's cache for the payloads: what the operating system caches anyway need not be here too.
const CACHE_BYTES: usize = 32 << 20;

/// The payloads of a database.
#[derive(Debug)]
pub struct Blobs {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// What was put and is never written; nothing if it is.
    kept: Option<Mutex<Kept>>,
}

/// Payloads in memory.
#[derive(Debug, Default)]
struct Kept {
    known: BTreeMap<Digest, Arc<Vec<u8>>>,
    bytes: usize,
}

/// No more than this is kept in memory of payloads that are never written.
const KEPT_BYTES: usize = 512 << 20;

#[derive(Debug)]
struct Shared {
    file: RedbFile,
    queue: Mutex<Queue>,
    work: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Put but not yet durable.
    pending: BTreeMap<Digest, Arc<Vec<u8>>>,
    /// Those of them that no batch has taken yet.
    order: VecDeque<Digest>,
    /// Bytes of all that is pending.
    bytes: usize,
    /// How many were put.
    put: u64,
    /// How many of the puts are durable.
    durable: u64,
    stop: bool,
    failed: Option<Fault>,
    used: Used,
}

/// The payloads that were put or asked for since the database was opened: a run that has not committed yet may rely on them.
/// Known by their first eight bytes; that another one begins with the same does no harm.
#[derive(Debug, Default)]
struct Used {
    known: BTreeSet<u64>,
    /// They were too many to be remembered.
    all: bool,
}

/// No more of them than this are remembered, about 60 MB.
const USED: usize = 4 << 20;

fn first(digest: &Digest) -> u64 {
    digest.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Used {
    fn add(&mut self, digest: &Digest) {
        if self.known.len() < USED {
            self.known.insert(first(digest));
        } else {
            self.all = true;
        }
    }

    fn contains(&self, digest: &Digest) -> bool {
        self.all || self.known.contains(&first(digest))
    }
}

impl Blobs {
    /// The payloads in `path`; nothing is opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        let file = RedbFile::new(path, CACHE_BYTES);
        let shared = Shared { file, queue: Mutex::default(), work: Condvar::new(), written: Condvar::new() };
        Self { shared: Arc::new(shared), writer: Mutex::new(None), kept: None }
    }

    /// The same payloads; those that are put here stay in memory, and are gone with this.
    pub(crate) fn aside(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), writer: Mutex::new(None), kept: Some(Mutex::default()) }
    }

    /// Hands a payload over and returns its digest. Waits while [`QUEUED_BYTES`] are on their way.
    pub fn put(&self, bytes: Vec<u8>) -> Result<Digest, AppendError> {
        let digest = Digest::of(&bytes);
        if let Some(kept) = &self.kept {
            return kept.lock().unwrap_or_else(PoisonError::into_inner).put(digest, bytes);
        }
        let mut queue = self.shared.lock();
        queue.used.add(&digest);
        while queue.bytes + bytes.len() > QUEUED_BYTES && queue.bytes > 0 && queue.failed.is_none() {
            queue = self.shared.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(fault) = &queue.failed {
            return Err(fault.clone().into());
        }
        if queue.pending.contains_key(&digest) {
            return Ok(digest);
        }
        queue.bytes += bytes.len();
        queue.put += 1;
        queue.order.push_back(digest);
        queue.pending.insert(digest, Arc::new(bytes));
        drop(queue);
        self.shared.work.notify_one();
        self.start_writer();
        Ok(digest)
    }

    /// The payload with that digest.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(bytes) = self.kept(digest) {
            return Ok(Some(bytes.to_vec()));
        }
        if let Some(bytes) = self.shared.lock().pending.get(digest).cloned() {
            return Ok(Some(bytes.to_vec()));
        }
        let found = self.shared.file.read(|txn| {
            let Some(ids) = ids(txn)? else { return Ok(None) };
            let Some(id) = ids.get(digest.0)?.map(|id| id.value()) else { return Ok(None) };
            let bytes = table(txn, BLOB_DATA)?.map(|data| data.get(id)).transpose()?.flatten();
            let bytes = bytes.ok_or_else(|| Trouble::Corrupt(format!("payload {digest} is listed but missing")))?;
            let bytes = bytes.value().to_vec();
            if Digest::of(&bytes) != *digest {
                return Err(Trouble::Corrupt(format!("payload {digest} has other content")));
            }
            Ok(Some(bytes))
        })?;
        Ok(found.flatten())
    }

    /// Whether there is a payload with that digest. Its content is not looked at.
    pub fn contains(&self, digest: &Digest) -> Result<bool, ReadError> {
        if self.kept(digest).is_some() {
            return Ok(true);
        }
        let mut queue = self.shared.lock();
        queue.used.add(digest);
        if queue.pending.contains_key(digest) {
            return Ok(true);
        }
        drop(queue);
        let found = self.shared.file.read(|txn| {
            let Some(ids) = ids(txn)? else { return Ok(false) };
            Ok(ids.get(digest.0)?.is_some())
        })?;
        Ok(found.unwrap_or(false))
    }

    /// Waits until all payloads put so far are durable.
    pub fn flush(&self) -> Result<(), AppendError> {
        let ticket = self.ticket();
        self.wait(ticket)
    }

    /// Whether a run that has not committed yet may rely on it.
    pub(crate) fn is_used(&self, digest: &Digest) -> bool {
        self.shared.lock().used.contains(digest)
    }

    /// How many were put so far.
    pub(crate) fn ticket(&self) -> u64 {
        self.shared.lock().put
    }

    /// Why nothing can be written any more.
    pub(crate) fn failed(&self) -> Option<Fault> {
        self.shared.lock().failed.clone()
    }

    /// Waits until all up to `ticket` is durable.
    pub(crate) fn wait(&self, ticket: u64) -> Result<(), AppendError> {
        let mut queue = self.shared.lock();
        while queue.durable < ticket {
            if let Some(fault) = &queue.failed {
                return Err(fault.clone().into());
            }
            queue = self.shared.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// The file.
    pub(crate) fn file(&self) -> &RedbFile {
        &self.shared.file
    }

    fn kept(&self, digest: &Digest) -> Option<Arc<Vec<u8>>> {
        self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).known.get(digest).cloned()
    }

    fn start_writer(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            let shared = self.shared.clone();
            *writer = Some(threads::spawn("reel-blobs", move || shared.write_all()));
        }
    }
}

impl Kept {
    fn put(&mut self, digest: Digest, bytes: Vec<u8>) -> Result<Digest, AppendError> {
        if self.known.contains_key(&digest) {
            return Ok(digest);
        }
        if self.bytes + bytes.len() > KEPT_BYTES {
            let why = format!("more than {KEPT_BYTES} bytes of payloads would have to stay in memory");
            return Err(AppendError::Refused(why.into()));
        }
        self.bytes += bytes.len();
        self.known.insert(digest, Arc::new(bytes));
        Ok(digest)
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        if self.kept.is_some() {
            return;
        }
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes batches until told to stop and nothing is left.
    fn write_all(&self) {
        loop {
            let queue = self.lock();
            let idle = |queue: &mut Queue| queue.order.is_empty() && !queue.stop;
            let mut queue = self.work.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
            let order: Vec<Digest> = queue.order.drain(..).collect();
            let batch: Vec<(Digest, Arc<Vec<u8>>)> =
                order.into_iter().filter_map(|digest| Some((digest, queue.pending.get(&digest)?.clone()))).collect();
            drop(queue);
            if batch.is_empty() {
                return;
            }
            let result = self.write(&batch);
            let mut queue = self.lock();
            match result {
                Ok(()) => {
                    for (digest, bytes) in &batch {
                        queue.pending.remove(digest);
                        queue.bytes -= bytes.len();
                    }
                    queue.durable += batch.len() as u64;
                }
                Err(fault) => queue.failed = Some(fault),
            }
            let failed = queue.failed.is_some();
            drop(queue);
            self.written.notify_all();
            if failed {
                return;
            }
        }
    }

    fn write(&self, batch: &[(Digest, Arc<Vec<u8>>)]) -> Result<(), Fault> {
        self.file.write(true, |txn| insert(txn, batch.iter().map(|(digest, bytes)| (digest, bytes.as_slice()))))
    }
}

/// Writes payloads that are not there yet.
pub(crate) fn insert<'a>(
    txn: &WriteTransaction,
    batch: impl Iterator<Item = (&'a Digest, &'a [u8])>,
) -> Result<(), Trouble> {
    let mut meta = txn.open_table(META)?;
    if !check_format(&meta)? {
        put_format(&mut meta)?;
    }
    let mut ids = txn.open_table(BLOB_IDS)?;
    let mut data = txn.open_table(BLOB_DATA)?;
    let mut next = data.last()?.map_or(0, |(id, _)| id.value()) + 1;
    for (digest, bytes) in batch {
        if ids.get(digest.0)?.is_some() {
            continue;
        }
        data.insert(next, bytes)?;
        ids.insert(digest.0, next)?;
        next += 1;
    }
    Ok(())
}

/// The index, if the file has one and is of a format that is known.
pub(crate) fn ids(txn: &ReadTransaction) -> Result<Option<ReadOnlyTable<[u8; 32], u64>>, Trouble> {
    match table(txn, META)? {
        Some(meta) if check_format(&meta)? => table(txn, BLOB_IDS),
        _ => Ok(None),
    }
}
