//! Tables that are made of some of the events: the frames that hold one of them are decoded, the others only skimmed.

use std::sync::Arc;

use reel_abi::id::Seq;
use reel_abi::record::Frame;
use reel_abi::value::Value as Said;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;

use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Row, Rows};
use crate::sql::trail::{damaged, take, unpack};
use crate::sql::view::View;
use crate::sql::walk::{Frames, Which};

/// An event of a frame.
pub struct Told {
    /// Its place.
    pub seq: Seq,
    /// What it says.
    pub event: EventView,
}

impl Told {
    /// A field of the request.
    pub fn field(&self, name: &str) -> Option<&Said> {
        self.event.request.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// A field of the request that is text or a word.
    pub fn text(&self, name: &str) -> Option<String> {
        words(self.field(name)?)
    }
}

/// Text or a word; nothing for what is neither.
pub fn words(value: &Said) -> Option<String> {
    match value {
        Said::Text(text) => Some(text.clone()),
        Said::Word(word) if word != "none" => Some(word.clone()),
        _ => None,
    }
}

/// A field of a record.
pub fn part<'a>(value: &'a Said, name: &str) -> Option<&'a Said> {
    let Said::Record(fields) = value else { return None };
    fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
}

/// The rows that `rows` makes of the events with these codes, of the frames that are wanted.
pub fn of_events(
    view: &Arc<View>,
    which: Which,
    codes: &'static [u8],
    mut rows: impl FnMut(&Arc<View>, &Frame, Vec<Told>) -> Result<Vec<Row>, SqlError> + Send + 'static,
) -> Result<Box<dyn Rows>, SqlError> {
    let mut frames = Frames::new(view, which)?;
    let view = Arc::clone(view);
    Ok(Batches::boxed(move || {
        let Some(frame) = frames.next()? else { return Ok(None) };
        let told = events(&frame, codes)?;
        if told.is_empty() { Ok(Some(Vec::new())) } else { rows(&view, &frame, told).map(Some) }
    }))
}

/// The events of a frame that have one of these codes.
pub fn events(frame: &Frame, codes: &[u8]) -> Result<Vec<Told>, SqlError> {
    let raw = unpack(frame)?;
    let mut reader = Reader::new(&raw);
    let mut told = Vec::new();
    for place in 0..u64::from(frame.count) {
        let seq = Seq(frame.first.0.saturating_add(place));
        if raw.get(reader.at()).is_some_and(|code| codes.contains(code)) {
            told.push(Told { seq, event: take(frame, seq, &mut reader)? });
        } else {
            EventView::skim(&mut reader).map_err(|error| damaged(frame, seq, error.to_string()))?;
        }
    }
    Ok(told)
}
