//! The sockets of one run. They live as long as the run: what is asked of one that is not here, because the run goes on after a crash or is another call
//! of a resident, is answered as if the connection were reset.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reel_abi::net::{Family, NetCode, NetOption, Side};

use super::lookup::Lookup;
use super::tcp::Tcp;
use super::udp::Udp;
use crate::net::grants::{Grants, can_stand_for, name};
use crate::port::Network;

/// Sockets and lookups of one run, those that are being closed too; each costs the host a file descriptor.
const SOCKETS: usize = 256;

/// Names that a run may have looked up, and addresses of all of them.
const NAMES: usize = 1024;

/// How long the end of a run waits for what was written to leave.
const LINGER: Duration = Duration::from_secs(5);

/// The sockets of a run, by the handle of each.
#[derive(Default)]
pub struct Sockets {
    /// Absent in a replay, and where nothing was granted.
    pub network: Option<Arc<dyn Network>>,
    tcp: BTreeMap<u32, Tcp>,
    udp: BTreeMap<u32, Udp>,
    lookups: BTreeMap<u32, Lookup>,
    /// Those that the guest has dropped and that have something to send.
    leaving: Vec<Tcp>,
    leaving_udp: Vec<Udp>,
    /// Whether some of them wait for the log.
    dropped: bool,
    /// First answers: a name stands for the same addresses as long as the run lasts.
    answers: BTreeMap<String, Vec<IpAddr>>,
    /// Names that the guest has learnt to stand for an address; from the log too.
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Whether anything has left.
    left: bool,
}

impl Sockets {
    /// Those of a run that can reach the network.
    pub fn of(network: Option<Arc<dyn Network>>) -> Self {
        Self { network, ..Self::default() }
    }

    fn place(&self) -> Result<&Arc<dyn Network>, NetCode> {
        let network = self.network.as_ref().ok_or(NetCode::AccessDenied)?;
        let count = self.tcp.len() + self.udp.len() + self.lookups.len() + self.leaving.len() + self.leaving_udp.len();
        if count >= SOCKETS { Err(NetCode::NewSocketLimit) } else { Ok(network) }
    }

    /// A new TCP socket for a handle.
    pub fn create_tcp(&mut self, handle: u32, family: Family, grants: &Grants) -> Result<(), NetCode> {
        if grants.is_empty() {
            return Err(NetCode::AccessDenied);
        }
        let port = self.place()?.tcp(family)?;
        self.tcp.insert(handle, Tcp::new(port, family));
        Ok(())
    }

    /// A new UDP socket for a handle.
    pub fn create_udp(&mut self, handle: u32, family: Family, grants: &Grants) -> Result<(), NetCode> {
        if grants.is_empty() {
            return Err(NetCode::AccessDenied);
        }
        let port = self.place()?.udp(family)?;
        self.udp.insert(handle, Udp::new(port, family));
        Ok(())
    }

    /// The addresses of a name for a handle.
    pub fn look_up(&mut self, handle: u32, text: &str, grants: &Grants) -> Result<(), NetCode> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let lookup = if let Ok(address) = bare.parse::<IpAddr>() {
            // Nobody needs to be asked.
            self.place()?;
            Lookup::known(text.to_owned(), vec![address])
        } else {
            let name = name(text).ok_or(NetCode::InvalidArgument)?;
            if !grants.may_look_up(&name) {
                return Err(NetCode::AccessDenied);
            }
            self.place()?;
            match self.answers.get(&name) {
                Some(addresses) => Lookup::known(name, addresses.clone()),
                None if self.answers.len() >= NAMES => return Err(NetCode::TemporaryResolverFailure),
                None => Lookup::wanted(name),
            }
        };
        self.lookups.insert(handle, lookup);
        Ok(())
    }

    /// The next address of a name.
    pub fn next_address(&mut self, handle: u32) -> Result<Option<IpAddr>, NetCode> {
        self.is_known(handle, &mut Context::from_waker(Waker::noop()));
        self.lookups.get_mut(&handle).map_or(Err(NetCode::TemporaryResolverFailure), Lookup::next_address)
    }

    /// The guest has learnt that a name stands for an address.
    pub fn learn(&mut self, text: &str, address: IpAddr) {
        if let Some(name) = name(text)
            && self.names.len() < NAMES
            && can_stand_for(&name, address)
        {
            let names = self.names.entry(address).or_default();
            if names.len() < NAMES {
                names.insert(name);
            }
        }
    }

    /// Whether an address may be reached: it is granted, or a granted name stands for it.
    pub fn may_reach(&self, address: SocketAddr, grants: &Grants) -> bool {
        reaches(&self.names, grants, address)
    }

    /// A TCP socket.
    pub fn tcp(&mut self, handle: u32) -> Result<&mut Tcp, NetCode> {
        self.tcp.get_mut(&handle).ok_or(NetCode::ConnectionReset)
    }

    /// A UDP socket, and what tells which addresses it may reach.
    pub fn udp<'a>(
        &'a mut self,
        handle: u32,
        grants: &'a Grants,
    ) -> Result<(&'a mut Udp, impl Fn(SocketAddr) -> bool + 'a), NetCode> {
        let Self { udp, names, .. } = self;
        let udp = udp.get_mut(&handle).ok_or(NetCode::ConnectionReset)?;
        Ok((udp, |address| reaches(names, grants, address)))
    }

    /// A socket wants to be connected to.
    pub fn listen(&mut self, handle: u32, grants: &Grants) -> Result<(), NetCode> {
        let tcp = self.tcp(handle)?;
        if !grants.may_listen(tcp.listens_at()?) {
            return Err(NetCode::AccessDenied);
        }
        tcp.listen();
        Ok(())
    }

    /// The next connection of a socket, for another handle.
    pub fn accept(&mut self, handle: u32, accepted: u32) -> Result<(), NetCode> {
        // It stays in the queue of the system while there is no place for it.
        let tcp = match self.place().map(drop) {
            Ok(()) => self.tcp(handle)?.accept()?,
            Err(code) if waits(self.tcp(handle)?) => return Err(code),
            Err(_) => return Err(NetCode::WouldBlock),
        };
        self.tcp.insert(accepted, tcp);
        Ok(())
    }

    /// A setting of a socket.
    pub fn option(&self, handle: u32, option: NetOption) -> Result<u64, NetCode> {
        match (self.tcp.get(&handle), self.udp.get(&handle)) {
            (Some(tcp), _) => tcp.option(option),
            (None, Some(udp)) => udp.option(option),
            (None, None) => Err(NetCode::ConnectionReset),
        }
    }

    /// Changes a setting of a socket.
    pub fn set_option(&mut self, handle: u32, option: NetOption, to: u64) -> Result<(), NetCode> {
        match (self.tcp.get_mut(&handle), self.udp.get_mut(&handle)) {
            (Some(tcp), _) => tcp.set_option(option, to),
            (None, Some(udp)) => udp.set_option(option, to),
            (None, None) => Err(NetCode::ConnectionReset),
        }
    }

    /// Where a socket is.
    pub fn local_address(&self, handle: u32) -> Result<SocketAddr, NetCode> {
        match (self.tcp.get(&handle), self.udp.get(&handle)) {
            (Some(tcp), _) => tcp.local_address(),
            (None, Some(udp)) => udp.local_address(),
            (None, None) => Err(NetCode::ConnectionReset),
        }
    }

    /// Where the other side of a socket is.
    pub fn remote_address(&self, handle: u32) -> Result<SocketAddr, NetCode> {
        match (self.tcp.get(&handle), self.udp.get(&handle)) {
            (Some(tcp), _) => tcp.remote_address(),
            (None, Some(udp)) => udp.remote_address(),
            (None, None) => Err(NetCode::ConnectionReset),
        }
    }

    /// The guest has dropped the handle of a socket or lookup.
    pub fn drop(&mut self, handle: u32) {
        self.lookups.remove(&handle);
        // What others notice of it waits until the log tells of it.
        let tcp = self.tcp.remove(&handle).filter(Tcp::is_noticed);
        let udp = self.udp.remove(&handle).filter(|udp| !udp.is_empty());
        self.dropped |= tcp.is_some() || udp.is_some();
        self.leaving.extend(tcp);
        self.leaving_udp.extend(udp);
    }

    /// Whether there is any socket.
    pub fn is_any(&self) -> bool {
        !(self.tcp.is_empty() && self.udp.is_empty() && self.lookups.is_empty())
    }

    /// Whether something has left that cannot be taken back.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// Whether something waits for [`Sockets::release`].
    pub fn holds_back(&self) -> bool {
        self.dropped
            || self.tcp.values().any(Tcp::holds_back)
            || self.udp.values().chain(&self.leaving_udp).any(Udp::holds_back)
            || self.lookups.values().any(Lookup::holds_back)
    }

    /// What is held back may leave: the log that explains it is durable.
    pub fn release(&mut self) {
        (self.left, self.dropped) = (true, false);
        self.tcp.values_mut().chain(&mut self.leaving).for_each(Tcp::release);
        self.udp.values_mut().chain(&mut self.leaving_udp).for_each(Udp::release);
        if let Some(network) = &self.network {
            self.lookups.values_mut().for_each(|lookup| lookup.release(network.as_ref()));
        }
        self.pump(&mut Context::from_waker(Waker::noop()));
    }

    /// Lets go on what can. `context` is woken when more can.
    pub fn pump(&mut self, context: &mut Context<'_>) {
        self.tcp.values_mut().chain(&mut self.leaving).for_each(|tcp| tcp.pump(context));
        self.udp.values_mut().chain(&mut self.leaving_udp).for_each(|udp| udp.pump(context));
        if !self.dropped {
            self.leaving.retain(|tcp| !tcp.is_empty());
            self.leaving_udp.retain(|udp| !udp.is_empty());
        }
    }

    /// Whether what is waited for is there. `context` is woken when it comes.
    pub fn is_ready(&mut self, handle: u32, side: Side, grants: &Grants, context: &mut Context<'_>) -> bool {
        if let Some(tcp) = self.tcp.get_mut(&handle) {
            return tcp.is_ready(side, context);
        }
        let Self { udp, names, .. } = self;
        match udp.get_mut(&handle) {
            Some(udp) => udp.is_ready(side, context, &|address| reaches(names, grants, address)),
            None => self.is_known(handle, context),
        }
    }

    /// Whether the answer to a lookup is there, or will never be.
    fn is_known(&mut self, handle: u32, context: &mut Context<'_>) -> bool {
        let Some(lookup) = self.lookups.get_mut(&handle) else { return true };
        if let Some((name, addresses)) = lookup.poll(context) {
            self.answers.entry(name).or_insert(addresses);
        }
        self.lookups.get(&handle).is_none_or(Lookup::is_known)
    }

    /// Waits until what is waited for is there.
    pub async fn ready(&mut self, handle: u32, side: Side, grants: &Grants) {
        poll_fn(|context| {
            self.pump(context);
            if self.is_ready(handle, side, grants, context) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until all that was written over a connection has left.
    pub async fn sent(&mut self, handle: u32) {
        poll_fn(|context| {
            self.pump(context);
            if self.tcp.get(&handle).is_none_or(Tcp::is_empty) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until all that was released has left, but not for long; then closes all.
    pub async fn close(&mut self) {
        let all = poll_fn(|context| {
            self.pump(context);
            let tcp = self.tcp.values().chain(&self.leaving).all(Tcp::is_empty);
            let udp = self.udp.values().chain(&self.leaving_udp).all(Udp::is_empty);
            if tcp && udp { Poll::Ready(()) } else { Poll::Pending }
        });
        drop(tokio::time::timeout(LINGER, all).await);
        *self = Self { left: self.left, ..Self::default() };
    }
}

fn reaches(names: &BTreeMap<IpAddr, BTreeSet<String>>, grants: &Grants, address: SocketAddr) -> bool {
    let named = |names: &BTreeSet<String>| names.iter().any(|name| grants.may_reach_name(name, address.port()));
    grants.may_reach(address) || names.get(&address.ip()).is_some_and(named)
}

/// Whether somebody waits to be accepted.
fn waits(tcp: &mut Tcp) -> bool {
    tcp.is_ready(Side::Whole, &mut Context::from_waker(Waker::noop()))
}
