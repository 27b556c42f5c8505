//! The events of a run, from the log as they are looked at: never all of them in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use reel_abi::id::{Seq, WallTime};
use reel_abi::record::Frame;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;
use reel_store::{FrameRef, RunRecord, Store};

use super::error::DebugError;

/// Frames that stay open: those on both sides of where somebody steps, and some of a search.
const OPEN: usize = 8;

/// A frame that is open.
pub struct Opened {
    /// As it is in the log.
    pub frame: Frame,
    /// Its events, encoded.
    pub raw: Vec<u8>,
}

/// The events of one run.
pub struct Timeline {
    store: Store,
    record: RunRecord,
    frames: Vec<FrameRef>,
    open: VecDeque<(usize, Arc<Opened>)>,
}

impl Timeline {
    /// Those that are in the log now.
    ///
    /// # Errors
    /// `Empty` if there is none; `Read` if they were removed, or the database cannot be read.
    pub fn new(store: &Store, record: RunRecord) -> Result<Self, DebugError> {
        let frames = store.frames(record.run, Seq(0))?;
        if frames.is_empty() {
            return Err(DebugError::Empty(record.run));
        }
        Ok(Self { store: store.clone(), record, frames, open: VecDeque::new() })
    }

    /// The run.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.next().0)
    }

    /// The last event.
    pub fn last(&self) -> Seq {
        Seq(self.events().saturating_sub(1))
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The first event of a frame.
    pub fn first_of(&self, index: usize) -> Seq {
        self.frames.get(index).map_or(Seq(self.events()), |frame| frame.first)
    }

    /// The frame that has an event.
    pub fn frame_of(&self, seq: Seq) -> Result<usize, DebugError> {
        let index = self.frames.partition_point(|frame| frame.next() <= seq);
        match self.frames.get(index) {
            Some(frame) if frame.first <= seq => Ok(index),
            _ => Err(DebugError::NoSuchEvent { run: self.record.run, events: self.events(), seq }),
        }
    }

    /// A frame, opened.
    pub fn open(&mut self, index: usize) -> Result<Arc<Opened>, DebugError> {
        if let Some(place) = self.open.iter().position(|(open, _)| *open == index)
            && let Some(known) = self.open.remove(place)
        {
            self.open.push_back(known.clone());
            return Ok(known.1);
        }
        let at = self.frames.get(index).copied();
        let at = at.ok_or(DebugError::NoSuchEvent {
            run: self.record.run,
            events: self.events(),
            seq: self.first_of(index),
        })?;
        let frame = self.store.frame(&at)?;
        let raw = frame.unpack().map_err(|error| self.damaged(at.first, &error.to_string()))?;
        let opened = Arc::new(Opened { frame, raw });
        if self.open.len() >= OPEN {
            self.open.pop_front();
        }
        self.open.push_back((index, Arc::clone(&opened)));
        Ok(opened)
    }

    /// An event.
    pub fn event(&mut self, seq: Seq) -> Result<EventView, DebugError> {
        let opened = self.open(self.frame_of(seq)?)?;
        let mut r = Reader::new(&opened.raw);
        for _ in opened.frame.first.0..seq.0 {
            EventView::skim(&mut r).map_err(|error| self.damaged(opened.frame.first, &error.to_string()))?;
        }
        EventView::take(&mut r).map_err(|error| self.damaged(opened.frame.first, &error.to_string()))
    }

    /// Up to `count` events from one on.
    pub fn events_from(&mut self, first: Seq, count: u64) -> Result<Vec<(Seq, EventView)>, DebugError> {
        let (mut found, mut index, until) = (Vec::new(), self.frame_of(first)?, first.0.saturating_add(count));
        while index < self.frames.len() && self.first_of(index).0 < until {
            let opened = self.open(index)?;
            let from = opened.frame.first;
            let mut r = Reader::new(&opened.raw);
            for seq in (from.0..opened.frame.next().0.min(until)).map(Seq) {
                let event = match seq < first {
                    true => EventView::skim(&mut r).map(|_| None),
                    false => EventView::take(&mut r).map(Some),
                };
                let event = event.map_err(|error| self.damaged(from, &error.to_string()))?;
                found.extend(event.map(|event| (seq, event)));
            }
            index += 1;
        }
        Ok(found)
    }

    /// Between which times an event was recorded.
    pub fn times(&mut self, seq: Seq) -> Result<(WallTime, WallTime), DebugError> {
        let opened = self.open(self.frame_of(seq)?)?;
        Ok((opened.frame.opened, opened.frame.closed))
    }

    /// Says that a frame makes no sense.
    pub fn damaged(&self, first: Seq, what: &str) -> DebugError {
        DebugError::Damaged { run: self.record.run, first, what: what.to_owned() }
    }
}
