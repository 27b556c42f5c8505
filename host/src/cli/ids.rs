//! How runs and events are named on the command line.

use std::fmt;
use std::str::FromStr;

use reel_abi::id::{EventId, RunId, Seq};
use reel_store::{RunRecord, Store};

use super::failure::{Failure, no_such_run};

/// A run: its number, or `last` for the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunRef {
    /// The newest run that began.
    Last,
    /// By number.
    Number(RunId),
}

impl FromStr for RunRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(Self::Last);
        }
        let number = text.parse().ok().filter(|number: &u64| *number > 0);
        number.map(|n| Self::Number(RunId(n))).ok_or_else(|| format!("{text:?} is no run; give its number, or `last`"))
    }
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Number(run) => run.fmt(f),
        }
    }
}

impl RunRef {
    /// The run's record.
    pub fn find(self, store: &Store) -> Result<RunRecord, Failure> {
        let run = match self {
            Self::Number(run) => run,
            Self::Last => match store.runs(None, 1)?.first() {
                Some(record) => return Ok(record.clone()),
                None => return Err(Failure::not_found("nothing ran in this database yet")),
            },
        };
        store.run(run)?.ok_or_else(|| no_such_run(run))
    }
}

/// An event: `RUN@SEQ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef {
    /// The run.
    pub run: RunRef,
    /// The event's place in it.
    pub seq: Seq,
}

impl FromStr for EventRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no event; write RUN@SEQ, for example 12@7 or last@0");
        let (run, seq) = text.split_once('@').ok_or_else(wrong)?;
        Ok(Self { run: run.parse().map_err(|_| wrong())?, seq: Seq(seq.parse().map_err(|_| wrong())?) })
    }
}

impl EventRef {
    /// The event's full name and its run's record.
    pub fn find(self, store: &Store) -> Result<(EventId, RunRecord), Failure> {
        let record = self.run.find(store)?;
        Ok((EventId { run: record.run, seq: self.seq }, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_things() {
        assert_eq!("last".parse(), Ok(RunRef::Last));
        assert_eq!("12@7".parse(), Ok(EventRef { run: RunRef::Number(RunId(12)), seq: Seq(7) }));
        for bad in ["", "0", "-1", "newest", "1@", "99999999999999999999"] {
            assert!(bad.parse::<RunRef>().is_err(), "{bad}");
        }
        for bad in ["12", "@7", "12@", "12@x", "12@7@8", "0@1"] {
            assert!(bad.parse::<EventRef>().is_err(), "{bad}");
        }
    }
}
