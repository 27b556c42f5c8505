//! What goes over the socket.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::brought::Brought;
use crate::cli::io::Look;

/// Both sides are the same build, or they do not talk.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest request; stops a stranger from filling the memory.
const REQUEST_MAX_BYTES: u32 = 16 << 20;

/// Longest piece.
pub const PIECE_MAX_BYTES: usize = 64 << 10;

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Version of the build.
    pub reel: String,
    /// Arguments, without the program's name.
    pub args: Vec<String>,
    /// Where the answer goes.
    pub look: Look,
    /// What came along.
    pub brought: Brought,
    /// The path of the binary that is to come, and its bytes.
    pub program: Option<(String, u64)>,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Bytes for stdout; none of them only asks whether somebody is there. From the one who asks: stdout takes no more.
    Stdout = 1,
    /// Bytes for stderr; and as above.
    Stderr = 2,
    /// One byte: the exit code. Nothing follows.
    Exit = 3,
    /// This command is not served. Nothing follows.
    Refused = 4,
    /// The command has begun, and is none to be done twice: whoever hears this and no exit code does not know whether it was done.
    Begun = 5,
    /// The binary is to come now.
    Program = 6,
    /// From here on, the first signal that asks to stop is for the command.
    Live = 7,
    /// Some of stdin is wanted. From the one who asks: this is it, or its end.
    Stdin = 8,
    /// From the one who asks: stdin cannot be read.
    NoStdin = 9,
    /// From the one who asks: the command is to stop.
    Interrupt = 10,
}

impl Tag {
    fn of(byte: u8) -> Option<Self> {
        use Tag::{Begun, Exit, Interrupt, Live, NoStdin, Program, Refused, Stderr, Stdin, Stdout};
        let all = [Stdout, Stderr, Exit, Refused, Begun, Program, Live, Stdin, NoStdin, Interrupt];
        all.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// Where the socket of a database is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("admin.sock")
}

/// Writes a request.
pub fn write_request(stream: &mut impl Write, request: &Request) -> io::Result<()> {
    let bytes = serde_json::to_vec(request)?;
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= REQUEST_MAX_BYTES);
    let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_all(&len.to_le_bytes())?;
    stream.write_all(&bytes)
}

/// Reads a request.
pub fn read_request(stream: &mut impl Read) -> io::Result<Request> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > REQUEST_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(serde_json::from_slice(&read_exactly(stream, u64::from(len))?)?)
}

/// Reads so many bytes. Memory is taken as they come, not as they are announced.
pub fn read_exactly(stream: &mut impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes a piece, at most [`PIECE_MAX_BYTES`] long.
pub fn write_piece(stream: &mut impl Write, tag: Tag, bytes: &[u8]) -> io::Result<()> {
    let mut piece = Vec::with_capacity(5 + bytes.len());
    piece.push(tag as u8);
    piece.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    piece.extend_from_slice(bytes);
    stream.write_all(&piece)
}

/// Reads a piece.
pub fn read_piece(stream: &mut impl Read) -> io::Result<(Tag, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [tag, len @ ..] = head;
    let len = u32::from_le_bytes(len) as usize;
    let tag = Tag::of(tag).ok_or(io::ErrorKind::InvalidData)?;
    if len > PIECE_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok((tag, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut wire = Vec::new();
        let request = Request {
            reel: VERSION.into(),
            args: vec!["log".into(), "é".into()],
            look: Look::default(),
            brought: Brought::default(),
            program: None,
        };
        write_request(&mut wire, &request).expect("written");
        assert_eq!(read_request(&mut wire.as_slice()).expect("read").args, request.args);
        let mut wire = Vec::new();
        write_piece(&mut wire, Tag::Stderr, b"x").expect("written");
        assert_eq!(read_piece(&mut wire.as_slice()).expect("read"), (Tag::Stderr, b"x".to_vec()));
    }

    #[test]
    fn strange_bytes_are_an_error() {
        assert!(read_request(&mut [0xff; 8].as_slice()).is_err());
        assert!(read_request(&mut [4, 0, 0, 0, b'{', b'{', b'{', b'{'].as_slice()).is_err());
        assert!(read_piece(&mut [1, 0xff, 0xff, 0xff, 0xff].as_slice()).is_err());
        assert!(read_piece(&mut [0xff, 0, 0, 0, 0].as_slice()).is_err());
    }
}
