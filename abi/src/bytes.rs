//! Byte strings, which are encoded in one piece.

use crate::wire::{CodecError, Reader, Wire, Writer};

/// A byte string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Wire for Bytes {
    #[inline]
    fn put(&self, w: &mut Writer) {
        w.blob(&self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.blob("bytes").map(|bytes| Self(bytes.to_vec()))
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}
