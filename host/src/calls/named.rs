//! What a handle can name, and how it is written down for a checkpoint.

use reel_abi::bytes::Bytes;
use reel_abi::resident::Slot;
use reel_abi::types::{DirEntry, Nanos};
use wasmtime::component::{Resource, ResourceAny};
use wasmtime::{AsContextMut, StoreContextMut};

use super::http::state::{
    Fields, FutureIncomingResponse, FutureTrailers, GONE, IncomingBody, IncomingRequest, IncomingResponse,
    OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam,
};
use super::messaging::{Client, Post};
use super::refused::Refused;
use super::session::{
    Cas, Descriptor, DirectoryStream, ErrorText, InputStream, OutputStream, Pollable, Savepoint, Session,
    TerminalInput, TerminalOutput,
};
use super::sockets::state::{AddressStream, IncomingDatagrams, Network, OutgoingDatagrams, TcpSocket, UdpSocket};
use crate::txn::buckets::Bucket;
use crate::txn::files::Place;

/// A kind of resource that handles can name.
pub trait Nameable: Sized + Send + 'static {
    /// As a member of all kinds.
    fn into_named(self) -> Named;
    /// Itself, if that is what is named.
    fn of(named: &Named) -> Option<&Self>;
    /// The same, to be changed.
    fn of_mut(named: &mut Named) -> Option<&mut Self>;
    /// The same, taken out; or back as it was.
    fn from_named(named: Named) -> Result<Self, Named>;
}

macro_rules! named {
    ($($kind:ident),* $(,)?) => {
        /// What a handle names.
        pub enum Named { $(#[doc = stringify!($kind)] $kind($kind)),* }
        $(impl Nameable for $kind {
            fn into_named(self) -> Named {
                Named::$kind(self)
            }
            fn of(named: &Named) -> Option<&Self> {
                if let Named::$kind(this) = named { Some(this) } else { None }
            }
            fn of_mut(named: &mut Named) -> Option<&mut Self> {
                if let Named::$kind(this) = named { Some(this) } else { None }
            }
            fn from_named(named: Named) -> Result<Self, Named> {
                if let Named::$kind(this) = named { Ok(this) } else { Err(named) }
            }
        })*
        impl Named {
            /// The handle with this number, as the engine hands it to the guest.
            pub fn own(&self, number: u32, store: StoreContextMut<'_, Session>) -> wasmtime::Result<ResourceAny> {
                match self { $(Self::$kind(_) => own::<$kind>(number, store)),* }
            }

            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind)),* }
            }
        }
    };
}

named! {
    Descriptor, DirectoryStream, InputStream, OutputStream, Pollable, ErrorText, Bucket, Cas, Savepoint, TerminalInput,
    TerminalOutput, Refused, Network, TcpSocket, UdpSocket, AddressStream, IncomingDatagrams, OutgoingDatagrams, Fields, IncomingRequest, OutgoingRequest, RequestOptions, ResponseOutparam, IncomingResponse,
    IncomingBody, FutureTrailers, OutgoingResponse, OutgoingBody, FutureIncomingResponse, Client, Post,
}

fn own<T: 'static>(number: u32, mut store: StoreContextMut<'_, Session>) -> wasmtime::Result<ResourceAny> {
    Resource::<T>::new_own(number).try_into_resource_any(store.as_context_mut())
}

fn tree(place: &Place) -> u32 {
    u32::try_from(place.tree).unwrap_or(u32::MAX)
}

fn place(tree: u32, node: u64) -> Place {
    Place { tree: tree as usize, node }
}

impl Named {
    /// As it stands in a checkpoint.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Descriptor(Descriptor { place, kind, flags }) => {
                Slot::Descriptor { tree: tree(place), node: place.node, kind: *kind, flags: *flags }
            }
            Self::DirectoryStream(DirectoryStream { names, count }) => {
                let entry = |(name, kind): &(String, _)| DirEntry { name: name.clone(), kind: *kind };
                Slot::Listing { names: names.as_slice().iter().map(entry).collect(), count: *count as u64 }
            }
            Self::InputStream(InputStream::Stdin) => Slot::Stdin,
            Self::InputStream(InputStream::File { place, offset, allowed }) => {
                Slot::FileInput { tree: tree(place), node: place.node, offset: *offset, allowed: *allowed }
            }
            Self::OutputStream(OutputStream::Stdout) => Slot::Stdout,
            Self::OutputStream(OutputStream::Stderr) => Slot::Stderr,
            Self::OutputStream(OutputStream::File { place, offset, allowed }) => {
                Slot::FileOutput { tree: tree(place), node: place.node, offset: *offset, allowed: *allowed }
            }
            Self::Pollable(Pollable::Ready) => Slot::Ready,
            Self::Pollable(Pollable::Stdin) => Slot::StdinReady,
            Self::Pollable(Pollable::Timer { deadline }) => Slot::Timer { deadline: Nanos(*deadline) },
            Self::ErrorText(ErrorText::File(code)) => Slot::Error { code: *code },
            Self::ErrorText(ErrorText::Network(code)) => Slot::NetError { code: *code },
            Self::Bucket(bucket) => Slot::Bucket { prefix: Bytes(bucket.prefix().to_vec()) },
            Self::Cas(Cas { bucket, key, current }) => {
                Slot::Cas { prefix: Bytes(bucket.prefix().to_vec()), key: Bytes(key.clone()), current: current.clone() }
            }
            Self::Savepoint(Savepoint { name }) => Slot::Savepoint { name: *name },
            Self::TerminalInput(TerminalInput) => Slot::TerminalInput,
            Self::TerminalOutput(TerminalOutput) => Slot::TerminalOutput,
            Self::Refused(Refused) => Slot::Refused,
            Self::Network(Network) => Slot::Network,
            Self::TcpSocket(TcpSocket { family, streams }) => Slot::TcpSocket { family: *family, streams: *streams },
            Self::UdpSocket(UdpSocket { family, streams }) => Slot::UdpSocket { family: *family, streams: *streams },
            Self::AddressStream(AddressStream { name }) => Slot::AddressStream { name: name.clone() },
            Self::IncomingDatagrams(IncomingDatagrams { socket }) => Slot::IncomingDatagrams { socket: *socket },
            Self::OutgoingDatagrams(OutgoingDatagrams { socket, permit }) => {
                Slot::OutgoingDatagrams { socket: *socket, permit: *permit }
            }
            Self::InputStream(InputStream::Socket { socket }) => Slot::SocketInput { socket: *socket },
            Self::OutputStream(OutputStream::Socket { socket, permit }) => {
                Slot::SocketOutput { socket: *socket, permit: *permit }
            }
            Self::Pollable(Pollable::Socket { socket, side }) => Slot::SocketReady { socket: *socket, side: *side },
            Self::Fields(Fields { entries, frozen }) => Slot::Fields { entries: entries.clone(), frozen: *frozen },
            Self::IncomingRequest(IncomingRequest { head, body }) => {
                Slot::IncomingRequest { head: (**head).clone(), body: body.is_some() }
            }
            Self::OutgoingRequest(OutgoingRequest { head, body }) => {
                Slot::OutgoingRequest { head: (**head).clone(), body: body.is_some() }
            }
            Self::RequestOptions(RequestOptions { connect, first_byte, between_bytes }) => {
                Slot::RequestOptions { connect: *connect, first_byte: *first_byte, between_bytes: *between_bytes }
            }
            Self::ResponseOutparam(ResponseOutparam) => Slot::ResponseOutparam,
            Self::IncomingResponse(IncomingResponse { head, body }) => {
                Slot::IncomingResponse { head: head.clone(), body: body.is_some() }
            }
            Self::IncomingBody(IncomingBody { streamed, .. }) => Slot::IncomingBody { streamed: *streamed },
            Self::FutureTrailers(FutureTrailers { taken }) => Slot::FutureTrailers { taken: *taken },
            Self::OutgoingResponse(OutgoingResponse { head, body }) => {
                Slot::OutgoingResponse { head: head.clone(), body: body.is_some() }
            }
            Self::OutgoingBody(OutgoingBody { streamed, .. }) => Slot::OutgoingBody { streamed: *streamed },
            Self::FutureIncomingResponse(FutureIncomingResponse { taken, .. }) => {
                Slot::FutureIncomingResponse { taken: *taken }
            }
            Self::InputStream(InputStream::Body { .. }) => Slot::BodyInput,
            Self::OutputStream(OutputStream::Body { .. }) => Slot::BodyOutput,
            Self::Pollable(Pollable::Body { .. }) => Slot::BodyReady,
            Self::Pollable(Pollable::Response { .. }) => Slot::ResponseReady,
            Self::Client(Client { connected }) => Slot::Client { connected: *connected },
            Self::Post(_) => Slot::Post,
        }
    }

    /// What stands in a checkpoint; nothing for a free slot.
    pub fn of_slot(slot: &Slot) -> Option<Self> {
        Some(match slot {
            Slot::Free { .. } => return None,
            Slot::Descriptor { tree, node, kind, flags } => {
                Self::Descriptor(Descriptor { place: place(*tree, *node), kind: *kind, flags: *flags })
            }
            Slot::Listing { names, count } => {
                let names: Vec<_> = names.iter().map(|entry| (entry.name.clone(), entry.kind)).collect();
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                Self::DirectoryStream(DirectoryStream { names: names.into_iter(), count })
            }
            Slot::Stdin => Self::InputStream(InputStream::Stdin),
            Slot::FileInput { tree, node, offset, allowed } => {
                Self::InputStream(InputStream::File { place: place(*tree, *node), offset: *offset, allowed: *allowed })
            }
            Slot::Stdout => Self::OutputStream(OutputStream::Stdout),
            Slot::Stderr => Self::OutputStream(OutputStream::Stderr),
            Slot::FileOutput { tree, node, offset, allowed } => Self::OutputStream(OutputStream::File {
                place: place(*tree, *node),
                offset: *offset,
                allowed: *allowed,
            }),
            Slot::Ready => Self::Pollable(Pollable::Ready),
            Slot::StdinReady => Self::Pollable(Pollable::Stdin),
            Slot::Timer { deadline } => Self::Pollable(Pollable::Timer { deadline: deadline.0 }),
            Slot::Error { code } => Self::ErrorText(ErrorText::File(*code)),
            Slot::NetError { code } => Self::ErrorText(ErrorText::Network(*code)),
            Slot::Bucket { prefix } => Self::Bucket(Bucket::of_prefix(prefix.0.clone())),
            Slot::Cas { prefix, key, current } => Self::Cas(Cas {
                bucket: Bucket::of_prefix(prefix.0.clone()),
                key: key.0.clone(),
                current: current.clone(),
            }),
            Slot::Savepoint { name } => Self::Savepoint(Savepoint { name: *name }),
            Slot::TerminalInput => Self::TerminalInput(TerminalInput),
            Slot::TerminalOutput => Self::TerminalOutput(TerminalOutput),
            Slot::Refused => Self::Refused(Refused),
            Slot::Network => Self::Network(Network),
            Slot::TcpSocket { family, streams } => Self::TcpSocket(TcpSocket { family: *family, streams: *streams }),
            Slot::UdpSocket { family, streams } => Self::UdpSocket(UdpSocket { family: *family, streams: *streams }),
            Slot::AddressStream { name } => Self::AddressStream(AddressStream { name: name.clone() }),
            Slot::IncomingDatagrams { socket } => Self::IncomingDatagrams(IncomingDatagrams { socket: *socket }),
            Slot::OutgoingDatagrams { socket, permit } => {
                Self::OutgoingDatagrams(OutgoingDatagrams { socket: *socket, permit: *permit })
            }
            Slot::SocketInput { socket } => Self::InputStream(InputStream::Socket { socket: *socket }),
            Slot::SocketOutput { socket, permit } => {
                Self::OutputStream(OutputStream::Socket { socket: *socket, permit: *permit })
            }
            Slot::SocketReady { socket, side } => Self::Pollable(Pollable::Socket { socket: *socket, side: *side }),
            Slot::Fields { entries, frozen } => Self::Fields(Fields { entries: entries.clone(), frozen: *frozen }),
            Slot::IncomingRequest { head, body } => {
                Self::IncomingRequest(IncomingRequest { head: Box::new(head.clone()), body: body.then_some(GONE) })
            }
            Slot::OutgoingRequest { head, body } => {
                Self::OutgoingRequest(OutgoingRequest { head: Box::new(head.clone()), body: body.then_some(GONE) })
            }
            Slot::RequestOptions { connect, first_byte, between_bytes } => Self::RequestOptions(RequestOptions {
                connect: *connect,
                first_byte: *first_byte,
                between_bytes: *between_bytes,
            }),
            Slot::ResponseOutparam => Self::ResponseOutparam(ResponseOutparam),
            Slot::IncomingResponse { head, body } => {
                Self::IncomingResponse(IncomingResponse { head: head.clone(), body: body.then_some(GONE) })
            }
            Slot::IncomingBody { streamed } => Self::IncomingBody(IncomingBody { number: GONE, streamed: *streamed }),
            Slot::FutureTrailers { taken } => Self::FutureTrailers(FutureTrailers { taken: *taken }),
            Slot::OutgoingResponse { head, body } => {
                Self::OutgoingResponse(OutgoingResponse { head: head.clone(), body: body.then_some(GONE) })
            }
            Slot::OutgoingBody { streamed } => Self::OutgoingBody(OutgoingBody { number: GONE, streamed: *streamed }),
            Slot::FutureIncomingResponse { taken } => {
                Self::FutureIncomingResponse(FutureIncomingResponse { number: GONE, taken: *taken })
            }
            Slot::BodyInput => Self::InputStream(InputStream::Body { number: GONE }),
            Slot::BodyOutput => Self::OutputStream(OutputStream::Body { number: GONE }),
            Slot::BodyReady => Self::Pollable(Pollable::Body { number: GONE }),
            Slot::ResponseReady => Self::Pollable(Pollable::Response { number: GONE }),
            Slot::Client { connected } => Self::Client(Client { connected: *connected }),
            Slot::Post => Self::Post(Post::default()),
        })
    }

    /// What it names of a body or request is gone.
    pub fn forget_body(&mut self) {
        match self {
            Self::IncomingRequest(IncomingRequest { body: Some(number), .. })
            | Self::OutgoingRequest(OutgoingRequest { body: Some(number), .. })
            | Self::IncomingResponse(IncomingResponse { body: Some(number), .. })
            | Self::OutgoingResponse(OutgoingResponse { body: Some(number), .. })
            | Self::IncomingBody(IncomingBody { number, .. })
            | Self::OutgoingBody(OutgoingBody { number, .. })
            | Self::FutureIncomingResponse(FutureIncomingResponse { number, .. })
            | Self::InputStream(InputStream::Body { number })
            | Self::OutputStream(OutputStream::Body { number })
            | Self::Pollable(Pollable::Body { number } | Pollable::Response { number }) => *number = GONE,
            Self::Post(post) => *post = Post::default(),
            _ => {}
        }
    }

    /// Where it is, if it is a place in a tree.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Descriptor(Descriptor { place, .. })
            | Self::InputStream(InputStream::File { place, .. })
            | Self::OutputStream(OutputStream::File { place, .. }) => Some(*place),
            _ => None,
        }
    }
}
