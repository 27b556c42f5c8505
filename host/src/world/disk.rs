//! Files of the host that are Reel's own business: binaries to run, compiled code, exports.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// All bytes of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// All bytes of a file, unless it is no regular file or longer than `max`.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if meta.len() > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} bytes, at most {max} are read", meta.len()),
        ));
    }
    fs::read(path)
}

/// All bytes of a file, a pipe or the like, unless they are more than `max`.
pub fn read_stream(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} bytes"))),
        false => Ok(bytes),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    if let Some(dir) = path.parent() {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// A file that was not there before.
pub fn create_new(path: &Path) -> io::Result<impl Write> {
    Ok(io::BufWriter::new(fs::OpenOptions::new().write(true).create_new(true).open(path)?))
}

/// Whether this process may make files in a directory.
pub fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// Whether this process may look at what is in a directory.
pub fn is_readable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// Whether the path is a directory.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Whether the path is a file.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}
