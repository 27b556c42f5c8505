//! Forks, rollbacks, removals and tags: what changes names, and never a cell.
//!
//! ```text
//! orders:   1 - 2 - 3 - 4 - 5                         orders stands at 5
//!                    \          rollback(orders, to 3)
//!                     6                               orders@6 shows what orders@3 showed; orders@5 still shows what it did
//!            \                  fork(orders@2, trial)
//!             trial@0                                 trial@0 shows what orders@2 showed
//! ```
//!
//! Each is one item of the log, whatever the size of the space. A removed name goes on counting when it is made again, so
//! that a name and a version never mean two things.

use reel_abi::id::{SpaceName, TagName, Version, WallTime};
use reel_abi::record::{LogItem, Retention};

use crate::answer::{Answer, Reply};
use crate::batch::Batch;
use crate::chain::Head;
use crate::error::{AppendError, ReadError};
use crate::pending::Reach;
use crate::sequencer::{Tell, Work};
use crate::store::{Shared, Store};

/// Bytes of a deed in a batch, about.
const DEED_BYTES: usize = 256;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Deed {
    Fork {
        source: SpaceName,
        from: Head,
        name: SpaceName,
        at: WallTime,
    },
    Rollback {
        space: SpaceName,
        expected: Head,
        to: Head,
        at: WallTime,
    },
    Remove {
        space: SpaceName,
        at: WallTime,
    },
    SetTag {
        tag: TagName,
        space: SpaceName,
        head: Head,
        at: WallTime,
    },
    RemoveTag {
        tag: TagName,
        at: WallTime,
    },
    /// With the number of forks, rollbacks and tags that it was decided on.
    Retain {
        retention: Retention,
        pins: u64,
    },
}

impl Store {
    /// Makes the space `name`, equal to `source` at `from` and sharing its storage; returns where it stands. Durable on return.
    /// `source` may be a removed name: its versions stay.
    pub fn fork(&self, source: &SpaceName, from: Head, name: &SpaceName, at: WallTime) -> Result<Head, AppendError> {
        self.branch(Deed::Fork { source: source.clone(), from, name: name.clone(), at })
    }

    /// Like [`Store::fork`], but `then` gets the answer, on the committer's thread: it must be quick, and must not wait for
    /// another append. It is called unless this returns an error, and called once.
    pub fn fork_then(
        &self,
        source: &SpaceName,
        from: Head,
        name: &SpaceName,
        at: WallTime,
        then: impl FnOnce(Result<Head, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let deed = Deed::Fork { source: source.clone(), from, name: name.clone(), at };
        let reply = Reply::call(|answer| then(answer.and_then(Answer::head)));
        self.place(history(deed), DEED_BYTES, Tell::Later(reply)).map(drop)
    }

    /// Adds a version to a space, equal to its version `to`, if it still stands at `expected`. Durable on return. It can itself
    /// be rolled back.
    pub fn rollback(&self, space: &SpaceName, expected: Head, to: Head, at: WallTime) -> Result<Head, AppendError> {
        self.branch(Deed::Rollback { space: space.clone(), expected, to, at })
    }

    /// Gives up the name of a space. What was forked from it, its history and its tags stay. Durable on return.
    pub fn remove_space(&self, space: &SpaceName, at: WallTime) -> Result<(), AppendError> {
        self.ask(history(Deed::Remove { space: space.clone(), at }), DEED_BYTES).map(drop)
    }

    /// Gives a version of a space a name, which may be one of another version so far. Durable on return.
    pub fn set_tag(&self, tag: &TagName, space: &SpaceName, head: Head, at: WallTime) -> Result<(), AppendError> {
        let deed = Deed::SetTag { tag: tag.clone(), space: space.clone(), head, at };
        self.ask(history(deed), DEED_BYTES).map(drop)
    }

    /// Gives up a tag. Durable on return.
    pub fn remove_tag(&self, tag: &TagName, at: WallTime) -> Result<(), AppendError> {
        self.ask(history(Deed::RemoveTag { tag: tag.clone(), at }), DEED_BYTES).map(drop)
    }

    /// Writes down what a retention removes; [`Answer::Again`] if a fork, rollback or tag came between.
    pub(crate) fn log_retention(&self, retention: Retention, pins: u64) -> Result<Answer, AppendError> {
        let bytes = DEED_BYTES + retention.segments.iter().map(|cut| 16 + 8 * cut.kept.len()).sum::<usize>();
        self.ask(history(Deed::Retain { retention, pins }), bytes)
    }

    fn branch(&self, deed: Deed) -> Result<Head, AppendError> {
        self.ask(history(deed), DEED_BYTES)?.head()
    }
}

fn history(deed: Deed) -> Work {
    Work::History(Box::new(deed))
}

impl Shared {
    /// Checks a deed and adds its item.
    pub(crate) fn stage_deed(&self, batch: &mut Batch, deed: Deed) -> Result<Answer, AppendError> {
        match deed {
            Deed::Fork { source, from, name, at } => {
                self.check_version_of(&source, from)?;
                if let Some(head) = self.standing_head(batch, &name)? {
                    return Err(AppendError::Exists { space: name, head });
                }
                let last = self.last_head(&name, Reach::Ordered).map_err(|error| self.unreadable(error))?;
                let version = last.map_or(Version(0), |last| last.version.next());
                Ok(Answer::Head(self.open(batch, (name, version), (source, from), at)))
            }
            Deed::Rollback { space, expected, to, at } => {
                let head = self.living(batch, &space)?;
                if head != expected {
                    return Err(AppendError::Moved { space, expected, head });
                }
                self.check_version_of(&space, to)?;
                let version = head.version.next();
                Ok(Answer::Head(self.open(batch, (space.clone(), version), (space, to), at)))
            }
            Deed::Remove { space, at } => {
                self.living(batch, &space)?;
                batch.standing.heads.insert(space.clone(), None);
                self.push(batch, LogItem::SpaceRemoved { space, at });
                Ok(Answer::Done)
            }
            Deed::SetTag { tag, space, head, at } => {
                self.check_version_of(&space, head)?;
                let Head { segment, version } = head;
                self.push(batch, LogItem::TagSet { tag, space, segment, version, at });
                Ok(Answer::Done)
            }
            Deed::RemoveTag { tag, at } => {
                if self.tag(&tag, Reach::Ordered).map_err(|error| self.unreadable(error))?.is_none() {
                    return Err(AppendError::NoSuchTag(tag));
                }
                self.push(batch, LogItem::TagRemoved { tag, at });
                Ok(Answer::Done)
            }
            Deed::Retain { retention, pins } => {
                if self.memory(Reach::Ordered).pins() != pins {
                    return Ok(Answer::Again);
                }
                self.push(batch, LogItem::Retained { retention });
                Ok(Answer::Done)
            }
        }
    }

    /// Puts a space on a new segment.
    fn open(
        &self,
        batch: &mut Batch,
        (space, version): (SpaceName, Version),
        (source, from): (SpaceName, Head),
        at: WallTime,
    ) -> Head {
        let segment = self.live.write().take_segment();
        let opened = Head { segment, version };
        batch.standing.heads.insert(space.clone(), Some(opened));
        let parent = (from.segment, from.version);
        self.push(batch, LogItem::Branched { space, segment, version, source, parent, at });
        opened
    }

    fn living(&self, batch: &mut Batch, space: &SpaceName) -> Result<Head, AppendError> {
        self.standing_head(batch, space)?.ok_or_else(|| AppendError::NoSuchSpace(space.clone()))
    }

    /// Refuses a head that is no version of the space.
    fn check_version_of(&self, space: &SpaceName, head: Head) -> Result<(), AppendError> {
        self.check_version(space, head, Reach::Ordered).map_err(|error| match error {
            ReadError::NoSuchHead(head) => match self.last_head(space, Reach::Ordered) {
                Ok(Some(newest)) => {
                    AppendError::NoSuchVersion { space: space.clone(), head, newest: Some(newest.version) }
                }
                Ok(None) => AppendError::NoSuchSpace(space.clone()),
                Err(error) => self.unreadable(error),
            },
            other => self.unreadable(other),
        })
    }

    /// [`ReadError::NoSuchHead`] unless the head is a version of the space, written in the log or ordered.
    fn check_version(&self, space: &SpaceName, head: Head, reach: Reach) -> Result<(), ReadError> {
        if self.memory(reach).is_promised(head.segment) {
            return Err(ReadError::NoSuchHead(head));
        }
        match self.segment(head.segment, reach)? {
            Some(segment) if segment.space == *space => self.chain(head, reach).map(drop),
            _ => Err(ReadError::NoSuchHead(head)),
        }
    }
}
