//! `components`: the binaries that were executed.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{Digest, RunId};

use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Rows, Table, column, int, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::walk::guest_of;
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("component", "TEXT", "digest of its bytes"),
    column("guest", "TEXT", "what it was called in its newest run"),
    column("runs", "INTEGER", "how many runs executed it"),
    column("first_run", "INTEGER", "the first of them"),
    column("first_at", "TEXT", "when that began, UTC"),
    column("last_run", "INTEGER", "the newest of them"),
    column("last_at", "TEXT", "when that began, UTC"),
    column("content", "TEXT", "digest of the list of its blocks in the blobs"),
];

/// The table.
pub const TABLE: Table =
    Table { name: "components", says: "binaries that were executed", columns: COLUMNS, narrowed_by: &[], open };

/// Records fetched at a time.
const BATCH: usize = 512;

struct Known {
    guest: String,
    content: Digest,
    runs: u64,
    first: (u64, u64),
    last: (u64, u64),
}

fn open(view: &Arc<View>, _: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut done = false;
    Ok(Batches::boxed(move || {
        if std::mem::replace(&mut done, true) {
            return Ok(None);
        }
        let mut known: BTreeMap<Digest, Known> = BTreeMap::new();
        let mut next = RunId(1);
        loop {
            view.check()?;
            let records = view.store.runs_between(next, view.newest.next(), BATCH)?;
            let Some(newest) = records.last() else { break };
            next = newest.run.next();
            for record in &records {
                let (begin, this) = (&record.begin, (record.run.0, record.begin.at.0));
                let of = known.entry(begin.component).or_insert_with(|| Known {
                    guest: String::new(),
                    content: begin.content,
                    runs: 0,
                    first: this,
                    last: this,
                });
                of.runs += 1;
                of.last = this;
                guest_of(&begin.name).clone_into(&mut of.guest);
            }
        }
        let rows = known.into_iter().map(|(component, of)| {
            vec![
                text(component.to_string()),
                text(of.guest),
                int(of.runs),
                int(of.first.0),
                text(exact(of.first.1)),
                int(of.last.0),
                text(exact(of.last.1)),
                text(of.content.to_string()),
            ]
        });
        Ok(Some(rows.collect()))
    }))
}
