//! `reel log --follow` without a run: the events of all runs, as they become durable.
//!
//! What is kept is where to go on, not what was read: whoever reads slowly is further behind in the log, and holds nobody up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reel_abi::id::{RunId, Seq};
use reel_store::{OpenError, ReadError};

use super::admin;
use super::brought::Brought;
use super::database::{DatabaseArgs, Opened};
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::log::{Args, Printer};
use crate::world::{console, disk};

/// How often it is looked for news.
const POLL: Duration = Duration::from_millis(50);

/// How often it is looked whether somebody has opened the database.
const WAIT: Duration = Duration::from_millis(200);

/// Numbers of runs that may still come though later ones are there: a number is taken when a run is begun, and some are never used.
const LATE: usize = 4096;

/// Lets a process that has the database open tell what happens in it, and waits for one as long as it takes: this one would keep others from it.
pub fn ask(database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let (dir, mut brought, mut told) = (database.dir(), Brought::default(), false);
    if !disk::is_dir(&dir) {
        return Err(OpenError::NotFound { dir }.into());
    }
    loop {
        if let Some(answer) = admin::ask(&dir, None, &mut brought, io) {
            return answer;
        }
        if console::is_stdout_closed() {
            return Ok(Exit::OK);
        }
        if !told {
            writeln!(io.err, "nobody has the database open, so that nothing happens in it; waiting for somebody")?;
            told = true;
        }
        std::thread::sleep(WAIT);
    }
}

/// Prints what happens from now on, until whoever asked leaves or this process has nothing more to do.
pub fn follow(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut follower = Follower::new(args, database)?;
    loop {
        // Looked at before the log: what was done until then is shown.
        let over = database.asker.as_ref().is_none_or(|asker| asker.is_parting());
        follower.look(io)?;
        if over {
            return Ok(Exit::OK);
        }
        // Also tells whether somebody still reads.
        io.out.flush()?;
        std::thread::sleep(POLL);
    }
}

/// Where to go on.
struct Follower<'a> {
    args: &'a Args,
    database: &'a Opened,
    newest: RunId,
    late: BTreeSet<RunId>,
    open: BTreeMap<RunId, Seq>,
}

impl<'a> Follower<'a> {
    fn new(args: &'a Args, database: &'a Opened) -> Result<Self, Failure> {
        let store = &database.store;
        let newest = store.newest_run().unwrap_or_default();
        let mut open = BTreeMap::new();
        for record in store.runs_without_end(RunId(0))? {
            if database.running.has(record.run) && record.run <= newest {
                let next = store.frames(record.run, Seq(0))?.last().map_or(Seq(0), |frame| frame.next());
                open.insert(record.run, next);
            }
        }
        Ok(Self { args, database, newest, late: BTreeSet::new(), open })
    }

    /// Prints what has come.
    fn look(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        for (run, next) in std::mem::take(&mut self.open) {
            self.go_on(run, next, io)?;
        }
        for run in std::mem::take(&mut self.late) {
            self.go_on(run, Seq(0), io)?;
        }
        let newest = self.database.store.newest_run().unwrap_or_default();
        while self.newest < newest {
            self.newest = self.newest.next();
            self.go_on(self.newest, Seq(0), io)?;
        }
        while self.late.len() > LATE {
            self.late.pop_first();
        }
        Ok(())
    }

    /// Prints what there is of a run, and keeps it if more is to come.
    fn go_on(&mut self, run: RunId, mut next: Seq, io: &mut Io<'_>) -> Result<(), Failure> {
        // The end is looked for before the frames: what comes before it is in the log by then.
        let Some(record) = self.database.store.run(run)? else {
            self.late.insert(run);
            return Ok(());
        };
        let over = record.end.is_some();
        let frames = match self.database.store.frames(run, next) {
            Err(ReadError::Pruned { .. }) => {
                io.warn(&format!("the events of run {run} are not kept any more; go on with the next"));
                return Ok(());
            }
            frames => frames?,
        };
        let printer = Printer::new(self.args, &self.database.store, record);
        for frame in frames {
            printer.print(&frame, next, io)?;
            next = frame.next();
        }
        if !over {
            self.open.insert(run, next);
        }
        Ok(())
    }
}
