//! Spaces, moments of them, and paths in them, as they are written on the command line.
//!
//! ```text
//! SPACE                 main                now
//! SPACE@WHEN            main@17             a version
//!                       main@release        a tag, or a beginning that only one tag has
//!                       main@3d             a time: a span before now, 14:05, a date, RFC 3339 (all in UTC)
//!                       main@12@7           an event of a run
//! SPACE[@WHEN]:PATH     main@14:05:/a.csv   the longest WHEN that makes sense before the first slash
//! ```

use std::fmt;
use std::str::FromStr;

use reel_abi::id::{SpaceName, TagName, Version};

use super::dates;
use super::ids::EventRef;

/// A moment of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// As it was written.
    text: String,
    /// What that is.
    pub moment: Moment,
}

/// What a moment is named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// A version.
    Version(Version),
    /// A tag, or the beginning of one.
    Tag(TagName),
    /// A time, which depends on the time when it is looked at.
    Time,
    /// An event of a run.
    Event(EventRef),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no moment of a space; write a version (17), a tag, a time (3d, 14:05, 2026-01-31T14:05:09Z) or an event (12@7)"
            )
        };
        let moment = if text.contains('@') {
            Moment::Event(text.parse().map_err(|_| wrong())?)
        } else if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Moment::Version(text.parse().map(Version).map_err(|_| format!("{text} is too large for a version"))?)
        } else if let Ok(tag) = text.parse() {
            Moment::Tag(tag)
        } else if dates::moment(text, 0).is_ok() {
            Moment::Time
        } else {
            return Err(wrong());
        };
        Ok(Self { text: text.to_owned(), moment })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl When {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A space at a moment: `SPACE[@WHEN]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceAt {
    /// The space.
    pub space: SpaceName,
    /// The moment; now if none is given.
    pub when: Option<When>,
}

impl FromStr for SpaceAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (space, when) = match text.split_once('@') {
            None => (text, None),
            Some((space, when)) => (space, Some(when.parse()?)),
        };
        Ok(Self { space: space.parse::<SpaceName>().map_err(|e| e.to_string())?, when })
    }
}

impl fmt::Display for SpaceAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            Some(when) => write!(f, "{}@{when}", self.space),
            None => self.space.fmt(f),
        }
    }
}

/// A path in a space at a moment: `SPACE[@WHEN]:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpacePath {
    /// The space and the moment.
    pub at: SpaceAt,
    /// Path from the root, without `/` at its ends; empty for the root.
    pub path: String,
}

impl FromStr for SpacePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no path in a space; write SPACE[@WHEN]:PATH, for example main:/ or main@3:/a.csv");
        let before_path = &text[..text.find('/').unwrap_or(text.len())];
        let mut colons = before_path.match_indices(':').map(|(at, _)| at);
        let first = colons.next().ok_or_else(wrong)?;
        // A time has colons of its own.
        let whole = colons.rev().find_map(|colon| Some((text[..colon].parse().ok()?, colon)));
        let (at, colon): (SpaceAt, usize) = match whole {
            Some(found) => found,
            None => (text[..first].parse()?, first),
        };
        Ok(Self { at, path: text[colon + 1..].trim_matches('/').to_owned() })
    }
}

impl fmt::Display for SpacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:/{}", self.at, self.path)
    }
}

/// The other side of a comparison: `SPACE[@WHEN]`, or `@WHEN` of the same space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The space, if it is another one.
    space: Option<SpaceName>,
    /// The moment; now if none is given.
    when: Option<When>,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(when) => Ok(Self { space: None, when: Some(when.parse()?) }),
            None => text.parse().map(|SpaceAt { space, when }| Self { space: Some(space), when }),
        }
    }
}

impl Other {
    /// The whole of it, beside `one`.
    pub fn beside(&self, one: &SpaceAt) -> SpaceAt {
        SpaceAt { space: self.space.clone().unwrap_or_else(|| one.space.clone()), when: self.when.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let moment = |text: &str| text.parse::<When>().expect(text).moment;
        assert_eq!(moment("17"), Moment::Version(Version(17)));
        assert_eq!(moment("release-1.0"), Moment::Tag("release-1.0".parse().expect("a tag")));
        for time in
            ["3d", "1h30m", "14:05", "14:05:09", "2026-01-31", "2026-01-31T14:05:09Z", "2026-01-31T14:05:09+01:00"]
        {
            assert_eq!(moment(time), Moment::Time, "{time}");
        }
        assert!(matches!(moment("12@7"), Moment::Event(_)) && matches!(moment("last@0"), Moment::Event(_)));
        for bad in ["", "-1", "+1", "1.5", "99999999999999999999", "12@", "@", "x@y", "a b", "25:00", "2026-02-30", "é"]
        {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_in_spaces() {
        for (text, at, path) in [
            ("main:", "main", ""),
            ("main:/", "main", ""),
            ("main@3:/a/b/", "main@3", "a/b"),
            ("main@tag:a:b", "main@tag", "a:b"),
            ("main@14:05:/x", "main@14:05", "x"),
            ("main@14:/05:30", "main@14", "05:30"),
            ("main@14:x", "main@14", "x"),
            ("main@2026-01-31T14:05:09+01:00:a", "main@2026-01-31T14:05:09+01:00", "a"),
            ("main@12@7:a", "main@12@7", "a"),
            ("main:a@b:c", "main", "a@b:c"),
            ("main:/a@3:/b", "main", "a@3:/b"),
        ] {
            let parsed: SpacePath = text.parse().expect(text);
            assert_eq!((parsed.at.to_string().as_str(), parsed.path.as_str()), (at, path), "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{text}");
        }
        for bad in ["", "main", ":x", "main@:x", "main@1.5:y", "a b:x", "../x:y", "main/x:y"] {
            assert!(bad.parse::<SpacePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_other_side() {
        let one: SpaceAt = "main@3".parse().expect("a space");
        let beside = |text: &str| text.parse::<Other>().map(|other| other.beside(&one).to_string());
        assert_eq!(beside("@5"), Ok("main@5".into()));
        assert_eq!(beside("trial"), Ok("trial".into()));
        assert_eq!(beside("trial@v"), Ok("trial@v".into()));
        assert!(beside("@").is_err() && beside("").is_err());
    }
}
