//! HTTP messages as data: what a handler is asked, what a guest asks others, and how either fails. Names and codes are those of `wasi:http`.

use crate::bytes::Bytes;
use crate::types::words;
use crate::value::{Describe, Value};
use crate::wire::{CodecError, Reader, Wire, Writer};
use crate::wire_struct;

/// Bytes of all names and values of a message's fields; stops a header bomb.
pub const FIELDS_BYTES: usize = 128 << 10;

/// Bytes of a body that is kept until it may leave; stops exhaustion of host memory.
pub const BODY_BYTES: usize = 64 << 20;

/// Fields of a connection, not of a message (RFC 9110, section 7.6.1), and those that the host sets.
const FORBIDDEN: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "http2-settings",
];

/// Whether a guest neither sees nor sets a field; names in lower case.
pub fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.contains(&name)
}

/// Header fields in order, names in lower case.
pub type Fields = Vec<(String, Bytes)>;

wire_struct! {
    /// The head of a request.
    pub struct RequestHead {
        /// `GET`, or any other method's name.
        pub method: String,
        /// `http`, `https` or another, in lower case.
        pub scheme: Option<String>,
        /// Host, with a port if one was named.
        pub authority: Option<String>,
        /// Path and query.
        pub path: Option<String>,
        /// Header fields.
        pub headers: Fields,
    }
}

wire_struct! {
    /// The head of a response.
    pub struct ResponseHead {
        /// Status code, 100 to 999.
        pub status: u16,
        /// Header fields.
        pub headers: Fields,
    }
}

wire_struct! {
    /// How long others may take, in nanoseconds.
    #[derive(Copy, Default)]
    pub struct RequestOptions {
        /// For connecting.
        pub connect: Option<u64>,
        /// Until the head of the response.
        pub first_byte: Option<u64>,
        /// Between two pieces of the body.
        pub between_bytes: Option<u64>,
    }
}

wire_struct! {
    /// What the host adds to the fields of a request to others.
    pub struct SentWith {
        /// The key by which they know it again.
        pub key: String,
        /// The trace that it belongs to, as it stands in `traceparent`; nothing if the guest has named one, or the run has none.
        pub traceparent: Option<String>,
    }
}

words! {
    /// What a guest can ask of a message, or set in it.
    HttpPart {
        0 Method "method", 1 Scheme "scheme", 2 Authority "authority", 3 Path "path", 4 Status "status",
        5 ConnectTimeout "connect-timeout", 6 FirstByteTimeout "first-byte-timeout", 7 BetweenBytesTimeout "between-bytes-timeout",
    }
}

words! {
    /// What a guest can make.
    HttpKind { 0 Request "request", 1 Response "response", 2 Options "options" }
}

words! {
    /// Why fields cannot be changed.
    FieldsFault { 0 InvalidSyntax "invalid-syntax", 1 Forbidden "forbidden", 2 Immutable "immutable" }
}

words! {
    /// `error-code` of `wasi:http/types`.
    HttpCode {
        0 DnsTimeout "DNS-timeout", 1 DnsError "DNS-error", 2 DestinationNotFound "destination-not-found",
        3 DestinationUnavailable "destination-unavailable", 4 DestinationIpProhibited "destination-IP-prohibited",
        5 DestinationIpUnroutable "destination-IP-unroutable", 6 ConnectionRefused "connection-refused",
        7 ConnectionTerminated "connection-terminated", 8 ConnectionTimeout "connection-timeout",
        9 ConnectionReadTimeout "connection-read-timeout", 10 ConnectionWriteTimeout "connection-write-timeout",
        11 ConnectionLimitReached "connection-limit-reached", 12 TlsProtocolError "TLS-protocol-error",
        13 TlsCertificateError "TLS-certificate-error", 14 TlsAlertReceived "TLS-alert-received",
        15 HttpRequestDenied "HTTP-request-denied", 16 HttpRequestLengthRequired "HTTP-request-length-required",
        17 HttpRequestBodySize "HTTP-request-body-size", 18 HttpRequestMethodInvalid "HTTP-request-method-invalid",
        19 HttpRequestUriInvalid "HTTP-request-URI-invalid", 20 HttpRequestUriTooLong "HTTP-request-URI-too-long",
        21 HttpRequestHeaderSectionSize "HTTP-request-header-section-size", 22 HttpRequestHeaderSize "HTTP-request-header-size",
        23 HttpRequestTrailerSectionSize "HTTP-request-trailer-section-size", 24 HttpRequestTrailerSize "HTTP-request-trailer-size",
        25 HttpResponseIncomplete "HTTP-response-incomplete", 26 HttpResponseHeaderSectionSize "HTTP-response-header-section-size",
        27 HttpResponseHeaderSize "HTTP-response-header-size", 28 HttpResponseBodySize "HTTP-response-body-size",
        29 HttpResponseTrailerSectionSize "HTTP-response-trailer-section-size", 30 HttpResponseTrailerSize "HTTP-response-trailer-size",
        31 HttpResponseTransferCoding "HTTP-response-transfer-coding", 32 HttpResponseContentCoding "HTTP-response-content-coding",
        33 HttpResponseTimeout "HTTP-response-timeout", 34 HttpUpgradeFailed "HTTP-upgrade-failed", 35 HttpProtocolError "HTTP-protocol-error",
        36 LoopDetected "loop-detected", 37 ConfigurationError "configuration-error", 38 InternalError "internal-error",
    }
}

wire_struct! {
    /// Why a request or response failed.
    pub struct HttpFault {
        /// The code.
        pub code: HttpCode,
        /// What the code's payload has of text: a field's name, words of an error.
        pub text: Option<String>,
        /// What it has of numbers: a size, a code.
        pub number: Option<u64>,
    }
}

impl HttpFault {
    /// A failure without payload.
    pub fn of(code: HttpCode) -> Self {
        Self { code, text: None, number: None }
    }

    /// A failure in words.
    pub fn internal(text: impl Into<String>) -> Self {
        Self { code: HttpCode::InternalError, text: Some(text.into()), number: None }
    }
}

impl std::fmt::Display for HttpFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{}: {text}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl Describe for HttpFault {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}

fn fields(fields: &Fields) -> Value {
    let line = |(name, value): &(String, Bytes)| Value::Text(format!("{name}: {}", String::from_utf8_lossy(value)));
    Value::List(fields.iter().map(line).collect())
}

impl Describe for RequestHead {
    fn describe(&self) -> Value {
        Value::Record(vec![
            ("method", self.method.describe()),
            ("scheme", self.scheme.describe()),
            ("authority", self.authority.describe()),
            ("path", self.path.describe()),
            ("headers", fields(&self.headers)),
        ])
    }
}

impl Describe for SentWith {
    fn describe(&self) -> Value {
        Value::Record(vec![("key", self.key.describe()), ("traceparent", self.traceparent.describe())])
    }
}

impl Describe for ResponseHead {
    fn describe(&self) -> Value {
        Value::Record(vec![("status", Value::Number(u64::from(self.status))), ("headers", fields(&self.headers))])
    }
}
