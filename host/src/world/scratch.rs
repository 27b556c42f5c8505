//! A directory for a while: only its owner can look into it, and it is gone when nobody needs it any more.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names that are tried.
const ATTEMPTS: usize = 16;

/// The directory.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new one, where the system has its temporary files.
    pub fn new() -> io::Result<Self> {
        let mut last = io::ErrorKind::AlreadyExists.into();
        for _ in 0..ATTEMPTS {
            let mut name = [0; 8];
            rustix::rand::getrandom(&mut name[..], rustix::rand::GetRandomFlags::empty())?;
            let path = std::env::temp_dir().join(format!("reel-{:016x}", u64::from_le_bytes(name)));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("removing {}: {error}", self.path.display());
        }
    }
}
