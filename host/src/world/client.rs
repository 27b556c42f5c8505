//! HTTP to others: a connection for each request, HTTP/1.1, TLS by rustls with the system's certificates.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use reel_abi::bytes::Bytes as Value;
use reel_abi::http::{Fields, HttpCode, HttpFault, ResponseHead, is_forbidden};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::incoming::{IncomingBody, WholeBody};
use crate::net::grants::can_stand_for;
use crate::port::{HttpCall, HttpClient, HttpReply, Waiting};

/// How long connecting may take, if the guest does not say.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long the head of the answer may take, if the guest does not say.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(60);

/// How long a piece of the body may take, if the guest does not say.
const BETWEEN_BYTES_TIME: Duration = Duration::from_secs(60);

/// How long it waits before it tries again what has failed before anything was sent.
const AGAIN: Duration = Duration::from_millis(100);

/// Bytes of the head of an answer.
const HEAD_BYTES: usize = 128 << 10;

/// The real network.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClient;

impl HttpClient for RealClient {
    fn send(&self, call: HttpCall) -> Waiting<'static, Result<HttpReply, HttpFault>> {
        Box::pin(async move {
            match attempt(&call).await {
                Err(Failed { fault: _, again: true }) => {
                    tokio::time::sleep(AGAIN).await;
                    attempt(&call).await.map_err(|failed| failed.fault)
                }
                answered => answered.map_err(|failed| failed.fault),
            }
        })
    }
}

/// Why there is no answer.
struct Failed {
    fault: HttpFault,
    /// Whether it is safe to send it once more: nothing has arrived there, or it makes no difference if it has.
    again: bool,
}

fn never(code: HttpCode) -> Failed {
    Failed { fault: HttpFault::of(code), again: false }
}

fn nanos(given: Option<u64>, default: Duration) -> Duration {
    given.map_or(default, Duration::from_nanos)
}

async fn attempt(call: &HttpCall) -> Result<HttpReply, Failed> {
    let secure = call.head.scheme.as_deref() == Some("https");
    let authority = call.head.authority.as_deref().unwrap_or_default();
    let authority: http::uri::Authority = authority.parse().map_err(|_| never(HttpCode::HttpRequestUriInvalid))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let connecting = connect(call, &host, port);
    let stream = timeout(nanos(call.options.connect, CONNECT_TIME), connecting);
    let stream = stream.await.map_err(|_| never(HttpCode::ConnectionTimeout))??;
    if !secure {
        return exchange(call, authority.as_str(), stream).await;
    }
    let name = ServerName::try_from(host).map_err(|_| never(HttpCode::HttpRequestUriInvalid))?;
    let securing = TlsConnector::from(certificates()?).connect(name, stream);
    let secured = timeout(nanos(call.options.connect, CONNECT_TIME), securing);
    let stream = secured.await.map_err(|_| never(HttpCode::ConnectionTimeout))?.map_err(|error| tls(&error))?;
    exchange(call, authority.as_str(), stream).await
}

/// Connects to one of the addresses of a name, if the name may stand for it.
async fn connect(call: &HttpCall, host: &str, port: u16) -> Result<TcpStream, Failed> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            let failed = |_| Failed {
                fault: HttpFault { code: HttpCode::DnsError, text: Some("the name is not known".into()), number: None },
                again: true,
            };
            let found: Vec<SocketAddr> = found.map_err(failed)?.collect();
            let stands = |at: &SocketAddr| can_stand_for(host, at.ip()) || call.net.may_reach(*at);
            let allowed: Vec<SocketAddr> = found.into_iter().filter(stands).collect();
            if allowed.is_empty() {
                return Err(never(HttpCode::DestinationIpProhibited));
            }
            allowed
        }
    };
    let mut failed = never(HttpCode::DestinationNotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failed = Failed { fault: HttpFault::of(unreached(&error)), again: true },
        }
    }
    Err(failed)
}

fn unreached(error: &io::Error) -> HttpCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpCode::ConnectionRefused,
        io::ErrorKind::TimedOut => HttpCode::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => HttpCode::DestinationIpUnroutable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => HttpCode::ConnectionTerminated,
        _ => HttpCode::DestinationUnavailable,
    }
}

fn tls(error: &io::Error) -> Failed {
    let words = error.to_string();
    let code = if words.contains("certificate") { HttpCode::TlsCertificateError } else { HttpCode::TlsProtocolError };
    Failed { fault: HttpFault { code, text: Some(words), number: None }, again: false }
}

fn certificates() -> Result<Arc<ClientConfig>, Failed> {
    static KNOWN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(Arc::clone(known));
    }
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read is one less.
        let _ = roots.add(certificate);
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::clone(KNOWN.get_or_init(|| Arc::new(config))))
}

/// Whether sending it twice does what sending it once does (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE)
}

async fn exchange<S>(call: &HttpCall, authority: &str, stream: S) -> Result<HttpReply, Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let method =
        Method::from_bytes(call.head.method.as_bytes()).map_err(|_| never(HttpCode::HttpRequestMethodInvalid))?;
    let again = is_idempotent(&method);
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| Failed { again, ..never(HttpCode::ConnectionTerminated) })?;
    // It ends when the answer is dropped.
    tokio::spawn(async move { drop(connection.await) });
    let path = call.head.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let mut request = Request::builder().method(method.clone()).uri(path);
    if let Some(headers) = request.headers_mut() {
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| never(HttpCode::HttpRequestUriInvalid))?);
        for (name, value) in &call.head.headers {
            // They were checked when the guest set them.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
    }
    let request = request
        .body(WholeBody::new(call.body.clone(), &call.trailers))
        .map_err(|_| never(HttpCode::HttpRequestUriInvalid))?;
    let answer = timeout(nanos(call.options.first_byte, FIRST_BYTE_TIME), sender.send_request(request));
    let response = match answer.await {
        Err(_) => return Err(never(HttpCode::ConnectionReadTimeout)),
        Ok(Err(error)) => {
            let code = if error.is_parse() { HttpCode::HttpProtocolError } else { HttpCode::ConnectionTerminated };
            return Err(Failed { again: again && !error.is_parse(), ..never(code) });
        }
        Ok(Ok(response)) => response,
    };
    let (parts, incoming) = response.into_parts();
    let headers: Fields = parts
        .headers
        .iter()
        .filter(|(name, _)| !is_forbidden(name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), Value(value.as_bytes().to_vec())))
        .collect();
    let patience = nanos(call.options.between_bytes, BETWEEN_BYTES_TIME);
    let head = ResponseHead { status: parts.status.as_u16(), headers };
    Ok(HttpReply { head, body: Box::new(IncomingBody::new(incoming, patience)) })
}
