//! `wasi:keyvalue/store`, `/atomics` and `/batch` of the second draft.

use reel_abi::faults::{CasFault, KvFault};
use reel_abi::types::Resource as Kind;
use wasmtime::component::Resource;

use super::bindings::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
use super::handles::own;
use super::session::{Cas, Session};
use crate::txn::buckets::Bucket;

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

    /// The cursor is the last key of the page before.
    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<String>) -> Told<store::KeyResponse> {
        let page = self.kv_list(&bucket, cursor.map(String::into_bytes))?;
        Ok(page.and_then(|(keys, more)| texts(keys).map(|keys| (keys, more))).map_err(error).map(|(keys, more)| {
            let cursor = keys.last().filter(|_| more).cloned();
            store::KeyResponse { keys, cursor }
        }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Bucket, &bucket)
    }
}

impl atomics::Host for Session {
    fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Told<i64> {
        Ok(self.kv_increment(&bucket, key.into_bytes(), delta)?.map_err(error))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        Ok(self.kv_swap(&cas, &value)?.map_err(|fault| match fault {
            CasFault::Changed { cas } => atomics::CasError::CasFailed(own(cas)),
            CasFault::Store { fault } => atomics::CasError::StoreError(error(fault)),
        }))
    }
}

impl atomics::HostCas for Session {
    fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Told<Resource<Cas>> {
        Ok(self.kv_cas(&bucket, key.into_bytes())?.map_err(error))
    }

    fn current(&mut self, cas: Resource<Cas>) -> Told<Option<Vec<u8>>> {
        Ok(self.kv_cas_current(&cas)?.map_err(error))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Cas, &cas)
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

/// Keys as the standard has them.
pub(super) fn texts(keys: Vec<Vec<u8>>) -> Result<Vec<String>, KvFault> {
    let text = |key| String::from_utf8(key).map_err(|e| KvFault::NotText { key: e.into_bytes().into() });
    keys.into_iter().map(text).collect()
}

fn error(fault: KvFault) -> store::Error {
    match fault {
        KvFault::NoSuchStore => store::Error::NoSuchStore,
        other => store::Error::Other(other.to_string()),
    }
}
