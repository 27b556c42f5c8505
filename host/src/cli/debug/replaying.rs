//! What a replay brings back for the one who steps.

use std::sync::Arc;

use reel_abi::id::Seq;
use reel_store::RunRecord;

use crate::cli::database::Opened;
use crate::cli::live::block_on;
use crate::cli::replay::check;
use crate::debug::{Again, Memory, Payloads};
use crate::gate::Hears;
use crate::runtime::Engines;
use crate::runtime::Verdict;
use crate::runtime::recall::{Kept, recall};
use crate::world::clock::HostClock;
use crate::world::terminal;

/// Replays of one run.
pub struct Replaying {
    pub database: Opened,
    pub record: RunRecord,
    /// Whether somebody is at a terminal, whose keys break off what takes long.
    pub by_hand: bool,
    /// The memory that was looked at last.
    pub memory: Option<(Seq, Memory)>,
}

impl Replaying {
    fn replay(&self, until: Option<Seq>, hears: Option<Hears>) -> Result<(Verdict, Option<Kept>), String> {
        if self.database.is_busy() {
            return Err("the replay that brings it back needs the database for itself; ask again later".into());
        }
        check(&self.record).map_err(|_| "no guest made this run, so that it cannot be replayed".to_owned())?;
        let engines = Engines::for_commands(self.record.begin.limits.stack_bytes);
        let engines = engines.map_err(|error| format!("cannot set up the engine: {error:#}"))?;
        let clock = Arc::new(HostClock::new());
        let replay = recall(&self.database.store, &engines, self.record.run, until, clock, hears);
        let left = async {
            match &self.database.asker {
                Some(asker) => asker.leaves().await,
                None => std::future::pending().await,
            }
        };
        let replayed = block_on(async {
            tokio::select! {
                report = replay => report.map_err(|error| format!("the replay that brings it back failed: {error}")),
                () = left => Err("nobody waits for it any more".to_owned()),
            }
        });
        let (verdict, kept) = replayed.map_err(|failure| failure.words().to_owned())??;
        match verdict {
            Verdict::Diverged(divergence) => {
                Err(format!("the replay that brings it back diverged at event {}", divergence.mismatch.seq))
            }
            verdict => Ok((verdict, kept)),
        }
    }
}

impl Again for Replaying {
    fn payloads(&mut self, payloads: &Payloads) -> Result<(), String> {
        self.replay(None, Some(payloads.hears())).map(drop)
    }

    fn memory(&mut self, seq: Seq) -> Result<Memory, String> {
        if let Some((at, memory)) = &self.memory
            && *at == seq
        {
            return Ok(memory.clone());
        }
        let run = self.record.run;
        if seq == Seq(0) {
            return Err(format!("run {run} had no memory yet when it began; step forward"));
        }
        let memory = match self.replay(Some(seq), None)? {
            (Verdict::Reached(at), Some(kept)) if at == seq => Memory(kept),
            (Verdict::Reached(_), None) => {
                return Err(format!("run {run} is a call by another guest: its memory is not kept apart"));
            }
            _ => return Err(format!("run {run} was cut off there at no particular instruction; step back by one")),
        };
        self.memory = Some((seq, memory.clone()));
        Ok(memory)
    }

    fn is_stopped(&self) -> bool {
        self.database.is_asked_to_stop() || (self.by_hand && terminal::is_asked_to_stop())
    }
}
