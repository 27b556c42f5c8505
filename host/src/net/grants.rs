//! What of the network a guest was granted: places that it may reach, and places that it may listen at. Nothing is granted that is not named.
//!
//! ```text
//! example.com:443         a name, and the addresses that it is resolved to
//! *.example.com:443       all names below it, not itself
//! 192.0.2.7:53  [::1]:*   an address; any port
//! 10.0.0.0/8:5432         a block of addresses
//! *:443                   all names and addresses
//! listen:127.0.0.1:8080   an address to listen at, for connections and datagrams; port 0 is one that the system chooses
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Longest name, by RFC 1035.
const NAME_BYTES: usize = 253;

/// Longest part of a name, by RFC 1035.
const LABEL_BYTES: usize = 63;

/// What is wrong with a grant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// There is no port.
    #[error("there is no port; write HOST:PORT, for example example.com:443, or HOST:* for all ports")]
    NoPort,
    /// The port is none.
    #[error("`{0}` is not a port; write a number from 0 to 65535, or *")]
    Port(String),
    /// Port 0 can only be listened at.
    #[error("nobody can be reached at port 0; write a number from 1 to 65535, or *")]
    PortZero,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address stands in brackets, for example [::1]:443")]
    Brackets,
    /// The host is none.
    #[error("`{0}` is not a name, an address, a block of addresses such as 10.0.0.0/8, *.NAME or *")]
    Host(String),
    /// A block whose address has bits behind its length.
    #[error("the block {0} begins at {1}; write that")]
    Block(String, String),
    /// Names cannot be listened at.
    #[error("`{0}` is a name; listening needs an address, for example listen:127.0.0.1:8080")]
    ListenName(String),
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whether it is for listening; else for reaching out.
    listen: bool,
    host: Host,
    /// Nothing for all.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// Lower case, without a final dot.
    Name(String),
    /// What the name must end in: `.example.com`.
    Below(String),
    Block(IpAddr, u8),
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (listen, place) = match text.strip_prefix("listen:") {
            // A host of that name with a port is one to reach.
            Some(place) if place.contains(':') => (true, place),
            _ => (false, text),
        };
        let (host, port) = place.rsplit_once(':').ok_or(GrantError::NoPort)?;
        let port = match port {
            "*" => None,
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| GrantError::Port(port.to_owned()))?)
            }
            _ => return Err(if host.is_empty() { GrantError::NoPort } else { GrantError::Port(port.to_owned()) }),
        };
        if port == Some(0) && !listen {
            return Err(GrantError::PortZero);
        }
        let host = host_of(host)?;
        match &host {
            Host::Name(name) if listen => Err(GrantError::ListenName(name.clone())),
            Host::Below(name) if listen => Err(GrantError::ListenName(format!("*{name}"))),
            _ => Ok(Self { listen, host, port }),
        }
    }
}

fn host_of(text: &str) -> Result<Host, GrantError> {
    let wrong = || GrantError::Host(text.to_owned());
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some(below) = text.strip_prefix("*.") {
        return Ok(Host::Below(format!(".{}", name(below).ok_or_else(wrong)?)));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (address, bits) = inner.split_once('/').map_or((inner, None), |(address, bits)| (address, Some(bits)));
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        return block(text, IpAddr::V6(address), bits);
    }
    if text.contains(':') {
        return Err(GrantError::Brackets);
    }
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    match address.parse::<Ipv4Addr>() {
        Ok(address) => block(text, IpAddr::V4(address), bits),
        Err(_) => Ok(Host::Name(name(text).ok_or_else(wrong)?)),
    }
}

fn block(text: &str, address: IpAddr, bits: Option<&str>) -> Result<Host, GrantError> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => match bits.parse() {
            Ok(bits) if bits <= most => bits,
            _ => return Err(GrantError::Host(text.to_owned())),
        },
    };
    let start = masked(address, bits);
    if start != address {
        return Err(GrantError::Block(text.to_owned(), start.to_string()));
    }
    // A mapped address is written to be the IPv4 address: connections are held against that.
    match (address, bits) {
        (IpAddr::V6(six), 96..) => match six.to_ipv4_mapped() {
            Some(four) => Ok(Host::Block(IpAddr::V4(four), bits - 96)),
            None => Ok(Host::Block(address, bits)),
        },
        _ => Ok(Host::Block(address, bits)),
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(four.to_bits() & mask))
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & mask))
        }
    }
}

/// A name as names are compared: lower case, without the dot that says it is complete. Nothing if it is none; an address, however it is written, is
/// none.
pub fn name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A last part of digits is an address for some resolvers: 127.1, 0x7f.1, 2130706433.
    let last = text.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    (text.len() <= NAME_BYTES && text.split('.').all(label) && !number).then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.listen {
            f.write_str("listen:")?;
        }
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Below(name) => write!(f, "*{name}")?,
            Host::Block(IpAddr::V4(four), 32) => write!(f, "{four}")?,
            Host::Block(IpAddr::V4(four), bits) => write!(f, "{four}/{bits}")?,
            Host::Block(IpAddr::V6(six), 128) => write!(f, "[{six}]")?,
            Host::Block(IpAddr::V6(six), bits) => write!(f, "[{six}/{bits}]")?,
        }
        match self.port {
            None => f.write_str(":*"),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

impl Host {
    /// `name` as [`name`] gives it.
    fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(granted) => granted == name,
            Self::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
            Self::Block(..) => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Block(start, bits) => {
                let address = address.to_canonical();
                address.is_ipv4() == start.is_ipv4() && masked(address, *bits) == *start
            }
            Self::Name(_) | Self::Below(_) => false,
        }
    }
}

impl Grant {
    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|granted| granted == port)
    }
}

/// All that a guest was granted of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// The grants as they are recorded.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Self, GrantError> {
        texts.into_iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn reaching(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter().filter(|grant| !grant.listen)
    }

    /// Whether anything may be reached.
    pub fn reach_any(&self) -> bool {
        self.reaching().next().is_some()
    }

    /// Whether a name may be looked up: it is granted with some port.
    pub fn may_look_up(&self, text: &str) -> bool {
        name(text).is_some_and(|name| self.reaching().any(|grant| grant.host.has_name(&name)))
    }

    /// Whether a place may be reached by its name.
    pub fn may_reach_name(&self, text: &str, port: u16) -> bool {
        name(text).is_some_and(|name| self.reaching().any(|grant| grant.host.has_name(&name) && grant.has_port(port)))
    }

    /// Whether an address may be reached for its own sake.
    pub fn may_reach(&self, address: SocketAddr) -> bool {
        self.reaching().any(|grant| grant.host.has_address(address.ip()) && grant.has_port(address.port()))
    }

    /// Whether an address may be listened at.
    pub fn may_listen(&self, address: SocketAddr) -> bool {
        let mut listening = self.0.iter().filter(|grant| grant.listen);
        listening.any(|grant| grant.host.has_address(address.ip()) && grant.has_port(address.port()))
    }
}

/// Whether a name can stand for an address. Whoever answers for a name could else let it point at this machine or at what serves it (`169.254.169.254`);
/// such an address must be granted itself. The name `localhost` is this machine's by RFC 6761.
pub fn can_stand_for(text: &str, address: IpAddr) -> bool {
    let local = name(text).is_some_and(|name| name == "localhost" || name.ends_with(".localhost"));
    match address.to_canonical() {
        address if address.is_loopback() => local,
        IpAddr::V4(four) => {
            !(four.is_unspecified() || four.is_link_local() || four.is_broadcast() || four.is_multicast())
        }
        IpAddr::V6(six) => !(six.is_unspecified() || six.is_unicast_link_local() || six.is_multicast()),
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
