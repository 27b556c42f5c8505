//! What can go wrong, per deed. Every text says what failed, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reel_abi::id::{SpaceName, TagName, Version, WallTime};
use reel_abi::wire::CodecError;
use thiserror::Error;

use crate::chain::{ChainError, Head};

/// Why a database cannot be opened.
#[derive(Debug, Clone, Error)]
pub enum OpenError {
    /// There is none.
    #[error("no database in {}", .dir.display())]
    NotFound {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the database {} is in use by another process ({owner}); wait for it to end or stop it", .dir.display())]
    Locked {
        /// The database.
        dir: PathBuf,
        /// What the other process says of itself.
        owner: String,
    },
    /// A later Reel wrote it.
    #[error(
        "{} has format {found}, this build reads up to {known}; use a newer reel",
        .file.display()
    )]
    Newer {
        /// The file that says so.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this build knows.
        known: u32,
    },
    /// The log is damaged.
    #[error("{} is damaged: {what}; restore it from a copy", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot open {}: {source}", .file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// Its reason.
        source: Arc<io::Error>,
    },
}

/// Why something cannot be read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    /// A file is damaged.
    #[error("{} is damaged: {what}; `reel verify` tells how far", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot read {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Its reason.
        source: Arc<io::Error>,
    },
    /// The segment or version asked for does not exist.
    #[error("no version {} in segment {} of this database", .0.version, .0.segment)]
    NoSuchHead(Head),
    /// Retention removed it.
    #[error("{what} is gone: the retention {policy:?} of {} removed it", moment(*.at))]
    Pruned {
        /// What is gone.
        what: String,
        /// Why, in the words of whoever asked for it.
        policy: String,
        /// When.
        at: WallTime,
    },
    /// The chain of parents makes no sense.
    #[error("the history of forks is damaged: {0}")]
    Chain(#[from] ChainError),
}

/// Why something was not appended. Except after [`AppendError::Io`] and [`AppendError::Corrupt`] nothing of it is in the log.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// Another transaction committed to the space first.
    #[error("space {space} moved on from version {} while the transaction was open: {what}", .base.version)]
    Conflict {
        /// The space.
        space: SpaceName,
        /// What the transaction had read.
        base: Head,
        /// What is there now.
        head: Option<Head>,
        /// Which read was overtaken, and by what.
        what: String,
    },
    /// There is no space of that name.
    #[error("no space named {0}; `reel spaces` lists those that there are")]
    NoSuchSpace(SpaceName),
    /// A space cannot be made under a name that one has.
    #[error("there is a space named {space} already, at version {}; choose another name, or remove it first", .head.version)]
    Exists {
        /// The name.
        space: SpaceName,
        /// Where it stands.
        head: Head,
    },
    /// The space has no such version.
    #[error(
        "{space} has no version {}{}",
        .head.version,
        .newest.map_or(String::new(), |newest| format!("; its newest is {newest}"))
    )]
    NoSuchVersion {
        /// The space.
        space: SpaceName,
        /// What was asked for.
        head: Head,
        /// Its newest version.
        newest: Option<Version>,
    },
    /// The space does not stand where it was expected to.
    #[error("space {space} went on from version {} to {} meanwhile; look at it and decide again", .expected.version, .head.version)]
    Moved {
        /// The space.
        space: SpaceName,
        /// Where it was expected.
        expected: Head,
        /// Where it stands.
        head: Head,
    },
    /// There is no tag of that name.
    #[error("no tag named {0}; `reel tag` lists those that there are")]
    NoSuchTag(TagName),
    /// Retention removed what it needs.
    #[error("{what} is gone: the retention {policy:?} of {} removed it", moment(*.at))]
    Pruned {
        /// What is gone.
        what: String,
        /// Why, in the words of whoever asked for it.
        policy: String,
        /// When.
        at: WallTime,
    },
    /// The submission breaks a rule of the log.
    #[error("not a valid submission: {0}")]
    Invalid(&'static str),
    /// Writing or syncing failed; what became of the submission is only known after the database is opened again.
    #[error("cannot write {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The reason of the operating system.
        source: Arc<io::Error>,
    },
    /// A file is damaged.
    #[error("cannot write {}, it is damaged: {what}", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An earlier write failed, and nothing is accepted after it until the database is opened again.
    #[error("the database accepts nothing more since an earlier write failed ({0}); open it again")]
    Refused(Arc<str>),
}

impl AppendError {
    /// Something needed for writing cannot be read; `file` is the one to blame if the error names none.
    pub(crate) fn unreadable(error: ReadError, file: &Path) -> Self {
        match error {
            ReadError::Io { file, source } => Self::Io { file, source },
            ReadError::Corrupt { file, what } => Self::Corrupt { file, what },
            ReadError::Pruned { what, policy, at } => Self::Pruned { what, policy, at },
            other => Self::Corrupt { file: file.to_owned(), what: other.to_string() },
        }
    }
}

/// A moment for people: `2026-11-22T23:51:32Z`.
fn moment(at: WallTime) -> String {
    let seconds = at.0 / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march_based = (5 * of_year + 2) / 153;
    let (of_month, month) = (of_year - (153 * march_based + 2) / 5 + 1, (march_based + 2) % 12 + 1);
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What went wrong inside one file, before anyone says which.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The bytes are wrong.
    Corrupt(String),
    /// The operating system refused.
    Io(io::Error),
    /// A later format.
    Newer(u32),
}

/// What went wrong in which file.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) file: PathBuf,
    pub(crate) kind: FaultKind,
}

/// A [`Trouble`] that can be told to many.
#[derive(Debug, Clone)]
pub(crate) enum FaultKind {
    Corrupt(String),
    Io(Arc<io::Error>),
    Newer(u32),
}

impl Trouble {
    pub(crate) fn in_file(self, file: &Path) -> Fault {
        let kind = match self {
            Self::Corrupt(what) => FaultKind::Corrupt(what),
            Self::Io(error) => FaultKind::Io(Arc::new(error)),
            Self::Newer(found) => FaultKind::Newer(found),
        };
        Fault { file: file.to_owned(), kind }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        match error {
            // redb says so of a file that is no database, or ends too early.
            redb::Error::Io(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Self::Corrupt(e.to_string())
            }
            redb::Error::Io(e) => Self::Io(e),
            redb::Error::PreviousIo
            | redb::Error::DatabaseAlreadyOpen
            | redb::Error::DatabaseClosed
            | redb::Error::Unsupported
            | redb::Error::Backend(_) => Self::Io(io::Error::other(error.to_string())),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

macro_rules! trouble_from {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Self {
                Self::from(redb::Error::from(error))
            }
        }
    )*};
}
trouble_from!(
    CompactionError,
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError,
    SetDurabilityError
);

impl From<CodecError> for Trouble {
    fn from(error: CodecError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    /// What went wrong, without the file.
    pub(crate) fn reason(&self) -> String {
        match &self.kind {
            FaultKind::Corrupt(what) => what.clone(),
            FaultKind::Io(error) => error.to_string(),
            FaultKind::Newer(found) => format!("has the newer format {found}"),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason())
    }
}

impl From<Fault> for OpenError {
    fn from(Fault { file, kind }: Fault) -> Self {
        match kind {
            FaultKind::Corrupt(what) => Self::Corrupt { file, what },
            FaultKind::Io(source) => Self::Io { file, source },
            FaultKind::Newer(found) => Self::Newer { file, found, known: reel_abi::FORMAT },
        }
    }
}

impl From<Fault> for ReadError {
    fn from(Fault { file, kind }: Fault) -> Self {
        match kind {
            FaultKind::Corrupt(what) => Self::Corrupt { file, what },
            FaultKind::Io(source) => Self::Io { file, source },
            FaultKind::Newer(found) => Self::Corrupt { file, what: format!("has the newer format {found}") },
        }
    }
}

impl From<Fault> for AppendError {
    fn from(Fault { file, kind }: Fault) -> Self {
        match kind {
            FaultKind::Corrupt(what) => Self::Corrupt { file, what },
            FaultKind::Io(source) => Self::Io { file, source },
            FaultKind::Newer(found) => Self::Corrupt { file, what: format!("has the newer format {found}") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_write_them() {
        let at = |seconds: u64| moment(WallTime(seconds * 1_000_000_000));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
        assert!(moment(WallTime(u64::MAX)).starts_with("2554-"));
    }
}
