//! The buckets of a space as they were at a version.

use reel_abi::limits::BUCKET_NAME_BYTES;
use reel_abi::record::{CellValue, family};
use reel_store::{Head, Store};

use super::cells::Cells;
use super::files_at::LookError;

/// Keys fetched at a time.
pub const BATCH: usize = 4096;

/// The buckets of a space at a version.
pub struct KeysAt {
    cells: Cells,
}

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: CellValue,
}

impl KeysAt {
    /// The buckets at a head.
    pub fn new(store: &Store, head: Head) -> Result<Self, LookError> {
        Ok(Self { cells: Cells::at(store, head)? })
    }

    /// The names of the buckets that have keys, sorted by length and bytes.
    pub fn buckets(&self) -> Result<Vec<Vec<u8>>, LookError> {
        // The key that counts the keys is empty and comes first.
        let (mut from, mut names) = (vec![1], Vec::new());
        while let Some((cell, _)) = self.cells.view.scan(family::KEY_VALUE, &from, None, 1)?.into_iter().next() {
            let Some((bucket, _)) = split_key(&cell) else {
                return Err(LookError::Failed("a key of the space is not as it should be".into()));
            };
            from = after(&prefix(bucket));
            names.push(bucket.to_vec());
        }
        Ok(names)
    }

    /// Whether a bucket has keys.
    pub fn is_bucket(&self, bucket: &[u8]) -> Result<bool, LookError> {
        let prefix = prefix(bucket);
        Ok(!self.cells.view.scan(family::KEY_VALUE, &prefix, Some(&after(&prefix)), 1)?.is_empty())
    }

    /// The keys of a bucket that begin with `beginning`, after `last` if given, in the order of their bytes. At most [`BATCH`]; none at the end.
    pub fn keys(&self, bucket: &[u8], beginning: &[u8], last: Option<&[u8]>) -> Result<Vec<KeyValue>, LookError> {
        let bucket = prefix(bucket);
        let all = [bucket.as_slice(), beginning].concat();
        let from = match last {
            Some(last) => [bucket.as_slice(), last, &[0]].concat(),
            None => all.clone(),
        };
        let found = self.cells.view.scan(family::KEY_VALUE, &from, Some(&after(&all)), BATCH)?;
        Ok(found.into_iter().map(|(cell, value)| KeyValue { key: cell[bucket.len()..].to_vec(), value }).collect())
    }

    /// The value of a key.
    pub fn get(&self, bucket: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, LookError> {
        let value = self.cells.view.get(family::KEY_VALUE, &cell_key(bucket, key))?;
        value.map(|value| self.cells.bytes(&value)).transpose()
    }
}

/// The key of a cell.
pub fn cell_key(bucket: &[u8], key: &[u8]) -> Vec<u8> {
    [prefix(bucket).as_slice(), key].concat()
}

/// Bucket and key in the key of a cell; nothing if there are none, as in the one that counts.
pub fn split_key(cell: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = cell.split_first()?;
    rest.split_at_checked(usize::from(*len)).filter(|(bucket, _)| !bucket.is_empty())
}

/// How the cells of a bucket begin. No bucket has a longer name than a byte can say, so that a cut one names none.
fn prefix(bucket: &[u8]) -> Vec<u8> {
    let bucket = &bucket[..bucket.len().min(BUCKET_NAME_BYTES)];
    [&[bucket.len() as u8], bucket].concat()
}

/// The first key after all that begin so.
fn after(beginning: &[u8]) -> Vec<u8> {
    let mut next = beginning.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return next;
        }
    }
    // Nothing comes after: longer than any cell of the kind, with bytes that none begins with but those asked for.
    vec![u8::MAX; beginning.len() + BUCKET_NAME_BYTES + reel_abi::limits::KEY_BYTES + 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_keys_in_one_order() {
        assert_eq!(split_key(&cell_key(b"ab", b"\x00k")), Some((b"ab".as_slice(), b"\x00k".as_slice())));
        assert_eq!(split_key(b""), None);
        assert_eq!(split_key(b"\x00x"), None);
        assert_eq!(split_key(b"\x05ab"), None);
        assert_eq!(after(b"\x01a\xff\xff"), b"\x01b");
        assert!(after(&[0xff; 3]) > vec![0xff; 300]);
    }
}
