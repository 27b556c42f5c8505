//! The one thread that writes the log.
//!
//! When the disk is free it takes the open batch, writes its rows (one, or several if they are very large) in one durable
//! commit, shows the result to readers, and only then answers. If a write fails, nobody in the batch or after it is told that
//! it succeeded, and nothing is accepted afterwards: what reached the disk is only known when the log is read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::AppendError;
use crate::gathering::Gathering;
use crate::row::{Row, RowBuilder, RowEnd};
use crate::sequencer::Closed;
use crate::store::Shared;

/// Runs until all is written and nothing will come.
pub(crate) fn run(shared: Arc<Shared>, end: RowEnd) {
    shared.sequencer.serve();
    let mut committer = Committer { shared: shared.clone(), end, gathering: Gathering::default(), unmerged: false };
    if catch_unwind(AssertUnwindSafe(|| committer.run())).is_err() {
        shared.refuse("the committer panicked");
        // Who is in the open batch is told so when the answer is dropped; nobody gets into one any more.
        while shared.sequencer.wait().is_some() {
            drop(shared.sequencer.close(&shared));
        }
    }
}

struct Committer {
    shared: Arc<Shared>,
    end: RowEnd,
    gathering: Gathering,
    /// Whether something is to be merged while the disk is busy.
    unmerged: bool,
}

impl Committer {
    fn run(&mut self) {
        let shared = self.shared.clone();
        loop {
            shared.applying.wait_for_room(&shared);
            let Some(ticket) = shared.sequencer.wait() else { return };
            // More may join meanwhile; it is told below if it cannot be written.
            drop(shared.blobs.wait(ticket));
            self.gathering.hold(&shared.sequencer);
            self.write();
        }
    }

    fn write(&mut self) {
        let Closed { rows, mut answers, ticket } = self.shared.sequencer.close(&self.shared);
        if let Err(error) = self.append(rows, ticket) {
            for (_, answered) in answers.iter_mut().filter(|(_, answered)| answered.is_ok()) {
                *answered = Err(error.clone());
            }
        }
        self.gathering.answered(answers.len(), self.shared.sequencer.urgent());
        for (reply, answered) in answers {
            reply.send(answered);
        }
    }

    /// Writes a batch's rows and shows what they change to readers.
    fn append(&mut self, rows: Vec<RowBuilder>, ticket: u64) -> Result<(), AppendError> {
        if rows.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let blobs = shared.blobs.wait(ticket);
        if let Some(fault) = shared.blobs.failed() {
            shared.refuse(&fault.to_string());
        }
        blobs?;
        if let Some(refused) = shared.refused() {
            return Err(refused);
        }
        if std::mem::take(&mut self.unmerged) {
            shared.merging.begin(shared);
        }
        let mut end = self.end;
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| {
                let row = row.finish(end.link);
                end = row.end;
                row
            })
            .collect();
        if let Err(fault) = shared.log.append(self.end, &rows) {
            shared.refuse(&fault.to_string());
            return Err(fault.into());
        }
        shared.counters.written();
        self.end = end;
        let log_bytes = rows.iter().map(|row| row.bytes.len()).sum();
        let mut pending = shared.pending.write();
        let mut live = shared.live.write();
        if let Some(mut slice) = pending.closed.take() {
            slice.end_rows(end, rows.len(), log_bytes);
            live.publish(slice);
        }
        // What follows takes longer, and those who see it here already need not wait.
        drop(pending);
        self.unmerged = live.tidy();
        let frozen = live.freeze_if_large();
        drop(live);
        if frozen {
            shared.applying.begin(shared);
        }
        Ok(())
    }
}
