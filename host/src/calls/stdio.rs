//! Standard streams, below `wasi:io/streams`.

use reel_abi::types::{DATA_INLINE_BYTES, Data, FsCode, Handle, Stdio, StreamFault};
use reel_abi::vocabulary::{StdioFlush, StdioRead, StdioWrite};

use super::heard::STDIN;
use super::session::{Console, Session};
use crate::gate::Halt;
use crate::port::Input;
use crate::txn::lower::blob;

impl Session {
    /// Up to `len` bytes of standard input; with `blocking` at least one, or the end.
    pub(super) async fn read_stdin(
        &mut self,
        stream: Handle,
        len: u64,
        blocking: bool,
    ) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let call = StdioRead { stream, len, blocking };
        let stdin = &mut self.console.stdin;
        let live = async {
            if let (Some(stdin), true) = (stdin.as_mut(), blocking && len > 0) {
                stdin.ready().await;
            }
            Ok(take(stdin, len))
        };
        let data = self.gate.pass_async(call, live).await?;
        self.stdin_bytes(data)
    }

    /// What of standard input is there now, as a part of another call.
    pub(super) fn take_stdin(&mut self, stream: Handle, len: u64) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let call = StdioRead { stream, len, blocking: false };
        let stdin = &mut self.console.stdin;
        let data = self.gate.pass(call, |_, _| Ok(take(stdin, len)))?;
        self.stdin_bytes(data)
    }

    /// Waits for standard input where a call is about to take from it; in a replay there is nothing to wait for.
    pub(super) async fn await_stdin(&mut self) {
        if let (Some(stdin), false) = (&mut self.console.stdin, self.gate.replaying()) {
            stdin.ready().await;
        }
    }

    fn stdin_bytes(&self, data: Result<Data, StreamFault>) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        let read = self.bytes_of(data)?;
        if let Some(heard) = &self.heard {
            heard.read(STDIN, &read);
        }
        Ok(read)
    }

    /// The bytes that an event holds or names.
    pub(super) fn bytes_of(&self, data: Result<Data, StreamFault>) -> Result<Result<Vec<u8>, StreamFault>, Halt> {
        match data {
            Err(fault) => Ok(Err(fault)),
            Ok(Data::Inline { bytes }) => Ok(Ok(bytes.0)),
            Ok(Data::Blob { digest, .. }) => blob(self.store.blobs(), &digest).map(Ok),
        }
    }

    /// Shows bytes to a person, live or when a replay is to show them.
    pub(super) fn talk(&mut self, which: Stdio, bytes: Vec<u8>) -> Result<Result<(), StreamFault>, Halt> {
        self.gate.count_written(bytes.len() as u64)?;
        let console = &mut self.console;
        // Another component may leave the record with this very call, and shows it as a live one does then.
        let retried = self.gate.retry().is_some();
        if console.echo && self.gate.replaying() && !retried {
            drop(show(console, which, &bytes, &mut || true));
        }
        let (echo, mut live) = (console.echo && retried, false);
        let kept = if echo { bytes.clone() } else { Vec::new() };
        let reply = self.gate.pass(StdioWrite { which, bytes: bytes.into() }, |gate, call| {
            live = true;
            let shown = show(console, call.which, &call.bytes, &mut || gate.check_deadline().is_ok());
            gate.check_deadline()?;
            Ok(shown)
        })?;
        if echo && !live {
            drop(show(&mut self.console, which, &kept, &mut || true));
        }
        Ok(reply)
    }

    /// Nothing is held back, so that there is nothing to do but to say so.
    pub(super) fn flush_talk(&mut self, which: Stdio) -> Result<Result<(), StreamFault>, Halt> {
        self.gate.pass(StdioFlush { which }, |_, _| Ok(Ok(())))
    }
}

fn take(stdin: &mut Option<Box<dyn Input>>, len: u64) -> Result<Data, StreamFault> {
    let Some(stdin) = stdin else { return Err(StreamFault::Closed) };
    match stdin.take(len.min(DATA_INLINE_BYTES as u64) as usize) {
        Ok(Some(bytes)) => Ok(Data::Inline { bytes: bytes.into() }),
        Ok(None) => Err(StreamFault::Closed),
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
            Err(StreamFault::Failed { code: FsCode::IsDirectory })
        }
        Err(_) => Err(StreamFault::Failed { code: FsCode::Io }),
    }
}

fn show(
    console: &mut Console,
    which: Stdio,
    bytes: &[u8],
    patience: &mut dyn FnMut() -> bool,
) -> Result<(), StreamFault> {
    let stream = match which {
        Stdio::Stdout => &mut console.stdout,
        Stdio::Stderr | Stdio::Stdin => &mut console.stderr,
    };
    let Some(stream) = stream else { return Ok(()) };
    stream.show(bytes, patience).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => StreamFault::Closed,
        std::io::ErrorKind::StorageFull => StreamFault::Failed { code: FsCode::InsufficientSpace },
        _ => StreamFault::Failed { code: FsCode::Io },
    })
}
