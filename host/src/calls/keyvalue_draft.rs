//! `wasi:keyvalue/store`, `/atomics` and `/batch` of the first draft.

use reel_abi::faults::KvFault;
use reel_abi::limits::LimitKind;
use reel_abi::types::Resource as Kind;
use wasmtime::component::Resource;

use super::bindings::wasi::keyvalue0_2_0_draft::{atomics, batch, store};
use super::keyvalue_store::texts;
use super::session::Session;
use crate::txn::buckets::Bucket;

/// Cursors that a run can be given; each is a key of at most 4 KiB.
const CURSORS: usize = 16_384;

type Told<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for Session {
    fn open(&mut self, identifier: String) -> Told<Resource<Bucket>> {
        Ok(self.kv_open(identifier)?.map_err(error))
    }
}

impl store::HostBucket for Session {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Told<Option<Vec<u8>>> {
        Ok(self.kv_get(&bucket, key.into_bytes())?.map_err(error))
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Told<()> {
        Ok(self.kv_set(&bucket, key.into_bytes(), value)?.map_err(error))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Told<()> {
        Ok(self.kv_delete(&bucket, key.into_bytes())?.map_err(error))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Told<bool> {
        Ok(self.kv_exists(&bucket, key.into_bytes())?.map_err(error))
    }

    /// The cursor is a number for the last key of the page before, which the session remembers.
    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Told<store::KeyResponse> {
        let after = cursor.map(|cursor| self.cursors.get(cursor as usize).cloned());
        let page = match after {
            // No key is longer, so nothing comes after it: asked all the same, for the log.
            Some(None) => self.kv_list(&bucket, Some(vec![u8::MAX; 1]))?.and(Err(KvFault::BadCursor)),
            Some(Some(after)) => self.kv_list(&bucket, Some(after))?,
            None => self.kv_list(&bucket, None)?,
        };
        let page = page.and_then(|(keys, more)| {
            let cursor = match keys.last().filter(|_| more) {
                None => None,
                Some(_) if self.cursors.len() >= CURSORS => {
                    return Err(KvFault::Quota { kind: LimitKind::OpenHandles, limit: CURSORS as u64 });
                }
                Some(last) => {
                    self.cursors.push(last.clone());
                    Some(self.cursors.len() as u64 - 1)
                }
            };
            Ok(store::KeyResponse { keys: texts(keys)?, cursor })
        });
        Ok(page.map_err(error))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Bucket, &bucket)
    }
}

impl atomics::Host for Session {
    fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Told<u64> {
        let Ok(delta) = i64::try_from(delta) else {
            // Looked at all the same, so that the attempt is in the log.
            return Ok(self.kv_get(&bucket, key.into_bytes())?.and(Err(KvFault::Overflow)).map_err(error));
        };
        let sum = self.kv_increment(&bucket, key.into_bytes(), delta)?;
        Ok(sum.and_then(|sum| u64::try_from(sum).map_err(|_| KvFault::Overflow)).map_err(error))
    }
}

impl batch::Host for Session {
    fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Told<Vec<Option<(String, Vec<u8>)>>> {
        let cells: Vec<Vec<u8>> = keys.iter().cloned().map(String::into_bytes).collect();
        let values = self.kv_get_many(&bucket, &cells)?.map_err(error);
        let pair = |(key, value): (String, Option<Vec<u8>>)| value.map(|value| (key, value));
        Ok(values.map(|values| keys.into_iter().zip(values).map(pair).collect()))
    }

    fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Told<()> {
        let entries = key_values.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
        Ok(self.kv_set_many(&bucket, entries)?.map_err(error))
    }

    fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Told<()> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(String::into_bytes).collect();
        Ok(self.kv_delete_many(&bucket, &keys)?.map_err(error))
    }
}

fn error(fault: KvFault) -> store::Error {
    match fault {
        KvFault::NoSuchStore => store::Error::NoSuchStore,
        other => store::Error::Other(other.to_string()),
    }
}
