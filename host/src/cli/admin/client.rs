//! Asking the process that has the database open.

use std::path::Path;

use super::protocol::{Request, Tag, VERSION, path, read_piece, write_request};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::world::{process, socket};

/// Lets the process that has the database in `dir` open do this process's command. Nothing if nobody answers, or not this.
pub fn ask(dir: &Path, io: &mut Io<'_>) -> Option<Result<Exit, Failure>> {
    let args = process::args().into_iter().skip(1).map(|arg| arg.into_string().ok()).collect::<Option<Vec<_>>>()?;
    let mut stream = socket::connect(&path(dir)).ok()?;
    write_request(&mut stream, &Request { reel: VERSION.to_owned(), args, look: io.look }).ok()?;
    let (mut answered, mut begun) = (false, false);
    loop {
        match read_piece(&mut stream) {
            Ok((Tag::Refused, _)) => return None,
            Ok((Tag::Exit, code)) => return Some(Ok(Exit(code.first().copied().unwrap_or(Exit::HOST.0)))),
            Ok((Tag::Stdout, bytes)) => {
                answered |= !bytes.is_empty();
                if let Err(error) = io.out.write_all(&bytes).and_then(|()| io.out.flush()) {
                    return Some(Err(error.into()));
                }
            }
            Ok((Tag::Stderr, bytes)) => {
                answered = true;
                drop(io.err.write_all(&bytes));
            }
            Ok((Tag::Begun, _)) => begun = true,
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
