//! `events`: every recorded host call, and the marks of runs.

use std::sync::Arc;

use reel_abi::id::Seq;
use reel_abi::record::Frame;
use reel_abi::value::Value as Said;
use reel_abi::vocabulary::{Class, EventView};
use reel_abi::wire::Reader;
use reel_store::RunRecord;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::sql::error::SqlError;
use crate::sql::table::{Column, Narrows, Rows, Table, bytes, column, int};
use crate::sql::times::exact;
use crate::sql::trail::{About, Trails, damaged, take, unpack};
use crate::sql::values::{self, Details, Json};
use crate::sql::view::View;
use crate::sql::walk::{Frames, Which, guest_of};
use crate::sql::wanted::Wanted;

const RUN: usize = 0;
const SEQ: usize = 1;
const AT: usize = 2;
const AT_NS: usize = 3;
const GUEST: usize = 4;
const SPACE: usize = 5;
const CALL: usize = 6;
const CLASS: usize = 7;
const PATH: usize = 8;
const BUCKET: usize = 9;
const KEY: usize = 10;
const BYTES: usize = 11;
const OK: usize = 12;
const ERROR: usize = 13;
const DETAILS: usize = 14;

const COLUMNS: &[Column] = &[
    column("run", "INTEGER", "the run"),
    column("seq", "INTEGER", "its place in the run, from 0"),
    column("at", "TEXT", "when the block of events that holds it was begun, UTC: at most 200 ms or one wait before it"),
    column("at_ns", "INTEGER", "the same in nanoseconds since 1970"),
    column("guest", "TEXT", "as in runs"),
    column("space", "TEXT", "as in runs"),
    column("call", "TEXT", "family.verb, as in reel log"),
    column("class", "TEXT", "mark, observe, read, stage, talk or exchange"),
    column("path", "TEXT", "the file it is about, without / at its beginning, also if a handle names it"),
    column("bucket", "TEXT", "the bucket it is about"),
    column("key", "", "the key it is about, text or BLOB; NULL for calls about several, see details"),
    column("bytes", "INTEGER", "bytes of the payloads in request and reply; NULL if there is none"),
    column("ok", "INTEGER", "0 if the guest was told of a failure, else 1"),
    column("error", "TEXT", "that failure"),
    column("details", "TEXT", "request and reply as JSON, as in reel log --json"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "events",
    says: "host calls and marks of runs",
    columns: COLUMNS,
    narrowed_by: &[
        (RUN, Narrows::ToOne),
        (AT, Narrows::ToPart),
        (AT_NS, Narrows::ToPart),
        (GUEST, Narrows::ToPart),
        (SPACE, Narrows::ToPart),
        (CALL, Narrows::ToPart),
    ],
    open,
};

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    Ok(Box::new(Events::new(view, &wanted)?))
}

/// Which frames conditions on run, time, guest and space leave.
pub fn which(wanted: &Wanted) -> Which {
    Which {
        runs: wanted.range(RUN),
        times: wanted.times(AT, AT_NS),
        guest: wanted.text(GUEST).map(str::to_owned),
        space: wanted.text(SPACE).map(str::to_owned),
    }
}

/// How much of an event has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    /// What the frame says.
    Frame,
    /// What it is.
    Name,
    /// What it says.
    Whole,
}

struct Events {
    view: Arc<View>,
    frames: Frames,
    depth: Depth,
    only: Option<String>,
    trails: Option<Trails>,
    needs_begin: bool,
    frame: Option<Frame>,
    raw: Vec<u8>,
    at: usize,
    clocks: [u64; 2],
    seq: Seq,
    left: u32,
    name: &'static str,
    class: &'static str,
    event: Option<EventView>,
    about: About,
    begin: Option<Arc<RunRecord>>,
}

impl Events {
    fn new(view: &Arc<View>, wanted: &Wanted) -> Result<Self, SqlError> {
        let uses = |columns: &[usize]| columns.iter().any(|column| wanted.uses(*column));
        let trails = uses(&[PATH, BUCKET, KEY]).then(|| Trails::new(view));
        let only = wanted.text(CALL).map(str::to_owned);
        let depth = if trails.is_some() || uses(&[BYTES, OK, ERROR, DETAILS]) {
            Depth::Whole
        } else if only.is_some() || uses(&[CALL, CLASS]) {
            Depth::Name
        } else {
            Depth::Frame
        };
        Ok(Self {
            view: Arc::clone(view),
            frames: Frames::new(view, which(wanted))?,
            depth,
            only,
            trails,
            needs_begin: uses(&[GUEST, SPACE]),
            frame: None,
            raw: Vec::new(),
            at: 0,
            clocks: [0; 2],
            seq: Seq(0),
            left: 0,
            name: "",
            class: Class::Mark.word(),
            event: None,
            about: About::default(),
            begin: None,
        })
    }

    /// Takes the next frame; `false` if there is none.
    fn turn(&mut self) -> Result<bool, SqlError> {
        let Some(frame) = self.frames.next()? else { return Ok(false) };
        if self.depth > Depth::Frame {
            self.raw = unpack(&frame)?;
        }
        if let Some(trails) = &mut self.trails {
            trails.enter(&frame)?;
        }
        if self.needs_begin && self.begin.as_ref().is_none_or(|begin| begin.run != frame.run) {
            self.begin = self.view.run(frame.run)?;
        }
        (self.at, self.clocks, self.left) = (0, [0; 2], frame.count);
        // One before its first, which comes next.
        self.seq = frame.first;
        self.frame = Some(frame);
        Ok(true)
    }

    /// Reads the next event of the frame; `false` if it is none of those that are wanted.
    fn read(&mut self, seq: Seq) -> Result<bool, SqlError> {
        let Some(frame) = &self.frame else { return Ok(false) };
        let mut reader = Reader::resume(&self.raw, self.at, self.clocks);
        let mut wanted = true;
        match self.depth {
            Depth::Frame => {}
            Depth::Name => {
                let skimmed = EventView::skim(&mut reader);
                let (_, name, class) = skimmed.map_err(|error| damaged(frame, seq, error.to_string()))?;
                (self.name, self.class) = (name, class.word());
                wanted = self.only.as_ref().is_none_or(|only| only == name);
            }
            Depth::Whole if self.trails.is_none() && self.only.is_some() => {
                let mut ahead = reader.clone();
                let skimmed = EventView::skim(&mut ahead);
                let (_, name, class) = skimmed.map_err(|error| damaged(frame, seq, error.to_string()))?;
                (self.name, self.class) = (name, class.word());
                wanted = self.only.as_ref().is_none_or(|only| only == name);
                if wanted {
                    self.event = Some(take(frame, seq, &mut reader)?);
                } else {
                    reader = ahead;
                }
            }
            Depth::Whole => {
                let event = take(frame, seq, &mut reader)?;
                if let Some(trails) = &mut self.trails {
                    self.about = trails.follow(frame.run, &event);
                }
                (self.name, self.class) = (event.name, event.class.word());
                wanted = self.only.as_ref().is_none_or(|only| only == event.name);
                self.event = Some(event);
            }
        }
        (self.at, self.clocks) = (reader.at(), reader.clocks());
        Ok(wanted)
    }
}

impl Rows for Events {
    fn advance(&mut self) -> Result<bool, SqlError> {
        loop {
            if self.left == 0 {
                if !self.turn()? {
                    return Ok(false);
                }
                continue;
            }
            let Some(frame) = &self.frame else { return Ok(false) };
            let seq = Seq(frame.first.0.saturating_add(u64::from(frame.count - self.left)));
            self.left -= 1;
            self.seq = seq;
            if self.read(seq)? {
                return Ok(true);
            }
        }
    }

    fn column(&self, index: usize) -> Result<ToSqlOutput<'_>, SqlError> {
        let null = ToSqlOutput::Owned(Value::Null);
        let word = |text: &'static str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
        let borrowed = |text: &'_ str| ToSqlOutput::Owned(Value::Text(text.to_owned()));
        let Some(frame) = &self.frame else { return Ok(null) };
        Ok(match index {
            RUN => ToSqlOutput::Owned(int(frame.run.0)),
            SEQ => ToSqlOutput::Owned(int(self.seq.0)),
            AT => ToSqlOutput::Owned(Value::Text(exact(frame.opened.0))),
            AT_NS => ToSqlOutput::Owned(int(frame.opened.0)),
            GUEST => self.begin.as_ref().map_or(null, |record| borrowed(guest_of(&record.begin.name))),
            SPACE => self.begin.as_ref().map_or(null, |record| borrowed(record.begin.space.as_str())),
            CALL => word(self.name),
            CLASS => word(self.class),
            PATH => self.about.path.as_deref().map_or(null, borrowed),
            BUCKET => self.about.bucket.as_deref().map_or(null, borrowed),
            KEY => self.about.key.clone().map_or(null, |key| ToSqlOutput::Owned(bytes(key))),
            _ => {
                let Some(event) = &self.event else { return Ok(null) };
                match index {
                    BYTES => payload(event).map_or(null, |bytes| ToSqlOutput::Owned(int(bytes))),
                    OK => ToSqlOutput::Owned(int(u64::from(failure(event).is_none()))),
                    ERROR => failure(event).map_or(null, |error| ToSqlOutput::Owned(Value::Text(error))),
                    DETAILS => ToSqlOutput::Owned(Value::Text(values::text(&Details(event)))),
                    _ => null,
                }
            }
        })
    }
}

/// What the guest was told went wrong.
pub fn failure(event: &EventView) -> Option<String> {
    let Said::Failure(inner) = &event.reply else { return None };
    Some(match &**inner {
        Said::Word(word) | Said::Text(word) => word.clone(),
        other => values::text(&Json(other)),
    })
}

/// Names of fields that say where, not what.
const NAMES: [&str; 6] = ["key", "keys", "prefix", "from", "until", "after"];

/// Bytes of the payloads of an event.
fn payload(event: &EventView) -> Option<u64> {
    let mut sum = None;
    for (_, value) in event.request.iter().filter(|(name, _)| !NAMES.contains(name)) {
        add(value, &mut sum);
    }
    add(&event.reply, &mut sum);
    sum
}

fn add(value: &Said, sum: &mut Option<u64>) {
    let len = match value {
        Said::Bytes(bytes) => bytes.len() as u64,
        Said::Elsewhere { len, .. } => *len,
        Said::List(values) => return values.iter().for_each(|value| add(value, sum)),
        Said::Record(fields) => return fields.iter().for_each(|(_, value)| add(value, sum)),
        _ => return,
    };
    *sum = Some(sum.unwrap_or(0).saturating_add(len));
}
