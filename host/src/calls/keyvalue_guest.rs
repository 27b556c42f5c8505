//! `reel:guest/keyvalue`.

use reel_abi::faults::KvFault;
use wasmtime::component::Resource;

use super::bindings::reel::guest::keyvalue;
use super::session::Session;
use crate::txn::buckets::{Bucket, Page, Range};

type Told<T> = wasmtime::Result<Result<T, keyvalue::Error>>;

impl keyvalue::Host for Session {
    fn get(&mut self, bucket: Resource<Bucket>, key: Vec<u8>) -> Told<Option<Vec<u8>>> {
        Ok(self.kv_get(&bucket, key)?.map_err(error))
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: Vec<u8>, value: Vec<u8>) -> Told<()> {
        Ok(self.kv_set(&bucket, key, value)?.map_err(error))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: Vec<u8>) -> Told<()> {
        Ok(self.kv_delete(&bucket, key)?.map_err(error))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: Vec<u8>) -> Told<bool> {
        Ok(self.kv_exists(&bucket, key)?.map_err(error))
    }

    fn increment(&mut self, bucket: Resource<Bucket>, key: Vec<u8>, delta: i64) -> Told<i64> {
        Ok(self.kv_increment(&bucket, key, delta)?.map_err(error))
    }

    fn scan(&mut self, bucket: Resource<Bucket>, range: keyvalue::Range) -> Told<keyvalue::Page> {
        let (range, limit) = split(range);
        Ok(self.kv_scan(&bucket, range, limit, None)?.map(page).map_err(error))
    }

    fn get_at(&mut self, bucket: Resource<Bucket>, key: Vec<u8>, at: u64) -> Told<Option<Vec<u8>>> {
        Ok(self.kv_get_at(&bucket, key, at)?.map_err(error))
    }

    fn scan_at(&mut self, bucket: Resource<Bucket>, range: keyvalue::Range, at: u64) -> Told<keyvalue::Page> {
        let (range, limit) = split(range);
        Ok(self.kv_scan(&bucket, range, limit, Some(at))?.map(page).map_err(error))
    }
}

fn split(range: keyvalue::Range) -> (Range, u32) {
    let keyvalue::Range { prefix, start, end, limit } = range;
    (Range { prefix, from: start, until: end }, limit)
}

fn page((entries, next): Page) -> keyvalue::Page {
    keyvalue::Page { entries, next }
}

fn error(fault: KvFault) -> keyvalue::Error {
    match fault {
        KvFault::KeyTooLong { len } => keyvalue::Error::KeyTooLong(len),
        KvFault::ValueTooLarge { len } => keyvalue::Error::ValueTooLarge(len),
        KvFault::Quota { .. } => keyvalue::Error::QuotaExceeded(fault.to_string()),
        KvFault::NoSuchVersion { version } => keyvalue::Error::NoSuchVersion(version),
        KvFault::Pruned { why } => keyvalue::Error::Pruned(why),
        KvFault::NotANumber | KvFault::Overflow => keyvalue::Error::NotANumber,
        KvFault::NoSuchStore | KvFault::NotText { .. } | KvFault::BadCursor => {
            keyvalue::Error::Other(fault.to_string())
        }
    }
}
