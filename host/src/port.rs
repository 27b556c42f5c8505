//! Ports: all that lies outside of a guest and its space, as small traits in plain data.
//!
//! Nothing in here decides anything; who implements a port promises what its method says, and [`crate::gate`] alone decides when one
//! is called at all: in a replay, none is.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use reel_abi::faults::MsgFault;
use reel_abi::http::{Fields, HttpFault, RequestHead, RequestOptions, ResponseHead};
use reel_abi::id::SpaceName;
use reel_abi::net::{Family, NetCode, NetOption, Shutdown};
use reel_abi::record::HostChange;
use reel_abi::types::{DirEntry, FsCode, HostNode};

use crate::net::grants::Grants;

/// Time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch; may jump both ways.
    fn wall(&self) -> u64;
    /// Nanoseconds since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> u64;
    /// What moves it, if it does not go by itself.
    fn moved_by(&self) -> Option<&dyn MovesTime> {
        None
    }
}

/// A clock that stands still until it is moved, so that nobody waits for it.
pub trait MovesTime {
    /// Lets so many nanoseconds pass; `false` if they are more than may pass.
    fn skip(&self, nanos: u64) -> bool;
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

/// A request to others.
pub struct HttpCall {
    /// Its head, complete.
    pub head: RequestHead,
    /// Its body.
    pub body: Vec<u8>,
    /// Fields that follow the body.
    pub trailers: Fields,
    /// How long they may take.
    pub options: RequestOptions,
    /// What the guest may reach: names are no way around it.
    pub net: Grants,
}

/// An answer of others.
pub struct HttpReply {
    /// Its head.
    pub head: ResponseHead,
    /// Its body, as it comes.
    pub body: Box<dyn Input>,
}

/// HTTP to others.
pub trait HttpClient: Send + Sync {
    /// Sends it, again only if that is safe, and waits for the head of the answer.
    fn send(&self, call: HttpCall) -> Waiting<'static, Result<HttpReply, HttpFault>>;
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

/// The network. Whoever calls has made sure that it was granted, and that the log that explains it is durable.
pub trait Network: Send + Sync {
    /// A TCP socket, which does nothing yet.
    fn tcp(&self, family: Family) -> Result<Box<dyn TcpPort>, NetCode>;
    /// A UDP socket, which does nothing yet.
    fn udp(&self, family: Family) -> Result<Box<dyn UdpPort>, NetCode>;
    /// The addresses of a name. Keeps no thread of the caller; how many are under way at once is bounded.
    fn lookup(&self, name: &str) -> Waiting<'static, Result<Vec<IpAddr>, NetCode>>;
}

/// What all sockets have.
pub trait SocketPort: Send {
    /// Gives it an address of this machine.
    fn bind(&mut self, address: SocketAddr) -> Result<(), NetCode>;
    /// Its address.
    fn local_address(&self) -> Result<SocketAddr, NetCode>;
    /// The address of the other side.
    fn remote_address(&self) -> Result<SocketAddr, NetCode>;
    /// A setting.
    fn option(&self, option: NetOption) -> Result<u64, NetCode>;
    /// Changes a setting; what the system does not allow is brought into its bounds.
    fn set_option(&mut self, option: NetOption, to: u64) -> Result<(), NetCode>;
}

/// A TCP socket. What is polled wakes the last who has polled the same.
pub trait TcpPort: SocketPort {
    /// Begins to connect.
    fn connect(&mut self, address: SocketAddr) -> Result<(), NetCode>;
    /// Whether it is connected, once that is known.
    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NetCode>>;
    /// Begins to listen.
    fn listen(&mut self, backlog: u32) -> Result<(), NetCode>;
    /// The next connection.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<dyn TcpPort>, NetCode>>;
    /// At least one byte and at most `most`; none at the end.
    fn poll_read(&mut self, context: &mut Context<'_>, most: usize) -> Poll<Result<Vec<u8>, NetCode>>;
    /// Takes at least one of the bytes.
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, NetCode>>;
    /// Ends it in one direction or both.
    fn shutdown(&mut self, how: Shutdown) -> Result<(), NetCode>;
}

/// A UDP socket. What is polled wakes the last who has polled the same.
pub trait UdpPort: SocketPort {
    /// From here on it has to do with this address alone; with nothing, with all again.
    fn connect(&mut self, address: Option<SocketAddr>) -> Result<(), NetCode>;
    /// The next datagram.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(Vec<u8>, SocketAddr), NetCode>>;
    /// Sends a datagram, to the address it is connected to if there is none.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<Result<(), NetCode>>;
}

/// Who has subscribed to what.
pub trait Topics: Send + Sync {
    /// The spaces that get what a guest of `sender` sends to a topic, or what the guest is told instead. An error is one of the host.
    fn receivers(&self, topic: &str, sender: &SpaceName) -> Result<Result<Vec<SpaceName>, MsgFault>, String>;
}
