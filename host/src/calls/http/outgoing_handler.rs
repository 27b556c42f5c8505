//! Requests to others. That one will be sent, and with which key, is durable before it leaves; what comes back is in the log.
//!
//! ```text
//! handle(request)   http.send    its head, and a key that stays the same however often the run is executed
//! finish(body)      http.finish  the request is complete: the log is made durable, and it leaves
//! get(future)       http.response   the answer, once it is there
//! ```
//!
//! A replay sends nothing. A run that goes on after a crash sends what has no answer in its log once more, with the same key.

use std::net::IpAddr;

use reel_abi::bytes::Bytes;
use reel_abi::http::{HttpCode, HttpFault, RequestHead, SentWith};
use reel_abi::trace::TRACEPARENT;
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::{HttpResponse, HttpSend, StreamSubscribe};
use tokio::sync::oneshot;
use wasmtime::component::Resource;

use super::state::{FutureIncomingResponse, IncomingResponse, OutgoingRequest, Progress, RequestOptions, Sent};
use super::words::code;
use crate::calls::bindings::wasi::http::{outgoing_handler, types};
use crate::calls::handles::{number, own};
use crate::calls::session::{Pollable, Session};
use crate::gate::Halt;
use crate::net::grants::Grants;
use crate::port::{Entropy, HttpCall};

/// The field that carries the key (draft-ietf-httpapi-idempotency-key-header).
pub const KEY_FIELD: &str = "idempotency-key";

/// Requests that one call makes at the most; stops a flood.
const REQUESTS: usize = 1000;

impl outgoing_handler::Host for Session {
    async fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, types::ErrorCode>> {
        let handle = number(&request);
        let OutgoingRequest { head, body } = self.handles.remove(handle)?;
        let mut head = *head;
        let options = match options {
            Some(options) => self.handles.remove(number(&options))?,
            None => RequestOptions::default(),
        };
        let (net, ordinal) = (&self.setup.net, self.http.sent.len());
        let (mut own_key, entropy) = (self.http.key.clone(), &mut self.entropy);
        let traced = self.http.traced.filter(|_| !has(&head, TRACEPARENT));
        let call = HttpSend { request: handle, head: head.clone() };
        let allowed = self.gate.pass(call, |_, call| {
            if ordinal >= REQUESTS {
                return Ok(Err(HttpFault::of(HttpCode::ConnectionLimitReached)));
            }
            if let Err(fault) = allowed(&call.head, net) {
                return Ok(Err(fault));
            }
            if let (true, Some(entropy)) = (own_key.is_empty(), entropy) {
                own_key = new_key(&mut **entropy)?;
            }
            let key = format!("{own_key}-{}", ordinal + 1);
            Ok(Ok(SentWith { key, traceparent: traced.map(|traced| traced.traceparent(ordinal + 1)) }))
        })?;
        let SentWith { key, traceparent } = match allowed {
            Ok(with) => with,
            Err(fault) => return Ok(Err(code(fault))),
        };
        if let Some((own, _)) = key.rsplit_once('-') {
            // Also if it is from the log: what a resumed run sends is of the same run.
            self.http.key = own.to_owned();
        }
        if !has(&head, KEY_FIELD) {
            head.headers.push((KEY_FIELD.to_owned(), Bytes(key.into_bytes())));
        }
        if let Some(traceparent) = traceparent {
            head.headers.push((TRACEPARENT.to_owned(), Bytes(traceparent.into_bytes())));
        }
        self.http.sent.push(Sent { head, body, options, progress: Progress::Here });
        let future = FutureIncomingResponse { number: ordinal as u32, taken: false };
        let future = own(self.handles.push(future)?);
        self.send_what_is_complete().await?;
        Ok(Ok(future))
    }
}

/// By which others know the requests of a run: 128 bits of chance, in hexadecimal.
pub fn new_key(entropy: &mut dyn Entropy) -> Result<String, Halt> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes).map_err(|e| Halt::host("drawing a key", &e))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn has(head: &RequestHead, field: &str) -> bool {
    head.headers.iter().any(|(name, _)| name == field)
}

/// Whether a request may be sent: it says where, and that was granted.
fn allowed(head: &RequestHead, net: &Grants) -> Result<(), HttpFault> {
    let default = match head.scheme.as_deref() {
        None | Some("http") => 80,
        Some("https") => 443,
        Some(_) => return Err(HttpFault::of(HttpCode::HttpProtocolError)),
    };
    let authority = head.authority.as_deref().unwrap_or_default();
    let Ok(authority) = authority.parse::<http::uri::Authority>() else {
        return Err(HttpFault::of(HttpCode::HttpRequestUriInvalid));
    };
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(default));
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let granted = match address {
        Ok(address) => net.may_reach((address, port).into()),
        Err(_) => net.may_reach_name(host, port),
    };
    if granted { Ok(()) } else { Err(HttpFault::of(HttpCode::HttpRequestDenied)) }
}

impl Session {
    /// Sends the requests that are complete, once it is durable that they will be sent. In a replay nothing leaves. Also asked before anything waits: a
    /// run that goes on after a crash may have requests that nobody has an answer to.
    pub(in crate::calls) async fn send_what_is_complete(&mut self) -> Result<(), Halt> {
        let due = self.http.due();
        let Some(client) = self.http.client.clone() else { return Ok(()) };
        if due.is_empty() || !self.gate.is_live()? {
            return Ok(());
        }
        self.gate.durable().await?;
        for index in due {
            let sent = &self.http.sent[index];
            let body = sent.body.and_then(|body| self.http.written.get(body as usize));
            let (bytes, trailers) = body.map(|body| (body.bytes.clone(), body.trailers.clone())).unwrap_or_default();
            let call = HttpCall {
                head: sent.head.clone(),
                body: bytes,
                trailers,
                options: sent.options,
                net: self.setup.net.clone(),
            };
            let (done, answer) = oneshot::channel();
            let answering = client.send(call);
            tokio::spawn(async move { drop(done.send(answering.await)) });
            self.http.sent[index].progress = Progress::Away(answer);
        }
        Ok(())
    }

    /// A pollable for something.
    pub(super) fn subscribe_to(&mut self, stream: Handle, pollable: Pollable) -> wasmtime::Result<Resource<Pollable>> {
        let handles = &mut self.handles;
        Ok(own(self.gate.pass(StreamSubscribe { stream }, |_, _| handles.push(pollable))?))
    }
}

impl types::HostFutureIncomingResponse for Session {
    fn subscribe(&mut self, future: Resource<FutureIncomingResponse>) -> wasmtime::Result<Resource<Pollable>> {
        let request = self.handles.get(&future)?.number;
        self.subscribe_to(number(&future), Pollable::Response { number: request })
    }

    async fn get(
        &mut self,
        future: Resource<FutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<IncomingResponse>, types::ErrorCode>, ()>>> {
        let FutureIncomingResponse { number: request, taken } = *self.handles.get(&future)?;
        let here = self.http.due().contains(&(request as usize));
        self.send_what_is_complete().await?;
        if here && self.gate.is_live()? {
            // Before the crash the guest may have been told that the answer is there.
            self.http.back(request).await;
        }
        let there = self.http.is_back(request);
        let (mut body, http) = (None, &mut self.http);
        let head = self.gate.pass(HttpResponse { future: number(&future) }, |_, _| {
            let Some(sent) = http.sent.get_mut(request as usize).filter(|_| there) else { return Ok(None) };
            let Progress::Back(came) = &mut sent.progress else { return Ok(None) };
            Ok(came.take().map(|came| {
                came.map(|reply| {
                    body = Some(reply.body);
                    reply.head
                })
            }))
        })?;
        if taken {
            return Ok(Some(Err(())));
        }
        let Some(came) = head else { return Ok(None) };
        self.http.have(request);
        self.handles.get_mut(&future)?.taken = true;
        let number = self.http.incoming.len() as u32;
        if let Some(heard) = &self.heard {
            heard.answered(request, &came, number);
        }
        let head = match came {
            Ok(head) => head,
            Err(fault) => return Ok(Some(Ok(Err(code(fault))))),
        };
        let body = body.or_else(|| self.heard.as_ref()?.again(number));
        self.http.incoming.push(body);
        let body = Some(number);
        let response = self.handles.push(IncomingResponse { head, body })?;
        Ok(Some(Ok(Ok(own(response)))))
    }

    fn drop(&mut self, future: Resource<FutureIncomingResponse>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::FutureIncomingResponse, &future)
    }
}
