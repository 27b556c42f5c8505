//! Asking the process that has the database open.

use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use super::protocol::{PIECE_MAX_BYTES, Request, Tag, VERSION, path, read_piece, write_piece, write_request};
use crate::cli::brought::Brought;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::live;
use crate::world::socket::{self, Stream};
use crate::world::{console, process, signals};

/// Lets the process that has the database in `dir` open do this process's command, or another one (`said`). Nothing if nobody answers, or not this.
pub fn ask(
    dir: &Path,
    said: Option<&[String]>,
    brought: &mut Brought,
    io: &mut Io<'_>,
) -> Option<Result<Exit, Failure>> {
    let own = || process::args().into_iter().skip(1).map(|arg| arg.into_string().ok()).collect::<Option<Vec<_>>>();
    let args = said.map_or_else(own, |said| Some(said.to_vec()))?;
    let program = brought.program.as_ref().map(|program| (program.name(), program.bytes.len() as u64));
    let mut stream = socket::connect(&path(dir)).ok()?;
    let request = Request { reel: VERSION.to_owned(), args, look: io.look, brought: std::mem::take(brought), program };
    let written = write_request(&mut stream, &request);
    *brought = request.brought;
    written.ok()?;
    let ours = Ours { stream: Arc::new(Mutex::new(stream.try_clone().ok()?)), stdin: None, live: false };
    listen(&mut stream, ours, brought, io)
}

fn listen(stream: &mut Stream, mut ours: Ours, brought: &Brought, io: &mut Io<'_>) -> Option<Result<Exit, Failure>> {
    let (mut answered, mut begun) = (false, false);
    let (mut no_stdout, mut no_stderr) = (None, false);
    loop {
        match read_piece(stream) {
            Ok((Tag::Refused, _)) => return None,
            Ok((Tag::Exit, code)) => {
                return Some(match no_stdout.map(Failure::from) {
                    Some(failure) if !failure.is_silent() => Err(failure),
                    _ => Ok(Exit(code.first().copied().unwrap_or(Exit::HOST.0))),
                });
            }
            Ok((Tag::Stdout, bytes)) => {
                answered |= !bytes.is_empty();
                let written = match no_stdout {
                    Some(_) => Ok(()),
                    None if bytes.is_empty() && console::is_stdout_closed() => Err(io::ErrorKind::BrokenPipe.into()),
                    None => io.out.write_all(&bytes).and_then(|()| io.out.flush()),
                };
                if let Err(error) = written {
                    no_stdout = Some(error);
                    ours.say(Tag::Stdout, &[]);
                }
            }
            Ok((Tag::Stderr, bytes)) => {
                answered = true;
                if !no_stderr && io.err.write_all(&bytes).is_err() {
                    no_stderr = true;
                    ours.say(Tag::Stderr, &[]);
                }
            }
            Ok((Tag::Begun, _)) => begun = true,
            Ok((Tag::Program, _)) => {
                let program = brought.program.iter().flat_map(|program| program.bytes.chunks(PIECE_MAX_BYTES));
                // If they are not taken, the answer says why.
                program.take_while(|piece| ours.give(piece)).for_each(drop);
            }
            Ok((Tag::Live, _)) => ours.catch_signals(),
            Ok((Tag::Stdin, _)) => ours.read_stdin(),
            Ok((Tag::NoStdin | Tag::Interrupt, _)) => {}
            Err(_) if begun => {
                let what = "the process that has the database open has ended in the middle of this command";
                return Some(Err(Failure::new(Exit::HOST, what).hint("whether it was done, `reel runs` tells")));
            }
            // It may have ended just now: then the database is free.
            Err(_) if !answered => return None,
            Err(_) => {
                let what = "the process that has the database open has ended in the middle of its answer";
                return Some(Err(Failure::new(Exit::HOST, what).hint("give the command again")));
            }
        }
    }
}

/// What this process does for the command that another one carries out.
struct Ours {
    stream: Arc<Mutex<Stream>>,
    stdin: Option<mpsc::Sender<()>>,
    live: bool,
}

impl Ours {
    /// Says something. If it is not heard, the other one is about to end, and that is heard here.
    fn say(&self, tag: Tag, bytes: &[u8]) {
        drop(write_piece(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), tag, bytes));
    }

    fn give(&self, bytes: &[u8]) -> bool {
        io::Write::write_all(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), bytes).is_ok()
    }

    fn another(&self) -> Self {
        Self { stream: Arc::clone(&self.stream), stdin: None, live: self.live }
    }

    /// The first signal is for the guest, the second one ends this process.
    fn catch_signals(&mut self) {
        if !std::mem::replace(&mut self.live, true) {
            let ours = self.another();
            std::thread::spawn(move || {
                if live::block_on(signals::interrupt(i32::from(Exit::INTERRUPTED.0))).is_ok() {
                    ours.say(Tag::Interrupt, &[]);
                }
            });
        }
    }

    /// Sends the next piece of stdin once there is one. That may take as long as a person types.
    fn read_stdin(&mut self) {
        let ours = self.another();
        let stdin = self.stdin.get_or_insert_with(|| {
            let (wanted, wishes) = mpsc::channel();
            std::thread::spawn(move || {
                while wishes.recv().is_ok() {
                    match console::read_stdin() {
                        Ok(bytes) => ours.say(Tag::Stdin, &bytes),
                        Err(_) => ours.say(Tag::NoStdin, &[]),
                    }
                }
            });
            wanted
        });
        let _ = stdin.send(());
    }
}
