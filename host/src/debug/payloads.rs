//! The bytes that events have only digests of: the guest makes them again when it is executed again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::types::Payload;

use crate::gate::Hears;

/// Payloads that are kept, in bytes; of a run with more, those after them stay digests.
const BYTES: usize = 512 << 20;

/// Payloads by length and digest.
#[derive(Debug, Clone, Default)]
pub struct Payloads(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    bytes: BTreeMap<(u64, u64), Arc<[u8]>>,
    size: usize,
}

impl Payloads {
    /// Who is told of them by a replay.
    pub fn hears(&self) -> Hears {
        let known = Arc::clone(&self.0);
        Arc::new(move |bytes: &[u8]| {
            let Payload::Digest { len, xxh3 } = Payload::of(bytes) else { return };
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.size + bytes.len() <= BYTES && !known.bytes.contains_key(&(len, xxh3)) {
                known.size += bytes.len();
                known.bytes.insert((len, xxh3), bytes.into());
            }
        })
    }

    /// The bytes of a payload; nothing if they are not known.
    pub(super) fn bytes(&self, payload: &Payload) -> Option<Arc<[u8]>> {
        match payload {
            Payload::Inline(bytes) => Some(bytes.as_slice().into()),
            Payload::Digest { len, xxh3 } => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.get(&(*len, *xxh3)).cloned()
            }
        }
    }

    /// Those of an event's digest in hexadecimal, as a view has it.
    pub fn of_digest(&self, len: u64, digest: &str) -> Option<Arc<[u8]>> {
        let xxh3 = u64::from_str_radix(digest, 16).ok()?;
        self.bytes(&Payload::Digest { len, xxh3 })
    }
}
