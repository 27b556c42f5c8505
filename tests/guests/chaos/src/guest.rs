//! The space that the guest has from its host.

use std::collections::BTreeMap;

use super::space::{Entry, Fault, Range, Space};
use bindings::reel::guest::{keyvalue, transaction};
use bindings::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};

mod bindings {
    #![allow(missing_docs, reason = "generated")]
    wit_bindgen::generate!({ path: "../../../wit", world: "reel:guest/sdk", generate_all });
}

/// Handles, and the versions that can be looked back at.
#[derive(Default)]
pub struct Host {
    buckets: BTreeMap<String, store::Bucket>,
    versions: Vec<u64>,
    held: Vec<transaction::Savepoint>,
}

impl Host {
    /// The bucket, by a handle that is kept.
    fn bucket(&mut self, name: &str) -> Result<&store::Bucket, Fault> {
        if !self.buckets.contains_key(name) {
            self.versions();
            self.buckets.insert(name.to_owned(), store::open(name).map_err(|error| standard(&error))?);
        }
        Ok(&self.buckets[name])
    }

    /// The versions, of which the first is that at the beginning: it has to be asked for before the first commit.
    fn versions(&mut self) -> &mut Vec<u64> {
        if self.versions.is_empty() {
            self.versions.push(transaction::version());
        }
        &mut self.versions
    }

    fn version(&mut self, past: usize) -> u64 {
        let versions = self.versions();
        versions[past % versions.len()]
    }

    fn held(&self, nth: usize) -> Result<usize, Fault> {
        let count = self.held.len();
        if count == 0 { Err("none".into()) } else { Ok(count - 1 - nth % count) }
    }
}

fn standard(error: &store::Error) -> Fault {
    match error {
        store::Error::NoSuchStore => "no-such-store".into(),
        store::Error::AccessDenied => "access-denied".into(),
        store::Error::Other(_) => "other".into(),
    }
}

fn own(error: &keyvalue::Error) -> Fault {
    match error {
        keyvalue::Error::KeyTooLong(len) => format!("key-too-long {len}"),
        keyvalue::Error::ValueTooLarge(len) => format!("value-too-large {len}"),
        keyvalue::Error::QuotaExceeded(which) => format!("quota-exceeded {which}"),
        keyvalue::Error::NoSuchVersion(version) => format!("no-such-version {version}"),
        keyvalue::Error::Pruned(why) => format!("pruned {why}"),
        keyvalue::Error::NotANumber => "not-a-number".into(),
        keyvalue::Error::Other(what) => format!("other {what}"),
    }
}

fn step(error: transaction::Error) -> Fault {
    match error {
        transaction::Error::Conflict => "conflict",
        transaction::Error::TooManySavepoints => "too-many-savepoints",
        transaction::Error::Gone => "gone",
    }
    .into()
}

impl Space for Host {
    fn get(&mut self, past: Option<usize>, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let version = past.map(|past| self.version(past));
        let bucket = self.bucket(bucket)?;
        match version {
            None => keyvalue::get(bucket, key),
            Some(version) => keyvalue::get_at(bucket, key, version),
        }
        .map_err(|error| own(&error))
    }

    fn set(&mut self, bucket: &str, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        keyvalue::set(self.bucket(bucket)?, key, value).map_err(|error| own(&error))
    }

    fn delete(&mut self, bucket: &str, key: &[u8]) -> Result<(), Fault> {
        keyvalue::delete(self.bucket(bucket)?, key).map_err(|error| own(&error))
    }

    fn exists(&mut self, bucket: &str, key: &[u8]) -> Result<bool, Fault> {
        keyvalue::exists(self.bucket(bucket)?, key).map_err(|error| own(&error))
    }

    fn increment(&mut self, bucket: &str, key: &[u8], delta: i64) -> Result<i64, Fault> {
        keyvalue::increment(self.bucket(bucket)?, key, delta).map_err(|error| own(&error))
    }

    fn scan(&mut self, past: Option<usize>, bucket: &str, range: Range) -> Result<Vec<Entry>, Fault> {
        let version = past.map(|past| self.version(past));
        let bucket = self.bucket(bucket)?;
        let Range { prefix, start, end, limit } = range;
        let (mut range, mut found) = (keyvalue::Range { prefix, start, end, limit }, Vec::new());
        loop {
            let page = match version {
                None => keyvalue::scan(bucket, &range),
                Some(version) => keyvalue::scan_at(bucket, &range, version),
            }
            .map_err(|error| own(&error))?;
            if page.entries.len() > limit as usize {
                return Err(format!("page of {}", page.entries.len()));
            }
            found.extend(page.entries);
            match page.next {
                Some(next) => range.start = Some(next),
                None => return Ok(found),
            }
        }
    }

    fn keys(&mut self, bucket: &str) -> Result<Vec<String>, Fault> {
        let bucket = self.bucket(bucket)?;
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = bucket.list_keys(cursor.as_deref()).map_err(|error| standard(&error))?;
            found.extend(page.keys);
            match page.cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(found),
            }
        }
    }

    fn swap(&mut self, bucket: &str, key: &str, between: Option<&[u8]>, value: &[u8]) -> Result<bool, Fault> {
        let bucket = self.bucket(bucket)?;
        let cas = atomics::Cas::new(bucket, key).map_err(|error| standard(&error))?;
        if let Some(between) = between {
            bucket.set(key, between).map_err(|error| standard(&error))?;
        }
        match atomics::swap(cas, value) {
            Ok(()) => Ok(true),
            // The new handle has the value that was put in between.
            Err(atomics::CasError::CasFailed(cas)) => match cas.current() {
                Ok(current) if current.as_deref() == between => Ok(false),
                _ => Err("wrong current".into()),
            },
            Err(atomics::CasError::StoreError(error)) => Err(standard(&error)),
        }
    }

    fn get_many(&mut self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let found = batch::get_many(self.bucket(bucket)?, keys).map_err(|error| standard(&error))?;
        if found.len() != keys.len() {
            return Err(format!("{} values", found.len()));
        }
        let pairs = found.into_iter().zip(keys);
        pairs
            .map(|(found, asked)| match found {
                Some((key, _)) if key != *asked => Err("wrong key".into()),
                found => Ok(found.map(|(_, value)| value)),
            })
            .collect()
    }

    fn set_many(&mut self, bucket: &str, entries: &[(String, Vec<u8>)]) -> Result<(), Fault> {
        batch::set_many(self.bucket(bucket)?, entries).map_err(|error| standard(&error))
    }

    fn delete_many(&mut self, bucket: &str, keys: &[String]) -> Result<(), Fault> {
        batch::delete_many(self.bucket(bucket)?, keys).map_err(|error| standard(&error))
    }

    fn save(&mut self) -> Result<(), Fault> {
        self.held.push(transaction::set_savepoint().map_err(step)?);
        Ok(())
    }

    fn back(&mut self, nth: usize) -> Result<(), Fault> {
        self.held[self.held(nth)?].rollback().map_err(step)
    }

    fn keep(&mut self, nth: usize) -> Result<(), Fault> {
        drop(self.held.remove(self.held(nth)?));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.versions();
        let version = transaction::commit().map_err(step)?;
        if version != transaction::version() {
            return Err("another version".into());
        }
        self.versions.push(version);
        Ok(())
    }

    fn abort(&mut self, reason: &str) {
        transaction::abort(reason);
    }
}
