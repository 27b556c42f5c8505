//! Executing a run again that was overtaken, without anybody noticing: what it has taken from standard input it is given again, and what it has
//! said is only shown once it has committed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::calls::session::Console;
use crate::port::{Input, Output, Waiting};

/// Bytes of standard input that are kept for another attempt.
const INPUT_BYTES: usize = 16 << 20;

/// Bytes of output that are held back until the commit.
const HELD_BYTES: usize = 64 << 20;

/// The standard streams of a run over all its attempts.
#[derive(Clone)]
pub(super) struct Streams {
    input: Arc<Mutex<Taken>>,
    output: Arc<Mutex<Said>>,
}

struct Taken {
    from: Option<Box<dyn Input>>,
    bytes: Vec<u8>,
    /// The next byte that this attempt is given.
    at: usize,
    /// Whether more was taken than could be kept.
    lost: bool,
}

struct Said {
    to: [Option<Box<dyn Output>>; 2],
    hold: bool,
    held: Vec<(usize, Vec<u8>)>,
    bytes: usize,
    /// Whether anything was shown that cannot be taken back.
    shown: bool,
}

impl Streams {
    /// Takes the streams over; `hold` keeps back what is said until [`Streams::show`].
    pub(super) fn new(console: Console, hold: bool) -> (Self, Console) {
        let Console { stdin, stdout, stderr, echo } = console;
        let (with_input, with_output) = (stdin.is_some(), [stdout.is_some(), stderr.is_some()]);
        let taken = Taken { from: stdin, bytes: Vec::new(), at: 0, lost: false };
        let said = Said { to: [stdout, stderr], hold, held: Vec::new(), bytes: 0, shown: false };
        let streams = Self { input: Arc::new(Mutex::new(taken)), output: Arc::new(Mutex::new(said)) };
        let console = streams.console(with_input, with_output, echo);
        (streams, console)
    }

    /// Standard input from its beginning, for one more attempt.
    pub(super) fn input(&self) -> Option<Box<dyn Input>> {
        Some(Box::new(Again(Arc::clone(&self.input))))
    }

    /// Where another guest of the same transaction says something.
    pub(super) fn outputs(&self) -> Console {
        self.console(false, [true, true], false)
    }

    fn console(&self, with_input: bool, with_output: [bool; 2], echo: bool) -> Console {
        let output = |which: usize| {
            with_output[which].then(|| Box::new(Held { said: Arc::clone(&self.output), which }) as Box<dyn Output>)
        };
        let stdin = with_input.then(|| Box::new(Again(Arc::clone(&self.input))) as Box<dyn Input>);
        Console { stdin, stdout: output(0), stderr: output(1), echo }
    }

    /// Sets everything back for another attempt; `false` if that is not possible.
    pub(super) fn rewind(&self) -> bool {
        let (mut taken, mut said) = (lock(&self.input), lock(&self.output));
        if taken.lost || said.shown {
            return false;
        }
        taken.at = 0;
        said.held.clear();
        said.bytes = 0;
        true
    }

    /// Shows what was held back.
    pub(super) fn show(&self) {
        let mut said = lock(&self.output);
        let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
        for (which, bytes) in std::mem::take(&mut said.held) {
            match pieces.last_mut() {
                // In one piece, so that runs that end at the same time do not cut up each other's words.
                Some((last, piece)) if *last == which => piece.extend_from_slice(&bytes),
                _ => pieces.push((which, bytes)),
            }
        }
        for (which, bytes) in pieces {
            if let Some(to) = &mut said.to[which]
                && let Err(error) = to.show(&bytes, &mut || true)
            {
                tracing::warn!("what the program said cannot be shown: {error}");
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Again(Arc<Mutex<Taken>>);

impl Input for Again {
    fn ready(&mut self) -> Waiting<'_, ()> {
        let mut taken = lock(&self.0);
        if taken.at < taken.bytes.len() {
            return Box::pin(std::future::ready(()));
        }
        // Nobody else asks while this run waits, so the source can be taken out for as long.
        let Some(from) = taken.from.take() else { return Box::pin(std::future::ready(())) };
        drop(taken);
        Box::pin(async move {
            let mut back = Back { to: Arc::clone(&self.0), from: None };
            back.from.insert(from).ready().await;
        })
    }

    fn is_ready(&mut self) -> bool {
        let mut taken = lock(&self.0);
        taken.at < taken.bytes.len() || taken.from.as_mut().is_none_or(|from| from.is_ready())
    }

    fn take(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut taken = lock(&self.0);
        if taken.at < taken.bytes.len() {
            let end = taken.bytes.len().min(taken.at.saturating_add(max));
            let bytes = taken.bytes[taken.at..end].to_vec();
            taken.at = end;
            return Ok(Some(bytes));
        }
        let Some(from) = &mut taken.from else { return Ok(None) };
        let bytes = from.take(max)?;
        if let Some(bytes) = &bytes {
            taken.lost |= taken.bytes.len() + bytes.len() > INPUT_BYTES;
            if !taken.lost {
                taken.bytes.extend_from_slice(bytes);
                taken.at = taken.bytes.len();
            }
        }
        Ok(bytes)
    }

    fn is_terminal(&self) -> bool {
        lock(&self.0).from.as_ref().is_some_and(|from| from.is_terminal())
    }
}

/// Puts the source back, also if the wait is given up.
struct Back {
    to: Arc<Mutex<Taken>>,
    from: Option<Box<dyn Input>>,
}

impl Drop for Back {
    fn drop(&mut self) {
        lock(&self.to).from = self.from.take();
    }
}

struct Held {
    said: Arc<Mutex<Said>>,
    which: usize,
}

impl Output for Held {
    fn show(&mut self, bytes: &[u8], patience: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let mut said = lock(&self.said);
        if !said.hold {
            said.shown |= !bytes.is_empty();
            return said.to[self.which].as_mut().map_or(Ok(()), |to| to.show(bytes, patience));
        }
        if said.bytes + bytes.len() > HELD_BYTES {
            return Err(io::Error::other(format!("more than {HELD_BYTES} bytes of output are held back")));
        }
        said.bytes += bytes.len();
        said.held.push((self.which, bytes.to_vec()));
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        let said = lock(&self.said);
        !said.hold && said.to[self.which].as_ref().is_some_and(|to| to.is_terminal())
    }
}
