//! `reel debug`: stepping through a run, forward and backward, at a terminal or by a script.

mod action;
mod json;
mod keys;
mod page;
mod replaying;
mod screen;
mod terminal;
mod walk;

use reel_abi::id::Seq;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::fork;
use super::ids::RunRef;
use super::io::{Io, Look};
use crate::debug::{DebugError, Debugger};
use action::{Action, script};
use replaying::Replaying;
use walk::{Told, Walk};

/// Step through what a run did, forward and backward, and look at files, keys, output and memory at each event
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Steps of a script, separated by blanks; each prints where it stops. At the terminal most of them are
keys, `h` lists those, and `:` takes any step.
  n  n5  b  b5        an event forward, five; an event back, five
  7  ^  $             to event 7, to the first, to the last
  !                   to where the run failed
  e  E                to the next answer that is a failure, to the one before
  /text  ?text        to an event with this text, forward, back
  .  ,                the same again, forward, back
  w                   back to the last event that wrote anything
  k:orders/7          back to the last write of a key: BUCKET/KEY
  f:/a.csv            back to the last write of a file
  mark:x  'x          a bookmark here; to it
  all                 the whole space here, not only what changed
  mem:0x100+64        memory here; mem/text looks for text in it
  fork:NAME           a space that begins as it is here
  q                   the end
Examples:
  reel debug last                                    at the terminal
  reel debug 12 --script '! w b'                     the failure, and what was written before it
  reel debug 12 --script '\"/two words\" k:orders/7'   a step with blanks in it is quoted
  reel debug 12 --at 7 --json                        one stop, for programs
Nothing is executed but in replays, which touch nothing real; only fork: changes the database.")]
pub struct Args {
    /// The run, or `last`
    run: RunRef,
    /// Begin at this event
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
    /// Do these steps, and print each stop, without a terminal
    #[arg(long, value_name = "STEPS")]
    script: Option<String>,
    /// Print stops as JSON, one a line; without --script, the one that it begins at
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether somebody is to step by hand.
    fn is_by_hand(&self) -> bool {
        self.script.is_none() && !self.json
    }

    /// Whether it makes no space.
    pub fn only_reads(&self) -> bool {
        let steps = script(self.script.as_deref().unwrap_or_default()).unwrap_or_default();
        !steps.iter().any(|step| matches!(step, Action::Fork(_)))
    }

    /// Refuses, before anything else, what makes no sense.
    pub fn check(&self, look: Look) -> Result<(), Failure> {
        script(self.script.as_deref().unwrap_or_default()).map_err(Failure::usage)?;
        if self.is_by_hand() && !(look.out_terminal && look.in_terminal) {
            let what = "stdin and stdout are no terminal to step at";
            return Err(Failure::usage(what).hint(self.otherwise()));
        }
        Ok(())
    }

    fn otherwise(&self) -> String {
        format!("without one: reel debug {} --script 'n n b', or --at 0 --json", self.run)
    }
}

/// Steps through the run.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let record = args.run.find(&database.store)?;
    if args.is_by_hand() && database.asker.is_some() {
        let what = "another process has the database open, and only it could step here";
        return Err(Failure::usage(what).hint(args.otherwise()));
    }
    let by_hand = args.is_by_hand();
    let again = Replaying { database: database.clone(), record: record.clone(), by_hand, memory: None };
    let debugger = Debugger::new(&database.store, record, Box::new(again)).map_err(failed)?;
    let forks = |seq: Seq, name: &str, space: &str, run| forked(database, flag, (space, run, seq), name);
    let mut walk = Walk::new(debugger, database, Box::new(forks));
    if let Some(at) = args.at {
        walk.go(Seq(at))?;
    }
    if by_hand {
        return terminal::converse(walk);
    }
    let steps = script(args.script.as_deref().unwrap_or_default()).map_err(Failure::usage)?;
    let first = if args.script.is_none() { vec![Action::All] } else { steps };
    for step in first {
        match walk.act(&step)? {
            Told::End => break,
            told => match args.json {
                true => json::write(&told, &walk, io)?,
                false => page::write(&told, &walk, io)?,
            },
        }
    }
    Ok(Exit::OK)
}

/// A fork as `reel fork SPACE@RUN@SEQ NAME` makes it: what that says, or why it cannot.
fn forked(
    database: &Opened,
    flag: &str,
    (space, run, seq): (&str, reel_abi::id::RunId, Seq),
    name: &str,
) -> Result<String, Failure> {
    let from = format!("{space}@{run}@{seq}").parse().map_err(Failure::usage)?;
    let name = name.parse().map_err(|error: reel_abi::id::BadSpaceName| Failure::usage(error.to_string()))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io { out: &mut out, err: &mut err, look: Look::default() };
    fork::execute(&fork::Args::of(from, name), database, flag, &mut io)?;
    out.extend(err);
    Ok(String::from_utf8_lossy(&out).trim().replace('\n', "; "))
}

/// The page for what went wrong.
fn failed(error: DebugError) -> Failure {
    match error {
        DebugError::Read(error) => error.into(),
        DebugError::Replay(error) => error.into(),
        DebugError::Empty(_) | DebugError::NoSuchEvent { .. } => Failure::of(Exit::NOT_FOUND, &error),
        DebugError::Damaged { .. } => {
            Failure::of(Exit::DATABASE, &error).hint("`reel verify` tells how far the damage goes")
        }
        DebugError::Stopped => Failure::new(Exit::INTERRUPTED, "stopped"),
        DebugError::Look(_) | DebugError::Apart { .. } => Failure::of(Exit::HOST, &error),
    }
}
