//! Which runs are meant.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use reel_abi::id::{Digest, RunId, SpaceName};
use reel_abi::outcome::{Disposition, RunEnd};
use reel_store::RunRecord;

use super::super::database::Opened;
use super::super::dates;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::ids::RunRef;
use super::super::state;
use crate::port::Clock;
use crate::world::clock::HostClock;

/// Records fetched at a time.
const BATCH: usize = 256;

/// Runs as they are named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsArg {
    /// One.
    One(RunRef),
    /// These, both ends included.
    Range(u64, u64),
    /// So many of the newest that are meant.
    Last(usize),
}

impl FromStr for RunsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} are no runs; write 12, 10..20, last or last:1000");
        if let Some(count) = text.strip_prefix("last:") {
            let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
            return Ok(Self::Last(count));
        }
        match text.split_once("..") {
            Some((first, last)) => {
                let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
                if first == 0 || first > last { Err(wrong()) } else { Ok(Self::Range(first, last)) }
            }
            None => Ok(Self::One(text.parse().map_err(|_| wrong())?)),
        }
    }
}

impl fmt::Display for RunsArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(run) => run.fmt(f),
            Self::Range(first, last) => write!(f, "{first}..{last}"),
            Self::Last(count) => write!(f, "last:{count}"),
        }
    }
}

/// Which runs are meant.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Choosing runs")]
pub struct ChooseArgs {
    /// Only runs of this guest, or in this space
    #[arg(long, value_name = "NAME")]
    pub guest: Option<SpaceName>,
    /// Only runs that failed or were cut off
    #[arg(long)]
    pub failed: bool,
    /// Only runs that began since then: 5m, 3d, 2026-01-31, 2026-01-31T14:05:09Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only runs for which a condition holds on the table `runs` of `reel sql`: "trace = '...' AND events > 100"
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
}

impl ChooseArgs {
    /// Whether they choose runs by themselves.
    pub fn is_given(&self) -> bool {
        self.guest.is_some() || self.failed || self.since.is_some() || self.condition.is_some()
    }
}

/// The runs that were chosen, ascending.
pub struct Chosen {
    /// Their numbers.
    pub runs: Vec<RunId>,
    /// How many were left out, because they were overtaken and executed again.
    pub overtaken: u64,
}

/// Finds them. Those that the host itself made, that go on, or that were executed again under another number are left out.
pub fn choose(named: &[RunsArg], choice: &ChooseArgs, database: &Opened) -> Result<Chosen, Failure> {
    let store = &database.store;
    let since = choice.since.as_deref().map(|text| dates::moment(text, HostClock::new().wall())).transpose();
    let since = since.map_err(|e| Failure::usage(format!("--since: {e}")))?;
    let listed: Option<BTreeSet<RunId>> = match &choice.condition {
        Some(condition) => Some(crate::sql::runs_where(store, condition)?.into_iter().collect()),
        None => None,
    };
    let mut chosen = Chosen { runs: Vec::new(), overtaken: 0 };
    let mut guests = Guests::default();
    let mut overtaken = 0;
    let mut meant = |record: &RunRecord| {
        let is_meant = record.begin.component != Digest::of(b"")
            && choice.guest.as_ref().is_none_or(|guest| record.begin.space == *guest)
            && since.is_none_or(|since| record.begin.at.0 >= since)
            && listed.as_ref().is_none_or(|listed| listed.contains(&record.run))
            && (!choice.failed || state::has_failed(record, &database.running))
            && !(record.end.is_none() && database.running.has(record.run));
        let lost = matches!(&record.end, Some(RunEnd { disposition: Disposition::Lost { again: Some(_) }, .. }));
        overtaken += u64::from(is_meant && lost);
        is_meant && !lost
    };
    let everything = [RunsArg::Range(1, u64::MAX)];
    let named = if named.is_empty() { &everything } else { named };
    for runs in named {
        match *runs {
            RunsArg::One(run) => {
                let record = run.find(store)?;
                if meant(&record) {
                    guests.add(&record);
                    chosen.runs.push(record.run);
                } else if !choice.is_given() {
                    super::super::replay::check(&record)?;
                    refuse_running(&record)?;
                }
            }
            RunsArg::Range(first, last) => walk(database, last, |record| {
                if record.run.0 >= first && meant(record) {
                    guests.add(record);
                    chosen.runs.push(record.run);
                }
                record.run.0 > first
            })?,
            RunsArg::Last(count) => {
                let mut left = count;
                walk(database, u64::MAX, |record| {
                    if meant(record) {
                        guests.add(record);
                        chosen.runs.push(record.run);
                        left -= 1;
                    }
                    left > 0
                })?;
            }
        }
    }
    guests.refuse_several()?;
    chosen.overtaken = overtaken;
    chosen.runs.sort_unstable();
    chosen.runs.dedup();
    Ok(chosen)
}

/// Whose runs are meant: those of one program, or in one space.
#[derive(Default)]
struct Guests {
    first: Option<(String, String)>,
    other: Option<String>,
}

impl Guests {
    fn add(&mut self, record: &RunRecord) {
        let name = record.begin.name.rsplit('/').next().unwrap_or(&record.begin.name).to_owned();
        let here = (record.begin.space.to_string(), name);
        match &self.first {
            None => self.first = Some(here),
            Some(first) if self.other.is_none() && first.0 != here.0 && first.1 != here.1 => self.other = Some(here.1),
            Some(_) => {}
        }
    }

    /// Runs of several programs cannot all be meant.
    fn refuse_several(self) -> Result<(), Failure> {
        let (Some((_, one)), Some(other)) = (self.first, self.other) else { return Ok(()) };
        let what = format!("the runs that are meant are of several programs: {one} and {other}");
        Err(Failure::usage(what).hint("say which are meant: --guest NAME, or --where \"guest = '...'\""))
    }
}

/// What a run will become is not known before it has ended.
fn refuse_running(record: &RunRecord) -> Result<(), Failure> {
    match record.end {
        Some(_) => Ok(()),
        None => Err(Failure::new(Exit::NO_REPLAY, format!("run {} goes on", record.run)).hint("wait for its end")),
    }
}

/// Goes over the runs from one on backwards, as long as more are wanted.
fn walk(database: &Opened, last: u64, mut wants_more: impl FnMut(&RunRecord) -> bool) -> Result<(), Failure> {
    let mut before = last.checked_add(1).map(RunId);
    loop {
        let batch = database.store.runs(before, BATCH)?;
        let Some(oldest) = batch.last() else { return Ok(()) };
        before = Some(oldest.run);
        for record in &batch {
            if !wants_more(record) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_by_name() {
        assert_eq!("12".parse(), Ok(RunsArg::One(RunRef::Number(RunId(12)))));
        assert_eq!("last".parse(), Ok(RunsArg::One(RunRef::Last)));
        assert_eq!("last:1000".parse(), Ok(RunsArg::Last(1000)));
        assert_eq!("3..9".parse(), Ok(RunsArg::Range(3, 9)));
        for bad in ["", "0", "last:0", "last:", "9..3", "0..3", "..", "1..", "a..b", "last:x"] {
            assert!(bad.parse::<RunsArg>().is_err(), "{bad}");
        }
    }
}
