//! The standard streams of this process.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use tokio::sync::mpsc;

use super::signals;
use crate::port::{Input, Output, Waiting};

/// Bytes fetched from standard input at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Standard input, fetched by somebody else on demand, so that nothing is taken that no guest asked for.
pub struct HostInput {
    /// Asks for the next piece; says whether there is anybody to ask.
    wish: Box<dyn FnMut() -> bool + Send>,
    terminal: bool,
    given: mpsc::Receiver<io::Result<Vec<u8>>>,
    asked: bool,
    buffer: Vec<u8>,
    state: State,
}

enum State {
    Open,
    Ended,
    Failed(io::ErrorKind),
}

impl HostInput {
    /// Standard input of this process.
    pub fn new() -> Self {
        let (wanted, wishes) = std::sync::mpsc::channel::<()>();
        let (gives, given) = mpsc::channel(1);
        std::thread::spawn(move || {
            while wishes.recv().is_ok() {
                if gives.blocking_send(read_stdin()).is_err() {
                    return;
                }
            }
        });
        Self::fetched(Box::new(move || wanted.send(()).is_ok()), given, io::stdin().is_terminal())
    }

    /// Input that is given whenever `wish` has asked for it, once each time; no bytes are the end.
    pub fn fetched(
        wish: Box<dyn FnMut() -> bool + Send>,
        given: mpsc::Receiver<io::Result<Vec<u8>>>,
        terminal: bool,
    ) -> Self {
        Self { wish, terminal, given, asked: false, buffer: Vec::new(), state: State::Open }
    }

    fn ask(&mut self) {
        if !self.asked && self.buffer.is_empty() && matches!(self.state, State::Open) {
            self.asked = (self.wish)();
            if !self.asked {
                self.state = State::Ended;
            }
        }
    }

    fn accept(&mut self, read: Option<io::Result<Vec<u8>>>) {
        self.asked = false;
        match read {
            Some(Ok(chunk)) if !chunk.is_empty() => self.buffer = chunk,
            Some(Err(error)) => self.state = State::Failed(error.kind()),
            Some(Ok(_)) | None => self.state = State::Ended,
        }
    }

    fn known(&self) -> bool {
        !self.buffer.is_empty() || !matches!(self.state, State::Open)
    }
}

/// The next bytes of this process's standard input; none are the end.
pub fn read_stdin() -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let count = io::stdin().read(&mut chunk)?;
    chunk.truncate(count);
    Ok(chunk)
}

/// Standard input of this process, for lines.
pub fn stdin_lines() -> impl io::BufRead {
    io::BufReader::new(io::stdin())
}

/// Whether a person types what this process reads.
pub fn is_stdin_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether nobody can read any more what this process writes to its standard output.
pub fn is_stdout_closed() -> bool {
    let stdout = io::stdout();
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut ends, Some(&Timespec::default())).is_ok_and(|count| count > 0)
        && ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

impl Default for HostInput {
    fn default() -> Self {
        Self::new()
    }
}

impl Input for HostInput {
    fn ready(&mut self) -> Waiting<'_, ()> {
        Box::pin(async {
            self.ask();
            if !self.known() {
                let read = self.given.recv().await;
                self.accept(read);
            }
        })
    }

    fn is_ready(&mut self) -> bool {
        self.ask();
        if !self.known()
            && let Ok(read) = self.given.try_recv()
        {
            self.accept(Some(read));
        }
        self.known()
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        if max == 0 || !self.is_ready() {
            return Ok(Some(Vec::new()));
        }
        match &self.state {
            _ if !self.buffer.is_empty() => {
                let rest = self.buffer.split_off(max.min(self.buffer.len()));
                Ok(Some(std::mem::replace(&mut self.buffer, rest)))
            }
            State::Failed(kind) => Err((*kind).into()),
            State::Open | State::Ended => Ok(None),
        }
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

/// A pipe that is ready takes this much without blocking (POSIX `PIPE_BUF`).
const PIPE_BYTES: usize = 4096;

/// How long to wait for a reader before patience is asked.
const READER_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Writes in pieces that do not block.
fn write_patiently(
    stream: &mut (impl Write + AsFd),
    bytes: &[u8],
    patience: &mut dyn FnMut() -> bool,
) -> io::Result<()> {
    for piece in bytes.chunks(PIPE_BYTES) {
        loop {
            let ready = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&READER_WAIT));
            match ready {
                Ok(0) | Err(rustix::io::Errno::INTR) if !signals::asked() && patience() => {}
                Ok(0) | Err(rustix::io::Errno::INTR) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        stream.write_all(piece)?;
        stream.flush()?;
    }
    Ok(())
}

/// Standard output of this process.
#[derive(Debug)]
pub struct HostOutput;

impl Output for HostOutput {
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        write_patiently(&mut io::stdout().lock(), bytes, patience)
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

/// Standard error of this process.
#[derive(Debug)]
pub struct HostError;

impl Output for HostError {
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        write_patiently(&mut io::stderr().lock(), bytes, patience)
    }

    fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }
}
