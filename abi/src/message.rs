//! Messages: what lies about them in the cells of the space that they were sent to.
//!
//! ```text
//! QUEUE  01 stamp:8 index:4         -> Message       is to be delivered, in this order
//! QUEUE  02 due:8 stamp:8 index:4   -> Message       is to be delivered then, and goes into the order then
//! QUEUE  03 stamp:8 index:4         -> Message       a dead letter: it was tried too often
//! QUEUE  (nothing)                  -> how many there are of all three
//! ```
//!
//! The stamp is the number of the commit by which the cell came to its place, the index counts within it (big endian numbers). The number is known to
//! the committer alone, who puts it where a writer has left [`STAMP`]: so those who send to one space need not read anything of it, do not get in each
//! other's way, and their messages still have the order of their commits, also in forks of the space.

use crate::bytes::Bytes;
use crate::id::{CommitNo, RunId, SpaceName, WallTime};
use crate::record::family;
use crate::trace::Trace;
use crate::types::words;
use crate::value::{Describe, Value};
use crate::wire::{CodecError, Reader, Wire, Writer};
use crate::wire_struct;

/// What stands in a key until the commit has its number. No commit has this one, and no place is behind it.
pub const STAMP: CommitNo = CommitNo(u64::MAX);

/// Bytes of a place: stamp and index.
const ID_BYTES: usize = 12;

const READY: u8 = 1;
const WAITING: u8 = 2;
const DEAD: u8 = 3;

wire_struct! {
    /// By which commit a message was sent, and which of it it was.
    #[derive(Copy, PartialOrd, Ord)]
    pub struct MessageId {
        /// The commit.
        pub commit: CommitNo,
        /// Counts within it.
        pub index: u32,
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.commit.0, self.index)
    }
}

impl std::str::FromStr for MessageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(commit, index)| Some((commit.parse().ok()?, index.parse().ok()?)));
        let (commit, index) = parts.ok_or_else(|| format!("{text:?} is no id of a message: write it as in 17-0"))?;
        Ok(Self { commit: CommitNo(commit), index })
    }
}

impl Describe for MessageId {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

/// Where a message lies in the queue of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It is to be delivered.
    Ready(MessageId),
    /// It is to be delivered at a time.
    Waiting(WallTime, MessageId),
    /// It was tried too often.
    Dead(MessageId),
}

impl Place {
    /// The key of its cell.
    pub fn key(self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + 8 + ID_BYTES);
        let id = match self {
            Self::Ready(id) => {
                key.push(READY);
                id
            }
            Self::Waiting(due, id) => {
                key.push(WAITING);
                key.extend_from_slice(&due.0.to_be_bytes());
                id
            }
            Self::Dead(id) => {
                key.push(DEAD);
                id
            }
        };
        key.extend_from_slice(&id.commit.0.to_be_bytes());
        key.extend_from_slice(&id.index.to_be_bytes());
        key
    }

    /// The place that a key names; nothing for the count and for what is no key of a message.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let (state, rest) = key.split_first()?;
        let (before, id) = rest.split_at_checked(rest.len().checked_sub(ID_BYTES)?)?;
        let (commit, index) = id.split_first_chunk::<8>()?;
        let index = u32::from_be_bytes(index.try_into().ok()?);
        let id = MessageId { commit: CommitNo(u64::from_be_bytes(*commit)), index };
        match (state, before) {
            (&READY, []) => Some(Self::Ready(id)),
            (&WAITING, due) => Some(Self::Waiting(WallTime(u64::from_be_bytes(due.try_into().ok()?)), id)),
            (&DEAD, []) => Some(Self::Dead(id)),
            _ => None,
        }
    }

    /// The commit by which it came here, and its place in it.
    pub fn id(self) -> MessageId {
        match self {
            Self::Ready(id) | Self::Waiting(_, id) | Self::Dead(id) => id,
        }
    }

    /// Where the messages of this state begin and end.
    pub fn range(self) -> (Vec<u8>, Vec<u8>) {
        let state = self.key()[0];
        (vec![state], vec![state + 1])
    }
}

/// Puts the number of the commit into a key that waits for it.
pub fn stamp(family: u8, key: &mut [u8], commit: CommitNo) {
    if family != family::QUEUE || key.len() <= ID_BYTES {
        return;
    }
    let at = key.len() - ID_BYTES;
    let place = &mut key[at..at + 8];
    if *place == STAMP.0.to_be_bytes() {
        place.copy_from_slice(&commit.0.to_be_bytes());
    }
}

wire_struct! {
    /// A message.
    pub struct Message {
        /// What it is about: it goes to those who have subscribed to that.
        pub topic: String,
        /// Messages of one topic and key are delivered in their order; those without one in any.
        pub key: Option<Bytes>,
        /// What it says.
        pub payload: Bytes,
        /// What goes with it.
        pub headers: Vec<(String, String)>,
        /// The space that it was sent from.
        pub sender: SpaceName,
        /// The run that sent it.
        pub run: RunId,
        /// Wall-clock time of that.
        pub sent: WallTime,
        /// Not to be delivered before.
        pub due: WallTime,
        /// How often its delivery has failed.
        pub attempts: u32,
        /// Why, the last time.
        pub error: Option<String>,
        /// Its id, if it has left the place at which it was sent.
        pub id: Option<MessageId>,
        /// The trace that it was sent in, caused by the run that sent it.
        pub trace: Option<Trace>,
    }
}

wire_struct! {
    /// That a guest wants the messages of a topic.
    pub struct Subscription {
        /// The topic.
        pub topic: String,
        /// The exported function that takes them: `interface#function`.
        pub function: String,
        /// How often one is tried before it is a dead letter.
        pub attempts: u32,
    }
}

words! {
    /// A part of a message in a guest's hands.
    MsgPart { 0 Topic "topic", 1 ContentType "content-type", 2 Data "data", 3 Metadata "metadata" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_keys_in_their_order() {
        let id = |commit, index| MessageId { commit: CommitNo(commit), index };
        let places = [
            Place::Ready(id(1, 0)),
            Place::Ready(id(1, 1)),
            Place::Ready(id(300, 0)),
            Place::Ready(MessageId { commit: STAMP, index: 0 }),
            Place::Waiting(WallTime(5), id(400, 0)),
            Place::Waiting(WallTime(300), id(2, 7)),
            Place::Dead(id(1, 0)),
        ];
        assert!(places.map(Place::key).is_sorted());
        for place in places {
            let mut key = place.key();
            assert_eq!(Place::parse(&key), Some(place));
            stamp(family::KEY_VALUE, &mut key, CommitNo(9));
            assert_eq!(Place::parse(&key), Some(place), "only messages are stamped");
            stamp(family::QUEUE, &mut key, CommitNo(9));
            let stamped = if place.id().commit == STAMP { CommitNo(9) } else { place.id().commit };
            assert_eq!(Place::parse(&key).map(Place::id), Some(MessageId { commit: stamped, ..place.id() }));
        }
        for odd in [&b""[..], b"\x01", b"\x04aaaaaaaabbbb", b"\x01xaaaaaaaabbbb", &[255; 40]] {
            assert_eq!(Place::parse(odd), None);
            stamp(family::QUEUE, &mut odd.to_vec(), CommitNo(1));
        }
        assert_eq!("17-3".parse(), Ok(id(17, 3)));
        assert!("17".parse::<MessageId>().is_err());
    }
}
