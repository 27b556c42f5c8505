//! The sockets of a guest, while it has them. Touches nothing real; that is behind [`crate::port`].
//!
//! ```text
//! guest writes ──> outbox ┃ the log is durable ┃ ──> released ──> the system
//!                        release                     pump
//! ```
//!
//! What a guest wants of others (a connection, bytes, a datagram, the end of a connection) is held back until [`table::Sockets::release`], which is called once
//! the events that tell of it are durable. In a replay there are no sockets: what became of them is in the log.

pub mod lookup;
pub mod table;
pub mod tcp;
pub mod udp;

use std::net::{IpAddr, SocketAddr};

use reel_abi::net::Family;

/// Whether a socket of this family can have to do with an address. IPv4 addresses that are written as IPv6 ones are none of IPv6.
fn is_of(family: Family, ip: IpAddr) -> bool {
    match (family, ip) {
        (Family::Ipv4, IpAddr::V4(_)) => true,
        (Family::Ipv6, IpAddr::V6(six)) => {
            let compatible = six.to_ipv4().is_some() && !six.is_loopback() && !six.is_unspecified();
            !compatible && six.to_ipv4_mapped().is_none()
        }
        _ => false,
    }
}

/// Whether an address stands for one place.
fn is_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => !four.is_multicast() && !four.is_broadcast(),
        IpAddr::V6(six) => !six.is_multicast(),
    }
}

/// Whether something can be sent to an address.
fn is_remote(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified()
}
