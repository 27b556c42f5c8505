//! A UDP socket of a guest.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use reel_abi::net::{Family, NetCode, NetOption, Side};

use super::{is_of, is_remote};
use crate::port::UdpPort;

/// Datagrams that are held in each direction.
pub const DATAGRAMS: usize = 16;

/// Largest content of a datagram, by the length in its header.
const DATAGRAM_BYTES: usize = 65507;

/// Bytes from which on no more is received at once.
const RECEIVED_BYTES: usize = 64 << 10;

/// Others that a socket remembers as those who have written to it.
const PEERS: usize = 4096;

/// Datagrams of strangers that are dropped at once; stops a flood from keeping the host busy.
const STRANGERS: usize = 64;

/// Whether an address may be reached.
pub type Reaches<'a> = &'a dyn Fn(SocketAddr) -> bool;

/// A UDP socket.
pub struct Udp {
    port: Box<dyn UdpPort>,
    family: Family,
    bound: bool,
    binding: bool,
    /// Whether it may hear from all, and answer: it was granted to listen.
    listens: bool,
    peers: BTreeSet<SocketAddr>,
    remote: Option<SocketAddr>,
    inbox: VecDeque<Result<(Vec<u8>, SocketAddr), NetCode>>,
    outbox: VecDeque<(Vec<u8>, Option<SocketAddr>)>,
    released: usize,
    fault: Option<NetCode>,
}

impl Udp {
    /// A socket that does nothing yet.
    pub fn new(port: Box<dyn UdpPort>, family: Family) -> Self {
        Self {
            port,
            family,
            bound: false,
            binding: false,
            listens: false,
            peers: BTreeSet::new(),
            remote: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            released: 0,
            fault: None,
        }
    }

    /// Gives it an address.
    pub fn bind(&mut self, address: SocketAddr, granted: bool, listens: bool) -> Result<(), NetCode> {
        if self.binding {
            return Err(NetCode::ConcurrencyConflict);
        }
        if self.bound {
            return Err(NetCode::InvalidState);
        }
        if !is_of(self.family, address.ip()) {
            return Err(NetCode::InvalidArgument);
        }
        if !granted {
            return Err(NetCode::AccessDenied);
        }
        self.port.bind(address)?;
        (self.bound, self.binding, self.listens) = (true, true, listens);
        Ok(())
    }

    /// What came of it.
    pub fn finish_bind(&mut self) -> Result<(), NetCode> {
        if std::mem::take(&mut self.binding) { Ok(()) } else { Err(NetCode::NotInProgress) }
    }

    /// From here on it has to do with one other, or with all.
    pub fn connect(&mut self, remote: Option<SocketAddr>, reaches: Reaches<'_>) -> Result<(), NetCode> {
        if !self.bound || self.binding {
            return Err(NetCode::InvalidState);
        }
        if let Some(remote) = remote {
            self.check(remote, reaches)?;
        }
        if remote.is_some() || self.remote.is_some() {
            self.port.connect(remote)?;
        }
        self.remote = remote;
        self.inbox.clear();
        Ok(())
    }

    fn check(&self, remote: SocketAddr, reaches: Reaches<'_>) -> Result<(), NetCode> {
        if !is_of(self.family, remote.ip()) || !is_remote(remote) {
            return Err(NetCode::InvalidArgument);
        }
        if reaches(remote) || self.peers.contains(&remote) { Ok(()) } else { Err(NetCode::AccessDenied) }
    }

    /// Its address.
    pub fn local_address(&self) -> Result<SocketAddr, NetCode> {
        if self.bound { self.port.local_address() } else { Err(NetCode::InvalidState) }
    }

    /// The address of the other side.
    pub fn remote_address(&self) -> Result<SocketAddr, NetCode> {
        self.remote.ok_or(NetCode::InvalidState)
    }

    /// A setting.
    pub fn option(&self, option: NetOption) -> Result<u64, NetCode> {
        self.port.option(option)
    }

    /// Changes a setting.
    pub fn set_option(&mut self, option: NetOption, to: u64) -> Result<(), NetCode> {
        if to == 0 { Err(NetCode::InvalidArgument) } else { self.port.set_option(option, to) }
    }

    /// How many datagrams may be sent now.
    pub fn room(&mut self) -> Result<u64, NetCode> {
        match self.fault.take() {
            Some(code) => Err(code),
            None => Ok(DATAGRAMS.saturating_sub(self.outbox.len()) as u64),
        }
    }

    /// Takes a datagram that is to leave.
    pub fn send(&mut self, bytes: Vec<u8>, to: Option<SocketAddr>, reaches: Reaches<'_>) -> Result<(), NetCode> {
        if let Some(code) = self.fault.take() {
            return Err(code);
        }
        if bytes.len() > DATAGRAM_BYTES {
            return Err(NetCode::DatagramTooLarge);
        }
        match (to, self.remote) {
            (None, None) => return Err(NetCode::InvalidArgument),
            (Some(to), Some(remote)) if to != remote => return Err(NetCode::InvalidArgument),
            (None, Some(_)) => {}
            (Some(to), _) => self.check(to, reaches)?,
        }
        let to = if self.remote.is_some() { None } else { to };
        self.outbox.push_back((bytes, to));
        Ok(())
    }

    fn fetch(&mut self, context: &mut Context<'_>, reaches: Reaches<'_>) {
        if !self.inbox.is_empty() || !self.bound {
            return;
        }
        for _ in 0..STRANGERS {
            match self.port.poll_receive(context) {
                Poll::Pending => return,
                Poll::Ready(Ok((_, from))) if self.remote.is_some_and(|remote| remote != from) => {}
                Poll::Ready(Ok((bytes, from))) if self.listens || reaches(from) => {
                    if self.listens && self.peers.len() < PEERS {
                        self.peers.insert(from);
                    }
                    self.inbox.push_back(Ok((bytes, from)));
                    return;
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(code)) => {
                    self.inbox.push_back(Err(code));
                    return;
                }
            }
        }
        context.waker().wake_by_ref();
    }

    /// Up to `most` datagrams that have come.
    pub fn receive(&mut self, most: u64, reaches: Reaches<'_>) -> Result<Vec<(Vec<u8>, SocketAddr)>, NetCode> {
        let most = most.min(DATAGRAMS as u64) as usize;
        let (mut received, mut bytes) = (Vec::new(), 0);
        while received.len() < most && bytes < RECEIVED_BYTES {
            self.fetch(&mut Context::from_waker(Waker::noop()), reaches);
            match self.inbox.pop_front() {
                None => break,
                Some(Ok(datagram)) => {
                    bytes += datagram.0.len();
                    received.push(datagram);
                }
                Some(Err(code)) if received.is_empty() => return Err(code),
                Some(fault) => {
                    self.inbox.push_front(fault);
                    break;
                }
            }
        }
        Ok(received)
    }

    /// Whether something waits for [`Udp::release`].
    pub fn holds_back(&self) -> bool {
        self.outbox.len() > self.released
    }

    /// What is held back may leave.
    pub fn release(&mut self) {
        self.released = self.outbox.len();
    }

    /// Whether all has left.
    pub fn is_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Lets leave what can.
    pub fn pump(&mut self, context: &mut Context<'_>) {
        while self.released > 0
            && let Some((bytes, to)) = self.outbox.front()
        {
            let Poll::Ready(sent) = self.port.poll_send(context, bytes, *to) else { return };
            self.fault = sent.err().or(self.fault);
            self.outbox.pop_front();
            self.released -= 1;
        }
    }

    /// Whether what is waited for is there. `context` is woken when it comes.
    pub fn is_ready(&mut self, side: Side, context: &mut Context<'_>, reaches: Reaches<'_>) -> bool {
        self.pump(context);
        match side {
            Side::Whole => true,
            Side::Input => {
                self.fetch(context, reaches);
                !self.inbox.is_empty() || !self.bound
            }
            Side::Output => self.outbox.len() < DATAGRAMS || self.fault.is_some(),
        }
    }
}
