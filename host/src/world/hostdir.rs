//! Host directories, by cap-std: no path given to it can leave the directory, whatever links lie in it or are put there meanwhile.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, FileTypeExt, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use reel_abi::record::HostChange;
use reel_abi::types::{DirEntry, FsCode, HostNode, NodeKind, WallReading};

use crate::port::HostDir;

/// A file that is being flushed, until it takes its name. One flush at a time uses it in each directory.
const ASIDE: &str = ".reel-flush~";

/// Bytes of a file copied at a time.
const COPY_BYTES: usize = 64 << 10;

/// Longest listing, in bytes of its names; it must fit an event.
const LIST_BYTES: usize = 32 << 20;

/// A directory that was granted.
#[derive(Debug)]
pub struct GrantedDir {
    dir: Dir,
}

impl GrantedDir {
    /// Opens the directory; the one place where a path of the host becomes an authority.
    pub fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(|dir| Self { dir })
    }
}

fn here(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn nanos(seconds: i64, rest: i64) -> WallReading {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    WallReading(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX - 1))
}

fn kind(ty: FileType) -> NodeKind {
    match ty {
        _ if ty.is_dir() => NodeKind::Directory,
        _ if ty.is_file() => NodeKind::File,
        _ if ty.is_symlink() => NodeKind::Symlink,
        _ if ty.is_block_device() => NodeKind::BlockDevice,
        _ if ty.is_char_device() => NodeKind::CharacterDevice,
        _ if ty.is_fifo() => NodeKind::Fifo,
        _ if ty.is_socket() => NodeKind::Socket,
        _ => NodeKind::Unknown,
    }
}

fn node(meta: &Metadata, target: String) -> HostNode {
    HostNode {
        kind: kind(meta.file_type()),
        size: meta.len(),
        accessed: nanos(meta.atime(), meta.atime_nsec()),
        modified: nanos(meta.mtime(), meta.mtime_nsec()),
        target,
    }
}

fn code(error: &io::Error) -> FsCode {
    use io::ErrorKind as K;
    match error.kind() {
        K::NotFound => FsCode::NoEntry,
        K::PermissionDenied => FsCode::Access,
        K::NotADirectory => FsCode::NotDirectory,
        K::IsADirectory => FsCode::IsDirectory,
        K::InvalidFilename => FsCode::NameTooLong,
        _ => FsCode::Io,
    }
}

impl HostDir for GrantedDir {
    fn stat(&self, path: &str) -> Result<HostNode, FsCode> {
        let meta = self.dir.symlink_metadata(here(path)).map_err(|e| code(&e))?;
        let target = if meta.is_symlink() {
            let target = self.dir.read_link_contents(here(path)).map_err(|e| code(&e))?;
            target.into_os_string().into_string().map_err(|_| FsCode::IllegalByteSequence)?
        } else {
            String::new()
        };
        Ok(node(&meta, target))
    }

    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FsCode> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        for entry in self.dir.read_dir(here(path)).map_err(|e| code(&e))? {
            let entry = entry.map_err(|e| code(&e))?;
            let name = entry.file_name().into_string().map_err(|_| FsCode::IllegalByteSequence)?;
            bytes += name.len() + 8;
            if bytes > LIST_BYTES {
                return Err(FsCode::Overflow);
            }
            names.push(DirEntry { kind: kind(entry.file_type().map_err(|e| code(&e))?), name });
        }
        names.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(names)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>, FsCode> {
        // Not blocking: the path may have become a named pipe since it was looked at.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        let file = self.dir.open_with(here(path), &options).map_err(|e| code(&e))?;
        if !file.metadata().map_err(|e| code(&e))?.is_file() {
            return Err(FsCode::NotPermitted);
        }
        Ok(Box::new(file))
    }

    fn sync(&self) -> io::Result<()> {
        // One call for all that was changed; files are not synced one by one, since nobody is told before this.
        // The handle itself may be one that only names the directory.
        use rustix::fs::{Mode, OFlags, openat, syncfs};
        let dir = openat(&self.dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(syncfs(dir)?)
    }

    fn apply(&self, change: &HostChange, content: &mut dyn Read) -> io::Result<()> {
        match change {
            HostChange::Absent { path } => self.remove(path),
            HostChange::Directory { path } => match self.dir.create_dir(path) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && self.dir.symlink_metadata(path)?.is_dir() =>
                {
                    Ok(())
                }
                other => other,
            },
            HostChange::Symlink { path, target } => {
                self.remove(path)?;
                self.dir.symlink_contents(target, path)
            }
            HostChange::Link { path, to } => {
                self.remove(path)?;
                self.dir.hard_link(to, &self.dir, path)
            }
            HostChange::File { path, modified, .. } => {
                let aside = match path.rsplit_once('/') {
                    Some((dir, _)) => format!("{dir}/{ASIDE}"),
                    None => ASIDE.to_owned(),
                };
                self.remove(&aside)?;
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                let mut file = self.dir.open_with(&aside, &options)?;
                if let Err(error) = copy_sparse(content, &mut file) {
                    drop(file);
                    self.remove(&aside)?;
                    return Err(error);
                }
                let std = file.into_std();
                if let Some(before) = permissions(self.dir.symlink_metadata(path)) {
                    std.set_permissions(before)?;
                }
                if let Some(time) = modified {
                    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(time.0);
                    std.set_times(std::fs::FileTimes::new().set_modified(time))?;
                }
                self.dir.rename(&aside, &self.dir, path)
            }
        }
    }
}

impl GrantedDir {
    /// Whether somebody has given the path other content since then. Both times must say so: the one of content can be set to anything, the
    /// one of metadata moves with permissions too. A directory's times move with what is in it, and say nothing.
    pub fn is_newer(&self, path: &str, since: u64) -> bool {
        let Ok(meta) = self.dir.symlink_metadata(here(path)) else { return false };
        let (content, metadata) = (nanos(meta.mtime(), meta.mtime_nsec()), nanos(meta.ctime(), meta.ctime_nsec()));
        !meta.is_dir() && content.0 > since && metadata.0 > since
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let removed = match self.dir.symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => self.dir.remove_dir(path),
            Ok(_) => self.dir.remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Something that the run did not know of has been put there since: it is not ours to remove.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }
}

/// Copies to the end, and leaves holes where there are only zeros.
fn copy_sparse(content: &mut dyn Read, file: &mut cap_std::fs::File) -> io::Result<()> {
    let (mut buffer, mut len) = (vec![0; COPY_BYTES], 0u64);
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return file.set_len(len);
        }
        let bytes = &buffer[..count];
        match bytes.iter().all(|&byte| byte == 0) {
            true => drop(file.seek(SeekFrom::Current(count as i64))?),
            false => file.write_all(bytes)?,
        }
        len += count as u64;
    }
}

/// The permissions of a path that is a regular file.
fn permissions(meta: io::Result<Metadata>) -> Option<std::fs::Permissions> {
    let meta = meta.ok().filter(Metadata::is_file)?;
    Some(std::os::unix::fs::PermissionsExt::from_mode(meta.mode() & 0o7777))
}
