//! Asking for the addresses of a name.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::task::{Context, Poll};

use reel_abi::net::NetCode;

use crate::port::{Network, Waiting};

/// A name whose addresses are asked for.
pub struct Lookup {
    name: String,
    state: State,
}

enum State {
    /// Nobody was asked yet.
    Wanted,
    Asked(Waiting<'static, Result<Vec<IpAddr>, NetCode>>),
    Known(Result<VecDeque<IpAddr>, NetCode>),
}

impl Lookup {
    /// One that is to be asked for.
    pub fn wanted(name: String) -> Self {
        Self { name, state: State::Wanted }
    }

    /// One whose answer is known.
    pub fn known(name: String, addresses: Vec<IpAddr>) -> Self {
        Self { name, state: State::Known(Ok(addresses.into())) }
    }

    /// Whether it is to be asked for.
    pub fn holds_back(&self) -> bool {
        matches!(self.state, State::Wanted)
    }

    /// Asks.
    pub fn release(&mut self, network: &dyn Network) {
        if self.holds_back() {
            self.state = State::Asked(network.lookup(&self.name));
        }
    }

    /// The answer, when it has just come.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Option<(String, Vec<IpAddr>)> {
        let State::Asked(asked) = &mut self.state else { return None };
        let Poll::Ready(answer) = asked.as_mut().poll(context) else { return None };
        let known = answer.as_ref().ok().map(|addresses| (self.name.clone(), addresses.clone()));
        self.state = State::Known(answer.map(VecDeque::from));
        known
    }

    /// Whether the answer is known.
    pub fn is_known(&self) -> bool {
        matches!(self.state, State::Known(_))
    }

    /// The next address.
    pub fn next_address(&mut self) -> Result<Option<IpAddr>, NetCode> {
        match &mut self.state {
            State::Wanted | State::Asked(_) => Err(NetCode::WouldBlock),
            State::Known(Ok(addresses)) => Ok(addresses.pop_front()),
            State::Known(Err(code)) => Err(*code),
        }
    }
}
