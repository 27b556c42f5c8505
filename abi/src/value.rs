//! A self-describing view of requests and replies, for people and for JSON. It is made for showing and never read back.

use crate::bytes::Bytes;
use crate::id::{RunId, SpaceName};
use crate::limits::LimitKind;
use crate::outcome::Outcome;

/// What a request or reply looks like from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing to say.
    Unit,
    /// Yes or no.
    Bool(bool),
    /// A count, size or number.
    Number(u64),
    /// A number that may be negative.
    Signed(i64),
    /// A handle of the guest.
    Handle(u32),
    /// Text.
    Text(String),
    /// A word of a fixed set (a flag, kind or code).
    Word(String),
    /// Nanoseconds since the Unix epoch.
    Time(u64),
    /// A length of time in nanoseconds.
    Duration(u64),
    /// Bytes that are here.
    Bytes(Vec<u8>),
    /// Bytes that are not here: how many, and their XXH3 or BLAKE3 digest in hexadecimal.
    Elsewhere {
        /// Bytes.
        len: u64,
        /// Digest.
        digest: String,
    },
    /// Several values.
    List(Vec<Value>),
    /// Named values.
    Record(Vec<(&'static str, Value)>),
    /// A failure the guest was told of.
    Failure(Box<Value>),
}

/// Gives the view.
pub trait Describe {
    /// The view of this value.
    fn describe(&self) -> Value;
}

impl Describe for () {
    fn describe(&self) -> Value {
        Value::Unit
    }
}

impl Describe for bool {
    fn describe(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Describe for u16 {
    fn describe(&self) -> Value {
        Value::Number(u64::from(*self))
    }
}

impl Describe for u32 {
    fn describe(&self) -> Value {
        Value::Number(u64::from(*self))
    }
}

impl Describe for u64 {
    fn describe(&self) -> Value {
        Value::Number(*self)
    }
}

impl Describe for i64 {
    fn describe(&self) -> Value {
        Value::Signed(*self)
    }
}

impl Describe for String {
    fn describe(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Describe for Bytes {
    fn describe(&self) -> Value {
        Value::Bytes(self.0.clone())
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(&self) -> Value {
        Value::List(self.iter().map(Describe::describe).collect())
    }
}

impl<T: Describe> Describe for Option<T> {
    fn describe(&self) -> Value {
        self.as_ref().map_or(Value::Word("none".into()), Describe::describe)
    }
}

impl<T: Describe, E: Describe> Describe for Result<T, E> {
    fn describe(&self) -> Value {
        match self {
            Ok(value) => value.describe(),
            Err(error) => Value::Failure(Box::new(error.describe())),
        }
    }
}

impl<A: Describe, B: Describe> Describe for (A, B) {
    fn describe(&self) -> Value {
        Value::List(vec![self.0.describe(), self.1.describe()])
    }
}

impl Describe for Outcome {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Describe for RunId {
    fn describe(&self) -> Value {
        Value::Number(self.0)
    }
}

impl Describe for SpaceName {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Describe for LimitKind {
    fn describe(&self) -> Value {
        Value::Word(self.name().to_owned())
    }
}
