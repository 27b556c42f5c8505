//! `wasi:sockets/udp` and `udp-create-socket`.

use reel_abi::net::{Datagram, Family, NetAddress, NetCode, NetOption, Side};
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::{
    NetFamily, UdpBind, UdpCheckSend, UdpCreate, UdpFinishBind, UdpReceive, UdpSend, UdpStream,
};
use wasmtime::component::Resource;

use super::network::{expect, narrow, refuse_used};
use super::state::{IncomingDatagrams, NetError, Network, OutgoingDatagrams, UdpSocket};
use super::words::{address, address_word, family, family_word};
use crate::calls::bindings::wasi::sockets::network::{IpAddressFamily, IpSocketAddress};
use crate::calls::bindings::wasi::sockets::{udp, udp_create_socket};
use crate::calls::handles::{number, own};
use crate::calls::session::{Pollable, Session};
use crate::gate::Halt;
use crate::sockets::udp::DATAGRAMS;

type Udp = Resource<UdpSocket>;
type NetResult<T> = Result<T, NetError>;

impl udp_create_socket::Host for Session {
    fn create_udp_socket(&mut self, of: IpAddressFamily) -> NetResult<Udp> {
        let family = family(of);
        let (sockets, grants, [next]) = (&mut self.sockets, &self.setup.net, self.handles.upcoming());
        let call = UdpCreate { family };
        let reply = self.gate.pass(call, |_, _| Ok(sockets.create_udp(next.0, family, grants).map(|()| next)))??;
        let handle = self.handles.push(UdpSocket { family, streams: 0 })?;
        expect(handle, reply)?;
        Ok(own(handle))
    }
}

impl Session {
    /// A stream of datagrams is dropped; its socket knows.
    fn leave_udp(&mut self, socket: u32) {
        if let Ok(udp) = self.handles.get_mut::<UdpSocket>(&own(Handle(socket))) {
            udp.streams = udp.streams.saturating_sub(1);
        }
    }
}

impl udp::Host for Session {}

impl udp::HostUdpSocket for Session {
    async fn start_bind(&mut self, socket: Udp, network: Resource<Network>, local: IpSocketAddress) -> NetResult<()> {
        // A socket that was dropped may still have the address.
        self.release_sockets().await?;
        self.handles.get(&network)?;
        let local = address(local);
        let granted = self.may_bind(local);
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = UdpBind { socket: number(&socket), address: local };
        Ok(self.gate.pass(call, |_, call| {
            let listens = grants.may_listen(call.address.0);
            Ok(sockets.udp(call.socket.0, grants).and_then(|(udp, _)| udp.bind(call.address.0, granted, listens)))
        })??)
    }

    fn finish_bind(&mut self, socket: Udp) -> NetResult<()> {
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = UdpFinishBind { socket: number(&socket) };
        Ok(self
            .gate
            .pass(call, |_, call| Ok(sockets.udp(call.socket.0, grants).and_then(|(udp, _)| udp.finish_bind())))??)
    }

    fn stream(
        &mut self,
        socket: Udp,
        remote: Option<IpSocketAddress>,
    ) -> NetResult<(Resource<IncomingDatagrams>, Resource<OutgoingDatagrams>)> {
        refuse_used(self.handles.get(&socket)?.streams, "UDP socket is asked for streams")?;
        let (sockets, grants, [input, output]) = (&mut self.sockets, &self.setup.net, self.handles.upcoming());
        let call = UdpStream { socket: number(&socket), remote: remote.map(address) };
        let reply = self.gate.pass(call, |_, call| {
            let remote = call.remote.map(|NetAddress(remote)| remote);
            let connected = sockets.udp(call.socket.0, grants).and_then(|(udp, reaches)| udp.connect(remote, &reaches));
            Ok(connected.map(|()| (input, output)))
        })??;
        let input = self.handles.push(IncomingDatagrams { socket: socket.rep() })?;
        expect(input, reply.0)?;
        let output = self.handles.push(OutgoingDatagrams { socket: socket.rep(), permit: 0 })?;
        expect(output, reply.1)?;
        self.handles.get_mut(&socket)?.streams = 2;
        Ok((own(input), own(output)))
    }

    fn local_address(&mut self, socket: Udp) -> NetResult<IpSocketAddress> {
        self.net_local_address(number(&socket)).map(address_word)
    }

    fn remote_address(&mut self, socket: Udp) -> NetResult<IpSocketAddress> {
        self.net_remote_address(number(&socket)).map(address_word)
    }

    fn address_family(&mut self, socket: Udp) -> wasmtime::Result<IpAddressFamily> {
        let family: Family = self.handles.get(&socket)?.family;
        Ok(family_word(self.gate.pass(NetFamily { socket: number(&socket) }, |_, _| Ok(family))?))
    }

    fn unicast_hop_limit(&mut self, socket: Udp) -> NetResult<u8> {
        self.net_option(number(&socket), NetOption::HopLimit).and_then(narrow)
    }

    fn set_unicast_hop_limit(&mut self, socket: Udp, value: u8) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::HopLimit, u64::from(value))
    }

    fn receive_buffer_size(&mut self, socket: Udp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::ReceiveBuffer)
    }

    fn set_receive_buffer_size(&mut self, socket: Udp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::ReceiveBuffer, value)
    }

    fn send_buffer_size(&mut self, socket: Udp) -> NetResult<u64> {
        self.net_option(number(&socket), NetOption::SendBuffer)
    }

    fn set_send_buffer_size(&mut self, socket: Udp, value: u64) -> NetResult<()> {
        self.set_net_option(number(&socket), NetOption::SendBuffer, value)
    }

    fn subscribe(&mut self, socket: Udp) -> wasmtime::Result<Resource<Pollable>> {
        self.net_subscribe(number(&socket), Side::Whole)
    }

    fn drop(&mut self, socket: Udp) -> wasmtime::Result<()> {
        if !self.handles.restoring {
            refuse_used(self.handles.get(&socket)?.streams, "UDP socket is dropped")?;
            self.sockets.drop(socket.rep());
        }
        self.drop_handle(Kind::UdpSocket, &socket)
    }
}

impl udp::HostIncomingDatagramStream for Session {
    async fn receive(
        &mut self,
        stream: Resource<IncomingDatagrams>,
        most: u64,
    ) -> NetResult<Vec<udp::IncomingDatagram>> {
        self.release_sockets().await?;
        let socket = self.handles.get(&stream)?.socket;
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = UdpReceive { stream: number(&stream), most };
        let received = self.gate.pass(call, |_, _| {
            let came = sockets.udp(socket, grants).and_then(|(udp, reaches)| udp.receive(most, &reaches));
            let datagram = |(data, from): (Vec<u8>, _)| Datagram { from: NetAddress(from), data: data.into() };
            Ok(came.map(|came| came.into_iter().map(datagram).collect()))
        })??;
        let word = |Datagram { from, data }| udp::IncomingDatagram { data: data.0, remote_address: address_word(from) };
        Ok(received.into_iter().map(word).collect())
    }

    fn subscribe(&mut self, stream: Resource<IncomingDatagrams>) -> wasmtime::Result<Resource<Pollable>> {
        let socket = self.handles.get(&stream)?.socket;
        self.net_subscribe(Handle(socket), Side::Input)
    }

    fn drop(&mut self, stream: Resource<IncomingDatagrams>) -> wasmtime::Result<()> {
        if !self.handles.restoring {
            let socket = self.handles.get(&stream)?.socket;
            self.leave_udp(socket);
        }
        self.drop_handle(Kind::IncomingDatagrams, &stream)
    }
}

impl udp::HostOutgoingDatagramStream for Session {
    async fn check_send(&mut self, stream: Resource<OutgoingDatagrams>) -> NetResult<u64> {
        self.release_sockets().await?;
        let socket = self.handles.get(&stream)?.socket;
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = UdpCheckSend { stream: number(&stream) };
        let room = self.gate.pass(call, |_, _| Ok(sockets.udp(socket, grants).and_then(|(udp, _)| udp.room())))?;
        let room = room.map(|room| room.min(DATAGRAMS as u64));
        self.handles.get_mut(&stream)?.permit = room.unwrap_or(0);
        Ok(room?)
    }

    fn send(&mut self, stream: Resource<OutgoingDatagrams>, datagrams: Vec<udp::OutgoingDatagram>) -> NetResult<u64> {
        let OutgoingDatagrams { socket, permit } = *self.handles.get(&stream)?;
        if datagrams.len() as u64 > permit {
            return Err(Halt::Trap(format!("{} datagrams where {permit} are permitted", datagrams.len())).into());
        }
        if !datagrams.is_empty() {
            self.handles.get_mut(&stream)?.permit = 0;
        }
        let bytes: usize = datagrams.iter().map(|datagram| datagram.data.len()).sum();
        self.gate.count_written(bytes as u64)?;
        let mut named = Vec::new();
        for datagram in &datagrams {
            named.push((self.gate.payload(&datagram.data), datagram.remote_address.map(address)));
        }
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let call = UdpSend { stream: number(&stream), datagrams: named };
        Ok(self.gate.pass(call, |_, call| {
            let (udp, reaches) = match sockets.udp(socket, grants) {
                Ok(found) => found,
                Err(code) => return Ok(Err(code)),
            };
            let mut count = 0;
            for (datagram, (_, to)) in datagrams.into_iter().zip(&call.datagrams) {
                let taken: Result<(), NetCode> = udp.send(datagram.data, to.map(|NetAddress(to)| to), &reaches);
                match taken {
                    Ok(()) => count += 1,
                    Err(code) if count == 0 => return Ok(Err(code)),
                    Err(_) => break,
                }
            }
            Ok(Ok(count))
        })??)
    }

    fn subscribe(&mut self, stream: Resource<OutgoingDatagrams>) -> wasmtime::Result<Resource<Pollable>> {
        let socket = self.handles.get(&stream)?.socket;
        self.net_subscribe(Handle(socket), Side::Output)
    }

    fn drop(&mut self, stream: Resource<OutgoingDatagrams>) -> wasmtime::Result<()> {
        if !self.handles.restoring {
            let socket = self.handles.get(&stream)?.socket;
            self.leave_udp(socket);
        }
        self.drop_handle(Kind::OutgoingDatagrams, &stream)
    }
}
