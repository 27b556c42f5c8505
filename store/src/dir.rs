//! The directory of a database: the only place that names files, makes them, and takes the lock.
//!
//! Directories are made with mode 0700 and files with 0600: a log holds all that guests ever saw. The lock is held by the
//! open lock file and ends with the process, however it ends; its text is only for the message to others.

#![allow(clippy::disallowed_methods, reason = "a database owns its directory")]

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reel_abi::id::{Digest, Position};

use crate::error::{Fault, OpenError, Trouble};

/// Of the lock file, no more is read for the message.
const OWNER_MAX_BYTES: u64 = 4096;

/// A database's directory, locked.
#[derive(Debug)]
pub(crate) struct Dir {
    root: PathBuf,
    _lock: File,
}

impl Dir {
    /// Locks the database in `root`; makes it first if `create`.
    pub(crate) fn open(root: &Path, owner: &str, create: bool) -> Result<Self, OpenError> {
        let failed = |file: &Path| {
            let file = file.to_owned();
            move |source: io::Error| OpenError::Io { file, source: Arc::new(source) }
        };
        let log = root.join("log");
        match log.metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(OpenError::Corrupt { file: log, what: "is not a directory".to_owned() }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) && !create => {
                return Err(OpenError::NotFound { dir: root.to_owned() });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                for dir in [root, &log, &root.join("cache")] {
                    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
                }
                sync_dir(root).map_err(failed(root))?;
            }
            Err(e) => return Err(failed(&log)(e)),
        }
        let path = root.join("lock");
        let mut lock = open_file(&path, true).map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                let _ = (&mut lock).take(OWNER_MAX_BYTES).read_to_end(&mut text);
                let owner = String::from_utf8_lossy(&text).trim().to_owned();
                return Err(OpenError::Locked { dir: root.to_owned(), owner });
            }
            Err(TryLockError::Error(e)) => return Err(failed(&path)(e)),
        }
        let write = |lock: &mut File| lock.set_len(0).and_then(|()| lock.write_all(owner.as_bytes()));
        write(&mut lock).map_err(failed(&path))?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the derived state.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.redb")
    }

    /// Path of the payloads.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs.redb")
    }

    /// Path of a log file.
    pub(crate) fn log(&self, number: u64) -> PathBuf {
        self.root.join("log").join(format!("{number:08}.redb"))
    }

    /// Path of the state that stands for the rows up to one.
    pub(crate) fn base(&self, row: Position) -> PathBuf {
        self.root.join("log").join(format!("{row:08}.base"))
    }

    /// Path of such a state while it is written.
    pub(crate) fn new_base(&self) -> PathBuf {
        self.root.join("log").join("new.base")
    }

    /// The states that may stand for rows that are gone, newest first.
    pub(crate) fn bases(&self) -> io::Result<Vec<(Position, PathBuf)>> {
        let mut bases = Vec::new();
        for entry in self.root.join("log").read_dir()? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".base"));
            let row: Option<u64> = name.and_then(|name| name.parse().ok());
            bases.extend(row.map(|row| (Position(row), path)));
        }
        bases.sort_unstable_by(|a, b| b.cmp(a));
        Ok(bases)
    }

    /// Removes such states, except the one that is needed.
    pub(crate) fn remove_bases(&self, needed: impl Fn(&Path) -> io::Result<bool>) -> Result<(), Fault> {
        let log = self.root.join("log");
        let remove_all = || -> io::Result<()> {
            remove(&self.new_base())?;
            for (_, path) in self.bases()? {
                if !needed(&path)? {
                    remove(&path)?;
                }
            }
            sync_dir(&log)
        };
        remove_all().map_err(|error| Trouble::Io(error).in_file(&log))
    }

    /// The numbers of the log files that exist, ascending. Other files in the directory are left alone.
    pub(crate) fn log_numbers(&self) -> Result<Vec<u64>, OpenError> {
        let path = self.root.join("log");
        let list = || -> io::Result<Vec<u64>> {
            let mut numbers = Vec::new();
            for entry in path.read_dir()? {
                let name = entry?.file_name();
                let number: Option<u64> =
                    name.to_str().and_then(|name| name.strip_suffix(".redb")).and_then(|n| n.parse().ok());
                numbers.extend(number);
            }
            numbers.sort_unstable();
            Ok(numbers)
        };
        list().map_err(|source| OpenError::Io { file: path.clone(), source: Arc::new(source) })
    }
}

/// Opens a file for reading and writing; makes it with mode 0600 if `create`.
pub(crate) fn open_file(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

/// Opens a file for reading only.
pub(crate) fn open_read_only(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Length of a file in bytes; `None` if there is none.
pub(crate) fn file_len(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(meta) => Ok(Some(meta.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The whole path of what is there, without links.
pub(crate) fn whole(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Digest of a file's bytes.
pub(crate) fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Gives a file another name, for good: both are durable on return.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Copies a file, and gives the copy its name when it is whole.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut new = to.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    remove(&new)?;
    io::copy(&mut File::open(from)?, &mut open_file(&new, true)?)?;
    rename(&new, to)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Renames a damaged file to `NAME.damaged-N`, N the first free number, and returns the new name.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let name = PathBuf::from(name);
        if file_len(&name)?.is_none() {
            std::fs::rename(path, &name)?;
            return Ok(name);
        }
    }
    Err(io::Error::other("no free name for the damaged file"))
}
