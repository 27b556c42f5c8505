//! `messages`: what guests sent to each other, and what was delivered.

use std::sync::Arc;

use reel_abi::message::Place;
use reel_abi::outcome::Disposition;
use reel_abi::record::Frame;
use reel_abi::resident::Entry;
use reel_abi::value::Value as Said;
use reel_abi::vocabulary::{Call, CallBegins, MsgSend};
use reel_abi::wire::Reader;
use rusqlite::types::Value;

use super::of_runs::{Told, of_events};
use crate::sql::error::SqlError;
use crate::sql::table::{Column, Narrows, Row, Rows, Table, bytes, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::trail::{damaged, unpack};
use crate::sql::values::{self, Json};
use crate::sql::view::View;
use crate::sql::walk::{Which, guest_of};
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("run", "INTEGER", "the run that sent it, or took it"),
    column("seq", "INTEGER", "the event by which it did"),
    column("at", "TEXT", "as in events"),
    column("at_ns", "INTEGER", "as in events"),
    column("guest", "TEXT", "as in runs"),
    column("space", "TEXT", "as in runs"),
    column("kind", "TEXT", "sent or delivered"),
    column("topic", "TEXT", "what it is about"),
    column("commit_no", "INTEGER", "the commit by which it was sent; NULL if that never was"),
    column("message", "TEXT", "its id, if it was delivered"),
    column("key", "", "its key, text or BLOB, if it was sent"),
    column("payload", "", "what it says, text or BLOB, if it was sent and is short enough to stand in the event"),
    column("bytes", "INTEGER", "bytes of that"),
    column("headers", "TEXT", "what goes with it, as JSON, if it was sent"),
    column("delay_ns", "INTEGER", "not to be delivered before so many nanoseconds"),
    column("function", "TEXT", "the function that took it, if it was delivered"),
    column("ok", "INTEGER", "sent: whether it could be; delivered: whether the call committed"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "messages",
    says: "messages as they were sent and as they were delivered, each try",
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

const CODES: &[u8] = &[MsgSend::CODE, CallBegins::CODE];

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let which = Which {
        runs: wanted.range(0),
        times: wanted.times(2, 3),
        guest: wanted.text(4).map(str::to_owned),
        space: wanted.text(5).map(str::to_owned),
    };
    of_events(view, which, CODES, rows)
}

fn rows(view: &Arc<View>, frame: &Frame, told: Vec<Told>) -> Result<Vec<Row>, SqlError> {
    let record = view.run(frame.run)?;
    let guest = record.as_ref().map(|record| guest_of(&record.begin.name).to_owned());
    let space = record.as_ref().map(|record| record.begin.space.to_string());
    let commit = record.as_ref().and_then(|record| match record.end.as_ref()?.disposition {
        Disposition::Committed { commit, .. } | Disposition::Partly { commit, .. } => Some(commit.0),
        _ => None,
    });
    let mut rows = Vec::new();
    for told in told {
        let mut row = vec![
            int(frame.run.0),
            int(told.seq.0),
            text(exact(frame.opened.0)),
            int(frame.opened.0),
            maybe(guest.clone(), text),
            maybe(space.clone(), text),
        ];
        if told.event.code == MsgSend::CODE {
            row.extend(sent(&told, commit));
            rows.push(row);
        } else if let Some(Entry::Message { cell, topic, name }) = entry(frame, &told)? {
            let id = Place::parse(&cell).map(Place::id);
            row.extend([text("delivered"), text(topic), maybe(id, |id| int(id.commit.0))]);
            row.push(maybe(id, |id| text(id.to_string())));
            row.extend([Value::Null, Value::Null, Value::Null, Value::Null, Value::Null, text(name)]);
            row.push(int(u64::from(commit.is_some())));
            rows.push(row);
        }
    }
    Ok(rows)
}

fn sent(told: &Told, commit: Option<u64>) -> Vec<Value> {
    let data = |value: Option<&Said>| match value {
        Some(Said::Bytes(data)) => bytes(data.clone()),
        _ => Value::Null,
    };
    let len = match told.field("payload") {
        Some(Said::Bytes(data)) => Some(data.len() as u64),
        Some(Said::Elsewhere { len, .. }) => Some(*len),
        _ => None,
    };
    let ok = !matches!(told.event.reply, Said::Failure(_));
    let delay = match told.field("delay") {
        Some(Said::Duration(nanos) | Said::Number(nanos)) => Some(*nanos),
        _ => None,
    };
    vec![
        text("sent"),
        maybe(told.text("topic"), text),
        maybe(commit.filter(|_| ok), int),
        Value::Null,
        data(told.field("key")),
        data(told.field("payload")),
        maybe(len, int),
        maybe(told.field("headers"), |headers| text(values::text(&Json(headers)))),
        maybe(delay, int),
        Value::Null,
        int(u64::from(ok)),
    ]
}

/// How a call was entered: the first event of a frame that tells it.
fn entry(frame: &Frame, told: &Told) -> Result<Option<Entry>, SqlError> {
    let place = told.seq.0.saturating_sub(frame.first.0);
    let raw = unpack(frame)?;
    let mut reader = Reader::new(&raw);
    let bad = |error: reel_abi::wire::CodecError| damaged(frame, told.seq, error.to_string());
    for _ in 0..place {
        reel_abi::vocabulary::EventView::skim(&mut reader).map_err(bad)?;
    }
    let is_one = reader.u8("event").map_err(bad)? == CallBegins::CODE;
    if !is_one {
        return Ok(None);
    }
    let begins = <CallBegins as reel_abi::wire::Wire>::take(&mut reader).map_err(bad)?;
    Ok(Some(begins.entry))
}
