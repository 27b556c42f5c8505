//! `wasi:sockets/ip-name-lookup`: the addresses of names that were granted. That a name is asked for is durable before anybody is asked.

use reel_abi::net::{NetIp, Side};
use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{NetLookup, NetNextAddress};
use wasmtime::component::Resource;

use super::network::expect;
use super::state::{AddressStream, NetError, Network};
use super::words::ip_word;
use crate::calls::bindings::wasi::sockets::ip_name_lookup;
use crate::calls::bindings::wasi::sockets::network::IpAddress;
use crate::calls::handles::{number, own};
use crate::calls::session::{Pollable, Session};

impl ip_name_lookup::Host for Session {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<AddressStream>, NetError> {
        self.handles.get(&network)?;
        let (sockets, grants, [next]) = (&mut self.sockets, &self.setup.net, self.handles.upcoming());
        let call = NetLookup { name: name.clone() };
        let reply =
            self.gate.pass(call, |_, call| Ok(sockets.look_up(next.0, &call.name, grants).map(|()| next)))??;
        let handle = self.handles.push(AddressStream { name })?;
        expect(handle, reply)?;
        Ok(own(handle))
    }
}

impl ip_name_lookup::HostResolveAddressStream for Session {
    async fn resolve_next_address(&mut self, stream: Resource<AddressStream>) -> Result<Option<IpAddress>, NetError> {
        self.release_sockets().await?;
        let sockets = &mut self.sockets;
        let call = NetNextAddress { lookup: number(&stream) };
        let next =
            self.gate.pass(call, |_, call| Ok(sockets.next_address(call.lookup.0).map(|ip| ip.map(NetIp))))??;
        let Some(NetIp(ip)) = next else { return Ok(None) };
        self.sockets.learn(&self.handles.get(&stream)?.name, ip);
        Ok(Some(ip_word(ip)))
    }

    fn subscribe(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<Resource<Pollable>> {
        self.handles.get(&stream)?;
        self.net_subscribe(number(&stream), Side::Whole)
    }

    fn drop(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<()> {
        if !self.handles.restoring {
            self.sockets.drop(stream.rep());
        }
        self.drop_handle(Kind::AddressStream, &stream)
    }
}
