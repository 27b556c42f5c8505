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
use crate::chain::Head;
use crate::committer::{Batch, Committer};
use crate::cuts;
use crate::error::{AppendError, ReadError};
use crate::queue::{Entry, Work};
use crate::spaces::pruned;
use crate::store::{Shared, Store};

/// Bytes of a deed in the queue, about.
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
        self.enqueue(Entry { work: history(deed), bytes: DEED_BYTES, ticket: 0, answer: Some(reply) })
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

impl Committer {
    /// Checks a deed and adds its item.
    pub(crate) fn stage_deed(&self, batch: &mut Batch, deed: Deed) -> Result<Answer, AppendError> {
        match deed {
            Deed::Fork { source, from, name, at } => {
                self.check_version(batch, &source, from)?;
                if let Some(head) = self.head(batch, &name)? {
                    return Err(AppendError::Exists { space: name, head });
                }
                let version = self.last(batch, &name)?.map_or(Version(0), |last| last.version.next());
                Ok(Answer::Head(self.open(batch, (name, version), (source, from), at)))
            }
            Deed::Rollback { space, expected, to, at } => {
                let head = self.living(batch, &space)?;
                if head != expected {
                    return Err(AppendError::Moved { space, expected, head });
                }
                self.check_version(batch, &space, to)?;
                let version = head.version.next();
                Ok(Answer::Head(self.open(batch, (space.clone(), version), (space, to), at)))
            }
            Deed::Remove { space, at } => {
                let head = self.living(batch, &space)?;
                batch.standing.heads.insert(space.clone(), None);
                batch.gone.insert(space.clone(), head);
                batch.push(LogItem::SpaceRemoved { space, at });
                Ok(Answer::Done)
            }
            Deed::SetTag { tag, space, head, at } => {
                self.check_version(batch, &space, head)?;
                batch.tags.insert(tag.clone(), true);
                batch.pinned = true;
                let Head { segment, version } = head;
                batch.push(LogItem::TagSet { tag, space, segment, version, at });
                Ok(Answer::Done)
            }
            Deed::RemoveTag { tag, at } => {
                let there = match batch.tags.get(&tag) {
                    Some(there) => *there,
                    None => self.shared.tag(&tag).map_err(|error| self.unreadable(error))?.is_some(),
                };
                if !there {
                    return Err(AppendError::NoSuchTag(tag));
                }
                batch.tags.insert(tag.clone(), false);
                batch.push(LogItem::TagRemoved { tag, at });
                Ok(Answer::Done)
            }
            Deed::Retain { retention, pins } => {
                if batch.pinned || self.shared.live.read().pins != pins {
                    return Ok(Answer::Again);
                }
                batch.retained = Some(retention.clone());
                batch.push(LogItem::Retained { retention });
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
        let segment = self.shared.live.write().take_segment();
        let opened = Head { segment, version };
        batch.standing.heads.insert(space.clone(), Some(opened));
        batch.pinned = true;
        let parent = (from.segment, from.version);
        batch.push(LogItem::Branched { space, segment, version, source, parent, at });
        opened
    }

    fn living(&self, batch: &mut Batch, space: &SpaceName) -> Result<Head, AppendError> {
        self.head(batch, space)?.ok_or_else(|| AppendError::NoSuchSpace(space.clone()))
    }

    /// Where a name stands, or stood when it was removed.
    fn last(&self, batch: &mut Batch, space: &SpaceName) -> Result<Option<Head>, AppendError> {
        if let Some(head) = self.head(batch, space)? {
            return Ok(Some(head));
        }
        match batch.gone.get(space) {
            Some(head) => Ok(Some(*head)),
            None => self.shared.last_head(space).map_err(|error| self.unreadable(error)),
        }
    }

    /// Refuses a head that is no version of the space.
    fn check_version(&self, batch: &Batch, space: &SpaceName, head: Head) -> Result<(), AppendError> {
        if let Some(retention) = &batch.retained
            && cuts::cut(retention, head.segment).is_some_and(|cut| cuts::is_gone(cut, head.version))
        {
            return Err(self.unreadable(pruned(format!("version {} of {space}", head.version), retention)));
        }
        self.shared.check_version(space, head).map_err(|error| match error {
            ReadError::NoSuchHead(head) => match self.shared.last_head(space) {
                Ok(Some(newest)) => {
                    AppendError::NoSuchVersion { space: space.clone(), head, newest: Some(newest.version) }
                }
                Ok(None) => AppendError::NoSuchSpace(space.clone()),
                Err(error) => self.unreadable(error),
            },
            other => self.unreadable(other),
        })
    }

    /// Something needed for deciding cannot be read.
    pub(crate) fn unreadable(&self, error: ReadError) -> AppendError {
        AppendError::unreadable(error, self.shared.state.path())
    }
}

impl Shared {
    /// [`ReadError::NoSuchHead`] unless the head is a version of the space, written in the log.
    pub(crate) fn check_version(&self, space: &SpaceName, head: Head) -> Result<(), ReadError> {
        if self.live.read().is_promised(head.segment) {
            return Err(ReadError::NoSuchHead(head));
        }
        match self.segment(head.segment)? {
            Some(segment) if segment.space == *space => self.chain(head).map(drop),
            _ => Err(ReadError::NoSuchHead(head)),
        }
    }
}
