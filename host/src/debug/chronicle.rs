//! One pass over the events of a run: who wrote which name when, where its transactions began, and how much was said until where.

use std::collections::{BTreeMap, BTreeSet};

use reel_abi::id::Seq;
use reel_abi::outcome::RunBegin;
use reel_abi::types::Stdio;
use reel_abi::wire::Reader;

use super::deed::Deed;
use super::error::DebugError;
use super::hand::Hands;
use super::name::Name;
use super::timeline::Timeline;

/// Writes that are remembered; of a run with more, those after them are not found.
const WRITES: usize = 16_000_000;

/// Names that are gone through one by one for what changed; where there are more, the newest writes tell.
const NAMES: usize = 4096;

/// Writes that are gone back through for what changed.
const BACK: usize = 200_000;

/// What a run had said until an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Bytes in all.
    pub len: u64,
    /// The last of them.
    pub tail: Vec<u8>,
}

/// The chronicle of a run.
pub struct Chronicle {
    names: Vec<Name>,
    numbers: BTreeMap<Name, u32>,
    /// All writes in order.
    writes: Vec<(u64, u32)>,
    /// For each name, where in `writes` it stands.
    of: Vec<Vec<u32>>,
    /// Events at which a transaction began, the first one at 0.
    begins: Vec<u64>,
    /// Bytes said before each frame, on stdout and stderr.
    said: Vec<[u64; 2]>,
    /// Whether there were more writes than are remembered.
    pub is_cut: bool,
}

fn stream(which: Stdio) -> Option<usize> {
    match which {
        Stdio::Stdout => Some(0),
        Stdio::Stderr => Some(1),
        Stdio::Stdin => None,
    }
}

impl Chronicle {
    /// That of a run, whose handles were these when it began. `stopped` ends it.
    ///
    /// # Errors
    /// `Stopped`, and those of reading.
    pub(super) fn new(
        timeline: &mut Timeline,
        begin: &RunBegin,
        mut hands: Hands,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Self, DebugError> {
        let mut made = Self {
            names: Vec::new(),
            numbers: BTreeMap::new(),
            writes: Vec::new(),
            of: Vec::new(),
            begins: vec![0],
            said: Vec::new(),
            is_cut: false,
        };
        let mut said = [0u64; 2];
        for index in 0..timeline.frames() {
            if stopped() {
                return Err(DebugError::Stopped);
            }
            made.said.push(said);
            let opened = timeline.open(index)?;
            let mut r = Reader::new(&opened.raw);
            for place in 0..u64::from(opened.frame.count) {
                let seq = opened.frame.first.0 + place;
                let deed = Deed::take(&opened.raw, &mut r);
                let deed = deed.map_err(|error| timeline.damaged(opened.frame.first, &error.to_string()))?;
                match &deed {
                    Deed::Nothing => continue,
                    Deed::Said { which, bytes } => {
                        if let Some(stream) = stream(*which) {
                            said[stream] += bytes.len() as u64;
                        }
                    }
                    Deed::Begins(_) => made.begins.push(seq),
                    _ => {}
                }
                hands.follow(begin, &deed).into_iter().for_each(|name| made.wrote(seq, name));
            }
        }
        Ok(made)
    }

    fn wrote(&mut self, seq: u64, name: Name) {
        if self.writes.len() >= WRITES {
            self.is_cut = true;
            return;
        }
        let number = match self.numbers.get(&name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.numbers.insert(name.clone(), number);
                self.names.push(name);
                self.of.push(Vec::new());
                number
            }
        };
        self.of[number as usize].push(self.writes.len() as u32);
        self.writes.push((seq, number));
    }

    /// The last event before one that wrote a name.
    pub fn last_write(&self, name: &Name, before: Seq) -> Option<Seq> {
        let of = &self.of[*self.numbers.get(name)? as usize];
        let place = of.partition_point(|at| self.writes[*at as usize].0 < before.0);
        Some(Seq(self.writes[of[place.checked_sub(1)?] as usize].0))
    }

    /// The last event before one that wrote anything, and what.
    pub fn last_of_all(&self, before: Seq) -> Option<(Seq, &Name)> {
        let place = self.writes.partition_point(|(seq, _)| *seq < before.0);
        let (seq, number) = self.writes[place.checked_sub(1)?];
        Some((Seq(seq), &self.names[number as usize]))
    }

    /// Where the transaction began to which an event belongs.
    pub fn begun(&self, seq: Seq) -> Seq {
        let place = self.begins.partition_point(|begun| *begun <= seq.0);
        Seq(self.begins[place.saturating_sub(1)])
    }

    /// The names that were written in the transaction of an event, up to it: the `most` that were written last, the newest first. And whether there
    /// may be more.
    pub fn changed(&self, seq: Seq, most: usize) -> (Vec<(Name, Seq)>, bool) {
        let begun = self.begun(seq);
        if self.names.len() <= NAMES {
            let last = |name: &Name| self.last_write(name, seq.next()).filter(|at| *at >= begun);
            let mut all: Vec<_> = self.names.iter().filter_map(|name| Some((last(name)?, name))).collect();
            all.sort_unstable_by(|one, other| (other.0, one.1).cmp(&(one.0, other.1)));
            let more = all.len() > most;
            return (all.into_iter().take(most).map(|(at, name)| (name.clone(), at)).collect(), more);
        }
        let end = self.writes.partition_point(|(at, _)| *at <= seq.0);
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for (gone, (at, number)) in self.writes[..end].iter().rev().enumerate() {
            if *at < begun.0 {
                return (found, false);
            }
            if found.len() >= most || gone >= BACK {
                return (found, true);
            }
            if seen.insert(*number) {
                found.push((self.names[*number as usize].clone(), Seq(*at)));
            }
        }
        (found, false)
    }

    /// What was said on stdout (`0`) or stderr (`1`) up to an event, with the last `most` bytes of it.
    pub fn said(&self, timeline: &mut Timeline, seq: Seq, which: usize, most: usize) -> Result<Said, DebugError> {
        let last = timeline.frame_of(seq)?;
        let (mut said, mut index) = (Said::default(), last);
        let mut pieces: Vec<u8> = Vec::new();
        loop {
            let begun = self.said.get(index).map_or(0, |said| said[which.min(1)]);
            let next = self.said.get(index + 1).map(|said| said[which.min(1)]);
            if index == last || next.is_none_or(|next| next > begun) {
                let opened = timeline.open(index)?;
                let (mut r, mut here) = (Reader::new(&opened.raw), Vec::new());
                for place in 0..u64::from(opened.frame.count) {
                    if opened.frame.first.0 + place > seq.0 {
                        break;
                    }
                    let deed = Deed::take(&opened.raw, &mut r);
                    let deed = deed.map_err(|error| timeline.damaged(opened.frame.first, &error.to_string()))?;
                    if let Deed::Said { which: on, bytes } = deed
                        && stream(on) == Some(which)
                    {
                        here.extend(bytes);
                    }
                }
                if index == last {
                    said.len = begun + here.len() as u64;
                }
                here.extend(pieces);
                pieces = here;
            }
            if begun == 0 || pieces.len() >= most || index == 0 {
                said.tail = pieces.split_off(pieces.len().saturating_sub(most));
                return Ok(said);
            }
            index -= 1;
        }
    }
}
