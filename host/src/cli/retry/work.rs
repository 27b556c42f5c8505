//! Many runs at once: threads that take one after the other, and one that tells of them in their order.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use reel_abi::id::RunId;

use super::super::database::Opened;
use super::super::failure::Failure;
use super::super::io::Io;
use super::super::live::block_on;
use super::super::progress::Progress;
use super::super::style::Paint;
use super::choose::choose;
use super::{Tally, Wish, json, page};
use crate::port::Clock;
use crate::runtime::retry::{Retried, Retrier};
use crate::world::clock::HostClock;

/// Runs that are executed but not yet told, so that they are told in order: what is to be said of them is in memory.
const AHEAD: usize = 256;

/// How often a thread that is ahead of the others, or busy, looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Where it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// It is what was asked for.
    Data,
    /// It is beside what was asked for.
    Talk,
}

impl To {
    /// The stream.
    pub fn stream<'a>(self, io: &'a mut Io<'_>) -> &'a mut dyn Write {
        match self {
            Self::Data => io.out,
            Self::Talk => io.err,
        }
    }
}

/// What is said of a run.
struct Word {
    word: &'static str,
    is_allowed: bool,
    text: Vec<u8>,
}

/// What the threads share.
struct Work<'a> {
    wish: &'a Wish<'a>,
    retrier: &'a Retrier,
    runs: &'a [RunId],
    database: &'a Opened,
    paint: Paint,
    next: AtomicUsize,
    /// How many were told; all of them if nobody listens any more.
    told: AtomicUsize,
}

/// Executes runs with other code, and tells of them, in their order.
pub fn retry(wish: &Wish<'_>, with: Vec<u8>, database: &Opened, io: &mut Io<'_>) -> Result<Tally, Failure> {
    let clock = HostClock::new();
    let chosen = choose(wish.runs, wish.choice, database)?;
    if wish.to == To::Data && chosen.runs.is_empty() && chosen.overtaken == 0 {
        // Nothing is proven by no run at all.
        return Err(Failure::not_found("no run is meant").hint("`reel runs` lists what there is"));
    }
    let mut tally = Tally { overtaken: chosen.overtaken, ..Tally::default() };
    let retrier = Retrier::new(&database.store, with, wish.how.deadline());
    let progress = database.progress(io.look.err_terminal && !(io.look.out_terminal && wish.to == To::Data));
    progress.begin("executing runs again");
    database.catch_signals();
    let jobs = wish.how.jobs().min(chosen.runs.len().max(1));
    let colour = if wish.to == To::Data { io.look.out_colour } else { io.look.err_colour };
    let work = Work {
        wish,
        retrier: &retrier,
        runs: &chosen.runs,
        database,
        paint: Paint(colour),
        next: AtomicUsize::new(0),
        told: AtomicUsize::new(0),
    };
    let told = std::thread::scope(|scope| {
        let (done, results) = mpsc::channel();
        for _ in 0..jobs {
            let (work, done) = (&work, done.clone());
            scope.spawn(move || work.take_turns(&done));
        }
        drop(done);
        let told = work.tell(results, &mut tally, &progress, io);
        // Whoever is at work must not wait for somebody who has gone.
        work.next.store(chosen.runs.len(), Ordering::Relaxed);
        work.told.store(usize::MAX, Ordering::Relaxed);
        told
    })?;
    progress.finish();
    tally.missing = (chosen.runs.len() - told) as u64;
    tally.took = clock.monotonic();
    match wish.json {
        true => json::sum(&tally, wish.to.stream(io))?,
        false => page::sum(&tally, wish, io)?,
    }
    Ok(tally)
}

impl Work<'_> {
    /// Takes one run after the other, until there is none or nobody waits any more.
    fn take_turns(&self, done: &mpsc::Sender<(usize, Result<Word, Failure>)>) {
        // Without an event loop there is no result, which is noticed.
        drop(block_on(async {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                let Some(run) = self.runs.get(index) else { return };
                while index > self.told.load(Ordering::Relaxed).saturating_add(AHEAD) {
                    tokio::time::sleep(LOOK).await;
                }
                let stopped = async {
                    while !self.is_over() {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                let word = tokio::select! {
                    biased;
                    word = self.execute(*run) => word,
                    () = stopped => return,
                };
                if self.is_over() || done.send((index, word)).is_err() {
                    return;
                }
            }
        }));
    }

    fn is_over(&self) -> bool {
        self.told.load(Ordering::Relaxed) == usize::MAX || self.database.is_asked_to_stop()
    }

    async fn execute(&self, run: RunId) -> Result<Word, Failure> {
        let record = self.database.store.run(run)?;
        let record = record.ok_or_else(|| Failure::not_found(format!("there is no run {run} any more")))?;
        self.word(&self.retrier.retry(&record).await?)
    }

    fn word(&self, retried: &Retried) -> Result<Word, Failure> {
        let word = retried.verdict.word();
        let is_allowed = self.wish.allowed.iter().any(|allowed| allowed.is_word(word));
        let mut text = Vec::new();
        if self.wish.all || word != "same" || !is_allowed {
            match self.wish.json {
                true => json::run(retried, is_allowed, &mut text)?,
                false => page::run(retried, is_allowed, self.paint, &mut text)?,
            }
        }
        Ok(Word { word, is_allowed, text })
    }

    /// Tells of the runs, and how many it told of.
    fn tell(
        &self,
        results: mpsc::Receiver<(usize, Result<Word, Failure>)>,
        tally: &mut Tally,
        progress: &Progress,
        io: &mut Io<'_>,
    ) -> Result<usize, Failure> {
        let (mut waiting, mut told) = (BTreeMap::new(), 0);
        for (index, result) in results {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&told) {
                let Word { word, is_allowed, text } = result?;
                tally.add(word, is_allowed);
                if !text.is_empty() {
                    progress.finish();
                    self.wish.to.stream(io).write_all(&text)?;
                }
                told += 1;
                self.told.store(told, Ordering::Relaxed);
            }
            progress.update(told as u64, self.runs.len() as u64);
        }
        Ok(told)
    }
}
