//! The frames of the log that a query wants: all in the order of the log, those of a time, or those of some runs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use reel_abi::id::{Position, RunId, Seq, SpaceName, WallTime};
use reel_abi::record::{Frame, LogItem};
use reel_store::{FrameRef, ReadError};

use super::error::SqlError;
use super::view::View;

/// Bytes of rows that are read at a time.
const STRETCH_BYTES: usize = 1 << 20;

/// More runs than these are found by going over the whole log.
const FEW_RUNS: u64 = 1000;

/// Begins that are kept while they go by.
const KEPT: usize = 1 << 16;

/// How long what happened may have waited for its row, in nanoseconds: so far around a time rows are looked at.
const SLACK_NANOS: u64 = 10_000_000_000;

/// Which frames are wanted; those that fit all of it.
#[derive(Debug, Clone)]
pub struct Which {
    /// Of runs from one number up to another, the end excluded.
    pub runs: (u64, u64),
    /// Begun at these times, in nanoseconds, the end excluded.
    pub times: (u64, u64),
    /// Of runs in this space.
    pub space: Option<String>,
    /// Of runs of this guest.
    pub guest: Option<String>,
}

/// The frames.
pub struct Frames {
    view: Arc<View>,
    which: Which,
    way: Way,
    ready: VecDeque<Frame>,
    begins: BTreeMap<RunId, (SpaceName, String)>,
}

enum Way {
    /// Over the rows of the log, and then to what came into it later than its time.
    Rows(Option<Position>, Position),
    /// Runs of the time whose rows may lie behind it: those of calls that wait for the commit of their caller.
    Late(RunId, RunId, Position),
    /// From run to run.
    Runs(u64, u64),
}

/// How a program is called: what stands behind the last slash of its name.
pub fn guest_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl Frames {
    /// The frames that are wanted.
    pub fn new(view: &Arc<View>, which: Which) -> Result<Self, SqlError> {
        let (from, until) = (which.runs.0.max(1), which.runs.1.min(view.newest.0.saturating_add(1)));
        let (first, last) = which.times;
        let way = if until.saturating_sub(from) <= FEW_RUNS {
            Way::Runs(from, until)
        } else if first >= last {
            Way::Runs(0, 0)
        } else {
            let store = &view.store;
            let from = match first {
                0 => store.first_row()?,
                first => store.row_at(WallTime(first.saturating_sub(SLACK_NANOS)), view.end)?,
            };
            let through = match last.checked_add(SLACK_NANOS) {
                Some(last) => Position(store.row_at(WallTime(last), view.end)?.0.saturating_add(2).min(view.end.0)),
                None => view.end,
            };
            Way::Rows(Some(from), through)
        };
        Ok(Self { view: Arc::clone(view), which, way, ready: VecDeque::new(), begins: BTreeMap::new() })
    }

    /// The next frame.
    pub fn next(&mut self) -> Result<Option<Frame>, SqlError> {
        loop {
            while let Some(frame) = self.ready.pop_front() {
                if self.is_wanted(&frame)? {
                    return Ok(Some(frame));
                }
            }
            self.view.check()?;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads on; `false` at the end.
    fn fill(&mut self) -> Result<bool, SqlError> {
        let view = &self.view;
        match &mut self.way {
            Way::Rows(None, through) if *through >= view.end => Ok(false),
            Way::Rows(None, through) => {
                let (first, last) = self.which.times;
                let from = begun_from(view, RunId(1), view.newest.next(), first.saturating_sub(SLACK_NANOS))?;
                let until = begun_from(view, from, view.newest.next(), last.saturating_add(SLACK_NANOS))?;
                self.way = Way::Late(from, until, *through);
                Ok(true)
            }
            Way::Late(next, until, _) if *next >= *until => Ok(false),
            Way::Late(next, _, through) => {
                let (run, through) = (*next, *through);
                *next = next.next();
                let mut places = match view.store.frames(run, Seq(0)) {
                    Err(ReadError::Pruned { .. }) => Vec::new(),
                    places => places?,
                };
                places.retain(|place| place.row > through && place.row <= view.end);
                for place in places {
                    self.ready.extend(view.store.frames_in_row(&[place])?);
                }
                Ok(true)
            }
            Way::Rows(next @ Some(_), through) => {
                let Some(from) = *next else { return Ok(false) };
                let stretch = view.store.stretch(from, *through, STRETCH_BYTES)?;
                *next = stretch.next;
                view.has_read(from);
                let keeps = self.which.space.is_some() || self.which.guest.is_some();
                for item in stretch.items {
                    match item {
                        LogItem::Frame { frame } => self.ready.push_back(frame),
                        LogItem::Begun { run, begin } if keeps => {
                            if self.begins.len() >= KEPT {
                                self.begins.pop_first();
                            }
                            self.begins.insert(run, (begin.space, guest_of(&begin.name).to_owned()));
                        }
                        _ => {}
                    }
                }
                Ok(true)
            }
            Way::Runs(next, until) => {
                if next >= until {
                    return Ok(false);
                }
                let run = RunId(*next);
                *next += 1;
                let alone = self.which.runs.1.saturating_sub(self.which.runs.0) == 1;
                self.ready.extend(match of_run(view, run, Seq(0)) {
                    // Who asks for one run is told; of many, those are there that are left.
                    Err(SqlError::Read(ReadError::Pruned { .. })) if !alone => Vec::new(),
                    frames => frames?,
                });
                Ok(true)
            }
        }
    }

    fn is_wanted(&mut self, frame: &Frame) -> Result<bool, SqlError> {
        let Which { runs, times, space, guest } = &self.which;
        let at = frame.opened.0;
        if frame.run.0 < runs.0 || frame.run.0 >= runs.1 || at < times.0 || at >= times.1 {
            return Ok(false);
        }
        if space.is_none() && guest.is_none() {
            return Ok(true);
        }
        let fits = |is: &SpaceName, name: &str| {
            space.as_ref().is_none_or(|space| space == is.as_str()) && guest.as_ref().is_none_or(|guest| guest == name)
        };
        if let Some((is, name)) = self.begins.get(&frame.run) {
            return Ok(fits(is, name));
        }
        let record = self.view.run(frame.run)?;
        Ok(record.is_none_or(|record| fits(&record.begin.space, guest_of(&record.begin.name))))
    }
}

/// The first run of `[from, until)` that began at a time or after it, as those in the middle say.
pub fn begun_from(view: &View, from: RunId, until: RunId, at: u64) -> Result<RunId, SqlError> {
    let (mut low, mut high) = (from.0, until.0);
    while low < high {
        let middle = low.midpoint(high);
        // A number may have been given to no run.
        match view.store.runs_between(RunId(middle), RunId(high), 1)?.first() {
            Some(record) if record.begin.at.0 < at => low = record.run.0 + 1,
            _ => high = middle,
        }
    }
    Ok(RunId(low))
}

/// The frames of a run from an event on, as far as they were there at the moment of the view.
pub fn of_run(view: &View, run: RunId, from: Seq) -> Result<Vec<Frame>, SqlError> {
    let mut places: Vec<FrameRef> = view.store.frames(run, from)?;
    places.retain(|place| place.row <= view.end);
    let mut frames = Vec::with_capacity(places.len());
    for row in places.chunk_by(|one, other| one.row == other.row) {
        view.check()?;
        frames.extend(view.store.frames_in_row(row)?);
    }
    Ok(frames)
}
