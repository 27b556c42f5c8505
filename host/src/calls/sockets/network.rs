//! `wasi:sockets/network`, `instance-network`, and what all sockets have in common.

use reel_abi::net::{NetAddress, NetCode, NetOption, Side};
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::{
    ErrorText as ErrorTextCall, NetGetOption, NetInstance, NetLocalAddress, NetRemoteAddress, NetSetOption,
    NetSubscribe,
};
use wasmtime::component::Resource;

use super::state::{NetError, Network};
use super::words::code;
use crate::calls::bindings::wasi::sockets::{instance_network, network};
use crate::calls::handles::{number, own};
use crate::calls::session::{ErrorText, Pollable, Session};
use crate::gate::Halt;

impl network::Host for Session {
    fn convert_error_code(&mut self, error: NetError) -> wasmtime::Result<network::ErrorCode> {
        match error {
            NetError::Code(found) => Ok(code(found)),
            NetError::Halt(halt) => Err(halt.into()),
        }
    }

    fn network_error_code(&mut self, error: Resource<ErrorText>) -> wasmtime::Result<Option<network::ErrorCode>> {
        let found = match *self.handles.get(&error)? {
            ErrorText::File(_) => None,
            ErrorText::Network(code) => Some(code),
        };
        let call = ErrorTextCall { error: number(&error) };
        self.gate.pass(call, |_, _| Ok(found.map_or("none", NetCode::word).to_owned()))?;
        Ok(found.map(code))
    }
}

impl network::HostNetwork for Session {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Network, &network)
    }
}

impl instance_network::Host for Session {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        let handles = &mut self.handles;
        Ok(own(self.gate.pass(NetInstance {}, |_, _| handles.push(Network))?))
    }
}

impl Session {
    /// Lets leave what the guest wants of others, once the log that tells of it is durable. In a replay nothing ever waits for it.
    pub(in crate::calls) async fn release_sockets(&mut self) -> Result<(), Halt> {
        if self.sockets.holds_back() {
            self.gate.durable().await?;
            self.sockets.release();
        }
        Ok(())
    }

    /// At the end of the guest: what it has written still leaves, unless nobody takes it. No socket stays.
    pub async fn close_sockets(&mut self) -> Result<(), Halt> {
        if self.sockets.network.is_some() {
            self.release_sockets().await?;
            self.sockets.close().await;
        }
        Ok(())
    }

    pub(super) fn net_option(&mut self, socket: Handle, option: NetOption) -> Result<u64, NetError> {
        let sockets = &self.sockets;
        let call = NetGetOption { socket, option };
        Ok(self.gate.pass(call, |_, _| Ok(sockets.option(socket.0, option)))??)
    }

    pub(super) fn set_net_option(&mut self, socket: Handle, option: NetOption, to: u64) -> Result<(), NetError> {
        let sockets = &mut self.sockets;
        let call = NetSetOption { socket, option, to };
        Ok(self.gate.pass(call, |_, _| Ok(sockets.set_option(socket.0, option, to)))??)
    }

    pub(super) fn net_local_address(&mut self, socket: Handle) -> Result<NetAddress, NetError> {
        let sockets = &self.sockets;
        let call = NetLocalAddress { socket };
        Ok(self.gate.pass(call, |_, _| Ok(sockets.local_address(socket.0).map(NetAddress)))??)
    }

    pub(super) fn net_remote_address(&mut self, socket: Handle) -> Result<NetAddress, NetError> {
        let sockets = &self.sockets;
        let call = NetRemoteAddress { socket };
        Ok(self.gate.pass(call, |_, _| Ok(sockets.remote_address(socket.0).map(NetAddress)))??)
    }

    pub(super) fn net_subscribe(&mut self, socket: Handle, side: Side) -> wasmtime::Result<Resource<Pollable>> {
        let handles = &mut self.handles;
        let call = NetSubscribe { socket, side };
        Ok(own(self.gate.pass(call, |_, _| handles.push(Pollable::Socket { socket: socket.0, side }))?))
    }

    /// Whether a socket may have an address: it may listen there; or the port is any, and it may reach somebody.
    pub(super) fn may_bind(&self, NetAddress(address): NetAddress) -> bool {
        let grants = &self.setup.net;
        grants.may_listen(address) || (address.port() == 0 && grants.reach_any())
    }
}

/// Whether a handle is the one that an event names.
pub(super) fn expect(handle: Handle, named: Handle) -> Result<(), Halt> {
    if handle == named { Ok(()) } else { Err(Halt::Host("an event names another handle than the table gives".into())) }
}

/// That what is dropped is used no more.
pub(super) fn refuse_used(streams: u32, what: &str) -> Result<(), Halt> {
    if streams == 0 { Ok(()) } else { Err(Halt::Trap(format!("a {what} whose streams are still there"))) }
}

/// A number for an option that is smaller.
pub(super) fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, NetError> {
    T::try_from(value).map_err(|_| NetError::Code(NetCode::NotSupported))
}
