//! Doing again what an event did: what the calls of a guest do with its transaction, for those that change something.

use std::sync::Arc;

use reel_abi::types::{Payload, Resource};
use reel_store::Head;
use std::sync::atomic::Ordering;

use super::deed::{Deed, tree_of};
use super::past::{Epoch, Grip, Past, halted, root};
use super::payloads::Payloads;
use crate::gate::Gate;
use crate::txn::buckets::{Bucket, Fault as KvFault};
use crate::txn::fault::Fault;
use crate::txn::files::Place;
use crate::txn::transaction::Transaction;

/// Why an event cannot be done again before a replay has brought its bytes back.
pub(super) const UNKNOWN: &str = "its bytes are not in the log, and no replay has brought them back";

/// Brings the bytes of a payload.
type Bringing<'a> = dyn Fn(&Payload) -> Result<Arc<[u8]>, String> + 'a;

impl Past {
    fn grip(&self, handle: u32) -> Result<&Grip, String> {
        let missing = || format!("handle #{handle} was opened by an earlier call that is not followed");
        self.grips.get(&handle).ok_or_else(missing)
    }

    fn place(&self, handle: u32) -> Result<Option<Place>, String> {
        match self.grip(handle)? {
            Grip::At(place) | Grip::Stream(place, _) => Ok(Some(*place)),
            _ => Ok(None),
        }
    }

    fn bucket(&self, handle: u32) -> Result<Bucket, String> {
        match self.grip(handle)? {
            Grip::Bucket(bucket) => Ok(bucket.clone()),
            _ => Err(format!("handle #{handle} is no bucket")),
        }
    }

    fn hold(&mut self, handle: u32, grip: Grip) {
        Arc::make_mut(&mut self.grips).insert(handle, grip);
    }

    /// Does something with places of the space; what is in a directory of the host is left out.
    fn with_places<T>(
        &mut self,
        handles: &[u32],
        act: impl FnOnce(&mut Transaction, &mut Gate, &[Place]) -> Result<T, Fault>,
    ) -> Result<Option<T>, String> {
        let mut places = Vec::new();
        for handle in handles {
            match self.place(*handle)? {
                Some(place) => places.push(place),
                None => return Ok(None),
            }
        }
        act(&mut self.txn, &mut self.gate, &places).map(Some).map_err(|fault| match fault {
            Fault::Code(code) => format!("what went well there fails here: {code}"),
            Fault::Halt(halt) => halted(&halt),
        })
    }

    /// Does again what an event did.
    pub(super) fn enact(&mut self, deed: Deed, payloads: &Payloads) -> Result<(), String> {
        let bytes = |payload: &Payload| payloads.bytes(payload).ok_or_else(|| UNKNOWN.to_owned());
        match deed {
            Deed::Nothing | Deed::Said { .. } => {}
            Deed::Time(time) => self.clock.0.store(time, Ordering::Relaxed),
            Deed::Preopens(list) => {
                for (handle, name) in list {
                    let grip = match tree_of(&self.begin, &name) {
                        0 => Grip::At(root()),
                        _ => Grip::Outside,
                    };
                    self.hold(handle, grip);
                }
            }
            Deed::Opened { dir, path, follow, how, flags, handle } => {
                let opened = self.with_places(&[dir], |txn, gate, at| {
                    txn.files.open(gate, at[0], &path, follow, how, flags.write())
                })?;
                self.hold(handle, opened.map_or(Grip::Outside, |(place, _)| Grip::At(place)));
            }
            Deed::Written { file, offset, bytes: payload } => {
                if self.place(file)?.is_some() {
                    let bytes = bytes(&payload)?;
                    self.with_places(&[file], |txn, gate, at| txn.files.write(gate, at[0], offset, &bytes))?;
                }
            }
            Deed::Writer { file, offset, handle } => {
                let grip = self.place(file)?.map_or(Grip::Outside, |place| Grip::Stream(place, offset));
                self.hold(handle, grip);
            }
            Deed::Streamed { stream, bytes: payload } => {
                if let Grip::Stream(place, offset) = *self.grip(stream)? {
                    let bytes = bytes(&payload)?;
                    self.with_places(&[stream], |txn, gate, _| match offset {
                        Some(offset) => txn.files.write(gate, place, offset, &bytes),
                        None => txn.files.append(gate, place, &bytes),
                    })?;
                    let offset = offset.map(|offset| offset.saturating_add(bytes.len() as u64));
                    self.hold(stream, Grip::Stream(place, offset));
                }
            }
            Deed::Resized { file, size } => {
                self.with_places(&[file], |txn, gate, at| txn.files.set_size(gate, at[0], size))?;
            }
            Deed::Timed { file, accessed, modified } => {
                self.with_places(&[file], |txn, gate, at| txn.files.set_times(gate, at[0], &accessed, &modified))?;
            }
            Deed::TimedAt { dir, path, follow, accessed, modified } => {
                self.with_places(&[dir], |txn, gate, at| {
                    let place = txn.files.find(gate, at[0], &path, follow)?;
                    txn.files.set_times(gate, place, &accessed, &modified)
                })?;
            }
            Deed::MadeDirectory { dir, path } => {
                self.with_places(&[dir], |txn, gate, at| txn.files.create_directory(gate, at[0], &path))?;
            }
            Deed::Linked { dir, path, new_dir, new_path } => {
                self.with_places(&[dir, new_dir], |txn, gate, at| {
                    txn.files.link(gate, at[0], &path, at[1], &new_path)
                })?;
            }
            Deed::RemovedDirectory { dir, path } => {
                self.with_places(&[dir], |txn, gate, at| txn.files.remove_directory(gate, at[0], &path))?;
            }
            Deed::Renamed { dir, path, new_dir, new_path } => {
                self.with_places(&[dir, new_dir], |txn, gate, at| {
                    txn.files.rename(gate, at[0], &path, at[1], &new_path)
                })?;
            }
            Deed::Symlinked { dir, target, path } => {
                self.with_places(&[dir], |txn, gate, at| txn.files.symlink(gate, at[0], &target, &path))?;
            }
            Deed::Unlinked { dir, path } => {
                self.with_places(&[dir], |txn, gate, at| txn.files.unlink(gate, at[0], &path))?;
            }
            Deed::Bucket { name, handle } => {
                let bucket = Bucket::new(&name).map_err(|_| format!("{name:?} is no bucket"))?;
                self.hold(handle, Grip::Bucket(bucket));
            }
            Deed::Cas { bucket, key, handle } => {
                let grip = Grip::Cas(self.bucket(bucket)?, key);
                self.hold(handle, grip);
            }
            Deed::CasAgain { cas, again } => {
                let grip = self.grip(cas)?.clone();
                Arc::make_mut(&mut self.grips).remove(&cas);
                self.hold(again, grip);
            }
            Deed::Set { .. } | Deed::Deleted { .. } | Deed::Added { .. } | Deed::Swapped { .. } => {
                self.enact_on_keys(deed, &bytes)?;
            }
            other => self.enact_on_whole(other)?,
        }
        Ok(())
    }

    fn enact_on_keys(&mut self, deed: Deed, bytes: &Bringing<'_>) -> Result<(), String> {
        let fault = |fault| match fault {
            KvFault::Told(told) => format!("what went well there fails here: {told}"),
            KvFault::Halt(halt) => halted(&halt),
        };
        match deed {
            Deed::Set { bucket, entries } => {
                let bucket = self.bucket(bucket)?;
                for (key, value) in entries {
                    let value = bytes(&value)?;
                    self.txn.buckets.set(&mut self.gate, &bucket, &key, &value).map_err(fault)?;
                }
            }
            Deed::Deleted { bucket, keys } => {
                let bucket = self.bucket(bucket)?;
                for key in keys {
                    self.txn.buckets.delete(&mut self.gate, &bucket, &key).map_err(fault)?;
                }
            }
            Deed::Added { bucket, key, delta } => {
                let bucket = self.bucket(bucket)?;
                self.txn.buckets.increment(&mut self.gate, &bucket, &key, delta).map_err(fault)?;
            }
            Deed::Swapped { cas, value } => {
                let Grip::Cas(bucket, key) = self.grip(cas)?.clone() else { return Ok(()) };
                let value = bytes(&value)?;
                self.txn.buckets.set(&mut self.gate, &bucket, &key, &value).map_err(fault)?;
                Arc::make_mut(&mut self.grips).remove(&cas);
            }
            _ => {}
        }
        Ok(())
    }

    /// Savepoints, commits, and handles that are given back.
    fn enact_on_whole(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Savepoint(handle) => {
                let name = self.txn.name_savepoint();
                self.stack.push(name);
                self.hold(handle, Grip::Savepoint(name));
            }
            Deed::RolledBack(handle) => {
                let Grip::Savepoint(name) = *self.grip(handle)? else { return Ok(()) };
                self.txn.roll_back(name).map_err(|_| "a savepoint is gone".to_owned())?;
                self.prune(|stack| stack.iter().position(|set| *set == name).map_or(0, |place| place + 1));
            }
            Deed::Dropped { what, handle } => {
                let dropped = Arc::make_mut(&mut self.grips).remove(&handle);
                if let (Resource::Savepoint, Some(Grip::Savepoint(name))) = (what, dropped)
                    && let Some(place) = self.stack.iter().position(|set| *set == name)
                {
                    self.txn.release(name);
                    self.prune(|_| place);
                }
            }
            Deed::Committed(kept) => {
                self.kept = kept;
                if kept {
                    self.txn.outbox().map_err(|halt| halted(&halt))?;
                }
            }
            Deed::Begins(base) => {
                let base = Head { segment: base.segment, version: base.version };
                self.txn.rebase(base, self.kept).map_err(|halt| halted(&halt))?;
                self.prune(|_| 0);
                let from = self.next + 1;
                if self.epochs.iter().all(|epoch| epoch.from < from) {
                    let time = self.clock.0.load(Ordering::Relaxed);
                    self.epochs.push(Epoch {
                        from,
                        base,
                        time,
                        number: self.txn.files.next_number(),
                        grips: Arc::clone(&self.grips),
                    });
                }
                self.changes = 0;
            }
            _ => {}
        }
        Ok(())
    }
}
