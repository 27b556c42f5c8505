//! Serving others while this process has the database open.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::asker::Asker;
use super::protocol::{Tag, VERSION, path, read_exactly, read_request, write_piece};
use crate::cli::app::Cli;
use crate::cli::database::Opened;
use crate::cli::io::Io;
use crate::cli::program::Program;
use crate::engine::component::BINARY_MAX_BYTES;
use crate::port::Clock;
use crate::world::clock::HostClock;
use crate::world::signals;
use crate::world::socket::{self, Listener, Stream};

/// Answers under way at once; who comes later asks again.
const ANSWERS: usize = 64;

/// Those among them that may take as long as they like: runs, calls, followers. The others stay for whoever wants to look.
const LASTING: usize = 48;

/// How long somebody who connects may take to say what they want.
const REQUEST_TIME: Duration = Duration::from_secs(2);

/// How long they may take to hand over a binary.
const PROGRAM_TIME: Duration = Duration::from_secs(60);

/// Bytes of binaries that are handed over or worked on at once; stops many large ones from filling the memory.
const PROGRAMS_BYTES: u64 = 2 * BINARY_MAX_BYTES;

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
    stopping: Arc<AtomicBool>,
    answers: Mutex<Answers>,
    fewer: Condvar,
}

#[derive(Default)]
struct Answers {
    next: u64,
    streams: Vec<(u64, Stream)>,
    lasting: usize,
    programs_bytes: u64,
}

/// Serves others with what this process has opened. Without a socket (its path may be too long, the disk full) nobody is served, and they are told
/// that the database is in use.
pub fn serve(opened: &Opened) -> Option<Server> {
    let opened = opened.clone();
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
        // The file says so too, but has others' permissions for a moment when it is made.
        if !socket::is_of_this_user(&stream) {
            continue;
        }
        let Some(number) = shared.begin(&stream) else { continue };
        let (opened, shared) = (opened.clone(), Arc::clone(shared));
        std::thread::spawn(move || {
            let end = End { shared, number };
            // Whoever asked may have gone: that is their affair.
            drop(answer(stream, opened, &end.shared));
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

/// Room that an answer takes up.
struct Seat<'a> {
    shared: &'a Shared,
    lasting: bool,
    program_bytes: u64,
}

impl Shared {
    /// Room for an answer, if there is any.
    fn seat(&self, lasting: bool, program_bytes: u64) -> Option<Seat<'_>> {
        let mut answers = self.lock();
        let full = answers.programs_bytes + program_bytes > PROGRAMS_BYTES || (lasting && answers.lasting >= LASTING);
        if full || program_bytes > BINARY_MAX_BYTES {
            return None;
        }
        answers.lasting += usize::from(lasting);
        answers.programs_bytes += program_bytes;
        Some(Seat { shared: self, lasting, program_bytes })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut answers = self.shared.lock();
        answers.lasting -= usize::from(self.lasting);
        answers.programs_bytes -= self.program_bytes;
    }
}

fn answer(mut stream: Stream, mut database: Opened, shared: &Shared) -> io::Result<()> {
    let request = read_request(&mut Within::new(&stream, REQUEST_TIME))?;
    let cli = Cli::parse(&request.args).filter(|_| request.reel == VERSION);
    // Who is about to stop begins nothing: the database will be free in a moment.
    let wanted = |cli: &Cli| cli.is_served(&database) && (cli.may_be_repeated() || !signals::asked());
    let program_bytes = request.program.as_ref().map_or(0, |(_, len)| *len);
    let Some((cli, _seat)) =
        cli.filter(wanted).and_then(|cli| shared.seat(cli.is_lasting(), program_bytes).map(|seat| (cli, seat)))
    else {
        return write_piece(&mut stream, Tag::Refused, &[]);
    };
    let mut brought = request.brought;
    if let Some((path, len)) = request.program {
        write_piece(&mut stream, Tag::Program, &[])?;
        let bytes = read_exactly(&mut Within::new(&stream, PROGRAM_TIME), len)?;
        brought.program = Some(Program { path: path.into(), bytes });
    }
    stream.set_read_timeout(None)?;
    if !cli.may_be_repeated() {
        write_piece(&mut stream, Tag::Begun, &[])?;
    }
    let (asker, ear) = Asker::new(stream, request.look, &shared.stopping)?;
    let heard = Arc::clone(&asker);
    let ear = std::thread::spawn(move || heard.hear(ear));
    let (mut out, mut err) = (asker.data(), asker.words());
    database.asker = Some(Arc::clone(&asker));
    let mut io = Io { out: &mut out, err: &mut err, look: request.look };
    let exit = asker.serve(|| cli.answer(brought, &database, &mut io));
    drop(database);
    let said = out.flush().and_then(|()| err.flush());
    // Also where stdout took no more.
    let exit = asker.send(Tag::Exit, &[exit.0]);
    asker.part();
    drop(ear.join());
    said.and(exit)
}

/// Reads, but not longer than some time.
struct Within<'a> {
    stream: &'a Stream,
    clock: HostClock,
    until: u64,
}

impl<'a> Within<'a> {
    fn new(stream: &'a Stream, time: Duration) -> Self {
        let clock = HostClock::new();
        let until = clock.monotonic() + time.as_nanos() as u64;
        Self { stream, clock, until }
    }
}

impl Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_sub(self.clock.monotonic());
        if left == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(Duration::from_nanos(left)))?;
        self.stream.read(buffer)
    }
}
