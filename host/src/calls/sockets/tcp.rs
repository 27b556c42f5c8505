//! `wasi:sockets/tcp` and `tcp-create-socket`.

use reel_abi::net::{Family, NetOption, Shutdown, Side};
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::{
    NetFamily, TcpAccept, TcpBind, TcpConnect, TcpCreate, TcpFinishBind, TcpFinishConnect, TcpFinishListen,
    TcpIsListening, TcpListen, TcpShutdown,
};
use wasmtime::component::Resource;

use super::network::{expect, narrow, refuse_used};
use super::state::{NetError, Network, TcpSocket};
use super::words::{address, address_word, family, family_word};
use crate::calls::bindings::wasi::sockets::network::{IpAddressFamily, IpSocketAddress};
use crate::calls::bindings::wasi::sockets::{tcp, tcp_create_socket};
use crate::calls::handles::{number, own};
use crate::calls::session::{InputStream, OutputStream, Pollable, Session};
use crate::gate::Halt;

type Tcp = Resource<TcpSocket>;
type NetResult<T> = Result<T, NetError>;
type Streams = (Resource<InputStream>, Resource<OutputStream>);

impl tcp_create_socket::Host for Session {
    fn create_tcp_socket(&mut self, of: IpAddressFamily) -> NetResult<Tcp> {
        let family = family(of);
        let (sockets, grants, [next]) = (&mut self.sockets, &self.setup.net, self.handles.upcoming());
        let call = TcpCreate { family };
        let reply = self.gate.pass(call, |_, _| Ok(sockets.create_tcp(next.0, family, grants).map(|()| next)))??;
        let handle = self.handles.push(TcpSocket { family, streams: 0 })?;
        expect(handle, reply)?;
        Ok(own(handle))
    }
}

impl Session {
    /// The streams of a connection, which an event has named.
    fn streams_of(&mut self, socket: Handle, (input, output): (Handle, Handle)) -> Result<Streams, Halt> {
        let made = self.handles.push(InputStream::Socket { socket: socket.0 })?;
        expect(made, input)?;
        let made = self.handles.push(OutputStream::Socket { socket: socket.0, permit: 0 })?;
        expect(made, output)?;
        self.handles.get_mut::<TcpSocket>(&own(socket))?.streams = 2;
        Ok((own(input), own(output)))
    }
}

impl tcp::Host for Session {}

impl tcp::HostTcpSocket for Session {
    async fn start_bind(&mut self, socket: Tcp, network: Resource<Network>, local: IpSocketAddress) -> NetResult<()> {
        // A socket that was dropped may still have the address.
        self.release_sockets().await?;
        self.handles.get(&network)?;
        let local = address(local);
        let granted = self.may_bind(local);
        let sockets = &mut self.sockets;
        let call = TcpBind { socket: number(&socket), address: local };
        Ok(self
            .gate
            .pass(call, |_, call| Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.bind(call.address.0, granted))))??)
    }

    fn finish_bind(&mut self, socket: Tcp) -> NetResult<()> {
        let sockets = &mut self.sockets;
        let call = TcpFinishBind { socket: number(&socket) };
        Ok(self.gate.pass(call, |_, call| Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.finish_bind())))??)
    }

    fn start_connect(&mut self, socket: Tcp, network: Resource<Network>, remote: IpSocketAddress) -> NetResult<()> {
        self.handles.get(&network)?;
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = TcpConnect { socket: number(&socket), address: address(remote) };
        Ok(self.gate.pass(call, |_, call| {
            let granted = sockets.may_reach(call.address.0, grants);
            Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.connect(call.address.0, granted)))
        })??)
    }

    async fn finish_connect(&mut self, socket: Tcp) -> NetResult<Streams> {
        self.release_sockets().await?;
        let (sockets, [input, output]) = (&mut self.sockets, self.handles.upcoming());
        let call = TcpFinishConnect { socket: number(&socket) };
        let reply = self.gate.pass(call, |_, call| {
            Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.finish_connect()).map(|()| (input, output)))
        })??;
        Ok(self.streams_of(number(&socket), reply)?)
    }

    fn start_listen(&mut self, socket: Tcp) -> NetResult<()> {
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = TcpListen { socket: number(&socket) };
        Ok(self.gate.pass(call, |_, call| Ok(sockets.listen(call.socket.0, grants)))??)
    }

    async fn finish_listen(&mut self, socket: Tcp) -> NetResult<()> {
        self.release_sockets().await?;
        let sockets = &mut self.sockets;
        let call = TcpFinishListen { socket: number(&socket) };
        Ok(self.gate.pass(call, |_, call| Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.finish_listen())))??)
    }

    async fn accept(&mut self, socket: Tcp) -> NetResult<(Tcp, Resource<InputStream>, Resource<OutputStream>)> {
        self.release_sockets().await?;
        let family = self.handles.get(&socket)?.family;
        let (sockets, [next, input, output]) = (&mut self.sockets, self.handles.upcoming());
        let call = TcpAccept { socket: number(&socket) };
        let (accepted, streams) = self
            .gate
            .pass(call, |_, call| Ok(sockets.accept(call.socket.0, next.0).map(|()| (next, (input, output)))))??;
        let handle = self.handles.push(TcpSocket { family, streams: 2 })?;
        expect(handle, accepted)?;
        let (input, output) = self.streams_of(accepted, streams)?;
        Ok((own(accepted), input, output))
    }

    fn local_address(&mut self, socket: Tcp) -> NetResult<IpSocketAddress> {
        self.net_local_address(number(&socket)).map(address_word)
    }

    fn remote_address(&mut self, socket: Tcp) -> NetResult<IpSocketAddress> {
        self.net_remote_address(number(&socket)).map(address_word)
    }

    fn is_listening(&mut self, socket: Tcp) -> wasmtime::Result<bool> {
        let sockets = &mut self.sockets;
        let call = TcpIsListening { socket: number(&socket) };
        Ok(self.gate.pass(call, |_, call| Ok(sockets.tcp(call.socket.0).is_ok_and(|tcp| tcp.is_listening())))?)
    }

    fn address_family(&mut self, socket: Tcp) -> wasmtime::Result<IpAddressFamily> {
        let family: Family = self.handles.get(&socket)?.family;
        Ok(family_word(self.gate.pass(NetFamily { socket: number(&socket) }, |_, _| Ok(family))?))
    }

    fn set_listen_backlog_size(&mut self, socket: Tcp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::Backlog, value)
    }

    fn keep_alive_enabled(&mut self, socket: Tcp) -> NetResult<bool> {
        self.net_option(number(&socket), NetOption::KeepAlive).map(|value| value != 0)
    }

    fn set_keep_alive_enabled(&mut self, socket: Tcp, value: bool) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::KeepAlive, u64::from(value))
    }

    fn keep_alive_idle_time(&mut self, socket: Tcp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::KeepAliveIdle)
    }

    fn set_keep_alive_idle_time(&mut self, socket: Tcp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::KeepAliveIdle, value)
    }

    fn keep_alive_interval(&mut self, socket: Tcp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::KeepAliveInterval)
    }

    fn set_keep_alive_interval(&mut self, socket: Tcp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::KeepAliveInterval, value)
    }

    fn keep_alive_count(&mut self, socket: Tcp) -> NetResult<u32> {
        self.net_option(number(&socket), NetOption::KeepAliveCount).and_then(narrow)
    }

    fn set_keep_alive_count(&mut self, socket: Tcp, value: u32) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::KeepAliveCount, u64::from(value))
    }

    fn hop_limit(&mut self, socket: Tcp) -> NetResult<u8> {
        self.net_option(number(&socket), NetOption::HopLimit).and_then(narrow)
    }

    fn set_hop_limit(&mut self, socket: Tcp, value: u8) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::HopLimit, u64::from(value))
    }

    fn receive_buffer_size(&mut self, socket: Tcp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::ReceiveBuffer)
    }

    fn set_receive_buffer_size(&mut self, socket: Tcp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::ReceiveBuffer, value)
    }

    fn send_buffer_size(&mut self, socket: Tcp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::SendBuffer)
    }

    fn set_send_buffer_size(&mut self, socket: Tcp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::SendBuffer, value)
    }

    fn subscribe(&mut self, socket: Tcp) -> wasmtime::Result<Resource<Pollable>> {
        self.net_subscribe(number(&socket), Side::Whole)
    }

    fn shutdown(&mut self, socket: Tcp, how: tcp::ShutdownType) -> NetResult<()> {
        let how = match how {
            tcp::ShutdownType::Receive => Shutdown::Receive,
            tcp::ShutdownType::Send => Shutdown::Send,
            tcp::ShutdownType::Both => Shutdown::Both,
        };
        let sockets = &mut self.sockets;
        let call = TcpShutdown { socket: number(&socket), how };
        Ok(self.gate.pass(call, |_, call| Ok(sockets.tcp(call.socket.0).and_then(|tcp| tcp.shutdown(how))))??)
    }

    fn drop(&mut self, socket: Tcp) -> wasmtime::Result<()> {
        if !self.handles.restoring {
            refuse_used(self.handles.get(&socket)?.streams, "TCP socket is dropped")?;
            self.sockets.drop(socket.rep());
        }
        self.drop_handle(Kind::TcpSocket, &socket)
    }
}
