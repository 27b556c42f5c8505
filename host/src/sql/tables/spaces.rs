//! `spaces`: what there is to work in.

use std::sync::Arc;

use reel_abi::record::family;
use reel_abi::resident::{GUEST_KEY, Guest, GuestKind, STOPPED_KEY};
use reel_store::{Made, ReadError};

use super::versions::{history, spaces};
use crate::runtime::cells::Cells;
use crate::runtime::files_at::LookError;
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "its name"),
    column("version", "INTEGER", "its newest version"),
    column("at", "TEXT", "when that was made, UTC; NULL if nothing was committed yet"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("removed", "INTEGER", "1 if its name was given up, else 0"),
    column("forked_from", "TEXT", "the space it was forked from"),
    column("forked_version", "INTEGER", "the version that was forked"),
    column("kind", "TEXT", "resident or handler, if a guest was deployed in it"),
    column("component", "TEXT", "digest of that guest's component"),
    column("program", "TEXT", "the file that it came from"),
    column("stopped", "INTEGER", "1 if that guest takes no calls, 0 if it does"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "spaces",
    says: "spaces, also removed ones",
    columns: COLUMNS,
    narrowed_by: &[(0, Narrows::ToOne)],
    open,
};

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, 0).into_iter();
    Ok(Batches::boxed(move || {
        view.check()?;
        let Some((space, head)) = spaces.next() else { return Ok(None) };
        let history = history(&view, &space, head)?;
        let newest = history.last();
        let fork = history.iter().rev().find_map(|record| match &record.made {
            Made::Fork { source, version } => Some((source.to_string(), version.0)),
            _ => None,
        });
        let (guest, stopped) = match Cells::at(&view.store, head) {
            Err(LookError::Read(ReadError::Pruned { .. })) => (None, None),
            cells => {
                let cells = cells?;
                let guest = cells.view.get(family::RESIDENT, GUEST_KEY)?;
                let guest = guest.map(|guest| cells.small::<Guest>(&guest)).transpose()?;
                let stopped = cells.view.get(family::RESIDENT, STOPPED_KEY)?.is_some();
                let stopped = guest.is_some().then_some(stopped);
                (guest, stopped)
            }
        };
        let removed = view.store.head(&space)?.is_none();
        let row: Row = vec![
            text(space.as_str()),
            int(head.version.0),
            maybe(newest, |newest| text(exact(newest.at.0))),
            maybe(newest, |newest| int(newest.at.0)),
            int(u64::from(removed)),
            maybe(fork.clone(), |(source, _)| text(source)),
            maybe(fork, |(_, version)| int(version)),
            maybe(guest.as_ref(), |guest| text(if guest.kind == GuestKind::Resident { "resident" } else { "handler" })),
            maybe(guest.as_ref(), |guest| text(guest.component.to_string())),
            maybe(guest.as_ref(), |guest| text(&guest.program)),
            maybe(stopped, |stopped| int(u64::from(stopped))),
        ];
        Ok(Some(vec![row]))
    }))
}
