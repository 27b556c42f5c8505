//! Payloads that nobody names any more: marked, then swept.
//!
//! Named is what a value, an undelivered effect, the content of a run that can still be replayed, or an event that can still
//! be read says; and the pieces of what is a list of pieces. What was put or asked for since the database was opened is taken
//! for named: a run that did not commit yet may rely on it.

use std::collections::BTreeSet;

use redb::ReadTransaction;
use reel_abi::content::Content;
use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::record::{CellValue, Chunk, HostChange, OutboxEntry, Retention};
use reel_abi::wire::Wire;

use crate::cuts::Keeper;
use crate::error::{Fault, ReadError, Trouble};
use crate::redb_file::{ascending, table};
use crate::retention::Names;
use crate::state::Snapshot;
use crate::store::Shared;
use crate::tables::{BLOB_DATA, BLOB_IDS, CELLS};

/// So many payloads are looked at, and removed in one transaction.
const STEP_BLOBS: usize = 4096;

/// What is named.
#[derive(Debug, Default)]
struct Marks {
    named: BTreeSet<Digest>,
    /// What may be a list of pieces.
    lists: BTreeSet<Digest>,
}

impl Marks {
    fn value(&mut self, value: &CellValue) {
        match value {
            CellValue::Blob { digest, .. } => drop(self.named.insert(*digest)),
            CellValue::Content { digest, .. } => drop(self.lists.insert(*digest)),
            CellValue::Inline { .. } | CellValue::Tombstone => {}
        }
    }

    fn outbox(&mut self, entries: &[OutboxEntry]) {
        for change in entries.iter().flat_map(|entry| &entry.changes) {
            let HostChange::File { chunks, .. } = change else { continue };
            for chunk in chunks {
                if let Chunk::Blob { digest, .. } = chunk {
                    self.named.insert(*digest);
                }
            }
        }
    }
}

impl Shared {
    /// How many payloads nobody names, and how many bytes they have.
    pub(crate) fn count_unnamed(
        &self,
        state: Option<&ReadTransaction>,
        retention: &Retention,
        names: Names<'_>,
    ) -> Result<(u64, u64), ReadError> {
        let named = self.mark(state, retention, names)?;
        self.each_unnamed(&named, &mut |_| Ok(()))
    }

    /// Removes the payloads that nobody names; returns how many they were and their bytes.
    pub(crate) fn sweep(
        &self,
        state: Option<&ReadTransaction>,
        retention: &Retention,
        names: Names<'_>,
    ) -> Result<(u64, u64), ReadError> {
        let named = self.mark(state, retention, names)?;
        self.each_unnamed(&named, &mut |unnamed| {
            self.blobs.file().write(true, |txn| {
                let mut ids = txn.open_table(BLOB_IDS)?;
                let mut data = txn.open_table(BLOB_DATA)?;
                for digest in unnamed {
                    // A put of it since then waits for this transaction, and writes it again.
                    if self.blobs.is_used(digest) {
                        continue;
                    }
                    let id = ids.remove(digest.0)?.map(|id| id.value());
                    if let Some(id) = id {
                        data.remove(id)?;
                    }
                }
                Ok(())
            })
        })
    }

    fn each_unnamed(
        &self,
        named: &BTreeSet<Digest>,
        f: &mut dyn FnMut(&[Digest]) -> Result<(), Fault>,
    ) -> Result<(u64, u64), ReadError> {
        let (mut count, mut bytes) = (0, 0);
        let mut from = Some([0; 32]);
        while let Some(first) = from {
            let step = self.blobs.file().read(|txn| {
                let (Some(ids), Some(data)) = (table(txn, BLOB_IDS)?, table(txn, BLOB_DATA)?) else {
                    return Ok((Vec::new(), None));
                };
                let (mut unnamed, mut last) = (Vec::new(), None);
                for entry in ascending(ids.range(first..)?).take(STEP_BLOBS) {
                    let (digest, id) = entry?;
                    let digest = Digest(digest.value());
                    last = Some(digest.0);
                    if !named.contains(&digest) && !self.blobs.is_used(&digest) {
                        count += 1;
                        bytes += data.get(id.value())?.map_or(0, |data| data.value().len() as u64);
                        unnamed.push(digest);
                    }
                }
                Ok((unnamed, last))
            })?;
            let (unnamed, last) = step.unwrap_or_default();
            if !unnamed.is_empty() {
                f(&unnamed)?;
            }
            from = last.and_then(crate::verify::successor);
        }
        Ok((count, bytes))
    }

    fn mark(
        &self,
        state: Option<&ReadTransaction>,
        retention: &Retention,
        names: Names<'_>,
    ) -> Result<BTreeSet<Digest>, ReadError> {
        let mut marks = Marks::default();
        if let Some(txn) = state {
            self.state.guarded(|| mark_state(txn, retention, &mut marks))?;
            let frames = self.state.guarded(|| Snapshot(txn).frames_from(retention.runs_before))?;
            for (run, first) in frames {
                self.mark_frame(run, first, names, &mut marks)?;
            }
        }
        // What was committed since then.
        for slice in self.live.read().slices() {
            slice.cells.values().for_each(|value| marks.value(value));
            slice.outbox.values().flatten().for_each(|entries| marks.outbox(entries));
            marks.lists.extend(slice.begins.values().map(|begin| begin.content));
        }
        let Marks { mut named, lists } = marks;
        for list in lists {
            // Anything else that decodes as a list keeps more than it had to, which does no harm.
            if let Some(content) = self.blobs.get(&list)?.and_then(|bytes| Content::from_bytes(&bytes).ok()) {
                named.extend(content.blocks);
            }
            named.insert(list);
        }
        Ok(named)
    }

    fn mark_frame(&self, run: RunId, first: Seq, names: Names<'_>, marks: &mut Marks) -> Result<(), ReadError> {
        let Some(at) = self.frames(run, first)?.into_iter().next() else { return Ok(()) };
        let frame = self.frame(&at)?;
        let told = frame.unpack().map_err(|error| error.to_string()).and_then(|raw| names(&frame, &raw));
        let told = told.map_err(|what| {
            let what = format!("cannot tell which payloads run {run} names at {first}: {what}");
            Trouble::Corrupt(what).in_file(self.state.path())
        })?;
        marks.lists.extend(told);
        Ok(())
    }
}

fn mark_state(txn: &ReadTransaction, retention: &Retention, marks: &mut Marks) -> Result<(), Trouble> {
    let mut keeper = Keeper::new(retention);
    if let Some(cells) = table(txn, CELLS)? {
        for entry in ascending(cells.range::<&[u8]>(..)?) {
            let (cell, value) = entry?;
            if keeper.keeps(cell.value()) {
                marks.value(&CellValue::from_bytes(value.value())?);
            }
        }
    }
    let state = Snapshot(txn);
    state.outbox()?.iter().for_each(|(_, entries)| marks.outbox(entries));
    for run in state.runs_from(retention.runs_before)? {
        marks.lists.extend(state.begin(run)?.map(|begin| begin.content));
    }
    Ok(())
}
