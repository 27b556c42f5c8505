//! The data of sockets: addresses, options and codes, named after `wasi:sockets`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::bytes::Bytes;
use crate::types::words;
use crate::value::{Describe, Value};
use crate::wire::{CodecError, Reader, Wire, Writer};
use crate::wire_struct;

words! {
    /// Why an operation on a socket failed (`wasi:sockets/network.error-code`).
    NetCode {
        0 Unknown "unknown", 1 AccessDenied "access-denied", 2 NotSupported "not-supported", 3 InvalidArgument "invalid-argument",
        4 OutOfMemory "out-of-memory", 5 Timeout "timeout", 6 ConcurrencyConflict "concurrency-conflict", 7 NotInProgress "not-in-progress",
        8 WouldBlock "would-block", 9 InvalidState "invalid-state", 10 NewSocketLimit "new-socket-limit",
        11 AddressNotBindable "address-not-bindable", 12 AddressInUse "address-in-use", 13 RemoteUnreachable "remote-unreachable",
        14 ConnectionRefused "connection-refused", 15 ConnectionReset "connection-reset", 16 ConnectionAborted "connection-aborted",
        17 DatagramTooLarge "datagram-too-large", 18 NameUnresolvable "name-unresolvable",
        19 TemporaryResolverFailure "temporary-resolver-failure", 20 PermanentResolverFailure "permanent-resolver-failure",
    }
}

words! {
    /// A family of addresses.
    Family { 4 Ipv4 "ipv4", 6 Ipv6 "ipv6" }
}

words! {
    /// A direction of a connection that is to end.
    Shutdown { 0 Receive "receive", 1 Send "send", 2 Both "both" }
}

words! {
    /// A setting of a socket; times in nanoseconds.
    NetOption {
        0 KeepAlive "keep-alive-enabled", 1 KeepAliveIdle "keep-alive-idle-time", 2 KeepAliveInterval "keep-alive-interval",
        3 KeepAliveCount "keep-alive-count", 4 HopLimit "hop-limit", 5 ReceiveBuffer "receive-buffer-size",
        6 SendBuffer "send-buffer-size", 7 Backlog "listen-backlog-size",
    }
}

words! {
    /// What of a socket is waited for.
    Side { 0 Whole "socket", 1 Input "input", 2 Output "output" }
}

/// An address without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetIp(pub IpAddr);

impl Wire for NetIp {
    fn put(&self, w: &mut Writer) {
        match self.0 {
            IpAddr::V4(four) => {
                w.u8(4);
                w.raw(&four.octets());
            }
            IpAddr::V6(six) => {
                w.u8(6);
                w.raw(&six.octets());
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match Family::take(r)? {
            Family::Ipv4 => {
                let mut octets = [0; 4];
                octets.copy_from_slice(r.raw(4, "address")?);
                Ok(Self(IpAddr::V4(Ipv4Addr::from(octets))))
            }
            Family::Ipv6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(r.raw(16, "address")?);
                Ok(Self(IpAddr::V6(Ipv6Addr::from(octets))))
            }
        }
    }
}

impl Describe for NetIp {
    fn describe(&self) -> Value {
        Value::Word(self.0.to_string())
    }
}

/// An address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetAddress(pub SocketAddr);

impl Wire for NetAddress {
    fn put(&self, w: &mut Writer) {
        NetIp(self.0.ip()).put(w);
        self.0.port().put(w);
        if let SocketAddr::V6(six) = self.0 {
            six.flowinfo().put(w);
            six.scope_id().put(w);
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let NetIp(ip) = NetIp::take(r)?;
        let port = u16::take(r)?;
        Ok(Self(match ip {
            IpAddr::V4(four) => SocketAddr::V4(SocketAddrV4::new(four, port)),
            IpAddr::V6(six) => SocketAddr::V6(SocketAddrV6::new(six, port, u32::take(r)?, u32::take(r)?)),
        }))
    }
}

impl Describe for NetAddress {
    fn describe(&self) -> Value {
        Value::Word(self.0.to_string())
    }
}

wire_struct! {
    /// A datagram that has come.
    pub struct Datagram {
        /// Who sent it.
        pub from: NetAddress,
        /// What it holds.
        pub data: Bytes,
    }
}

impl Describe for Datagram {
    fn describe(&self) -> Value {
        Value::Record(vec![("from", self.from.describe()), ("data", self.data.describe())])
    }
}
