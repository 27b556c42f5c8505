//! The other process that is served: its standard streams, and whether it is still there.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use super::protocol::{PIECE_MAX_BYTES, Tag, read_piece, write_piece};
use crate::cli::io::Look;
use crate::port::{Input, Output};
use crate::world::console::HostInput;
use crate::world::signals;
use crate::world::socket::{self, Stream};

/// A socket that takes some bytes takes so many without waiting.
const SHOWN_BYTES: usize = 4096;

/// The other process.
pub struct Asker {
    /// To be written to, a piece at a time.
    stream: Mutex<Stream>,
    /// To be looked at.
    watched: Stream,
    look: Look,
    /// Whether this process has nothing more to do itself.
    parting: Arc<AtomicBool>,
    /// It has left, or wants the command to stop.
    stop: watch::Sender<bool>,
    left: AtomicBool,
    no_stdout: AtomicBool,
    no_stderr: AtomicBool,
    input: Mutex<Option<mpsc::Receiver<Given>>>,
}

thread_local! {
    static SERVED: RefCell<Option<Arc<Asker>>> = const { RefCell::new(None) };
}

type Given = io::Result<Vec<u8>>;

/// What the other process says, to be heard on a thread of its own.
pub struct Ear {
    stream: Stream,
    gives: mpsc::Sender<Given>,
}

impl Asker {
    /// One who has said what it wants.
    pub fn new(stream: Stream, look: Look, parting: &Arc<AtomicBool>) -> io::Result<(Arc<Self>, Ear)> {
        let (gives, given) = mpsc::channel(1);
        let ear = Ear { stream: stream.try_clone()?, gives };
        let asker = Self {
            watched: stream.try_clone()?,
            stream: Mutex::new(stream),
            look,
            parting: Arc::clone(parting),
            stop: watch::Sender::new(false),
            left: AtomicBool::new(false),
            no_stdout: AtomicBool::new(false),
            no_stderr: AtomicBool::new(false),
            input: Mutex::new(Some(given)),
        };
        Ok((Arc::new(asker), ear))
    }

    /// Does something for it on this thread.
    pub fn serve<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        SERVED.with(|served| *served.borrow_mut() = Some(Arc::clone(self)));
        let done = work();
        SERVED.with(|served| *served.borrow_mut() = None);
        done
    }

    /// The one for whom this thread does something: guests that are called show it what they say.
    pub fn served() -> Option<Arc<Self>> {
        SERVED.with(|served| served.borrow().clone())
    }

    /// Hears what it says until it leaves, or says what makes no sense.
    pub fn hear(&self, mut ear: Ear) {
        while let Ok((tag, bytes)) = read_piece(&mut ear.stream) {
            let heard = match tag {
                // One piece for each that was wanted: more would have to be kept.
                Tag::Stdin => ear.gives.try_send(Ok(bytes)).is_ok(),
                Tag::NoStdin => ear.gives.try_send(Err(io::ErrorKind::Other.into())).is_ok(),
                Tag::Stdout => !self.no_stdout.swap(true, Ordering::AcqRel),
                Tag::Stderr => !self.no_stderr.swap(true, Ordering::AcqRel),
                Tag::Interrupt => !self.stop.send_replace(true),
                _ => false,
            };
            if !heard {
                break;
            }
        }
        self.left.store(true, Ordering::Release);
        self.stop.send_replace(true);
    }

    /// Sends a piece.
    pub fn send(&self, tag: Tag, bytes: &[u8]) -> io::Result<()> {
        let closed = match tag {
            Tag::Stdout => self.no_stdout.load(Ordering::Acquire),
            Tag::Stderr => self.no_stderr.load(Ordering::Acquire),
            _ => false,
        };
        if closed || self.has_left() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        write_piece(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), tag, bytes)
    }

    /// Whether it is there no more.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Whether it has left, or wants the command to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether this process would end, but for those who are served.
    pub fn is_parting(&self) -> bool {
        self.parting.load(Ordering::Acquire)
    }

    /// From now on, its first signal is the wish that the command stops.
    pub fn listen_for_signals(&self) {
        // Whoever has left hears it from others.
        drop(self.send(Tag::Live, &[]));
    }

    /// Ends when it has left, or wants the command to stop; from now on, its first signal is that wish.
    pub async fn stops(&self) {
        let mut stop = self.stop.subscribe();
        if self.send(Tag::Live, &[]).is_ok() {
            // The sender is this one's own.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Ends when it has left.
    pub async fn leaves(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop && self.has_left()).await;
    }

    /// Its standard input; there is one.
    pub fn input(self: &Arc<Self>) -> Option<Box<dyn Input>> {
        let given = self.input.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let asker = Arc::clone(self);
        let wish = Box::new(move || asker.send(Tag::Stdin, &[]).is_ok());
        Some(Box::new(HostInput::fetched(wish, given, self.look.in_terminal)))
    }

    /// Its standard output.
    pub fn output(self: &Arc<Self>) -> Box<dyn Output> {
        Box::new(Shown { asker: Arc::clone(self), tag: Tag::Stdout, terminal: self.look.out_terminal })
    }

    /// Its standard error.
    pub fn error_output(self: &Arc<Self>) -> Box<dyn Output> {
        Box::new(Shown { asker: Arc::clone(self), tag: Tag::Stderr, terminal: self.look.err_terminal })
    }

    /// Its standard output, for data.
    pub fn data(self: &Arc<Self>) -> Pieces {
        Pieces { asker: Arc::clone(self), tag: Tag::Stdout, buffer: Vec::new() }
    }

    /// Its standard error, for talk.
    pub fn words(self: &Arc<Self>) -> Pieces {
        Pieces { asker: Arc::clone(self), tag: Tag::Stderr, buffer: Vec::new() }
    }

    /// Hears and says no more.
    pub fn part(&self) {
        drop(self.watched.shutdown(Shutdown::Both));
    }
}

/// What a guest shows.
struct Shown {
    asker: Arc<Asker>,
    tag: Tag,
    terminal: bool,
}

impl Output for Shown {
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        for piece in bytes.chunks(SHOWN_BYTES) {
            while !self.asker.has_left() && !socket::takes(&self.asker.watched)? {
                if signals::asked() || !patience() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            self.asker.send(self.tag, piece)?;
        }
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

/// What a command writes.
pub struct Pieces {
    asker: Arc<Asker>,
    tag: Tag,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_MAX_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        // Talk is not kept: what a guest shows goes another way, and comes after it.
        if self.buffer.len() == PIECE_MAX_BYTES || self.tag == Tag::Stderr {
            self.flush()?;
        }
        Ok(count)
    }

    /// Sends what there is; if that is nothing, finds out whether somebody still reads.
    fn flush(&mut self) -> io::Result<()> {
        self.asker.send(self.tag, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
