//! A TCP socket of a guest.

use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use reel_abi::net::{Family, NetCode, NetOption, Shutdown, Side};

use super::{is_of, is_remote, is_unicast};
use crate::port::TcpPort;

/// Bytes that are held for one connection in each direction.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Connections that wait to be accepted, where the guest does not say.
const BACKLOG: u32 = 128;

/// Most of them.
const BACKLOG_MOST: u64 = 4096;

/// A TCP socket.
pub struct Tcp {
    port: Box<dyn TcpPort>,
    family: Family,
    state: State,
    /// The address that it was asked to have.
    bound: Option<SocketAddr>,
    backlog: u32,
    accepted: Option<Result<Box<dyn TcpPort>, NetCode>>,
    /// What has come and was not read: nothing is the end.
    inbox: Option<Result<Vec<u8>, NetCode>>,
    input_over: bool,
    /// What was written and has not left. Of it, this much may leave.
    outbox: Vec<u8>,
    released: usize,
    output: Output,
}

enum State {
    Open,
    /// Until the guest asks what came of it.
    Binding,
    ConnectWanted(SocketAddr),
    Connecting,
    ConnectKnown(Result<(), NetCode>),
    Connected,
    ListenWanted,
    ListenKnown(Result<(), NetCode>),
    Listening,
    Closed(NetCode),
}

enum Output {
    Open,
    /// To be ended when all has left; not before it was released.
    Ending {
        released: bool,
    },
    Ended,
    Failed(NetCode),
}

impl Tcp {
    /// A socket that does nothing yet.
    pub fn new(port: Box<dyn TcpPort>, family: Family) -> Self {
        Self {
            port,
            family,
            state: State::Open,
            bound: None,
            backlog: BACKLOG,
            accepted: None,
            inbox: None,
            input_over: false,
            outbox: Vec::new(),
            released: 0,
            output: Output::Open,
        }
    }

    /// Whether it is open and idle.
    fn idle(&self) -> Result<(), NetCode> {
        match self.state {
            State::Open => Ok(()),
            State::Connected | State::Listening => Err(NetCode::InvalidState),
            State::Closed(_) => Err(NetCode::InvalidState),
            _ => Err(NetCode::ConcurrencyConflict),
        }
    }

    /// Gives it an address.
    pub fn bind(&mut self, address: SocketAddr, granted: bool) -> Result<(), NetCode> {
        self.idle()?;
        if self.bound.is_some() {
            return Err(NetCode::InvalidState);
        }
        if !is_of(self.family, address.ip()) || !is_unicast(address.ip()) {
            return Err(NetCode::InvalidArgument);
        }
        if !granted {
            return Err(NetCode::AccessDenied);
        }
        self.port.bind(address)?;
        self.bound = Some(address);
        self.state = State::Binding;
        Ok(())
    }

    /// What came of it.
    pub fn finish_bind(&mut self) -> Result<(), NetCode> {
        let State::Binding = self.state else { return Err(NetCode::NotInProgress) };
        self.state = State::Open;
        Ok(())
    }

    /// Wants a connection.
    pub fn connect(&mut self, address: SocketAddr, granted: bool) -> Result<(), NetCode> {
        self.idle()?;
        if !is_of(self.family, address.ip()) || !is_unicast(address.ip()) || !is_remote(address) {
            return Err(NetCode::InvalidArgument);
        }
        if !granted {
            return Err(NetCode::AccessDenied);
        }
        self.state = State::ConnectWanted(address);
        Ok(())
    }

    /// What came of it.
    pub fn finish_connect(&mut self) -> Result<(), NetCode> {
        self.is_ready(Side::Whole, &mut Context::from_waker(Waker::noop()));
        match self.state {
            State::ConnectWanted(_) | State::Connecting => Err(NetCode::WouldBlock),
            State::ConnectKnown(result) => {
                self.state = result.map_or_else(State::Closed, |()| State::Connected);
                result
            }
            _ => Err(NetCode::NotInProgress),
        }
    }

    /// The address it was asked to have, if it can begin to listen.
    pub fn listens_at(&self) -> Result<SocketAddr, NetCode> {
        self.idle()?;
        self.bound.ok_or(NetCode::InvalidState)
    }

    /// Wants to be connected to.
    pub fn listen(&mut self) {
        self.state = State::ListenWanted;
    }

    /// What came of it.
    pub fn finish_listen(&mut self) -> Result<(), NetCode> {
        match self.state {
            State::ListenWanted => Err(NetCode::WouldBlock),
            State::ListenKnown(result) => {
                self.state = result.map_or_else(State::Closed, |()| State::Listening);
                result
            }
            _ => Err(NetCode::NotInProgress),
        }
    }

    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening | State::ListenKnown(Ok(())))
    }

    /// The next connection.
    pub fn accept(&mut self) -> Result<Self, NetCode> {
        let State::Listening = self.state else { return Err(NetCode::InvalidState) };
        self.is_ready(Side::Whole, &mut Context::from_waker(Waker::noop()));
        let port = self.accepted.take().ok_or(NetCode::WouldBlock)??;
        Ok(Self { state: State::Connected, ..Self::new(port, self.family) })
    }

    /// Its address.
    pub fn local_address(&self) -> Result<SocketAddr, NetCode> {
        match self.state {
            State::Closed(code) => Err(code),
            State::Open | State::Binding | State::ListenWanted if self.bound.is_none() => Err(NetCode::InvalidState),
            _ => self.port.local_address(),
        }
    }

    /// The address of the other side.
    pub fn remote_address(&self) -> Result<SocketAddr, NetCode> {
        match self.state {
            State::Connected => self.port.remote_address(),
            State::Closed(code) => Err(code),
            _ => Err(NetCode::InvalidState),
        }
    }

    /// A setting.
    pub fn option(&self, option: NetOption) -> Result<u64, NetCode> {
        if let State::Closed(code) = self.state { Err(code) } else { self.port.option(option) }
    }

    /// Changes a setting.
    pub fn set_option(&mut self, option: NetOption, to: u64) -> Result<(), NetCode> {
        if let State::Closed(code) = self.state {
            return Err(code);
        }
        if to == 0 && option != NetOption::KeepAlive {
            return Err(NetCode::InvalidArgument);
        }
        match (option, &self.state) {
            (NetOption::Backlog, State::Open | State::Binding) => self.backlog = to.min(BACKLOG_MOST) as u32,
            (NetOption::Backlog, State::Listening | State::ListenKnown(Ok(()))) => {
                self.port.set_option(option, to.min(BACKLOG_MOST))?;
            }
            (NetOption::Backlog, _) => return Err(NetCode::InvalidState),
            _ => self.port.set_option(option, to)?,
        }
        Ok(())
    }

    /// Up to `most` bytes that have come, none if there are none yet; nothing at the end.
    pub fn read(&mut self, most: usize) -> Result<Option<Vec<u8>>, NetCode> {
        if most == 0 {
            return Ok((!self.input_over).then(Vec::new));
        }
        self.is_ready(Side::Input, &mut Context::from_waker(Waker::noop()));
        match self.inbox.take() {
            _ if self.input_over => Ok(None),
            None => Ok(Some(Vec::new())),
            Some(Ok(mut bytes)) if !bytes.is_empty() => {
                if bytes.len() > most {
                    self.inbox = Some(Ok(bytes.split_off(most)));
                }
                Ok(Some(bytes))
            }
            over => {
                self.input_over = true;
                over.transpose().map(|_| None)
            }
        }
    }

    /// How many bytes may be written now; nothing if it is over.
    pub fn room(&mut self) -> Result<Option<u64>, NetCode> {
        match self.output {
            Output::Open => Ok(Some(BUFFER_BYTES.saturating_sub(self.outbox.len()) as u64)),
            Output::Ending { .. } | Output::Ended | Output::Failed(NetCode::ConnectionAborted) => Ok(None),
            Output::Failed(code) => Err(code),
        }
    }

    /// Takes bytes that are to leave.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Option<()>, NetCode> {
        if self.room()?.is_none() {
            return Ok(None);
        }
        self.outbox.extend_from_slice(bytes);
        Ok(Some(()))
    }

    /// Whether all that was written has left, or never will.
    pub fn is_empty(&self) -> bool {
        self.outbox.is_empty() && !matches!(self.output, Output::Ending { .. })
    }

    /// Ends it in one direction or both.
    pub fn shutdown(&mut self, how: Shutdown) -> Result<(), NetCode> {
        let State::Connected = self.state else { return Err(NetCode::InvalidState) };
        if how != Shutdown::Send {
            (self.input_over, self.inbox) = (true, None);
            // That the other side has gone already is no matter.
            let _ = self.port.shutdown(Shutdown::Receive);
        }
        if how != Shutdown::Receive && matches!(self.output, Output::Open) {
            self.output = Output::Ending { released: false };
        }
        Ok(())
    }

    /// Whether its end is something that others notice.
    pub fn is_noticed(&self) -> bool {
        !matches!(self.state, State::Open | State::Binding | State::Closed(_) | State::ConnectWanted(_))
    }

    /// Whether something waits for [`Tcp::release`].
    pub fn holds_back(&self) -> bool {
        matches!(self.state, State::ConnectWanted(_) | State::ListenWanted)
            || self.outbox.len() > self.released
            || matches!(self.output, Output::Ending { released: false })
    }

    /// What is held back may happen.
    pub fn release(&mut self) {
        match self.state {
            State::ConnectWanted(address) => {
                self.state = match self.port.connect(address) {
                    Ok(()) => State::Connecting,
                    Err(code) => State::ConnectKnown(Err(code)),
                };
            }
            State::ListenWanted => self.state = State::ListenKnown(self.port.listen(self.backlog)),
            _ => {}
        }
        self.released = self.outbox.len();
        if let Output::Ending { released } = &mut self.output {
            *released = true;
        }
    }

    /// Lets go on what can: a connection that is made, bytes that leave.
    pub fn pump(&mut self, context: &mut Context<'_>) {
        if let State::Connecting = self.state
            && let Poll::Ready(connected) = self.port.poll_connected(context)
        {
            self.state = State::ConnectKnown(connected);
        }
        let mut left = 0;
        while left < self.released {
            match self.port.poll_write(context, &self.outbox[left..self.released]) {
                Poll::Ready(Ok(count)) if count > 0 => left += count,
                Poll::Ready(result) => {
                    self.output = Output::Failed(result.err().unwrap_or(NetCode::ConnectionAborted));
                    (self.outbox, self.released, left) = (Vec::new(), 0, 0);
                }
                Poll::Pending => break,
            }
        }
        self.outbox.drain(..left);
        self.released -= left;
        if self.outbox.is_empty() && matches!(self.output, Output::Ending { released: true }) {
            self.output = match self.port.shutdown(Shutdown::Send) {
                Ok(()) | Err(NetCode::InvalidState) => Output::Ended,
                Err(code) => Output::Failed(code),
            };
        }
    }

    /// Whether what is waited for is there. `context` is woken when it comes.
    pub fn is_ready(&mut self, side: Side, context: &mut Context<'_>) -> bool {
        self.pump(context);
        match (side, &self.state) {
            (Side::Whole, State::ConnectWanted(_) | State::Connecting | State::ListenWanted) => false,
            (Side::Whole, State::Listening) => {
                if self.accepted.is_none()
                    && let Poll::Ready(accepted) = self.port.poll_accept(context)
                {
                    self.accepted = Some(accepted);
                }
                self.accepted.is_some()
            }
            (Side::Whole, _) => true,
            (Side::Input, _) => {
                if self.inbox.is_none()
                    && !self.input_over
                    && let Poll::Ready(came) = self.port.poll_read(context, BUFFER_BYTES)
                {
                    self.inbox = Some(came);
                }
                self.inbox.is_some() || self.input_over
            }
            (Side::Output, _) => match self.output {
                Output::Open => self.outbox.len() <= BUFFER_BYTES / 2,
                Output::Ending { .. } => false,
                Output::Ended | Output::Failed(_) => true,
            },
        }
    }
}
