//! `reel queue`: the messages that lie with guests.

mod change;
mod ls;
mod show;

use clap::Subcommand;
use reel_abi::message::{MessageId, Place};
use reel_store::{Store, View};

use super::brought::Brought;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use crate::runtime::resident::queue::{Lying, messages};

/// Messages looked at at once.
const BATCH: usize = 256;

/// Look at the messages that guests have not taken yet, send one, put dead letters back
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Put(change::PutArgs),
    Retry(change::RetryArgs),
    Drop(change::DropArgs),
}

impl Args {
    /// Whether it changes nothing.
    pub fn only_reads(&self) -> bool {
        matches!(self.command, Command::Ls(_) | Command::Show(_))
    }

    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        match &self.command {
            Command::Put(args) => args.bring(),
            _ => Ok(Brought::default()),
        }
    }
}

/// Does what is asked.
pub fn execute(args: &Args, brought: Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match &args.command {
        Command::Ls(args) => ls::execute(args, database, io),
        Command::Show(args) => show::execute(args, database, io),
        Command::Put(args) => change::put(args, brought, database, io),
        Command::Retry(args) => change::retry(args, database, io),
        Command::Drop(args) => change::drop(args, database, io),
    }
}

/// The word for the state of a message.
pub fn word(place: Place) -> &'static str {
    match place {
        Place::Ready(_) => "ready",
        Place::Waiting(..) => "waiting",
        Place::Dead(_) => "dead",
    }
}

/// Shows all messages of a state to somebody, until it has seen enough.
fn each(
    store: &Store,
    view: &View,
    state: Place,
    seen: &mut dyn FnMut(Lying) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut from = Vec::new();
    loop {
        let mut last = None;
        for found in messages(store, view, state, &from, BATCH)? {
            let (key, lying) = found?;
            last = Some(key);
            if !seen(lying)? {
                return Ok(());
            }
        }
        let Some(last) = last else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
    }
}

/// Which messages are meant: those with the ids, or all.
fn is_meant(ids: &[MessageId], topic: Option<&str>, lying: &Lying) -> bool {
    (ids.is_empty() || ids.contains(&lying.id())) && topic.is_none_or(|topic| topic == lying.message.topic)
}
