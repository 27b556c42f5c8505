//! The network of this machine: the only place that has real sockets.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use reel_abi::net::{Family, NetCode, NetOption, Shutdown};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;

use crate::port::{Network, SocketPort, TcpPort, UdpPort, Waiting};

/// Lookups of this process that are under way at once: each has a thread, and a server of names may never answer.
const LOOKUPS: usize = 16;

/// Addresses of one name.
const ADDRESSES: usize = 64;

/// Largest datagram.
const DATAGRAM_BYTES: usize = 65535;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The network of this machine.
#[derive(Debug, Clone, Copy)]
pub struct HostNetwork;

impl Network for HostNetwork {
    fn tcp(&self, family: Family) -> Result<Box<dyn TcpPort>, NetCode> {
        let socket = match family {
            Family::Ipv4 => TcpSocket::new_v4(),
            Family::Ipv6 => TcpSocket::new_v6(),
        };
        let socket = socket.map_err(|error| code(&error))?;
        if family == Family::Ipv6 {
            sockopt::set_ipv6_v6only(&socket, true).map_err(of_errno)?;
        }
        Ok(Box::new(Tcp { family, state: Tcps::Open(socket) }))
    }

    fn udp(&self, family: Family) -> Result<Box<dyn UdpPort>, NetCode> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let domain = if family == Family::Ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(domain, SocketType::DGRAM, flags, None).map_err(of_errno)?;
        if family == Family::Ipv6 {
            sockopt::set_ipv6_v6only(&socket, true).map_err(of_errno)?;
        }
        let socket = UdpSocket::from_std(socket.into()).map_err(|error| code(&error))?;
        Ok(Box::new(Udp { family, socket }))
    }

    fn lookup(&self, name: &str) -> Waiting<'static, Result<Vec<IpAddr>, NetCode>> {
        let (tell, told) = oneshot::channel();
        let place =
            UNDER_WAY.try_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < LOOKUPS).then_some(now + 1));
        if place.is_ok() {
            let name = name.to_owned();
            // A thread of its own, which nobody waits for at the end of the process.
            let begun = std::thread::Builder::new().name("lookup".into()).spawn(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
                let addresses = found.map(|found| found.map(|at| at.ip().to_canonical()).take(ADDRESSES).collect());
                drop(tell.send(addresses.map_err(|_| NetCode::NameUnresolvable)));
            });
            if begun.is_err() {
                UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Box::pin(async { told.await.unwrap_or(Err(NetCode::TemporaryResolverFailure)) })
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum Tcps {
    Open(TcpSocket),
    Connecting(Connecting),
    Stream(TcpStream),
    Listening(TcpListener),
    Gone,
}

struct Tcp {
    family: Family,
    state: Tcps,
}

impl Tcp {
    fn fd(&self) -> Result<BorrowedFd<'_>, NetCode> {
        match &self.state {
            Tcps::Open(socket) => Ok(socket.as_fd()),
            Tcps::Stream(stream) => Ok(stream.as_fd()),
            Tcps::Listening(listener) => Ok(listener.as_fd()),
            Tcps::Connecting(_) | Tcps::Gone => Err(NetCode::InvalidState),
        }
    }

    fn stream(&self) -> Result<&TcpStream, NetCode> {
        match &self.state {
            Tcps::Stream(stream) => Ok(stream),
            _ => Err(NetCode::InvalidState),
        }
    }
}

impl SocketPort for Tcp {
    fn bind(&mut self, address: SocketAddr) -> Result<(), NetCode> {
        let Tcps::Open(socket) = &self.state else { return Err(NetCode::InvalidState) };
        // By the specification; a server that is started again finds its port free.
        socket.set_reuseaddr(true).map_err(|error| code(&error))?;
        socket.bind(address).map_err(|error| code(&error))
    }

    fn local_address(&self) -> Result<SocketAddr, NetCode> {
        match &self.state {
            Tcps::Open(socket) => socket.local_addr(),
            Tcps::Stream(stream) => stream.local_addr(),
            Tcps::Listening(listener) => listener.local_addr(),
            Tcps::Connecting(_) | Tcps::Gone => return Err(NetCode::InvalidState),
        }
        .map_err(|error| code(&error))
    }

    fn remote_address(&self) -> Result<SocketAddr, NetCode> {
        self.stream()?.peer_addr().map_err(|error| code(&error))
    }

    fn option(&self, option: NetOption) -> Result<u64, NetCode> {
        get_option(self.fd()?, self.family, option)
    }

    fn set_option(&mut self, option: NetOption, to: u64) -> Result<(), NetCode> {
        match (&self.state, option) {
            (Tcps::Listening(listener), NetOption::Backlog) => {
                rustix::net::listen(listener, i32::try_from(to).unwrap_or(i32::MAX)).map_err(of_errno)
            }
            _ => set_option(self.fd()?, self.family, option, to),
        }
    }
}

impl TcpPort for Tcp {
    fn connect(&mut self, address: SocketAddr) -> Result<(), NetCode> {
        match std::mem::replace(&mut self.state, Tcps::Gone) {
            Tcps::Open(socket) => {
                self.state = Tcps::Connecting(Box::pin(socket.connect(address)));
                Ok(())
            }
            other => {
                self.state = other;
                Err(NetCode::InvalidState)
            }
        }
    }

    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NetCode>> {
        let Tcps::Connecting(connecting) = &mut self.state else { return Poll::Ready(Err(NetCode::InvalidState)) };
        let connected = ready!(connecting.as_mut().poll(context));
        self.state = Tcps::Gone;
        Poll::Ready(connected.map(|stream| self.state = Tcps::Stream(stream)).map_err(|error| code(&error)))
    }

    fn listen(&mut self, backlog: u32) -> Result<(), NetCode> {
        match std::mem::replace(&mut self.state, Tcps::Gone) {
            Tcps::Open(socket) => {
                self.state = Tcps::Listening(socket.listen(backlog).map_err(|error| code(&error))?);
                Ok(())
            }
            other => {
                self.state = other;
                Err(NetCode::InvalidState)
            }
        }
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<dyn TcpPort>, NetCode>> {
        let Tcps::Listening(listener) = &self.state else { return Poll::Ready(Err(NetCode::InvalidState)) };
        let family = self.family;
        let boxed = |(stream, _)| -> Box<dyn TcpPort> { Box::new(Tcp { family, state: Tcps::Stream(stream) }) };
        Poll::Ready(ready!(listener.poll_accept(context)).map(boxed).map_err(|error| match code(&error) {
            // What went wrong on the way of the one that was to be accepted.
            NetCode::ConnectionReset | NetCode::RemoteUnreachable | NetCode::NotSupported => NetCode::ConnectionAborted,
            code => code,
        }))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, most: usize) -> Poll<Result<Vec<u8>, NetCode>> {
        let Tcps::Stream(stream) = &mut self.state else { return Poll::Ready(Err(NetCode::InvalidState)) };
        let mut bytes = vec![0; most];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(tokio::io::AsyncRead::poll_read(Pin::new(stream), context, &mut buffer));
        let count = buffer.filled().len();
        bytes.truncate(count);
        Poll::Ready(read.map(|()| bytes).map_err(|error| code(&error)))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, NetCode>> {
        let Tcps::Stream(stream) = &mut self.state else { return Poll::Ready(Err(NetCode::InvalidState)) };
        let written = ready!(tokio::io::AsyncWrite::poll_write(Pin::new(stream), context, bytes));
        Poll::Ready(written.map_err(|error| code(&error)))
    }

    fn shutdown(&mut self, how: Shutdown) -> Result<(), NetCode> {
        let how = match how {
            Shutdown::Receive => rustix::net::Shutdown::Read,
            Shutdown::Send => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        rustix::net::shutdown(self.stream()?, how).map_err(of_errno)
    }
}

struct Udp {
    family: Family,
    socket: UdpSocket,
}

impl SocketPort for Udp {
    fn bind(&mut self, address: SocketAddr) -> Result<(), NetCode> {
        rustix::net::bind(&self.socket, &address).map_err(of_errno)
    }

    fn local_address(&self) -> Result<SocketAddr, NetCode> {
        self.socket.local_addr().map_err(|error| code(&error))
    }

    fn remote_address(&self) -> Result<SocketAddr, NetCode> {
        self.socket.peer_addr().map_err(|error| code(&error))
    }

    fn option(&self, option: NetOption) -> Result<u64, NetCode> {
        get_option(self.socket.as_fd(), self.family, option)
    }

    fn set_option(&mut self, option: NetOption, to: u64) -> Result<(), NetCode> {
        set_option(self.socket.as_fd(), self.family, option, to)
    }
}

impl UdpPort for Udp {
    fn connect(&mut self, address: Option<SocketAddr>) -> Result<(), NetCode> {
        let Some(address) = address else { return rustix::net::connect_unspec(&self.socket).map_err(of_errno) };
        match rustix::net::connect(&self.socket, &address) {
            // Linux wants a route of another interface to be asked for anew.
            Err(Errno::INVAL) => {
                let _ = rustix::net::connect_unspec(&self.socket);
                rustix::net::connect(&self.socket, &address).map_err(of_errno)
            }
            connected => connected.map_err(of_errno),
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(Vec<u8>, SocketAddr), NetCode>> {
        let mut bytes = vec![0; DATAGRAM_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        let received = ready!(self.socket.poll_recv_from(context, &mut buffer));
        let count = buffer.filled().len();
        bytes.truncate(count);
        bytes.shrink_to_fit();
        Poll::Ready(received.map(|from| (bytes, from)).map_err(|error| code(&error)))
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<Result<(), NetCode>> {
        let sent = match to {
            Some(to) => ready!(self.socket.poll_send_to(context, bytes, to)),
            None => ready!(self.socket.poll_send(context, bytes)),
        };
        Poll::Ready(sent.map(drop).map_err(|error| code(&error)))
    }
}

const SECOND: u64 = 1_000_000_000;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn get_option(fd: BorrowedFd<'_>, family: Family, option: NetOption) -> Result<u64, NetCode> {
    Ok(match option {
        NetOption::KeepAlive => u64::from(sockopt::socket_keepalive(fd).map_err(of_errno)?),
        NetOption::KeepAliveIdle => nanos(sockopt::tcp_keepidle(fd).map_err(of_errno)?),
        NetOption::KeepAliveInterval => nanos(sockopt::tcp_keepintvl(fd).map_err(of_errno)?),
        NetOption::KeepAliveCount => u64::from(sockopt::tcp_keepcnt(fd).map_err(of_errno)?),
        NetOption::HopLimit if family == Family::Ipv4 => u64::from(sockopt::ip_ttl(fd).map_err(of_errno)?),
        NetOption::HopLimit => u64::from(sockopt::ipv6_unicast_hops(fd).map_err(of_errno)?),
        // Linux doubles what is asked for, for its own use.
        NetOption::ReceiveBuffer => sockopt::socket_recv_buffer_size(fd).map_err(of_errno)? as u64 / 2,
        NetOption::SendBuffer => sockopt::socket_send_buffer_size(fd).map_err(of_errno)? as u64 / 2,
        NetOption::Backlog => return Err(NetCode::NotSupported),
    })
}

fn set_option(fd: BorrowedFd<'_>, family: Family, option: NetOption, to: u64) -> Result<(), NetCode> {
    // The bounds of Linux.
    let time = || Duration::from_nanos(to.clamp(SECOND, i16::MAX as u64 * SECOND));
    let size = || to.clamp(1, i32::MAX as u64) as usize;
    match option {
        NetOption::KeepAlive => sockopt::set_socket_keepalive(fd, to != 0),
        NetOption::KeepAliveIdle => sockopt::set_tcp_keepidle(fd, time()),
        NetOption::KeepAliveInterval => sockopt::set_tcp_keepintvl(fd, time()),
        NetOption::KeepAliveCount => sockopt::set_tcp_keepcnt(fd, to.clamp(1, i8::MAX as u64) as u32),
        NetOption::HopLimit if family == Family::Ipv4 => sockopt::set_ip_ttl(fd, to.min(255) as u32),
        NetOption::HopLimit => sockopt::set_ipv6_unicast_hops(fd, Some(to.min(255) as u8)),
        NetOption::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, size()),
        NetOption::SendBuffer => sockopt::set_socket_send_buffer_size(fd, size()),
        NetOption::Backlog => return Err(NetCode::NotSupported),
    }
    .map_err(of_errno)
}

fn code(error: &io::Error) -> NetCode {
    Errno::from_io_error(error).map_or(NetCode::Unknown, of_errno)
}

fn of_errno(errno: Errno) -> NetCode {
    match errno {
        Errno::PERM | Errno::ACCESS => NetCode::AccessDenied,
        Errno::ADDRINUSE => NetCode::AddressInUse,
        Errno::ADDRNOTAVAIL => NetCode::AddressNotBindable,
        Errno::TIMEDOUT => NetCode::Timeout,
        Errno::CONNREFUSED => NetCode::ConnectionRefused,
        Errno::CONNRESET => NetCode::ConnectionReset,
        Errno::CONNABORTED | Errno::PIPE => NetCode::ConnectionAborted,
        Errno::INVAL | Errno::AFNOSUPPORT => NetCode::InvalidArgument,
        Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::NETUNREACH | Errno::NONET => {
            NetCode::RemoteUnreachable
        }
        Errno::ISCONN | Errno::NOTCONN | Errno::DESTADDRREQ => NetCode::InvalidState,
        Errno::MSGSIZE => NetCode::DatagramTooLarge,
        Errno::NOMEM | Errno::NOBUFS => NetCode::OutOfMemory,
        Errno::MFILE | Errno::NFILE => NetCode::NewSocketLimit,
        Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT => NetCode::NotSupported,
        _ => NetCode::Unknown,
    }
}
