//! `checkpoints`: what residents were like after some of their calls.

use std::sync::Arc;

use reel_abi::record::{CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, Checkpoint};

use super::versions::spaces;
use crate::runtime::cells::Cells;
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Rows, Table, column, int, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space of the guest"),
    column("version", "INTEGER", "the version that it is part of"),
    column("at", "TEXT", "when it was committed, UTC"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("run", "INTEGER", "the run of the host that committed it"),
    column("commit_no", "INTEGER", "its commit"),
    column("birth", "INTEGER", "the run in which the guest was instantiated"),
    column("after", "INTEGER", "the call after which the guest was like that"),
    column("calls", "INTEGER", "calls of its life until then"),
    column("component", "TEXT", "digest of its component"),
    column("memory_bytes", "INTEGER", "bytes of its memories"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "checkpoints",
    says: "checkpoints of residents that the newest version of a space has behind it",
    columns: COLUMNS,
    narrowed_by: &[(0, Narrows::ToPart)],
    open,
};

/// Checkpoints of one guest that are told.
const MOST: usize = 1_000_000;

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, 0).into_iter();
    Ok(Batches::boxed(move || {
        view.check()?;
        let Some((space, head)) = spaces.next() else { return Ok(None) };
        let changes = view.store.key_history(head, family::RESIDENT, CHECKPOINT_KEY, MOST)?;
        let mut rows = Vec::new();
        if changes.is_empty() {
            return Ok(Some(rows));
        }
        let cells = Cells::at(&view.store, head)?;
        for change in changes.into_iter().filter(|change| change.value != CellValue::Tombstone) {
            let bytes = cells.bytes(&change.value)?;
            let read = <Checkpoint as reel_abi::wire::Wire>::from_bytes(&bytes);
            let checkpoint = read.map_err(|error| {
                SqlError::Look(crate::runtime::files_at::LookError::Failed(format!("a checkpoint of {space}: {error}")))
            })?;
            rows.push(vec![
                text(space.as_str()),
                int(change.version.0),
                text(exact(change.at.0)),
                int(change.at.0),
                int(change.run.0),
                int(change.commit.0),
                int(checkpoint.birth.0),
                int(checkpoint.after.0),
                int(checkpoint.calls),
                text(checkpoint.component.to_string()),
                int(checkpoint.memories.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))),
            ]);
        }
        Ok(Some(rows))
    }))
}
