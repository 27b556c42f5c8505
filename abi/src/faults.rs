//! What key-value operations and transactions can tell a guest, and what a transaction reads.

use crate::bytes::Bytes;
use crate::id::{SegmentId, SpaceName, Version};
use crate::limits::{HEADER_BYTES, KEY_BYTES, LimitKind, MESSAGE_BYTES, MESSAGE_KEY_BYTES, TOPIC_BYTES, VALUE_BYTES};
use crate::types::Handle;
use crate::value::{Describe, Value};
use crate::{wire_enum, wire_struct};

wire_enum! {
    /// Why a key-value operation failed.
    pub enum KvFault {
        /// The bucket's name is empty or longer than [`crate::limits::BUCKET_NAME_BYTES`].
        1 => NoSuchStore,
        /// The key is longer than [`crate::limits::KEY_BYTES`].
        2 => KeyTooLong {
            /// Bytes.
            len: u64,
        },
        /// The value is longer than [`crate::limits::VALUE_BYTES`].
        3 => ValueTooLarge {
            /// Bytes.
            len: u64,
        },
        /// A bound is reached; the transaction can still commit what it has, or abort.
        4 => Quota {
            /// Which one.
            kind: LimitKind,
            /// Its value.
            limit: u64,
        },
        /// A key in the listing is no UTF-8 text, which the standard interface cannot show.
        5 => NotText {
            /// The key.
            key: Bytes,
        },
        /// The value that should be counted up is no decimal number.
        6 => NotANumber,
        /// The sum does not fit.
        7 => Overflow,
        /// The version is none of the space, or younger than the one that the transaction reads.
        8 => NoSuchVersion {
            /// What was asked for.
            version: u64,
        },
        /// The version was removed by retention.
        9 => Pruned {
            /// The policy and when.
            why: String,
        },
        /// A cursor that no listing gave.
        10 => BadCursor,
    }
}

impl std::fmt::Display for KvFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchStore => write!(f, "no such store"),
            Self::KeyTooLong { len } => write!(f, "a key of {len} bytes, at most {KEY_BYTES} are taken"),
            Self::ValueTooLarge { len } => write!(f, "a value of {len} bytes, at most {VALUE_BYTES} are taken"),
            Self::Quota { kind, limit } => write!(f, "quota exceeded: limit {kind} of {limit}{}", kind.unit()),
            Self::NotText { key } => write!(f, "the key {key:?} is no UTF-8 text"),
            Self::NotANumber => write!(f, "the value is no decimal number"),
            Self::Overflow => write!(f, "the sum does not fit"),
            Self::NoSuchVersion { version } => write!(f, "there is no version {version} to be read"),
            Self::Pruned { why } => write!(f, "the version was removed: {why}"),
            Self::BadCursor => write!(f, "no listing gave this cursor"),
        }
    }
}

impl Describe for KvFault {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

wire_enum! {
    /// Why a step of a transaction failed.
    pub enum TxnFault {
        /// Another transaction changed what this one had read. What it wrote is dropped, and it reads the newest version from now on.
        1 => Conflict,
        /// More savepoints than [`crate::limits::SAVEPOINTS`] at once.
        2 => TooManySavepoints,
        /// The savepoint was dropped by going back to an earlier one, or by a commit.
        3 => Gone,
    }
}

impl std::fmt::Display for TxnFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Conflict => "another transaction changed what this one had read",
            Self::TooManySavepoints => "too many savepoints",
            Self::Gone => "the savepoint is gone",
        })
    }
}

impl Describe for TxnFault {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

wire_enum! {
    /// Why a message cannot be sent.
    pub enum MsgFault {
        /// No guest has subscribed to the topic.
        1 => NoSubscriber,
        /// The topic's name is empty or longer than [`crate::limits::TOPIC_BYTES`].
        2 => BadTopic,
        /// The payload is longer than [`crate::limits::MESSAGE_BYTES`], the key than [`crate::limits::MESSAGE_KEY_BYTES`], or the headers are than
        /// [`crate::limits::HEADER_BYTES`].
        3 => TooLarge {
            /// Bytes of the payload.
            payload: u64,
            /// Bytes of the key.
            key: u64,
            /// Bytes of the headers.
            headers: u64,
        },
        /// A bound of the sender is reached; the transaction can still commit what it has, or abort.
        4 => Quota {
            /// Which one.
            kind: LimitKind,
            /// Its value.
            limit: u64,
        },
        /// As many messages lie with a receiver as its limit allows.
        5 => Full {
            /// The receiver.
            space: SpaceName,
        },
    }
}

impl std::fmt::Display for MsgFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSubscriber => write!(f, "no guest has subscribed to the topic"),
            Self::BadTopic => write!(f, "a topic has a name of 1 to {TOPIC_BYTES} bytes"),
            Self::TooLarge { payload, key, headers } => write!(
                f,
                "a message of {payload} bytes with a key of {key} and headers of {headers}, at most {MESSAGE_BYTES}, {MESSAGE_KEY_BYTES} and \
                 {HEADER_BYTES} are taken"
            ),
            Self::Quota { kind, limit } => write!(f, "quota exceeded: limit {kind} of {limit}{}", kind.unit()),
            Self::Full { space } => write!(f, "the queue of {space} is full"),
        }
    }
}

impl Describe for MsgFault {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

wire_enum! {
    /// Why a compare-and-swap did not happen.
    pub enum CasFault {
        /// The value was changed since; a new handle for the next try.
        1 => Changed {
            /// The handle.
            cas: Handle,
        },
        /// It could not be stored.
        2 => Store {
            /// Why.
            fault: KvFault,
        },
    }
}

impl Describe for CasFault {
    fn describe(&self) -> Value {
        match self {
            Self::Changed { cas } => Value::Record(vec![("changed", cas.describe())]),
            Self::Store { fault } => fault.describe(),
        }
    }
}

wire_struct! {
    /// What a transaction reads: the space at a version.
    pub struct Base {
        /// The segment that holds it.
        pub segment: SegmentId,
        /// The version.
        pub version: Version,
    }
}

impl Describe for Base {
    fn describe(&self) -> Value {
        Value::Record(vec![("segment", Value::Number(self.segment.0)), ("version", Value::Number(self.version.0))])
    }
}
