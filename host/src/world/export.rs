//! Writing a tree of files to the host, by cap-std: whatever names and links the tree has, nothing is written outside of its directory, and
//! nothing that is there already is touched.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

/// A directory that is being filled.
#[derive(Debug)]
pub struct NewDir {
    dir: Dir,
}

/// A file that is being filled.
#[derive(Debug)]
pub struct NewFile {
    file: std::fs::File,
}

impl NewDir {
    /// Makes the directory, with those above it; one that is there already must be empty.
    pub fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        match dir.entries()?.next() {
            None => Ok(Self { dir }),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
    }

    /// A new directory in it.
    pub fn dir(&self, name: &str) -> io::Result<Self> {
        self.dir.create_dir(name)?;
        self.dir.open_dir(name).map(|dir| Self { dir })
    }

    /// A new file in it.
    pub fn file(&self, name: &str) -> io::Result<NewFile> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        self.dir.open_with(name, &options).map(|file| NewFile { file: file.into_std() })
    }

    /// A new symbolic link in it.
    pub fn link(&self, name: &str, target: &str) -> io::Result<()> {
        self.dir.symlink(target, name)
    }
}

impl NewFile {
    /// Ends it, with its time of last modification in nanoseconds since 1970.
    pub fn finish(self, modified: u64) -> io::Result<()> {
        let modified = UNIX_EPOCH + Duration::from_nanos(modified);
        self.file.set_times(std::fs::FileTimes::new().set_modified(modified))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
