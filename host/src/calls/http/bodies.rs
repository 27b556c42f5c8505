//! Bodies: those that come in, piece by piece, and those that are written.

use reel_abi::bytes::Bytes;
use reel_abi::http::{HttpCode, HttpFault};
use reel_abi::types::{DATA_INLINE_BYTES, Data, FsCode, Resource as Kind, StreamFault};
use reel_abi::vocabulary::{HttpBodyRead, HttpBodyWrite, HttpErrorCode, HttpFinish, HttpStream, HttpTrailers};
use wasmtime::component::Resource;

use super::state::{Fields, FutureTrailers, IncomingBody, OutgoingBody, Source};
use super::words::code;
use crate::calls::bindings::wasi::http::types;
use crate::calls::handles::{number, own};
use crate::calls::session::{ErrorText, InputStream, OutputStream, Pollable, Session};
use crate::gate::Halt;
use crate::port::Input;
use crate::txn::lower::blob;

/// How many bytes a body takes at a time.
const PERMIT: u64 = 1 << 20;

impl Session {
    /// Up to `len` bytes of a body that are there now; with `blocking` it waits for the first.
    pub(in crate::calls) async fn read_body(
        &mut self,
        stream: &Resource<InputStream>,
        body: u32,
        len: u64,
        blocking: bool,
    ) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let call = HttpBodyRead { stream: number(stream), len, blocking };
        let source = self.http.source(body);
        let live = async {
            let Source::There(source) = source else { return Ok(Err(source.fault())) };
            if blocking && len > 0 {
                source.ready().await;
            }
            Ok(take(source, len))
        };
        let data = self.gate.pass_async(call, live).await?;
        self.body_bytes(body, data)
    }

    /// The same as a part of another call, which does not wait.
    pub(in crate::calls) fn take_body(
        &mut self,
        stream: &Resource<InputStream>,
        body: u32,
        len: u64,
    ) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let call = HttpBodyRead { stream: number(stream), len, blocking: false };
        let source = self.http.source(body);
        let data = self.gate.pass(call, |_, _| match source {
            Source::There(source) => Ok(take(source, len)),
            lost => Ok(Err(lost.fault())),
        })?;
        self.body_bytes(body, data)
    }

    /// Waits for a body where a call is about to take from it; in a replay there is nothing to wait for.
    pub(in crate::calls) async fn await_body(&mut self, body: u32) {
        if !self.gate.replaying()
            && let Some(source) = self.http.incoming(body)
        {
            source.ready().await;
        }
    }

    fn body_bytes(&mut self, body: u32, data: Result<Data, StreamFault>) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let read = match data {
            Err(fault) => {
                self.http.over(body);
                Err(fault)
            }
            Ok(Data::Inline { bytes }) => Ok(bytes.0),
            Ok(Data::Blob { digest, .. }) => Ok(blob(self.store.blobs(), &digest)?),
        };
        if let Some(heard) = &self.heard {
            heard.read(body, &read);
        }
        Ok(read)
    }

    /// Adds bytes to a body that goes out.
    pub(in crate::calls) fn write_body(
        &mut self,
        stream: &Resource<OutputStream>,
        body: u32,
        bytes: &[u8],
    ) -> Result<Result<(), StreamFault>, Halt> {
        self.gate.count_written(bytes.len() as u64)?;
        let http = &mut self.http;
        let call = HttpBodyWrite { stream: number(stream), bytes: self.gate.payload(bytes) };
        self.gate.pass(call, |_, _| {
            let Some(written) = http.written(body).filter(|written| !written.finished) else {
                return Ok(Err(StreamFault::Closed));
            };
            if bytes.len() as u64 > written.room() {
                return Ok(Err(StreamFault::Failed { code: FsCode::InsufficientSpace }));
            }
            written.bytes.extend_from_slice(bytes);
            Ok(Ok(()))
        })
    }

    /// How many bytes a body takes now.
    pub(in crate::calls) fn body_permit(&self) -> u64 {
        PERMIT
    }
}

fn take(source: &mut Box<dyn Input>, len: u64) -> Result<Data, StreamFault> {
    match source.take(len.min(DATA_INLINE_BYTES as u64) as usize) {
        Ok(Some(bytes)) => Ok(Data::Inline { bytes: bytes.into() }),
        Ok(None) => Err(StreamFault::Closed),
        Err(_) => Err(StreamFault::Failed { code: FsCode::Io }),
    }
}

impl types::HostIncomingBody for Session {
    fn stream(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Result<Resource<InputStream>, ()>> {
        let handles = &mut self.handles;
        let made = self.gate.pass(HttpStream { body: number(&body) }, |_, _| {
            let body = handles.get_mut(&body)?;
            if body.streamed {
                return Ok(None);
            }
            body.streamed = true;
            let number = body.number;
            handles.push(InputStream::Body { number }).map(Some)
        })?;
        Ok(made.map(own).ok_or(()))
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Resource<FutureTrailers>> {
        let handles = &mut self.handles;
        let call = HttpFinish { body: number(&body), trailers: None };
        let made = self.gate.pass(call, |_, call| {
            handles.remove::<IncomingBody>(call.body)?;
            handles.push(FutureTrailers { taken: false }).map(|handle| Ok(Some(handle)))
        })?;
        match made {
            Ok(Some(handle)) => Ok(own(handle)),
            _ => Err(Halt::Host("a body was finished and has no trailers".into()).into()),
        }
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::IncomingBody, &body)
    }
}

impl types::HostFutureTrailers for Session {
    fn subscribe(&mut self, future: Resource<FutureTrailers>) -> wasmtime::Result<Resource<Pollable>> {
        self.subscribe_to(number(&future), Pollable::Ready)
    }

    fn get(
        &mut self,
        future: Resource<FutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Resource<Fields>>, types::ErrorCode>, ()>>> {
        let handles = &mut self.handles;
        let mut taken = false;
        self.gate.pass(HttpTrailers { future: number(&future) }, |_, _| {
            taken = std::mem::replace(&mut handles.get_mut(&future)?.taken, true);
            Ok(())
        })?;
        Ok(Some(if taken { Err(()) } else { Ok(Ok(None)) }))
    }

    fn drop(&mut self, future: Resource<FutureTrailers>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::FutureTrailers, &future)
    }
}

impl types::HostOutgoingBody for Session {
    fn write(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<Result<Resource<OutputStream>, ()>> {
        let handles = &mut self.handles;
        let made = self.gate.pass(HttpStream { body: number(&body) }, |_, _| {
            let body = handles.get_mut(&body)?;
            if body.streamed {
                return Ok(None);
            }
            body.streamed = true;
            let number = body.number;
            handles.push(OutputStream::Body { number }).map(Some)
        })?;
        Ok(made.map(own).ok_or(()))
    }

    async fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), types::ErrorCode>> {
        let (handles, http) = (&mut self.handles, &mut self.http);
        let call = HttpFinish { body: number(&body), trailers: trailers.as_ref().map(number) };
        let finished = self.gate.pass(call, |_, call| {
            let OutgoingBody { number, .. } = handles.remove::<OutgoingBody>(call.body)?;
            let trailers: Vec<(String, Bytes)> = match call.trailers {
                Some(handle) => handles.remove::<Fields>(handle)?.entries,
                None => Vec::new(),
            };
            let of_request = http.sent.iter().any(|sent| sent.body == Some(number));
            let Some(written) = http.written(number) else { return Ok(Ok(None)) };
            if let Some(announced) = written.announced.filter(|announced| *announced != written.total()) {
                let code = if of_request { HttpCode::HttpRequestBodySize } else { HttpCode::HttpResponseBodySize };
                let size = if written.total() > announced { written.total() } else { announced };
                return Ok(Err(HttpFault { code, text: None, number: Some(size) }));
            }
            (written.finished, written.trailers) = (true, trailers);
            Ok(Ok(None))
        })?;
        self.send_what_is_complete().await?;
        Ok(finished.map(drop).map_err(code))
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::OutgoingBody, &body)
    }
}

impl types::Host for Session {
    fn http_error_code(&mut self, error: Resource<ErrorText>) -> wasmtime::Result<Option<types::ErrorCode>> {
        let handles = &self.handles;
        let call = HttpErrorCode { error: number(&error) };
        let fault = self.gate.pass(call, |_, _| {
            Ok(match handles.get(&error)? {
                ErrorText::File(FsCode::Io) => Some(HttpFault::of(HttpCode::ConnectionTerminated)),
                ErrorText::File(FsCode::InsufficientSpace) => Some(HttpFault::of(HttpCode::HttpResponseBodySize)),
                _ => None,
            })
        })?;
        Ok(fault.map(code))
    }
}
