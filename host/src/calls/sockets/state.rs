//! What the handles of `wasi:sockets` name. The sockets themselves are in [`crate::sockets::table`], by the handle of each.

use reel_abi::net::{Family, NetCode};

use crate::gate::Halt;

/// The network.
#[derive(Debug, Clone, Copy)]
pub struct Network;

/// A TCP socket.
#[derive(Debug, Clone, Copy)]
pub struct TcpSocket {
    /// Which addresses it has.
    pub family: Family,
    /// Its streams that are open.
    pub streams: u32,
}

/// A UDP socket.
#[derive(Debug, Clone, Copy)]
pub struct UdpSocket {
    /// Which addresses it has.
    pub family: Family,
    /// Its streams that are open.
    pub streams: u32,
}

/// The addresses of a name.
#[derive(Debug, Clone)]
pub struct AddressStream {
    /// The name.
    pub name: String,
}

/// Datagrams that come.
#[derive(Debug, Clone, Copy)]
pub struct IncomingDatagrams {
    /// Handle of the socket.
    pub socket: u32,
}

/// Datagrams that go.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingDatagrams {
    /// Handle of the socket.
    pub socket: u32,
    /// How many may be sent, as the guest was told.
    pub permit: u64,
}

/// What an operation on a socket can fail with: the guest is told, or stopped.
#[derive(Debug)]
pub enum NetError {
    /// The guest is told.
    Code(NetCode),
    /// The guest is stopped.
    Halt(Halt),
}

impl From<Halt> for NetError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<NetCode> for NetError {
    fn from(code: NetCode) -> Self {
        Self::Code(code)
    }
}
