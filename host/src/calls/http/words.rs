//! Between the variants of `wasi:http` and the words that stand in events.

use reel_abi::http::{HttpCode, HttpFault};

use crate::calls::bindings::wasi::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, Method, Scheme, TlsAlertReceivedPayload,
};

pub(super) fn method_word(method: &Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => other,
    }
    .to_owned()
}

pub(super) fn method(word: &str) -> Method {
    match word {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

pub(super) fn scheme_word(scheme: &Scheme) -> String {
    match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
        Scheme::Other(other) => other.to_ascii_lowercase(),
    }
}

pub(super) fn scheme(word: &str) -> Scheme {
    match word {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

fn small<T: TryFrom<u64>>(number: Option<u64>) -> Option<T> {
    number.and_then(|number| T::try_from(number).ok())
}

/// The failure as a guest is told of it.
pub(super) fn code(fault: HttpFault) -> ErrorCode {
    let HttpFault { code, text, number } = fault;
    let size = |text, number| FieldSizePayload { field_name: text, field_size: small(number) };
    match code {
        HttpCode::DnsTimeout => ErrorCode::DnsTimeout,
        HttpCode::DnsError => ErrorCode::DnsError(DnsErrorPayload { rcode: text, info_code: small(number) }),
        HttpCode::DestinationNotFound => ErrorCode::DestinationNotFound,
        HttpCode::DestinationUnavailable => ErrorCode::DestinationUnavailable,
        HttpCode::DestinationIpProhibited => ErrorCode::DestinationIpProhibited,
        HttpCode::DestinationIpUnroutable => ErrorCode::DestinationIpUnroutable,
        HttpCode::ConnectionRefused => ErrorCode::ConnectionRefused,
        HttpCode::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        HttpCode::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        HttpCode::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        HttpCode::ConnectionWriteTimeout => ErrorCode::ConnectionWriteTimeout,
        HttpCode::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        HttpCode::TlsProtocolError => ErrorCode::TlsProtocolError,
        HttpCode::TlsCertificateError => ErrorCode::TlsCertificateError,
        HttpCode::TlsAlertReceived => {
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id: small(number), alert_message: text })
        }
        HttpCode::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        HttpCode::HttpRequestLengthRequired => ErrorCode::HttpRequestLengthRequired,
        HttpCode::HttpRequestBodySize => ErrorCode::HttpRequestBodySize(number),
        HttpCode::HttpRequestMethodInvalid => ErrorCode::HttpRequestMethodInvalid,
        HttpCode::HttpRequestUriInvalid => ErrorCode::HttpRequestUriInvalid,
        HttpCode::HttpRequestUriTooLong => ErrorCode::HttpRequestUriTooLong,
        HttpCode::HttpRequestHeaderSectionSize => ErrorCode::HttpRequestHeaderSectionSize(small(number)),
        HttpCode::HttpRequestHeaderSize => ErrorCode::HttpRequestHeaderSize(Some(size(text, number))),
        HttpCode::HttpRequestTrailerSectionSize => ErrorCode::HttpRequestTrailerSectionSize(small(number)),
        HttpCode::HttpRequestTrailerSize => ErrorCode::HttpRequestTrailerSize(size(text, number)),
        HttpCode::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        HttpCode::HttpResponseHeaderSectionSize => ErrorCode::HttpResponseHeaderSectionSize(small(number)),
        HttpCode::HttpResponseHeaderSize => ErrorCode::HttpResponseHeaderSize(size(text, number)),
        HttpCode::HttpResponseBodySize => ErrorCode::HttpResponseBodySize(number),
        HttpCode::HttpResponseTrailerSectionSize => ErrorCode::HttpResponseTrailerSectionSize(small(number)),
        HttpCode::HttpResponseTrailerSize => ErrorCode::HttpResponseTrailerSize(size(text, number)),
        HttpCode::HttpResponseTransferCoding => ErrorCode::HttpResponseTransferCoding(text),
        HttpCode::HttpResponseContentCoding => ErrorCode::HttpResponseContentCoding(text),
        HttpCode::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        HttpCode::HttpUpgradeFailed => ErrorCode::HttpUpgradeFailed,
        HttpCode::HttpProtocolError => ErrorCode::HttpProtocolError,
        HttpCode::LoopDetected => ErrorCode::LoopDetected,
        HttpCode::ConfigurationError => ErrorCode::ConfigurationError,
        HttpCode::InternalError => ErrorCode::InternalError(text),
    }
}

/// The failure that a guest tells of.
pub(super) fn fault(error: ErrorCode) -> HttpFault {
    let of = |code, text, number: Option<u64>| HttpFault { code, text, number };
    let size = |code, FieldSizePayload { field_name, field_size }| of(code, field_name, field_size.map(u64::from));
    match error {
        ErrorCode::DnsTimeout => HttpFault::of(HttpCode::DnsTimeout),
        ErrorCode::DnsError(DnsErrorPayload { rcode, info_code }) => {
            of(HttpCode::DnsError, rcode, info_code.map(u64::from))
        }
        ErrorCode::DestinationNotFound => HttpFault::of(HttpCode::DestinationNotFound),
        ErrorCode::DestinationUnavailable => HttpFault::of(HttpCode::DestinationUnavailable),
        ErrorCode::DestinationIpProhibited => HttpFault::of(HttpCode::DestinationIpProhibited),
        ErrorCode::DestinationIpUnroutable => HttpFault::of(HttpCode::DestinationIpUnroutable),
        ErrorCode::ConnectionRefused => HttpFault::of(HttpCode::ConnectionRefused),
        ErrorCode::ConnectionTerminated => HttpFault::of(HttpCode::ConnectionTerminated),
        ErrorCode::ConnectionTimeout => HttpFault::of(HttpCode::ConnectionTimeout),
        ErrorCode::ConnectionReadTimeout => HttpFault::of(HttpCode::ConnectionReadTimeout),
        ErrorCode::ConnectionWriteTimeout => HttpFault::of(HttpCode::ConnectionWriteTimeout),
        ErrorCode::ConnectionLimitReached => HttpFault::of(HttpCode::ConnectionLimitReached),
        ErrorCode::TlsProtocolError => HttpFault::of(HttpCode::TlsProtocolError),
        ErrorCode::TlsCertificateError => HttpFault::of(HttpCode::TlsCertificateError),
        ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id, alert_message }) => {
            of(HttpCode::TlsAlertReceived, alert_message, alert_id.map(u64::from))
        }
        ErrorCode::HttpRequestDenied => HttpFault::of(HttpCode::HttpRequestDenied),
        ErrorCode::HttpRequestLengthRequired => HttpFault::of(HttpCode::HttpRequestLengthRequired),
        ErrorCode::HttpRequestBodySize(number) => of(HttpCode::HttpRequestBodySize, None, number),
        ErrorCode::HttpRequestMethodInvalid => HttpFault::of(HttpCode::HttpRequestMethodInvalid),
        ErrorCode::HttpRequestUriInvalid => HttpFault::of(HttpCode::HttpRequestUriInvalid),
        ErrorCode::HttpRequestUriTooLong => HttpFault::of(HttpCode::HttpRequestUriTooLong),
        ErrorCode::HttpRequestHeaderSectionSize(number) => {
            of(HttpCode::HttpRequestHeaderSectionSize, None, number.map(u64::from))
        }
        ErrorCode::HttpRequestHeaderSize(None) => HttpFault::of(HttpCode::HttpRequestHeaderSize),
        ErrorCode::HttpRequestHeaderSize(Some(payload)) => size(HttpCode::HttpRequestHeaderSize, payload),
        ErrorCode::HttpRequestTrailerSectionSize(number) => {
            of(HttpCode::HttpRequestTrailerSectionSize, None, number.map(u64::from))
        }
        ErrorCode::HttpRequestTrailerSize(payload) => size(HttpCode::HttpRequestTrailerSize, payload),
        ErrorCode::HttpResponseIncomplete => HttpFault::of(HttpCode::HttpResponseIncomplete),
        ErrorCode::HttpResponseHeaderSectionSize(number) => {
            of(HttpCode::HttpResponseHeaderSectionSize, None, number.map(u64::from))
        }
        ErrorCode::HttpResponseHeaderSize(payload) => size(HttpCode::HttpResponseHeaderSize, payload),
        ErrorCode::HttpResponseBodySize(number) => of(HttpCode::HttpResponseBodySize, None, number),
        ErrorCode::HttpResponseTrailerSectionSize(number) => {
            of(HttpCode::HttpResponseTrailerSectionSize, None, number.map(u64::from))
        }
        ErrorCode::HttpResponseTrailerSize(payload) => size(HttpCode::HttpResponseTrailerSize, payload),
        ErrorCode::HttpResponseTransferCoding(text) => of(HttpCode::HttpResponseTransferCoding, text, None),
        ErrorCode::HttpResponseContentCoding(text) => of(HttpCode::HttpResponseContentCoding, text, None),
        ErrorCode::HttpResponseTimeout => HttpFault::of(HttpCode::HttpResponseTimeout),
        ErrorCode::HttpUpgradeFailed => HttpFault::of(HttpCode::HttpUpgradeFailed),
        ErrorCode::HttpProtocolError => HttpFault::of(HttpCode::HttpProtocolError),
        ErrorCode::LoopDetected => HttpFault::of(HttpCode::LoopDetected),
        ErrorCode::ConfigurationError => HttpFault::of(HttpCode::ConfigurationError),
        ErrorCode::InternalError(text) => of(HttpCode::InternalError, text, None),
    }
}
