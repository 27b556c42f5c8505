//! Sockets on which the server listens.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};

/// Listens at `HOST:PORT`, at all addresses that the host has. The sockets do not block.
pub fn bind(address: &str) -> io::Result<Vec<TcpListener>> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "it is no HOST:PORT");
    if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(invalid(()));
    }
    address.to_socket_addrs()?.map(listen).collect()
}

fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
