//! Heads of requests and responses.

use reel_abi::http::{Fields as Entries, HttpKind, HttpPart, RequestHead, ResponseHead};
use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{HttpBody, HttpGetPart, HttpHeaders, HttpNew, HttpSetPart};
use wasmtime::component::Resource;

use super::state::{
    Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    RequestOptions,
};
use super::words::{method, method_word, scheme, scheme_word};
use crate::calls::bindings::wasi::http::types;
use crate::calls::handles::{number, own};
use crate::calls::named::Nameable;
use crate::calls::session::Session;
use crate::gate::Halt;

type Done = wasmtime::Result<Result<(), ()>>;

/// What has parts that can be asked for.
trait Head: Nameable {
    fn part(&self, part: HttpPart) -> Option<String>;
    fn headers(&self) -> Entries;
}

fn request_part(head: &RequestHead, part: HttpPart) -> Option<String> {
    match part {
        HttpPart::Method => Some(head.method.clone()),
        HttpPart::Scheme => head.scheme.clone(),
        HttpPart::Authority => head.authority.clone(),
        HttpPart::Path => head.path.clone(),
        _ => None,
    }
}

fn response_part(head: &ResponseHead, part: HttpPart) -> Option<String> {
    (part == HttpPart::Status).then(|| head.status.to_string())
}

macro_rules! heads {
    ($($kind:ident $part:ident),*) => {$(
        impl Head for $kind {
            fn part(&self, part: HttpPart) -> Option<String> {
                $part(&self.head, part)
            }
            fn headers(&self) -> Entries {
                self.head.headers.clone()
            }
        }
    )*};
}
heads!(
    IncomingRequest request_part,
    OutgoingRequest request_part,
    IncomingResponse response_part,
    OutgoingResponse response_part
);

impl Session {
    fn part<T: Head>(&mut self, of: &Resource<T>, part: HttpPart) -> Result<Option<String>, Halt> {
        let handles = &self.handles;
        self.gate.pass(HttpGetPart { of: number(of), part }, |_, call| Ok(handles.get(of)?.part(call.part)))
    }

    fn headers_of<T: Head>(&mut self, of: &Resource<T>) -> Result<Resource<Fields>, Halt> {
        let entries = self.handles.get(of)?.headers();
        self.count_fields(&entries)?;
        let handles = &mut self.handles;
        let call = HttpHeaders { of: number(of) };
        Ok(own(self.gate.pass(call, |_, _| handles.push(Fields::frozen(entries)))?))
    }

    fn set_part<T: Nameable>(
        &mut self,
        of: &Resource<T>,
        part: HttpPart,
        to: Option<String>,
        set: impl FnOnce(&mut T, Option<String>) -> bool,
    ) -> Done {
        let handles = &mut self.handles;
        let call = HttpSetPart { of: number(of), part, to };
        let done = self.gate.pass(call, |_, call| Ok(set(handles.get_mut(of)?, call.to.clone())))?;
        Ok(if done { Ok(()) } else { Err(()) })
    }

    /// The entries of fields that become those of a message.
    fn make<T: Nameable>(
        &mut self,
        kind: HttpKind,
        headers: Option<Resource<Fields>>,
        make: impl FnOnce(Entries) -> T,
    ) -> Result<Resource<T>, Halt> {
        let handles = &mut self.handles;
        let call = HttpNew { kind, headers: headers.as_ref().map(number) };
        let made = self.gate.pass(call, |_, call| {
            let entries = match call.headers {
                Some(handle) => handles.remove::<Fields>(handle)?.entries,
                None => Vec::new(),
            };
            handles.push(make(entries))
        })?;
        Ok(own(made))
    }

    /// Hands out the body that comes in with a message, once.
    fn take_body_of<T: Nameable>(
        &mut self,
        of: &Resource<T>,
        body: fn(&mut T) -> &mut Option<u32>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        let handles = &mut self.handles;
        let made = self.gate.pass(HttpBody { of: number(of) }, |_, _| {
            let Some(number) = body(handles.get_mut(of)?).take() else { return Ok(None) };
            handles.push(IncomingBody { number, streamed: false }).map(Some)
        })?;
        Ok(made.map(own).ok_or(()))
    }

    /// Gives a message that goes out a body, once.
    fn give_body<T: Nameable>(
        &mut self,
        of: &Resource<T>,
        head: fn(&T) -> &Entries,
        body: fn(&mut T) -> &mut Option<u32>,
    ) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        let (handles, http) = (&mut self.handles, &mut self.http);
        let made = self.gate.pass(HttpBody { of: number(of) }, |_, _| {
            let message = handles.get_mut(of)?;
            let Ok(announced) = announced(head(message)) else { return Ok(None) };
            let place = body(message);
            if place.is_some() {
                return Ok(None);
            }
            let number = http.write(announced);
            *place = Some(number);
            handles.push(OutgoingBody { number, streamed: false }).map(Some)
        })?;
        Ok(made.map(own).ok_or(()))
    }
}

/// The length that a message says its body has; an error if it says nonsense.
fn announced(headers: &Entries) -> Result<Option<u64>, ()> {
    let mut lengths = headers.iter().filter(|(name, _)| name == "content-length");
    let Some((_, first)) = lengths.next() else { return Ok(None) };
    if lengths.any(|(_, other)| other != first) {
        return Err(());
    }
    let text = std::str::from_utf8(first).map_err(drop)?;
    text.parse().map(Some).map_err(drop)
}

impl types::HostIncomingRequest for Session {
    fn method(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<types::Method> {
        Ok(method(&self.part(&request, HttpPart::Method)?.unwrap_or_default()))
    }

    fn path_with_query(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.part(&request, HttpPart::Path)?)
    }

    fn scheme(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<types::Scheme>> {
        Ok(self.part(&request, HttpPart::Scheme)?.as_deref().map(scheme))
    }

    fn authority(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.part(&request, HttpPart::Authority)?)
    }

    fn headers(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.headers_of(&request)?)
    }

    fn consume(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        self.take_body_of(&request, |request| &mut request.body)
    }

    fn drop(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::IncomingRequest, &request)
    }
}

impl types::HostOutgoingRequest for Session {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingRequest>> {
        Ok(self.make(HttpKind::Request, Some(headers), |headers| {
            let head = RequestHead { method: "GET".into(), scheme: None, authority: None, path: None, headers };
            OutgoingRequest { head: Box::new(head), body: None }
        })?)
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        self.give_body(&request, |request: &OutgoingRequest| &request.head.headers, |request| &mut request.body)
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<types::Method> {
        Ok(method(&self.part(&request, HttpPart::Method)?.unwrap_or_default()))
    }

    fn set_method(&mut self, request: Resource<OutgoingRequest>, to: types::Method) -> Done {
        self.set_part(&request, HttpPart::Method, Some(method_word(&to)), |request, to| {
            let Some(to) = to.filter(|to| http::Method::from_bytes(to.as_bytes()).is_ok()) else { return false };
            request.head.method = to;
            true
        })
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.part(&request, HttpPart::Path)?)
    }

    fn set_path_with_query(&mut self, request: Resource<OutgoingRequest>, to: Option<String>) -> Done {
        self.set_part(&request, HttpPart::Path, to, |request, to| {
            let valid = to.as_deref().is_none_or(|to| to.parse::<http::uri::PathAndQuery>().is_ok());
            if valid {
                request.head.path = to;
            }
            valid
        })
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<types::Scheme>> {
        Ok(self.part(&request, HttpPart::Scheme)?.as_deref().map(scheme))
    }

    fn set_scheme(&mut self, request: Resource<OutgoingRequest>, to: Option<types::Scheme>) -> Done {
        self.set_part(&request, HttpPart::Scheme, to.as_ref().map(scheme_word), |request, to| {
            let valid = to.as_deref().is_none_or(|to| to.parse::<http::uri::Scheme>().is_ok());
            if valid {
                request.head.scheme = to;
            }
            valid
        })
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.part(&request, HttpPart::Authority)?)
    }

    fn set_authority(&mut self, request: Resource<OutgoingRequest>, to: Option<String>) -> Done {
        self.set_part(&request, HttpPart::Authority, to, |request, to| {
            let valid = to.as_deref().is_none_or(|to| match to.parse::<http::uri::Authority>() {
                Ok(authority) => !to.contains('@') && (authority.port().is_none() || authority.port_u16().is_some()),
                Err(_) => false,
            });
            if valid {
                request.head.authority = to;
            }
            valid
        })
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.headers_of(&request)?)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::OutgoingRequest, &request)
    }
}

impl Session {
    fn timeout(&mut self, options: &Resource<RequestOptions>, part: HttpPart) -> wasmtime::Result<Option<u64>> {
        let handles = &self.handles;
        let call = HttpGetPart { of: number(options), part };
        let word = self.gate.pass(call, |_, call| {
            let options = handles.get(options)?;
            Ok(match call.part {
                HttpPart::ConnectTimeout => options.connect,
                HttpPart::FirstByteTimeout => options.first_byte,
                _ => options.between_bytes,
            }
            .map(|nanos| nanos.to_string()))
        })?;
        Ok(word.and_then(|word| word.parse().ok()))
    }

    fn set_timeout(&mut self, options: &Resource<RequestOptions>, part: HttpPart, to: Option<u64>) -> Done {
        self.set_part(options, part, to.map(|nanos| nanos.to_string()), |options, _| {
            match part {
                HttpPart::ConnectTimeout => options.connect = to,
                HttpPart::FirstByteTimeout => options.first_byte = to,
                _ => options.between_bytes = to,
            }
            true
        })
    }
}

impl types::HostRequestOptions for Session {
    fn new(&mut self) -> wasmtime::Result<Resource<RequestOptions>> {
        Ok(self.make(HttpKind::Options, None, |_| RequestOptions::default())?)
    }

    fn connect_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        self.timeout(&options, HttpPart::ConnectTimeout)
    }

    fn set_connect_timeout(&mut self, options: Resource<RequestOptions>, to: Option<u64>) -> Done {
        self.set_timeout(&options, HttpPart::ConnectTimeout, to)
    }

    fn first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        self.timeout(&options, HttpPart::FirstByteTimeout)
    }

    fn set_first_byte_timeout(&mut self, options: Resource<RequestOptions>, to: Option<u64>) -> Done {
        self.set_timeout(&options, HttpPart::FirstByteTimeout, to)
    }

    fn between_bytes_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        self.timeout(&options, HttpPart::BetweenBytesTimeout)
    }

    fn set_between_bytes_timeout(&mut self, options: Resource<RequestOptions>, to: Option<u64>) -> Done {
        self.set_timeout(&options, HttpPart::BetweenBytesTimeout, to)
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::RequestOptions, &options)
    }
}

impl types::HostIncomingResponse for Session {
    fn status(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<u16> {
        Ok(status(self.part(&response, HttpPart::Status)?))
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.headers_of(&response)?)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        self.take_body_of(&response, |response| &mut response.body)
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::IncomingResponse, &response)
    }
}

impl types::HostOutgoingResponse for Session {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingResponse>> {
        Ok(self.make(HttpKind::Response, Some(headers), |headers| OutgoingResponse {
            head: ResponseHead { status: 200, headers },
            body: None,
        })?)
    }

    fn status_code(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<u16> {
        Ok(status(self.part(&response, HttpPart::Status)?))
    }

    fn set_status_code(&mut self, response: Resource<OutgoingResponse>, to: u16) -> Done {
        self.set_part(&response, HttpPart::Status, Some(to.to_string()), |response, _| {
            // A final status: what goes before it is none of the guest's affair (RFC 9110, section 15).
            let valid = (200..1000).contains(&to);
            if valid {
                response.head.status = to;
            }
            valid
        })
    }

    fn headers(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<Resource<Fields>> {
        Ok(self.headers_of(&response)?)
    }

    fn body(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        self.give_body(&response, |response: &OutgoingResponse| &response.head.headers, |response| &mut response.body)
    }

    fn drop(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::OutgoingResponse, &response)
    }
}

fn status(word: Option<String>) -> u16 {
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
