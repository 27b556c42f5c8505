//! The local socket on which a process serves others that want to read the database it has open.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest path of a socket in bytes (`sun_path` of `sockaddr_un`, without its final zero).
pub const PATH_MAX_BYTES: usize = 107;

/// A connection.
pub type Stream = UnixStream;

/// A socket that others can connect to. Its path goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, for this user only. Whatever lies there is replaced: the caller has made sure that nobody listens at it any more.
    pub fn bind(path: &Path) -> io::Result<Self> {
        check(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> io::Result<Stream> {
        self.listener.accept().map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until some bytes can be written without waiting, but not long; says whether they can.
pub fn takes(stream: &Stream) -> io::Result<bool> {
    let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the process at the other end is of this process's user, or the superuser's.
pub fn is_of_this_user(stream: &Stream) -> bool {
    let other = rustix::net::sockopt::socket_peercred(stream).map(|other| other.uid);
    other.is_ok_and(|other| other == rustix::process::geteuid() || other.is_root())
}

/// Connects to who listens at `path`.
pub fn connect(path: &Path) -> io::Result<Stream> {
    check(path)?;
    UnixStream::connect(path)
}

fn check(path: &Path) -> io::Result<()> {
    match path.as_os_str().len() {
        0..=PATH_MAX_BYTES => Ok(()),
        len => Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            format!("{} has {len} bytes, and the path of a socket may have {PATH_MAX_BYTES}", path.display()),
        )),
    }
}
