//! Key-value buckets as the run sees them: what it has written, over the space at the version that it reads.
//!
//! ```text
//! KEY_VALUE  len:1 bucket key   -> value            one order of bytes over all buckets
//! KEY_VALUE  (nothing)          -> how many keys there are in all of them
//! ```

use std::collections::BTreeMap;

use reel_abi::faults::KvFault;
use reel_abi::id::{SpaceName, Version};
use reel_abi::limits::{BUCKET_NAME_BYTES, KEY_BYTES, LimitKind, TRANSACTION_BYTES, VALUE_BYTES};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::wire::Wire;
use reel_store::{Counter, ReadError, Store, View};

use super::snapshot::Snapshot;
use super::values;
use crate::gate::{Gate, Halt};

/// What a key costs in memory beside its bytes, roughly.
const ENTRY_BYTES: u64 = 96;

/// Keys taken from the space at a time.
const BATCH: usize = 512;

/// Either the guest is told, or it is stopped.
#[derive(Debug)]
pub enum Fault {
    /// The guest is told.
    Told(KvFault),
    /// The guest is stopped.
    Halt(Halt),
}

impl From<KvFault> for Fault {
    fn from(fault: KvFault) -> Self {
        Self::Told(fault)
    }
}

impl From<Halt> for Fault {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// Result of a key-value operation.
pub type KvResult<T> = Result<T, Fault>;

/// Keys with their values, and where to go on.
pub type Page = (Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>);

/// A bucket: the beginning of its cells' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    prefix: Vec<u8>,
}

impl Bucket {
    /// The bucket with a name. It needs no making: it is there as soon as it has keys.
    pub fn new(name: &str) -> Result<Self, KvFault> {
        if name.is_empty() || name.len() > BUCKET_NAME_BYTES {
            return Err(KvFault::NoSuchStore);
        }
        Ok(Self { prefix: [&[name.len() as u8], name.as_bytes()].concat() })
    }

    /// The bucket whose keys begin with this.
    pub fn of_prefix(prefix: Vec<u8>) -> Self {
        Self { prefix }
    }

    /// What its keys begin with.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The key of a cell.
    pub fn cell(&self, key: &[u8]) -> Result<Vec<u8>, KvFault> {
        if key.len() > KEY_BYTES {
            return Err(KvFault::KeyTooLong { len: key.len() as u64 });
        }
        Ok([self.prefix.as_slice(), key].concat())
    }

    /// Where the keys that begin with `prefix` begin and end, narrowed to `[from, until)`.
    fn bounds(&self, range: &Range) -> (Vec<u8>, Vec<u8>) {
        let all = [self.prefix.as_slice(), &range.prefix].concat();
        let end = successor(&all);
        let from = range.from.as_ref().map_or(all.clone(), |from| [self.prefix.as_slice(), from].concat().max(all));
        let until = range.until.as_ref().map(|until| [self.prefix.as_slice(), until].concat());
        (from, until.map_or(end.clone(), |until| until.min(end)))
    }
}

/// Which keys of a bucket, in order of their bytes.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Only those that begin with it.
    pub prefix: Vec<u8>,
    /// From this key on.
    pub from: Option<Vec<u8>>,
    /// Before this key.
    pub until: Option<Vec<u8>>,
}

/// The first key after all that begin with `prefix`, whose first byte is a length and so never the last.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return next;
        }
    }
    vec![u8::MAX; 2]
}

/// All buckets of a run.
pub struct Buckets {
    store: Store,
    space: SpaceName,
    snapshot: Snapshot,
    written: BTreeMap<Vec<u8>, CellValue>,
    bytes: u64,
    keys: i64,
    /// What undoes the changes since each savepoint: key, and what was written before.
    undo: Vec<(Vec<u8>, Option<CellValue>)>,
    /// Lengths of `undo`, and the counts, at the savepoints.
    marks: Vec<(usize, u64, i64)>,
}

impl Buckets {
    /// The buckets of the space.
    pub fn new(store: Store, space: SpaceName, snapshot: Snapshot) -> Self {
        let (written, undo, marks) = Default::default();
        Self { store, space, snapshot, written, bytes: 0, keys: 0, undo, marks }
    }

    /// The value of a key.
    pub fn get(&self, bucket: &Bucket, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        let value = self.cell(bucket, key)?;
        value.map(|value| self.bytes(&value)).transpose()
    }

    /// Whether a key has a value.
    pub fn exists(&self, bucket: &Bucket, key: &[u8]) -> KvResult<bool> {
        let cell = bucket.cell(key)?;
        Ok(match self.written.get(&cell) {
            Some(value) => *value != CellValue::Tombstone,
            None => self.snapshot.get(family::KEY_VALUE, &cell)?.is_some(),
        })
    }

    /// Gives a key a value.
    pub fn set(&mut self, gate: &mut Gate, bucket: &Bucket, key: &[u8], value: &[u8]) -> KvResult<()> {
        let cell = bucket.cell(key)?;
        if value.len() > VALUE_BYTES {
            return Err(KvFault::ValueTooLarge { len: value.len() as u64 }.into());
        }
        self.check_room(gate, (cell.len() + value.len()) as u64, cell.len() + value.len().min(values::INLINE_BYTES))?;
        let new = !self.is_there(&cell)?;
        if new {
            // A key that comes into being is counted, so two transactions may not both make it.
            self.snapshot.note(family::KEY_VALUE, &cell);
            self.check_keys(gate)?;
        }
        gate.count_written((cell.len() + value.len()) as u64)?;
        self.keys += i64::from(new);
        let value = values::store(self.store.blobs(), value)?;
        self.write(cell, value);
        Ok(())
    }

    /// Takes a key away; whether it was there.
    pub fn delete(&mut self, gate: &mut Gate, bucket: &Bucket, key: &[u8]) -> KvResult<bool> {
        let cell = bucket.cell(key)?;
        self.check_room(gate, cell.len() as u64, cell.len())?;
        if !self.written.contains_key(&cell) {
            self.snapshot.note(family::KEY_VALUE, &cell);
        }
        if !self.is_there(&cell)? {
            return Ok(false);
        }
        gate.count_written(cell.len() as u64)?;
        self.keys -= 1;
        self.write(cell, CellValue::Tombstone);
        Ok(true)
    }

    /// Adds to the decimal number under a key.
    pub fn increment(&mut self, gate: &mut Gate, bucket: &Bucket, key: &[u8], delta: i64) -> KvResult<i64> {
        let now = match self.get(bucket, key)? {
            None => 0,
            Some(text) => {
                let text = std::str::from_utf8(&text).map_err(|_| KvFault::NotANumber)?;
                text.parse::<i64>().map_err(|_| KvFault::NotANumber)?
            }
        };
        let sum = now.checked_add(delta).ok_or(KvFault::Overflow)?;
        self.set(gate, bucket, key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    /// Gives several keys values: all of them or, after a fault, none.
    pub fn set_many(&mut self, gate: &mut Gate, bucket: &Bucket, entries: &[(Vec<u8>, Vec<u8>)]) -> KvResult<()> {
        self.all_or_none(|all| entries.iter().try_for_each(|(key, value)| all.set(gate, bucket, key, value)))
    }

    /// Takes several keys away: all of them or, after a fault, none.
    pub fn delete_many(&mut self, gate: &mut Gate, bucket: &Bucket, keys: &[Vec<u8>]) -> KvResult<()> {
        self.all_or_none(|all| keys.iter().try_for_each(|key| all.delete(gate, bucket, key).map(drop)))
    }

    fn all_or_none(&mut self, step: impl FnOnce(&mut Self) -> KvResult<()>) -> KvResult<()> {
        let place = self.marks.len();
        self.mark();
        let result = step(self);
        if result.is_err() {
            self.roll_back(place);
        }
        self.release(place);
        result
    }

    /// The value of a key as its cell has it; equal cells are equal bytes.
    pub fn cell(&self, bucket: &Bucket, key: &[u8]) -> KvResult<Option<CellValue>> {
        let cell = bucket.cell(key)?;
        let value = match self.written.get(&cell) {
            Some(value) => Some(value.clone()),
            None => self.snapshot.get(family::KEY_VALUE, &cell)?,
        };
        Ok(value.filter(|value| *value != CellValue::Tombstone))
    }

    /// The bytes of a value.
    pub fn bytes(&self, value: &CellValue) -> KvResult<Vec<u8>> {
        Ok(values::load(self.store.blobs(), value)?.unwrap_or_default())
    }

    /// Keys in a range without their values: up to `limit`, and where to go on.
    pub fn keys(&self, bucket: &Bucket, range: &Range, limit: usize) -> KvResult<(Vec<Vec<u8>>, bool)> {
        let (from, until) = bucket.bounds(range);
        let found = self.merge(from, &until, limit, usize::MAX)?;
        let more = found.len() > limit;
        let keys = found.into_iter().take(limit).map(|(key, _)| key[bucket.prefix.len()..].to_vec());
        Ok((keys.collect(), more))
    }

    /// Keys with their values in a range: up to `limit`, and no more once `bytes` are reached.
    pub fn scan(&self, bucket: &Bucket, range: &Range, limit: usize, bytes: usize) -> KvResult<Page> {
        let (from, until) = bucket.bounds(range);
        let found = self.merge(from, &until, limit, bytes)?;
        self.page(bucket, found, limit, bytes)
    }

    /// The same at an earlier version, where nobody writes any more.
    pub fn scan_at(&self, bucket: &Bucket, range: &Range, limit: usize, bytes: usize, at: u64) -> KvResult<Page> {
        let view = self.view_at(at)?;
        let (from, until) = bucket.bounds(range);
        let mut found = Vec::new();
        if from < until {
            let read = view.scan(family::KEY_VALUE, &from, Some(&until), limit.saturating_add(1));
            found = read.map_err(|e| Halt::host("reading an earlier version", &e))?;
        }
        self.page(bucket, found, limit, bytes)
    }

    /// The value that a key had at an earlier version.
    pub fn get_at(&self, bucket: &Bucket, key: &[u8], at: u64) -> KvResult<Option<Vec<u8>>> {
        let cell = bucket.cell(key)?;
        let value = self.view_at(at)?.get(family::KEY_VALUE, &cell);
        let value = value.map_err(|e| Halt::host("reading an earlier version", &e))?;
        Ok(value.map(|value| values::load(self.store.blobs(), &value)).transpose()?.flatten())
    }

    /// The cells that the transaction changes, sorted by key, and by how many the number of keys does.
    pub fn cells(&self) -> (Vec<Cell>, Option<Counter>) {
        let cell = |(key, value): (&Vec<u8>, &CellValue)| Cell {
            family: family::KEY_VALUE,
            key: key.clone().into(),
            value: value.clone(),
        };
        let counter = Counter { family: family::KEY_VALUE, key: Vec::new(), add: self.keys };
        (self.written.iter().map(cell).collect(), (self.keys != 0).then_some(counter))
    }

    /// Begins the next transaction, on another snapshot.
    pub fn rebase(&mut self, snapshot: Snapshot) {
        *self = Self::new(self.store.clone(), self.space.clone(), snapshot);
    }

    /// Sets a savepoint above all others.
    pub fn mark(&mut self) {
        self.marks.push((self.undo.len(), self.bytes, self.keys));
    }

    /// Goes back to a savepoint by its place, counted from the first; it stays, later ones go.
    pub fn roll_back(&mut self, place: usize) {
        let Some(&(len, bytes, keys)) = self.marks.get(place) else { return };
        for (key, before) in self.undo.drain(len..).rev() {
            match before {
                Some(value) => drop(self.written.insert(key, value)),
                None => drop(self.written.remove(&key)),
            }
        }
        (self.bytes, self.keys) = (bytes, keys);
        self.marks.truncate(place + 1);
    }

    /// Drops savepoints from a place on.
    pub fn release(&mut self, place: usize) {
        self.marks.truncate(place);
        if self.marks.is_empty() {
            self.undo = Vec::new();
        }
    }

    fn write(&mut self, cell: Vec<u8>, value: CellValue) {
        let cost = |key: &[u8], value: &CellValue| match value {
            CellValue::Inline { bytes } => ENTRY_BYTES + key.len() as u64 + bytes.len() as u64,
            _ => ENTRY_BYTES + key.len() as u64,
        };
        self.bytes += cost(&cell, &value);
        let before = self.written.insert(cell.clone(), value);
        if let Some(before) = &before {
            self.bytes = self.bytes.saturating_sub(cost(&cell, before));
        }
        if !self.marks.is_empty() {
            self.undo.push((cell, before));
        }
    }

    /// Whether a key has a value, without a note: what is written over without being looked at is not read.
    fn is_there(&self, cell: &[u8]) -> Result<bool, Halt> {
        Ok(match self.written.get(cell) {
            Some(value) => *value != CellValue::Tombstone,
            None => self.snapshot.peek(family::KEY_VALUE, cell)?.is_some(),
        })
    }

    fn check_room(&self, gate: &Gate, written: u64, held: usize) -> Result<(), KvFault> {
        let undo = if self.marks.is_empty() { 0 } else { self.undo.len() as u64 * ENTRY_BYTES };
        if self.bytes + undo + ENTRY_BYTES + held as u64 > TRANSACTION_BYTES {
            return Err(KvFault::Quota { kind: LimitKind::Transaction, limit: TRANSACTION_BYTES });
        }
        let limit = gate.limits().written_bytes;
        if gate.usage().written_bytes.saturating_add(written) > limit {
            return Err(KvFault::Quota { kind: LimitKind::WrittenBytes, limit });
        }
        Ok(())
    }

    fn check_keys(&self, gate: &Gate) -> KvResult<()> {
        let limit = gate.limits().space_files;
        let keys = match self.snapshot.peek(family::KEY_VALUE, &[])? {
            Some(CellValue::Inline { bytes }) => {
                u64::from_bytes(&bytes).map_err(|e| Halt::host("the count of the keys", &e))?
            }
            _ => 0,
        };
        if keys.saturating_add_signed(self.keys) >= limit {
            return Err(KvFault::Quota { kind: LimitKind::SpaceFiles, limit }.into());
        }
        Ok(())
    }

    fn view_at(&self, at: u64) -> KvResult<View> {
        let none = || KvFault::NoSuchVersion { version: at };
        let base = self.snapshot.head().version.0;
        if at > base {
            return Err(none().into());
        }
        if at == base {
            // Of a space that was never written, the log knows nothing yet.
            return Ok(self.snapshot.view().clone());
        }
        let head =
            self.store.head_at(&self.space, Version(at)).map_err(|e| Halt::host("reading an earlier version", &e))?;
        match self.store.view(head.ok_or_else(none)?) {
            Ok(view) => Ok(view),
            Err(error @ ReadError::Pruned { .. }) => Err(KvFault::Pruned { why: error.to_string() }.into()),
            Err(error) => Err(Halt::host("reading an earlier version", &error).into()),
        }
    }

    /// What is written over what lies below, tombstones left out, one more than asked for if there are as many.
    fn merge(
        &self,
        from: Vec<u8>,
        until: &Vec<u8>,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(Vec<u8>, CellValue)>, Halt> {
        let mut found: Vec<(Vec<u8>, CellValue)> = Vec::new();
        if from >= *until {
            return Ok(found);
        }
        let wanted = limit.saturating_add(1);
        let (mut at, mut size) = (from, 0);
        loop {
            let batch = self.snapshot.scan(family::KEY_VALUE, &at, Some(until), BATCH.min(wanted))?;
            let more = batch.len() >= BATCH.min(wanted);
            // Up to here both sides are known.
            let next = batch.last().filter(|_| more).map(|(last, _)| [last.as_slice(), &[0]].concat());
            let horizon = next.as_ref().unwrap_or(until);
            let mut here: BTreeMap<Vec<u8>, CellValue> = batch.into_iter().collect();
            if at < *horizon {
                for (key, value) in self.written.range(at.clone()..horizon.clone()) {
                    here.insert(key.clone(), value.clone());
                }
            }
            for (key, value) in here {
                if value == CellValue::Tombstone {
                    continue;
                }
                size += key.len() + values::len(&value) as usize;
                found.push((key, value));
                if found.len() >= wanted || (size > bytes && found.len() > 1) {
                    return Ok(found);
                }
            }
            match next {
                Some(next) => at = next,
                None => return Ok(found),
            }
        }
    }

    /// Cuts what was found to a page.
    fn page(&self, bucket: &Bucket, found: Vec<(Vec<u8>, CellValue)>, limit: usize, bytes: usize) -> KvResult<Page> {
        let (mut entries, mut size) = (Vec::new(), 0);
        for (key, value) in found {
            let key = key[bucket.prefix.len()..].to_vec();
            size += key.len() + values::len(&value) as usize;
            if entries.len() >= limit || (size > bytes && !entries.is_empty()) {
                return Ok((entries, Some(key)));
            }
            let Some(value) = values::load(self.store.blobs(), &value)? else { continue };
            entries.push((key, value));
        }
        Ok((entries, None))
    }
}
