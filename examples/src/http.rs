//! Messages of HTTP/1.1 on a connection: as much as `ask` and `payments` need.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Longest head.
const HEAD_BYTES: u64 = 64 * 1024;

/// Longest line that says how long a chunk is.
const CHUNK_LINE_BYTES: u64 = 1024;

/// What stands before the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The first line.
    pub line: String,
    /// Names, in lower case, and values.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Reads one; nothing if the connection ends before it begins.
    ///
    /// # Errors
    ///
    /// Those of the connection; [`ErrorKind::InvalidData`] for what is no head, [`ErrorKind::UnexpectedEof`] for a part of one.
    pub fn read(connection: &mut impl BufRead) -> Result<Option<Self>> {
        let mut rest = connection.take(HEAD_BYTES);
        if rest.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let line = line(&mut rest)?;
        let mut fields = Vec::new();
        loop {
            let line = self::line(&mut rest)?;
            match line.split_once(':') {
                Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None if line.is_empty() => break,
                None => return Err(Error::new(ErrorKind::InvalidData, "a field without a colon")),
            }
        }
        Ok(Some(Self { line, fields }))
    }

    /// The value of a field, whose name is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body that belongs to it, and hands over each piece as it comes. Without a length, an answer goes on to the end of the connection,
    /// and a request has no body.
    ///
    /// # Errors
    ///
    /// Those of the connection and of `each`; [`ErrorKind::UnexpectedEof`] if the body breaks off.
    pub fn body(&self, connection: &mut impl BufRead, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut piece = |len: u64, connection: &mut dyn BufRead| -> Result<()> {
            let mut missing = len;
            while missing > 0 {
                let bytes = connection.fill_buf()?;
                if bytes.is_empty() {
                    return Err(Error::new(ErrorKind::UnexpectedEof, "the body breaks off"));
                }
                let here = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
                each(&bytes[..here])?;
                connection.consume(here);
                missing -= here as u64;
            }
            Ok(())
        };
        if self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let length = line(&mut connection.take(CHUNK_LINE_BYTES))?;
                let length = length.split(';').next().unwrap_or_default().trim();
                let length = u64::from_str_radix(length, 16)
                    .map_err(|_| Error::new(ErrorKind::InvalidData, "a chunk without a length"))?;
                piece(length, connection)?;
                line(&mut connection.take(HEAD_BYTES))?;
                if length == 0 {
                    return Ok(());
                }
            }
        }
        match self.field("content-length").map(str::parse) {
            Some(Ok(length)) => piece(length, connection),
            Some(Err(_)) => Err(Error::new(ErrorKind::InvalidData, "a length that is no number")),
            None if !self.line.starts_with("HTTP/") => Ok(()),
            None => loop {
                let bytes = connection.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                each(bytes)?;
                let here = bytes.len();
                connection.consume(here);
            },
        }
    }
}

/// A line without its end.
fn line(connection: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(Error::new(ErrorKind::UnexpectedEof, "a line breaks off, or is too long"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Head, Vec<u8>)> {
        let mut connection = bytes;
        let head = Head::read(&mut connection)?.ok_or(ErrorKind::NotFound)?;
        let mut body = Vec::new();
        head.body(&mut connection, |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((head, body))
    }

    #[test]
    fn bodies_have_a_length_or_chunks_or_end_with_the_connection() {
        let (head, body) = read(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcd").unwrap();
        assert_eq!(
            (head.line.as_str(), head.field("host"), body.as_slice()),
            ("POST / HTTP/1.1", Some("a"), &b"abc"[..])
        );
        let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        assert_eq!(read(chunks).unwrap().1, b"abc");
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap().1, b"abc");
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\nabc").unwrap().1, b"");
    }

    #[test]
    fn what_breaks_off_is_told_from_what_ends() {
        assert!(Head::read(&mut &b""[..]).unwrap().is_none());
        let parts: [&[u8]; 4] = [
            b"GET / HT",
            b"GET / HTTP/1.1\r\nhost: a\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        ];
        for part in parts {
            assert_eq!(read(part).unwrap_err().kind(), ErrorKind::UnexpectedEof, "{}", String::from_utf8_lossy(part));
        }
        assert_eq!(read(b"GET /\r\nno field\r\n\r\n").unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
