//! `wasi:io/streams`: the same functions over standard streams and files.

use reel_abi::net::Side;
use reel_abi::types::{FsCode, Stdio, StreamFault};
use reel_abi::vocabulary::{
    FsStreamFlush, FsStreamRead, FsStreamWrite, FsStreamZeroes, StreamCheckWrite, StreamSkip, StreamSplice,
    StreamSubscribe,
};
use wasmtime::component::Resource;

use super::bindings::wasi::io::streams;
use super::handles::{number, own};
use super::session::{InputStream, OutputStream, Pollable, Session, StreamError};
use crate::gate::Halt;
use crate::txn::fault::split;

/// Most bytes that one read gives.
const READ_BYTES: u64 = 1 << 20;

/// How many bytes a file's stream takes at a time.
const FILE_PERMIT: u64 = 1 << 20;

/// How many bytes standard output and error take at a time.
const TALK_PERMIT: u64 = 64 << 10;

/// Most bytes of the `blocking-write-and-flush` family, by the specification.
const BLOCKING_WRITE_BYTES: u64 = 4096;

type StreamResult<T> = Result<T, StreamError>;

impl Session {
    /// Bytes of a file's stream, which moves on.
    fn read_file(&mut self, stream: &Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let (files, handles) = (&mut self.txn.files, &mut self.handles);
        let call = FsStreamRead { stream: number(stream), len };
        let mut taken = Vec::new();
        self.gate.pass(call, |gate, _| {
            let InputStream::File { place, offset, allowed } = *handles.get(stream)? else {
                return Ok(Err(StreamFault::Closed));
            };
            if !allowed {
                return Ok(Err(StreamFault::Failed { code: FsCode::BadDescriptor }));
            }
            let (bytes, _) = match split(files.read(gate, place, offset, len.min(READ_BYTES) as usize))? {
                Ok(read) => read,
                Err(code) => return Ok(Err(StreamFault::Failed { code })),
            };
            if bytes.is_empty() && len > 0 {
                return Ok(Err(StreamFault::Closed));
            }
            *handles.get_mut(stream)? = InputStream::File { place, offset: offset + bytes.len() as u64, allowed };
            let payload = gate.payload(&bytes);
            taken = bytes;
            Ok(Ok(payload))
        })??;
        Ok(taken)
    }

    /// Discards what [`Session::take_input`] gives.
    fn skip_input(&mut self, stream: &Resource<InputStream>, len: u64, blocking: bool) -> StreamResult<u64> {
        let call = StreamSkip { stream: number(stream), len, blocking };
        self.nested(call, |session| Ok(session.take_input(stream, len)?.map(|bytes| bytes.len() as u64)))
    }

    /// What of a stream is there now.
    fn take_input(&mut self, stream: &Resource<InputStream>, len: u64) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        match *self.handles.get(stream)? {
            InputStream::Stdin => self.take_stdin(number(stream), len),
            InputStream::Body { number } => self.take_body(stream, number, len),
            InputStream::Socket { socket } => self.take_socket(stream, socket, len),
            InputStream::File { .. } => match self.read_file(stream, len) {
                Ok(bytes) => Ok(Ok(bytes)),
                Err(StreamError::Fault(fault)) => Ok(Err(fault)),
                Err(StreamError::Halt(halt)) => Err(halt),
            },
        }
    }

    fn write_output(&mut self, stream: &Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        let which = match *self.handles.get(stream)? {
            OutputStream::Stdout => Stdio::Stdout,
            OutputStream::Stderr => Stdio::Stderr,
            OutputStream::File { .. } => return self.write_file(stream, &bytes),
            OutputStream::Body { number } => return Ok(self.write_body(stream, number, &bytes)??),
            OutputStream::Socket { socket, .. } => return Ok(self.write_socket(stream, socket, &bytes)??),
        };
        Ok(self.talk(which, bytes)??)
    }

    fn write_file(&mut self, stream: &Resource<OutputStream>, bytes: &[u8]) -> StreamResult<()> {
        let (files, handles) = (&mut self.txn.files, &mut self.handles);
        let call = FsStreamWrite { stream: number(stream), bytes: self.gate.payload(bytes) };
        Ok(self.gate.pass(call, |gate, _| {
            let OutputStream::File { place, offset, allowed } = *handles.get(stream)? else {
                return Ok(Err(StreamFault::Closed));
            };
            if !allowed {
                return Ok(Err(StreamFault::Failed { code: FsCode::BadDescriptor }));
            }
            let written = match offset {
                Some(offset) => files.write(gate, place, offset, bytes),
                None => files.append(gate, place, bytes),
            };
            if let Err(code) = split(written)? {
                return Ok(Err(StreamFault::Failed { code }));
            }
            let offset = offset.map(|offset| offset + bytes.len() as u64);
            *handles.get_mut(stream)? = OutputStream::File { place, offset, allowed };
            Ok(Ok(()))
        })??)
    }

    fn flush_output(&mut self, stream: &Resource<OutputStream>) -> StreamResult<()> {
        let which = match *self.handles.get(stream)? {
            OutputStream::Stdout => Stdio::Stdout,
            OutputStream::Stderr => Stdio::Stderr,
            OutputStream::Socket { socket, .. } => return Ok(self.flush_socket(stream, socket)??),
            OutputStream::File { .. } | OutputStream::Body { .. } => {
                let call = FsStreamFlush { stream: number(stream) };
                return Ok(self.gate.pass(call, |_, _| Ok(Ok(())))??);
            }
        };
        Ok(self.flush_talk(which)??)
    }

    /// The same, where the guest waits until it is done.
    async fn flush_out(&mut self, stream: &Resource<OutputStream>) -> StreamResult<()> {
        match *self.handles.get(stream)? {
            OutputStream::Socket { socket, .. } => Ok(self.flush_socket_out(stream, socket).await??),
            _ => self.flush_output(stream),
        }
    }

    /// Waits until a connection takes what the guest may write without having asked.
    async fn await_room(&mut self, stream: &Resource<OutputStream>) -> StreamResult<()> {
        if let OutputStream::Socket { socket, .. } = *self.handles.get(stream)? {
            self.check_socket(number(stream), socket, true).await??;
        }
        Ok(())
    }

    fn permit(&self, stream: &Resource<OutputStream>) -> Result<u64, Halt> {
        Ok(match self.handles.get(stream)? {
            OutputStream::File { .. } => FILE_PERMIT,
            OutputStream::Body { .. } => self.body_permit(),
            OutputStream::Socket { permit, .. } => *permit,
            OutputStream::Stdout | OutputStream::Stderr => TALK_PERMIT,
        })
    }

    /// A write beyond what was permitted is a trap, by the specification.
    fn refuse_over(&self, len: u64, permit: u64) -> Result<(), Halt> {
        if len > permit {
            return Err(Halt::Trap(format!("a write of {len} bytes where {permit} are permitted")));
        }
        Ok(())
    }

    fn splice_now(
        &mut self,
        to: &Resource<OutputStream>,
        from: &Resource<InputStream>,
        len: u64,
        blocking: bool,
    ) -> StreamResult<u64> {
        let len = len.min(self.permit(to)?);
        let call = StreamSplice { from: number(from), to: number(to), len, blocking };
        self.nested(call, |session| {
            let bytes = match session.take_input(from, len)? {
                Ok(bytes) => bytes,
                Err(fault) => return Ok(Err(fault)),
            };
            let count = bytes.len() as u64;
            match session.write_output(to, bytes) {
                Ok(()) => Ok(Ok(count)),
                Err(StreamError::Fault(fault)) => Ok(Err(fault)),
                Err(StreamError::Halt(halt)) => Err(halt),
            }
        })
    }

    /// Passes a call that is made of other calls: they come first in the log, then this one with what came of them.
    fn nested<C>(
        &mut self,
        call: C,
        act: impl FnOnce(&mut Self) -> Result<Result<u64, StreamFault>, Halt>,
    ) -> StreamResult<u64>
    where
        C: reel_abi::vocabulary::Call<Reply = Result<u64, StreamFault>>,
    {
        let reply = act(self)?;
        Ok(self.gate.pass(call, |_, _| Ok(reply))??)
    }
}

impl streams::HostInputStream for Session {
    async fn read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        match *self.handles.get(&stream)? {
            InputStream::Socket { socket } => Ok(self.read_socket(&stream, socket, len, false).await??),
            InputStream::Stdin => Ok(self.take_stdin(number(&stream), len)??),
            InputStream::Body { number } => Ok(self.take_body(&stream, number, len)??),
            InputStream::File { .. } => self.read_file(&stream, len),
        }
    }

    async fn blocking_read(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<Vec<u8>> {
        match *self.handles.get(&stream)? {
            InputStream::Socket { socket } => Ok(self.read_socket(&stream, socket, len, true).await??),
            InputStream::Stdin => Ok(self.read_stdin(number(&stream), len, true).await??),
            InputStream::Body { number } => Ok(self.read_body(&stream, number, len, true).await??),
            InputStream::File { .. } => self.read_file(&stream, len),
        }
    }

    async fn skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        self.release_sockets().await?;
        self.skip_input(&stream, len, false)
    }

    async fn blocking_skip(&mut self, stream: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        match *self.handles.get(&stream)? {
            InputStream::Stdin => self.await_stdin().await,
            InputStream::Body { number } => self.await_body(number).await,
            InputStream::Socket { socket } => self.await_socket(socket).await?,
            InputStream::File { .. } => {}
        }
        self.skip_input(&stream, len, true)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<Resource<Pollable>> {
        let pollable = match *self.handles.get(&stream)? {
            InputStream::Stdin => Pollable::Stdin,
            InputStream::Body { number } => Pollable::Body { number },
            InputStream::Socket { socket } => Pollable::Socket { socket, side: Side::Input },
            InputStream::File { .. } => Pollable::Ready,
        };
        let handles = &mut self.handles;
        let call = StreamSubscribe { stream: number(&stream) };
        Ok(own(self.gate.pass(call, |_, _| handles.push(pollable))?))
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<()> {
        self.drop_socket_input(&stream)
    }
}

impl streams::HostOutputStream for Session {
    async fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        if let OutputStream::Socket { socket, .. } = *self.handles.get(&stream)? {
            return Ok(self.check_socket(number(&stream), socket, false).await??);
        }
        let permit = self.permit(&stream)?;
        let call = StreamCheckWrite { stream: number(&stream) };
        Ok(self.gate.pass(call, |_, _| Ok(Ok(permit)))??)
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.refuse_over(bytes.len() as u64, self.permit(&stream)?)?;
        self.write_output(&stream, bytes)
    }

    async fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.refuse_over(bytes.len() as u64, BLOCKING_WRITE_BYTES)?;
        self.await_room(&stream).await?;
        self.write_output(&stream, bytes)?;
        self.flush_out(&stream).await
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        self.flush_output(&stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        self.flush_out(&stream).await
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<Resource<Pollable>> {
        let pollable = match *self.handles.get(&stream)? {
            OutputStream::Socket { socket, .. } => Pollable::Socket { socket, side: Side::Output },
            _ => Pollable::Ready,
        };
        let handles = &mut self.handles;
        let call = StreamSubscribe { stream: number(&stream) };
        Ok(own(self.gate.pass(call, |_, _| handles.push(pollable))?))
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, len: u64) -> StreamResult<()> {
        self.refuse_over(len, self.permit(&stream)?)?;
        let reply = match self.write_output(&stream, vec![0; len as usize]) {
            Ok(()) => Ok(()),
            Err(StreamError::Fault(fault)) => Err(fault),
            Err(StreamError::Halt(halt)) => return Err(halt.into()),
        };
        let call = FsStreamZeroes { stream: number(&stream), len };
        Ok(self.gate.pass(call, |_, _| Ok(reply))??)
    }

    async fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<OutputStream>, len: u64) -> StreamResult<()> {
        self.refuse_over(len, BLOCKING_WRITE_BYTES)?;
        self.await_room(&stream).await?;
        self.write_zeroes(own(number(&stream)), len)?;
        self.flush_out(&stream).await
    }

    async fn splice(&mut self, to: Resource<OutputStream>, from: Resource<InputStream>, len: u64) -> StreamResult<u64> {
        self.release_sockets().await?;
        if let OutputStream::Socket { socket, .. } = *self.handles.get(&to)? {
            self.check_socket(number(&to), socket, false).await??;
        }
        self.splice_now(&to, &from, len, false)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.await_room(&to).await?;
        match *self.handles.get(&from)? {
            InputStream::Stdin => self.await_stdin().await,
            InputStream::Socket { socket } => self.await_socket(socket).await?,
            _ => {}
        }
        self.splice_now(&to, &from, len, true)
    }

    fn drop(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        self.drop_socket_output(&stream)
    }
}
