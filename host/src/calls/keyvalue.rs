//! Key-value operations in terms of the vocabulary, for all interfaces that offer them.

use reel_abi::bytes::Bytes;
use reel_abi::faults::{CasFault, KvFault};
use reel_abi::limits::VALUE_BYTES;
use reel_abi::vocabulary::{
    Call, KvCas, KvCasCurrent, KvDelete, KvDeleteMany, KvExists, KvGet, KvGetAt, KvGetMany, KvIncrement, KvListKeys,
    KvOpen, KvScan, KvSet, KvSetMany, KvSwap,
};
use reel_abi::wire::Wire;
use wasmtime::component::Resource;

use super::handles::{number, own};
use super::session::{Cas, Session};
use crate::gate::{Gate, Halt};
use crate::txn::buckets::{Bucket, Buckets, Fault, KvResult, Page, Range};

/// Keys in a page of a listing.
pub(super) const LIST_KEYS: usize = 1000;

/// Bytes of keys and values in a page of a scan; it holds one entry at least.
const PAGE_BYTES: usize = 1 << 20;

/// Most entries in a page of a scan.
const PAGE_ENTRIES: u32 = 10_000;

/// Bytes of all values of one batch.
const BATCH_BYTES: usize = 2 * VALUE_BYTES;

/// The guest's answer, unless it is stopped.
pub(super) type Told<T> = Result<Result<T, KvFault>, Halt>;

impl Session {
    pub(super) fn kv_open(&mut self, name: String) -> Told<Resource<Bucket>> {
        let handles = &mut self.handles;
        let reply = self.gate.pass(KvOpen { name }, |_, call| match Bucket::new(&call.name) {
            Ok(bucket) => handles.push(bucket).map(Ok),
            Err(fault) => Ok(Err(fault)),
        })?;
        Ok(reply.map(own))
    }

    pub(super) fn kv_get(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>) -> Told<Option<Vec<u8>>> {
        let call = KvGet { bucket: number(bucket), key: key.clone().into() };
        let mut value = None;
        let reply = self.kv(bucket, call, |buckets, gate, bucket| {
            value = buckets.get(bucket, &key)?;
            Ok(value.as_deref().map(|value| gate.payload(value)))
        })?;
        Ok(reply.map(|_| value))
    }

    pub(super) fn kv_get_at(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>, at: u64) -> Told<Option<Vec<u8>>> {
        let call = KvGetAt { bucket: number(bucket), key: key.clone().into(), at };
        let mut value = None;
        let reply = self.kv(bucket, call, |buckets, gate, bucket| {
            value = buckets.get_at(bucket, &key, at)?;
            Ok(value.as_deref().map(|value| gate.payload(value)))
        })?;
        Ok(reply.map(|_| value))
    }

    pub(super) fn kv_exists(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>) -> Told<bool> {
        let call = KvExists { bucket: number(bucket), key: key.clone().into() };
        self.kv(bucket, call, |buckets, _, bucket| buckets.exists(bucket, &key))
    }

    pub(super) fn kv_set(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>, value: Vec<u8>) -> Told<()> {
        let call = KvSet { bucket: number(bucket), key: key.clone().into(), value: self.gate.payload(&value) };
        self.kv(bucket, call, |buckets, gate, bucket| buckets.set(gate, bucket, &key, &value))
    }

    pub(super) fn kv_delete(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>) -> Told<()> {
        let call = KvDelete { bucket: number(bucket), key: key.clone().into() };
        self.kv(bucket, call, |buckets, gate, bucket| buckets.delete(gate, bucket, &key).map(drop))
    }

    pub(super) fn kv_increment(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>, delta: i64) -> Told<i64> {
        let call = KvIncrement { bucket: number(bucket), key: key.clone().into(), delta };
        self.kv(bucket, call, |buckets, gate, bucket| buckets.increment(gate, bucket, &key, delta))
    }

    /// The next keys after one, and whether there are more.
    pub(super) fn kv_list(&mut self, bucket: &Resource<Bucket>, after: Option<Vec<u8>>) -> Told<(Vec<Vec<u8>>, bool)> {
        let from = after.as_ref().map(|after| [after.as_slice(), &[0]].concat());
        let call = KvListKeys { bucket: number(bucket), after: after.map(Bytes) };
        let mut found = Default::default();
        let reply = self.kv(bucket, call, |buckets, gate, bucket| {
            found = buckets.keys(bucket, &Range { from, ..Range::default() }, LIST_KEYS)?;
            let keys: Vec<Bytes> = found.0.iter().cloned().map(Bytes).collect();
            Ok(gate.payload(&keys.to_bytes()))
        })?;
        Ok(reply.map(|_| found))
    }

    /// Keys and values in a range, now or at an earlier version.
    pub(super) fn kv_scan(
        &mut self,
        bucket: &Resource<Bucket>,
        range: Range,
        limit: u32,
        at: Option<u64>,
    ) -> Told<Page> {
        let Range { prefix, from, until } = range.clone();
        let (prefix, from, until) = (Bytes(prefix), from.map(Bytes), until.map(Bytes));
        let call = KvScan { bucket: number(bucket), prefix, from, until, limit, at };
        let limit = limit.min(PAGE_ENTRIES) as usize;
        let mut page = Default::default();
        let reply = self.kv(bucket, call, |buckets, gate, bucket| {
            page = match at {
                None => buckets.scan(bucket, &range, limit, PAGE_BYTES)?,
                Some(at) => buckets.scan_at(bucket, &range, limit, PAGE_BYTES, at)?,
            };
            let pair = |(key, value): &(Vec<u8>, Vec<u8>)| (Bytes(key.clone()), Bytes(value.clone()));
            Ok(gate.payload(&page.0.iter().map(pair).collect::<Vec<_>>().to_bytes()))
        })?;
        Ok(reply.map(|_| page))
    }

    pub(super) fn kv_get_many(&mut self, bucket: &Resource<Bucket>, keys: &[Vec<u8>]) -> Told<Vec<Option<Vec<u8>>>> {
        let call = KvGetMany { bucket: number(bucket), keys: keys.iter().cloned().map(Bytes).collect() };
        let mut values = Vec::new();
        let reply = self.kv(bucket, call, |buckets, gate, bucket| {
            let mut size = 0;
            for key in keys {
                let value = buckets.get(bucket, key)?;
                size += value.as_ref().map_or(0, Vec::len);
                if size > BATCH_BYTES {
                    return Err(KvFault::ValueTooLarge { len: size as u64 }.into());
                }
                values.push(value);
            }
            let all: Vec<Option<Bytes>> = values.iter().cloned().map(|value| value.map(Bytes)).collect();
            Ok(gate.payload(&all.to_bytes()))
        })?;
        Ok(reply.map(|_| values))
    }

    pub(super) fn kv_set_many(&mut self, bucket: &Resource<Bucket>, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Told<()> {
        let logged = entries.iter().map(|(key, value)| (Bytes(key.clone()), self.gate.hear(value))).collect();
        let call = KvSetMany { bucket: number(bucket), entries: logged };
        self.kv(bucket, call, |buckets, gate, bucket| buckets.set_many(gate, bucket, &entries))
    }

    pub(super) fn kv_delete_many(&mut self, bucket: &Resource<Bucket>, keys: &[Vec<u8>]) -> Told<()> {
        let call = KvDeleteMany { bucket: number(bucket), keys: keys.iter().cloned().map(Bytes).collect() };
        self.kv(bucket, call, |buckets, gate, bucket| buckets.delete_many(gate, bucket, keys))
    }

    pub(super) fn kv_cas(&mut self, bucket: &Resource<Bucket>, key: Vec<u8>) -> Told<Resource<Cas>> {
        let of = self.handles.get(bucket)?.clone();
        let (buckets, handles) = (&self.txn.buckets, &mut self.handles);
        let call = KvCas { bucket: number(bucket), key: key.clone().into() };
        let reply = self.gate.pass(call, |_, _| match split(buckets.cell(&of, &key))? {
            Ok(current) => handles.push(Cas { bucket: of, key, current }).map(Ok),
            Err(fault) => Ok(Err(fault)),
        })?;
        Ok(reply.map(own))
    }

    pub(super) fn kv_cas_current(&mut self, cas: &Resource<Cas>) -> Told<Option<Vec<u8>>> {
        let current = self.handles.get(cas)?.current.clone();
        let (buckets, mut value) = (&self.txn.buckets, None);
        let reply = self.gate.pass(KvCasCurrent { cas: number(cas) }, |gate, _| {
            let bytes = match &current {
                None => Ok(None),
                Some(current) => split(buckets.bytes(current))?.map(Some),
            };
            Ok(bytes.map(|bytes| {
                value = bytes;
                value.as_deref().map(|value| gate.payload(value))
            }))
        })?;
        Ok(reply.map(|_| value))
    }

    pub(super) fn kv_swap(&mut self, cas: &Resource<Cas>, value: &[u8]) -> Result<Result<(), CasFault>, Halt> {
        let call = KvSwap { cas: number(cas), value: self.gate.payload(value) };
        let (buckets, handles) = (&mut self.txn.buckets, &mut self.handles);
        self.gate.pass(call, |gate, call| {
            let Cas { bucket, key, current } = handles.remove::<Cas>(call.cas)?;
            let store = |fault| CasFault::Store { fault };
            let now = match split(buckets.cell(&bucket, &key))? {
                Ok(now) => now,
                Err(fault) => return Ok(Err(store(fault))),
            };
            if now != current {
                let cas = handles.push(Cas { bucket, key, current: now })?;
                return Ok(Err(CasFault::Changed { cas }));
            }
            Ok(split(buckets.set(gate, &bucket, &key, value))?.map_err(store))
        })
    }

    /// A call on a bucket.
    fn kv<T: Wire, C: Call<Reply = Result<T, KvFault>>>(
        &mut self,
        bucket: &Resource<Bucket>,
        call: C,
        live: impl FnOnce(&mut Buckets, &mut Gate, &Bucket) -> KvResult<T>,
    ) -> Told<T> {
        let bucket = self.handles.get(bucket)?;
        let buckets = &mut self.txn.buckets;
        self.gate.pass(call, |gate, _| split(live(buckets, gate, bucket)))
    }
}

/// Splits the roads: the inner result is the guest's, the outer the run's.
fn split<T>(result: KvResult<T>) -> Told<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Told(fault)) => Ok(Err(fault)),
        Err(Fault::Halt(halt)) => Err(halt),
    }
}
