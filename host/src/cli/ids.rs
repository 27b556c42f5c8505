//! How runs, events and places in spaces are named on the command line.

use std::fmt;
use std::str::FromStr;

use reel_abi::id::{EventId, RunId, Seq, SpaceName, Version};
use reel_store::{Head, RunRecord, Store};

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

/// A path in a space at a version: `SPACE[@VERSION]:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpacePath {
    /// The space.
    pub space: SpaceName,
    /// The version; the newest if none is given.
    pub version: Option<Version>,
    /// Path from the root, without `/` at its ends; empty for the root.
    pub path: String,
}

impl FromStr for SpacePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no path in a space; write SPACE[@VERSION]:PATH, for example main:/ or main@3:/a.csv")
        };
        let (space, path) = text.split_once(':').ok_or_else(wrong)?;
        let (space, version) = match space.split_once('@') {
            None => (space, None),
            Some((space, version)) => {
                (space, Some(version.parse().map(Version).map_err(|_| format!("{version:?} is no version number"))?))
            }
        };
        let space = space.parse::<SpaceName>().map_err(|e| e.to_string())?;
        Ok(Self { space, version, path: path.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for SpacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}:/{}", self.space, self.path),
            None => write!(f, "{}:/{}", self.space, self.path),
        }
    }
}

impl SpacePath {
    /// The head of the space at the version.
    pub fn head(&self, store: &Store) -> Result<Head, Failure> {
        let Some(newest) = store.head(&self.space)? else {
            return Err(Failure::not_found(format!("there is no space {} in this database", self.space))
                .hint("`reel spaces` lists them"));
        };
        let Some(version) = self.version else { return Ok(newest) };
        store.head_at(&self.space, version)?.ok_or_else(|| {
            let what = format!("space {} has versions 0 to {}, there is no {version}", self.space, newest.version);
            Failure::not_found(what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_things() {
        assert_eq!("last".parse(), Ok(RunRef::Last));
        assert_eq!("12@7".parse(), Ok(EventRef { run: RunRef::Number(RunId(12)), seq: Seq(7) }));
        let path: SpacePath = "main@3:/a/b/".parse().expect("a path");
        assert_eq!((path.to_string().as_str(), path.version), ("main@3:/a/b", Some(Version(3))));
        for bad in ["", "0", "-1", "newest", "1@", "99999999999999999999"] {
            assert!(bad.parse::<RunRef>().is_err(), "{bad}");
        }
        for bad in ["12", "@7", "12@", "12@x", "12@7@8", "0@1"] {
            assert!(bad.parse::<EventRef>().is_err(), "{bad}");
        }
        for bad in ["", "main", ":x", "main@:x", "main@x:y", "a b:x", "../x:y"] {
            assert!(bad.parse::<SpacePath>().is_err(), "{bad}");
        }
    }
}
