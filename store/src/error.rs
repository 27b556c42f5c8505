//! What can go wrong, per deed. Every text says what failed, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reel_abi::id::SpaceName;
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
trouble_from!(DatabaseError, TransactionError, TableError, StorageError, CommitError, SetDurabilityError);

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
