//! Names and numbers of things: each its own type, so that a version can never be passed where a commit number is meant.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::wire::{CodecError, Reader, Wire, Writer};

macro_rules! number {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);
        impl $name {
            /// The one after this.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl Wire for $name {
            fn put(&self, w: &mut Writer) {
                w.varint(self.0);
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                Ok(Self(r.varint(stringify!($name))?))
            }
        }
    };
}

number!(
    /// One execution of guest code; counts from 1 in a database.
    RunId
);
number!(
    /// Place of an event in its run, from 0 (the begin mark).
    Seq
);
number!(
    /// Place of a commit in the database's chain, from 1.
    CommitNo
);
number!(
    /// Counts the committed transactions of one space; 0 is the empty space.
    Version
);
number!(
    /// A stretch of versions of one space; forks and rollbacks open new ones.
    SegmentId
);
number!(
    /// A row of the log, from 1, ascending over all log files.
    Position
);
number!(
    /// Wall-clock time in nanoseconds since the Unix epoch.
    WallTime
);

/// A 32-byte BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Wire for Digest {
    fn put(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut digest = [0; 32];
        digest.copy_from_slice(r.raw(32, "digest")?);
        Ok(Self(digest))
    }
}

/// The name of a space: 1 to 64 of `a-z A-Z 0-9 . _ -`, not beginning with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceName(String);

/// Why a text is no space name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no space name: 1 to 64 letters, digits, '.', '_' or '-', not beginning with '.' or '-'")]
pub struct BadSpaceName(pub String);

impl SpaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpaceName {
    type Err = BadSpaceName;

    fn from_str(text: &str) -> Result<Self, BadSpaceName> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let sized = (1..=64).contains(&text.len());
        if plain && sized && !text.starts_with(['.', '-']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSpaceName(text.to_owned()))
        }
    }
}

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for SpaceName {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        String::take(r)?.parse().map_err(|_| CodecError::NotCanonical { what: "space name", at })
    }
}

/// The name of a version of a space: as a space name, and beginning with a letter, so that it can be taken for neither a version nor a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagName(String);

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no tag: 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter")]
pub struct BadTagName(pub String);

impl TagName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TagName {
    type Err = BadTagName;

    fn from_str(text: &str) -> Result<Self, BadTagName> {
        let named = SpaceName::from_str(text).is_ok() && text.starts_with(|c: char| c.is_ascii_alphabetic());
        if named { Ok(Self(text.to_owned())) } else { Err(BadTagName(text.to_owned())) }
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for TagName {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        String::take(r)?.parse().map_err(|_| CodecError::NotCanonical { what: "tag name", at })
    }
}

/// An event of a run: `run@seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The run.
    pub run: RunId,
    /// The event's place in it.
    pub seq: Seq,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.run, self.seq)
    }
}
