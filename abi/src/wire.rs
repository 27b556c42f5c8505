//! The codec: how every value of the log becomes bytes and comes back.
//!
//! Canonical: one value has exactly one encoding, so equal bytes mean equal values and a replay may compare bytes alone.
//! Integers are LEB128 varints in their shortest form, signed ones zigzag first; sequences and strings carry their length;
//! options, results and variants carry a tag. Clock readings are differences to the reading before in the same frame, which
//! makes one cost two or three bytes instead of nine.
//!
//! Reading trusts nothing: every length is checked against what is left before anything is allocated.

use thiserror::Error;

/// Why bytes are not a value of the asked type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The input ended inside a value.
    #[error("ends in the middle of {what} at byte {at}")]
    Truncated {
        /// The type that was being read.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A tag, version or code that this build does not know.
    #[error("unknown {what} {value} at byte {at}")]
    Unknown {
        /// The type that was being read.
        what: &'static str,
        /// What was found.
        value: u64,
        /// Offset in bytes.
        at: usize,
    },
    /// A value in a longer form than the canonical one, or out of its range.
    #[error("{what} at byte {at} is not in its canonical form")]
    NotCanonical {
        /// The type that was being read.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// Bytes are left over after the value.
    #[error("{left} bytes too many at byte {at}")]
    Trailing {
        /// How many bytes are left.
        left: usize,
        /// Offset in bytes.
        at: usize,
    },
}

/// Which clock a reading belongs to; each is encoded relative to its own last reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Time of day, nanoseconds since the Unix epoch.
    Wall = 0,
    /// Time since the guest began, nanoseconds.
    Monotonic = 1,
}

/// Collects encoded values.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
    clocks: [u64; 2],
}

impl Writer {
    /// An empty writer; the clocks begin at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes, consuming the writer.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes the bytes out and starts afresh, clocks at zero: the next byte begins a self-contained frame.
    pub fn take(&mut self) -> Vec<u8> {
        self.clocks = [0; 2];
        std::mem::take(&mut self.bytes)
    }

    /// Empties the writer but keeps its allocation and its clocks.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The last readings of the clocks, to be restored with [`Writer::set_clocks`].
    pub fn clocks(&self) -> [u64; 2] {
        self.clocks
    }

    /// Sets what the next clock readings are relative to.
    pub fn set_clocks(&mut self, clocks: [u64; 2]) {
        self.clocks = clocks;
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// An unsigned integer, shortest LEB128.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A signed integer, zigzag and LEB128.
    #[inline]
    pub fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// A clock reading in nanoseconds, relative to the last of the same clock.
    #[inline]
    pub fn clock(&mut self, clock: Clock, nanos: u64) {
        let last = &mut self.clocks[clock as usize];
        let difference = nanos.wrapping_sub(*last) as i64;
        *last = nanos;
        self.zigzag(difference);
    }

    /// Bytes without a length.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A length and as many bytes.
    #[inline]
    pub fn blob(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// Walks over encoded values.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    clocks: [u64; 2],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte; the clocks begin at zero.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::resume(bytes, 0, [0; 2])
    }

    /// A reader at `at` with the clocks as [`Reader::clocks`] gave them there.
    pub fn resume(bytes: &'a [u8], at: usize, clocks: [u64; 2]) -> Self {
        Self { bytes, at: at.min(bytes.len()), clocks }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The last readings of the clocks.
    pub fn clocks(&self) -> [u64; 2] {
        self.clocks
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error unless all was read.
    pub fn finish(self) -> Result<(), CodecError> {
        match self.left() {
            0 => Ok(()),
            left => Err(CodecError::Trailing { left, at: self.at }),
        }
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated { what, at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned integer; longer forms than the shortest are refused.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(CodecError::NotCanonical { what, at: start })
    }

    /// A signed integer.
    pub fn zigzag(&mut self, what: &'static str) -> Result<i64, CodecError> {
        let raw = self.varint(what)?;
        Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// A clock reading in nanoseconds.
    pub fn clock(&mut self, clock: Clock, what: &'static str) -> Result<u64, CodecError> {
        let difference = self.zigzag(what)?;
        let last = &mut self.clocks[clock as usize];
        *last = last.wrapping_add(difference as u64);
        Ok(*last)
    }

    /// As many bytes as asked for, borrowed from the input.
    pub fn raw(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        if len > self.left() {
            return Err(CodecError::Truncated { what, at: self.at });
        }
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    /// A length and as many bytes, borrowed from the input.
    pub fn blob(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let len = self.varint(what)?;
        let len = usize::try_from(len).map_err(|_| CodecError::Truncated { what, at: self.at })?;
        self.raw(len, what)
    }

    /// The error for a tag this build does not know; `at` is one byte back.
    pub fn unknown(&self, what: &'static str, value: u64) -> CodecError {
        CodecError::Unknown { what, value, at: self.at.saturating_sub(1) }
    }
}

/// A value of the log.
pub trait Wire: Sized {
    /// Appends the one encoding of this value.
    fn put(&self, w: &mut Writer);

    /// Reads a value back; refuses everything that [`Wire::put`] does not write.
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// The encoding by itself.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.put(&mut w);
        w.into_bytes()
    }

    /// The value that `bytes`, all of them, encode.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let value = Self::take(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}

macro_rules! wire_unsigned {
    ($($ty:ty),*) => {$(
        impl Wire for $ty {
            #[inline]
            fn put(&self, w: &mut Writer) {
                w.varint(u64::from(*self));
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                let at = r.at();
                let what = stringify!($ty);
                r.varint(what)?.try_into().map_err(|_| CodecError::NotCanonical { what, at })
            }
        }
    )*};
}
wire_unsigned!(u16, u32, u64);

impl Wire for u8 {
    fn put(&self, w: &mut Writer) {
        w.u8(*self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.u8("u8")
    }
}

impl Wire for i32 {
    fn put(&self, w: &mut Writer) {
        w.zigzag(i64::from(*self));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        r.zigzag("i32")?.try_into().map_err(|_| CodecError::NotCanonical { what: "i32", at })
    }
}

impl Wire for i64 {
    fn put(&self, w: &mut Writer) {
        w.zigzag(*self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.zigzag("i64")
    }
}

impl Wire for () {
    fn put(&self, _: &mut Writer) {}
    fn take(_: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(())
    }
}

impl Wire for bool {
    fn put(&self, w: &mut Writer) {
        w.u8(u8::from(*self));
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("bool")? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(r.unknown("bool", u64::from(other))),
        }
    }
}

impl Wire for String {
    fn put(&self, w: &mut Writer) {
        w.blob(self.as_bytes());
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        let bytes = r.blob("string")?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|_| CodecError::NotCanonical { what: "string", at })
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, w: &mut Writer) {
        w.varint(self.len() as u64);
        for item in self {
            item.put(w);
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = r.varint("list")?;
        // An item may be empty on the wire; what bounds the work is the allocation below and this count.
        if len > r.left() as u64 {
            return Err(CodecError::Truncated { what: "list", at: r.at() });
        }
        let mut items = Vec::with_capacity((len as usize).min(4096));
        for _ in 0..len {
            items.push(T::take(r)?);
        }
        Ok(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, w: &mut Writer) {
        match self {
            None => w.u8(0),
            Some(value) => {
                w.u8(1);
                value.put(w);
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("option")? {
            0 => Ok(None),
            1 => Ok(Some(T::take(r)?)),
            other => Err(r.unknown("option", u64::from(other))),
        }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, w: &mut Writer) {
        match self {
            Ok(value) => {
                w.u8(0);
                value.put(w);
            }
            Err(error) => {
                w.u8(1);
                error.put(w);
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("result")? {
            0 => Ok(Ok(T::take(r)?)),
            1 => Ok(Err(E::take(r)?)),
            other => Err(r.unknown("result", u64::from(other))),
        }
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
        self.1.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok((A::take(r)?, B::take(r)?))
    }
}

/// Declares a struct whose encoding is that of its fields in order.
#[macro_export]
macro_rules! wire_struct {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }
        impl $crate::wire::Wire for $name {
            fn put(&self, w: &mut $crate::wire::Writer) {
                let _ = &w;
                $($crate::wire::Wire::put(&self.$field, w);)*
            }
            fn take(r: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::CodecError> {
                let _ = &r;
                Ok(Self { $($field: <$ty as $crate::wire::Wire>::take(r)?),* })
            }
        }
    };
}

/// Declares an enum: each variant has a fixed tag byte and, if any, named fields encoded in order.
#[macro_export]
macro_rules! wire_enum {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$vmeta:meta])* $tag:literal => $variant:ident $({ $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? })?),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant $({ $($(#[$fmeta])* $field: $ty),* })?),* }
        impl $crate::wire::Wire for $name {
            fn put(&self, w: &mut $crate::wire::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        w.u8($tag);
                        $($($crate::wire::Wire::put($field, w);)*)?
                    })*
                }
            }
            fn take(r: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::CodecError> {
                match r.u8(stringify!($name))? {
                    $($tag => Ok(Self::$variant $({ $($field: <$ty as $crate::wire::Wire>::take(r)?),* })?),)*
                    other => Err(r.unknown(stringify!($name), u64::from(other))),
                }
            }
        }
    };
}
