//! `effects_escaped`: what left the machine by runs that did not commit.

use std::sync::Arc;

use reel_abi::outcome::Disposition;
use reel_abi::record::Frame;
use reel_abi::value::Value as Said;
use reel_abi::vocabulary::{ALL, Call, Class, StdioFlush};

use super::of_runs::{Told, of_events};
use super::runs::state;
use crate::sql::error::SqlError;
use crate::sql::table::{Column, Narrows, Row, Rows, Table, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::values::{self, Fields};
use crate::sql::view::View;
use crate::sql::walk::{Which, guest_of};
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("run", "INTEGER", "the run"),
    column("seq", "INTEGER", "the event by which it asked for the effect; it may have failed outside"),
    column("at", "TEXT", "as in events"),
    column("at_ns", "INTEGER", "as in events"),
    column("guest", "TEXT", "as in runs"),
    column("space", "TEXT", "as in runs"),
    column("state", "TEXT", "as in runs; never committed"),
    column("call", "TEXT", "as in events"),
    column("class", "TEXT", "exchange: asked of others; talk: shown to a person"),
    column("what", "TEXT", "the request as JSON"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "effects_escaped",
    says: "what may have left the machine by runs that were not committed whole, and no rollback takes back",
    columns: COLUMNS,
    narrowed_by: &[
        (0, Narrows::ToOne),
        (2, Narrows::ToPart),
        (3, Narrows::ToPart),
        (4, Narrows::ToPart),
        (5, Narrows::ToPart),
    ],
    open,
};

/// The calls by which something leaves.
static CODES: [u8; COUNT] = codes();
const COUNT: usize = count();

const fn leaves(code: u8, class: Class) -> bool {
    matches!(class, Class::Exchange | Class::Talk) && code != StdioFlush::CODE
}

const fn count() -> usize {
    let (mut index, mut count) = (0, 0);
    while index < ALL.len() {
        count += leaves(ALL[index].0, ALL[index].2) as usize;
        index += 1;
    }
    count
}

const fn codes() -> [u8; COUNT] {
    let (mut codes, mut index, mut found) = ([0; COUNT], 0, 0);
    while index < ALL.len() {
        if leaves(ALL[index].0, ALL[index].2) {
            codes[found] = ALL[index].0;
            found += 1;
        }
        index += 1;
    }
    codes
}

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let which = Which {
        runs: wanted.range(0),
        times: wanted.times(2, 3),
        guest: wanted.text(4).map(str::to_owned),
        space: wanted.text(5).map(str::to_owned),
    };
    of_events(view, which, &CODES, rows)
}

fn rows(view: &Arc<View>, frame: &Frame, told: Vec<Told>) -> Result<Vec<Row>, SqlError> {
    let record = view.run(frame.run)?;
    let committed = |record: &reel_store::RunRecord| {
        record.end.as_ref().is_some_and(|end| matches!(end.disposition, Disposition::Committed { .. }))
    };
    if record.as_deref().is_some_and(committed) {
        return Ok(Vec::new());
    }
    let (guest, space, state) = record.map_or((None, None, None), |record| {
        let begin = &record.begin;
        (Some(guest_of(&begin.name).to_owned()), Some(begin.space.to_string()), Some(state(view, &record)))
    });
    // What was refused has not left.
    let left = told.into_iter().filter(|told| !matches!(told.event.reply, Said::Failure(_)));
    Ok(left
        .map(|told| {
            vec![
                int(frame.run.0),
                int(told.seq.0),
                text(exact(frame.opened.0)),
                int(frame.opened.0),
                maybe(guest.clone(), text),
                maybe(space.clone(), text),
                maybe(state, text),
                text(told.event.name),
                text(told.event.class.word()),
                text(values::text(&Fields(&told.event.request))),
            ]
        })
        .collect())
}
