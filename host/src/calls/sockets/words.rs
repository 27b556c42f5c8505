//! The words of `wasi:sockets/network`, both ways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use reel_abi::net::{Family, NetAddress, NetCode};

use crate::calls::bindings::wasi::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

/// A code for the guest.
pub fn code(code: NetCode) -> ErrorCode {
    match code {
        NetCode::Unknown => ErrorCode::Unknown,
        NetCode::AccessDenied => ErrorCode::AccessDenied,
        NetCode::NotSupported => ErrorCode::NotSupported,
        NetCode::InvalidArgument => ErrorCode::InvalidArgument,
        NetCode::OutOfMemory => ErrorCode::OutOfMemory,
        NetCode::Timeout => ErrorCode::Timeout,
        NetCode::ConcurrencyConflict => ErrorCode::ConcurrencyConflict,
        NetCode::NotInProgress => ErrorCode::NotInProgress,
        NetCode::WouldBlock => ErrorCode::WouldBlock,
        NetCode::InvalidState => ErrorCode::InvalidState,
        NetCode::NewSocketLimit => ErrorCode::NewSocketLimit,
        NetCode::AddressNotBindable => ErrorCode::AddressNotBindable,
        NetCode::AddressInUse => ErrorCode::AddressInUse,
        NetCode::RemoteUnreachable => ErrorCode::RemoteUnreachable,
        NetCode::ConnectionRefused => ErrorCode::ConnectionRefused,
        NetCode::ConnectionReset => ErrorCode::ConnectionReset,
        NetCode::ConnectionAborted => ErrorCode::ConnectionAborted,
        NetCode::DatagramTooLarge => ErrorCode::DatagramTooLarge,
        NetCode::NameUnresolvable => ErrorCode::NameUnresolvable,
        NetCode::TemporaryResolverFailure => ErrorCode::TemporaryResolverFailure,
        NetCode::PermanentResolverFailure => ErrorCode::PermanentResolverFailure,
    }
}

/// A family of the guest.
pub fn family(family: IpAddressFamily) -> Family {
    match family {
        IpAddressFamily::Ipv4 => Family::Ipv4,
        IpAddressFamily::Ipv6 => Family::Ipv6,
    }
}

/// A family for the guest.
pub fn family_word(family: Family) -> IpAddressFamily {
    match family {
        Family::Ipv4 => IpAddressFamily::Ipv4,
        Family::Ipv6 => IpAddressFamily::Ipv6,
    }
}

/// An address of the guest.
pub fn address(address: IpSocketAddress) -> NetAddress {
    NetAddress(match address {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
            SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
        }
        IpSocketAddress::Ipv6(six) => {
            let (a, b, c, d, e, f, g, h) = six.address;
            let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
            SocketAddr::V6(SocketAddrV6::new(ip, six.port, six.flow_info, six.scope_id))
        }
    })
}

/// An address for the guest.
pub fn address_word(NetAddress(address): NetAddress) -> IpSocketAddress {
    match address {
        SocketAddr::V4(four) => {
            let [a, b, c, d] = four.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: four.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(six) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: six.port(),
            flow_info: six.flowinfo(),
            address: segments(*six.ip()),
            scope_id: six.scope_id(),
        }),
    }
}

/// An address without a port, for the guest.
pub fn ip_word(ip: IpAddr) -> IpAddress {
    match ip {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(six) => IpAddress::Ipv6(segments(six)),
    }
}

fn segments(six: Ipv6Addr) -> (u16, u16, u16, u16, u16, u16, u16, u16) {
    let [a, b, c, d, e, f, g, h] = six.segments();
    (a, b, c, d, e, f, g, h)
}
