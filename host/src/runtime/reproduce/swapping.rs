//! Bytes in the place of others, of the same length.

use std::collections::BTreeMap;

use reel_abi::record::CellValue;
use reel_abi::wire::Wire;

use super::redacting::Unredacted;

/// A secret, and what takes its place.
pub(super) type Hidden = (Vec<u8>, Vec<u8>);

/// What takes the place of what; both are of one length.
#[derive(Debug, Default)]
pub(super) struct Swap {
    /// Longest first.
    pub secrets: Vec<Hidden>,
    /// Digests, by their first bytes: a payload's of 8 bytes, a blob's of 32.
    pub digests: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Swap {
    /// Whether a secret stands in the bytes.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.secrets.iter().any(|(secret, _)| find(bytes, secret, 0).is_some())
    }

    /// Replaces the secrets; says whether there were any.
    pub fn hide(&self, bytes: &mut [u8]) -> bool {
        let mut any = false;
        for (secret, filler) in &self.secrets {
            let mut from = 0;
            while let Some(at) = find(bytes, secret, from) {
                bytes[at..at + secret.len()].copy_from_slice(filler);
                from = at + secret.len();
                any = true;
            }
        }
        any
    }

    /// Replaces digests; says whether there were any.
    pub fn digests_in(&self, bytes: &mut [u8]) -> bool {
        let mut any = false;
        for (old, new) in &self.digests {
            let mut from = 0;
            while let Some(at) = find(bytes, old, from) {
                bytes[at..at + old.len()].copy_from_slice(new);
                from = at + old.len();
                any = true;
            }
        }
        any
    }

    pub fn all(&self, bytes: &mut [u8]) {
        self.hide(bytes);
        self.digests_in(bytes);
    }

    pub fn value(&self, value: &mut CellValue) -> Result<(), Unredacted> {
        match value {
            CellValue::Inline { bytes } => self.all(&mut bytes.0),
            CellValue::Blob { digest, .. } | CellValue::Content { digest, .. } => {
                self.digests_in(&mut digest.0);
            }
            CellValue::Tombstone => {}
        }
        Ok(())
    }

    pub fn coded<T: Wire>(&self, what: &'static str, value: &T) -> Result<T, Unredacted> {
        let mut bytes = value.to_bytes();
        self.all(&mut bytes);
        T::from_bytes(&bytes).map_err(|error| Unredacted::Broken(what, error.to_string()))
    }
}

/// Where `needle` stands in `bytes`, from a place on.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| byte == first) {
        at += step;
        if bytes[at + 1..].starts_with(rest) {
            return Some(at);
        }
        at += 1;
    }
    None
}
