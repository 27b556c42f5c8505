//! The streams of a connection, below `wasi:io/streams`.

use reel_abi::net::{NetCode, Shutdown, Side};
use reel_abi::types::{Data, Handle, Resource as Kind, StreamFault};
use reel_abi::vocabulary::{TcpCheckWrite, TcpFlush, TcpRead, TcpWrite};
use wasmtime::component::Resource;

use super::state::TcpSocket;
use crate::calls::handles::{number, own};
use crate::calls::session::{InputStream, OutputStream, Session};
use crate::gate::Halt;
use crate::sockets::table::Sockets;
use crate::sockets::tcp::BUFFER_BYTES;

type Faulty<T> = Result<Result<T, StreamFault>, Halt>;

fn fault(code: NetCode) -> StreamFault {
    StreamFault::Network { code }
}

fn read(sockets: &mut Sockets, socket: u32, len: u64) -> Result<Data, StreamFault> {
    let most = len.min(BUFFER_BYTES as u64) as usize;
    match sockets.tcp(socket).and_then(|tcp| tcp.read(most)).map_err(fault)? {
        Some(bytes) => Ok(Data::Inline { bytes: bytes.into() }),
        None => Err(StreamFault::Closed),
    }
}

fn room(sockets: &mut Sockets, socket: u32) -> Result<u64, StreamFault> {
    sockets.tcp(socket).and_then(|tcp| tcp.room()).map_err(fault)?.ok_or(StreamFault::Closed)
}

impl Session {
    /// Bytes of a connection; with `blocking` at least one, or the end.
    pub(in crate::calls) async fn read_socket(
        &mut self,
        stream: &Resource<InputStream>,
        socket: u32,
        len: u64,
        blocking: bool,
    ) -> Faulty<Vec<u8>> {
        self.release_sockets().await?;
        if !blocking {
            return self.take_socket(stream, socket, len);
        }
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let live = async {
            if len > 0 {
                sockets.ready(socket, Side::Input, grants).await;
            }
            Ok(read(sockets, socket, len))
        };
        let data = self.gate.pass_async(TcpRead { stream: number(stream), len, blocking }, live).await?;
        self.bytes_of(data)
    }

    /// The same as a part of another call, which does not wait.
    pub(in crate::calls) fn take_socket(
        &mut self,
        stream: &Resource<InputStream>,
        socket: u32,
        len: u64,
    ) -> Faulty<Vec<u8>> {
        let sockets = &mut self.sockets;
        let call = TcpRead { stream: number(stream), len, blocking: false };
        let data = self.gate.pass(call, |_, _| Ok(read(sockets, socket, len)))?;
        self.bytes_of(data)
    }

    /// Waits for a connection where a call is about to take from it; in a replay there is nothing to wait for.
    pub(in crate::calls) async fn await_socket(&mut self, socket: u32) -> Result<(), Halt> {
        self.release_sockets().await?;
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        sockets.ready(socket, Side::Input, grants).await;
        Ok(())
    }

    /// How many bytes the guest may write; with `blocking` at least a few, if any ever. It is held to what it was told.
    pub(in crate::calls) async fn check_socket(&mut self, stream: Handle, socket: u32, blocking: bool) -> Faulty<u64> {
        self.release_sockets().await?;
        let (sockets, grants) = (&mut self.sockets, &self.setup.net);
        let live = async {
            if blocking {
                sockets.ready(socket, Side::Output, grants).await;
            }
            Ok(room(sockets, socket))
        };
        let room = self.gate.pass_async(TcpCheckWrite { stream, blocking }, live).await?;
        let room = room.map(|room| room.min(BUFFER_BYTES as u64));
        *self.handles.get_mut(&own(stream))? =
            OutputStream::Socket { socket, permit: room.as_ref().copied().unwrap_or(0) };
        Ok(room)
    }

    /// Takes bytes for a connection.
    pub(in crate::calls) fn write_socket(
        &mut self,
        stream: &Resource<OutputStream>,
        socket: u32,
        bytes: &[u8],
    ) -> Faulty<()> {
        self.gate.count_written(bytes.len() as u64)?;
        if let OutputStream::Socket { permit, .. } = self.handles.get_mut(stream)? {
            *permit = permit.saturating_sub(bytes.len() as u64);
        }
        let sockets = &mut self.sockets;
        let call = TcpWrite { stream: number(stream), bytes: self.gate.payload(bytes) };
        self.gate.pass(call, |_, _| {
            let written = sockets.tcp(socket).and_then(|tcp| tcp.write(bytes));
            Ok(written.map_err(fault).and_then(|written| written.ok_or(StreamFault::Closed)))
        })
    }

    /// What was written shall leave, at the next wait.
    pub(in crate::calls) fn flush_socket(&mut self, stream: &Resource<OutputStream>, socket: u32) -> Faulty<()> {
        let sockets = &mut self.sockets;
        let call = TcpFlush { stream: number(stream), blocking: false };
        self.gate.pass(call, |_, _| Ok(room(sockets, socket).map(drop)))
    }

    /// Waits until what was written has left.
    pub(in crate::calls) async fn flush_socket_out(
        &mut self,
        stream: &Resource<OutputStream>,
        socket: u32,
    ) -> Faulty<()> {
        self.release_sockets().await?;
        let sockets = &mut self.sockets;
        let live = async {
            sockets.sent(socket).await;
            Ok(room(sockets, socket).map(drop))
        };
        self.gate.pass_async(TcpFlush { stream: number(stream), blocking: true }, live).await
    }

    /// A stream of a connection is dropped; its socket knows.
    pub(in crate::calls) fn leave_socket(&mut self, socket: u32, how: Shutdown) {
        if self.handles.restoring {
            return;
        }
        if let Ok(tcp) = self.handles.get_mut::<TcpSocket>(&own(Handle(socket))) {
            tcp.streams = tcp.streams.saturating_sub(1);
        }
        if let Ok(tcp) = self.sockets.tcp(socket) {
            let _ = tcp.shutdown(how);
        }
    }

    /// Drops the input stream of a connection.
    pub(in crate::calls) fn drop_socket_input(&mut self, stream: &Resource<InputStream>) -> wasmtime::Result<()> {
        if let InputStream::Socket { socket } = *self.handles.get(stream)? {
            self.leave_socket(socket, Shutdown::Receive);
        }
        self.drop_handle(Kind::InputStream, stream)
    }

    /// Drops the output stream of a connection.
    pub(in crate::calls) fn drop_socket_output(&mut self, stream: &Resource<OutputStream>) -> wasmtime::Result<()> {
        if let OutputStream::Socket { socket, .. } = *self.handles.get(stream)? {
            self.leave_socket(socket, Shutdown::Send);
        }
        self.drop_handle(Kind::OutputStream, stream)
    }
}
