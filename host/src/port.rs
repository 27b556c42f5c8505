//! Ports: all that lies outside of a guest and its space, as small traits in plain data.
//!
//! Nothing in here decides anything; who implements a port promises what its method says, and [`crate::gate`] alone decides when one
//! is called at all: in a replay, none is.

use std::future::Future;
use std::io;
use std::pin::Pin;

use reel_abi::record::HostChange;
use reel_abi::types::{DirEntry, FsCode, HostNode};

/// Time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch; may jump both ways.
    fn wall(&self) -> u64;
    /// Nanoseconds since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> u64;
}

/// Chance.
pub trait Entropy: Send {
    /// Fills the buffer with bytes fit for keys.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()>;
}

/// A future that a port returns.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Standard input.
pub trait Input: Send {
    /// Waits until bytes are there or the end is known.
    fn ready(&mut self) -> Waiting<'_, ()>;
    /// Whether bytes are there, or the end is known, now.
    fn is_ready(&mut self) -> bool;
    /// Up to `max` of the bytes that are there now, never waiting. `None` is the end.
    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>>;
    /// Whether a person types.
    fn is_terminal(&self) -> bool;
}

/// Standard output or error.
pub trait Output: Send {
    /// Shows the bytes, in order, at once. Where nobody takes them, `patience` is asked now and then; when it says no, the rest is not shown and
    /// the error is of kind `TimedOut`.
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()>;
    /// Whether a person reads.
    fn is_terminal(&self) -> bool;
}

/// A directory of the host. Paths are relative, with `/`, without `.` or `..`; the empty path is the directory itself. No method follows
/// a symbolic link in the last component, and none leaves the directory by any other.
pub trait HostDir: Send {
    /// What the path is.
    fn stat(&self, path: &str) -> Result<HostNode, FsCode>;
    /// The names in a directory, sorted by bytes.
    fn list(&self, path: &str) -> Result<Vec<DirEntry>, FsCode>;
    /// A regular file, to be read from its beginning.
    fn open(&self, path: &str) -> Result<Box<dyn io::Read>, FsCode>;
    /// Makes a path be what the change says; doing it twice is doing it once. `content` gives the bytes of a file.
    fn apply(&self, change: &HostChange, content: &mut dyn io::Read) -> io::Result<()>;
    /// Returns when all that was applied is on disk.
    fn sync(&self) -> io::Result<()>;
}
