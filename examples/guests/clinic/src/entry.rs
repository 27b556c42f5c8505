//! What stands in the record: text, and who wrote it when.

use std::fmt;

use crate::Result;
use crate::moment::now;

/// An entry. In a bucket it is `2026-11-22 21:44:36 kim: 68 kg`.
pub struct Entry {
    at: String,
    who: String,
    text: String,
}

impl Entry {
    /// An entry that is written now.
    pub fn now(who: &str, text: &str) -> Result<Self> {
        if who.is_empty() || !who.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(format!("{who:?} is nobody here: small letters").into());
        }
        if text.is_empty() || text.contains(char::is_control) {
            return Err("an entry is a line of text".into());
        }
        Ok(Self { at: now(), who: who.into(), text: text.into() })
    }

    /// The entry in a bucket.
    pub fn stored(bytes: &[u8]) -> Result<Self> {
        let stored = String::from_utf8_lossy(bytes);
        let parts = stored.split_once(": ").and_then(|(before, text)| Some((before.rsplit_once(' ')?, text)));
        let ((at, who), text) = parts.ok_or_else(|| format!("the record is damaged: {stored:?} is no entry"))?;
        Ok(Self { at: at.into(), who: who.into(), text: text.into() })
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A line of the record.
    pub fn line(&self, key: &str) -> String {
        format!("  {key:<11} {:<43} {:<5} {}", self.text, self.who, self.at)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.who, self.text)
    }
}
