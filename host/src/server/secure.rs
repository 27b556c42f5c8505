//! From a connection to one that nobody else can read.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take; stops those that begin one and say nothing more.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What who speaks plain HTTP is told, in that.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 49\r\nconnection: close\r\n\r\n\
this port speaks https; write https:// before it\n";

/// Shakes hands. Nothing if that fails, or takes too long.
pub async fn secure(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let shaken = timeout(HANDSHAKE_TIME, shake(acceptor, stream)).await;
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            // The client's affair.
            tracing::debug!(%error, "a handshake has failed");
            None
        }
        Err(_) => {
            tracing::debug!("a handshake took too long");
            None
        }
    }
}

async fn shake(acceptor: &TlsAcceptor, mut stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    // Methods are in capitals.
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE && first[0].is_ascii_uppercase() {
        let mut head = [0; 4096];
        // What was sent is read, so that the answer is not lost with it.
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await?;
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it speaks plain HTTP"));
    }
    acceptor.accept(stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
