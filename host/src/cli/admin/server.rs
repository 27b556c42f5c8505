//! Serving others while this process has the database open.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use reel_store::Store;

use super::protocol::{PIECE_MAX_BYTES, Tag, VERSION, path, read_request, write_piece};
use crate::cli::app::Cli;
use crate::cli::database::{Opened, Running};
use crate::cli::exit::Exit;
use crate::cli::io::Io;
use crate::world::socket::{self, Listener, Stream};

/// Answers under way at once; who comes later asks again.
const ANSWERS: usize = 32;

/// How long somebody who connects may take to say what they want.
const REQUEST_TIME: Duration = Duration::from_secs(2);

/// How long this process stays for those who still read when its own work is done.
const FAREWELL: Duration = Duration::from_secs(2);

/// The server; it ends when this is dropped, and holds no handle of the database then.
pub struct Server {
    shared: Arc<Shared>,
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    answers: Mutex<Answers>,
    fewer: Condvar,
}

#[derive(Default)]
struct Answers {
    next: u64,
    streams: Vec<(u64, Stream)>,
}

/// Serves those who want to read the database. Without a socket (its path may be too long, the disk full) nobody is served, and they are told that
/// the database is in use.
pub fn serve(store: &Store, running: Running) -> Option<Server> {
    serve_opened(Opened { store: store.clone(), running, served: true, household: None, asker: None })
}

/// The same with all that this process can do for others.
pub fn serve_opened(opened: Opened) -> Option<Server> {
    let path = path(opened.store.dir());
    let listener = Listener::bind(&path).inspect_err(|error| tracing::debug!(%error, "others are not served")).ok()?;
    let shared = Arc::<Shared>::default();
    let for_thread = Arc::clone(&shared);
    let thread = std::thread::spawn(move || accept(&listener, &opened, &for_thread));
    Some(Server { shared, path, thread: Some(thread) })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the thread that waits for connections. If the socket is not there any more, nothing does, and it is not waited for.
        if let (Ok(_), Some(thread)) = (socket::connect(&self.path), self.thread.take()) {
            drop(thread.join());
        }
        self.shared.wait(FAREWELL);
        for (_, stream) in &self.shared.lock().streams {
            drop(stream.shutdown(Shutdown::Both));
        }
        self.shared.wait(FAREWELL);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all answers are given, but not longer.
    fn wait(&self, limit: Duration) {
        drop(self.fewer.wait_timeout_while(self.lock(), limit, |answers| !answers.streams.is_empty()));
    }

    fn begin(&self, stream: &Stream) -> Option<u64> {
        let mut answers = self.lock();
        if answers.streams.len() >= ANSWERS {
            return None;
        }
        answers.next += 1;
        let number = answers.next;
        answers.streams.push((number, stream.try_clone().ok()?));
        Some(number)
    }

    fn end(&self, number: u64) {
        self.lock().streams.retain(|(other, _)| *other != number);
        self.fewer.notify_all();
    }
}

fn accept(listener: &Listener, opened: &Opened, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = accepted else {
            // Out of descriptors, perhaps: not at once again.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let Some(number) = shared.begin(&stream) else { continue };
        let (opened, shared) = (opened.clone(), Arc::clone(shared));
        std::thread::spawn(move || {
            let _end = End { shared, number };
            // Whoever asked may have gone: that is their affair.
            drop(answer(stream, opened));
        });
    }
}

/// Counts an answer as given when it is dropped, also by a panic; the database's handle is gone before.
struct End {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.end(self.number);
    }
}

fn answer(mut stream: Stream, mut database: Opened) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME))?;
    let request = read_request(&mut stream)?;
    let cli = match Cli::parse(&request.args) {
        Some(cli) if request.reel == VERSION && cli.is_served(database.household.is_some()) => cli,
        _ => return write_piece(&mut stream, Tag::Refused, &[]),
    };
    database.asker = stream.try_clone().ok().map(Arc::new);
    if !cli.may_be_repeated() {
        write_piece(&mut stream, Tag::Begun, &[])?;
    }
    let stream = Rc::new(RefCell::new(stream));
    let mut out = Pieces { stream: Rc::clone(&stream), tag: Tag::Stdout, buffer: Vec::new() };
    let mut err = Pieces { stream: Rc::clone(&stream), tag: Tag::Stderr, buffer: Vec::new() };
    let mut io = Io { out: &mut out, err: &mut err, look: request.look };
    let exit = cli.answer(&database, &mut io);
    drop(database);
    out.flush()?;
    err.flush()?;
    let exit = exit.unwrap_or(Exit::HOST);
    write_piece(&mut *stream.borrow_mut(), Tag::Exit, &[exit.0])
}

/// A stream of the one who asked.
struct Pieces {
    stream: Rc<RefCell<Stream>>,
    tag: Tag,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_MAX_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == PIECE_MAX_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    /// Sends what there is; if that is nothing, finds out whether somebody still reads.
    fn flush(&mut self) -> io::Result<()> {
        write_piece(&mut *self.stream.borrow_mut(), self.tag, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
