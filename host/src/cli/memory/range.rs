//! Ranges of addresses, as they are written on the command line.

use std::fmt;
use std::ops;
use std::str::FromStr;

use super::WINDOW;
use crate::cli::units::Size;

/// `FROM..TO`, `FROM..`, `..TO` or `FROM+LEN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    text: String,
    from: u64,
    to: Option<u64>,
}

/// A part of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub memory: u32,
    /// The first address.
    pub from: u64,
    /// The address after the last.
    pub to: u64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no range; write FROM..TO or FROM+LEN, for example 0x11a40..0x11b00 or 64KiB+256");
        let (from, to) = if let Some((from, to)) = text.split_once("..") {
            let from = if from.is_empty() { Some(0) } else { number(from) };
            let to = if to.is_empty() { Some(None) } else { number(to).map(Some) };
            (from.ok_or_else(wrong)?, to.ok_or_else(wrong)?)
        } else {
            let (from, len) = text.split_once('+').ok_or_else(wrong)?;
            let (from, len) = (number(from).ok_or_else(wrong)?, number(len).ok_or_else(wrong)?);
            (from, Some(from.checked_add(len).ok_or_else(wrong)?))
        };
        match to {
            Some(to) if to < from => Err(format!("{text}: a range does not end before it begins")),
            to => Ok(Self { text: text.to_owned(), from, to }),
        }
    }
}

/// `0x11a40`, `72256`, `64KiB`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_') => {
            u64::from_str_radix(&digits.replace('_', ""), 16).ok()
        }
        Some(_) => None,
        None => text.parse::<Size>().ok().map(|size| size.0),
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Range {
    /// The part of a memory of `len` bytes; nothing if the memory has not all of it.
    pub fn within(&self, memory: u32, len: u64) -> Option<Part> {
        let to = self.to.unwrap_or(len);
        (self.from <= to && to <= len).then_some(Part { memory, from: self.from, to })
    }
}

impl Part {
    /// It, a window at a time. Windows end at multiples of their size.
    pub fn windows(self) -> impl Iterator<Item = ops::Range<u64>> {
        let mut at = self.from;
        std::iter::from_fn(move || {
            let start = at;
            at = ((at / WINDOW + 1) * WINDOW).min(self.to);
            (start < self.to).then_some(start..at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let within =
            |text: &str| text.parse::<Range>().expect(text).within(0, 0x2_0000).map(|part| (part.from, part.to));
        assert_eq!(within("0x10..0x20"), Some((16, 32)));
        assert_eq!(within("64KiB+256"), Some((65_536, 65_792)));
        assert_eq!(within("0x1_0000.."), Some((65_536, 131_072)));
        assert_eq!(within("..16"), Some((0, 16)));
        assert_eq!(within("131072+0"), Some((131_072, 131_072)));
        assert_eq!(within("131072+1"), None);
        assert_eq!(within("0x30000.."), None);
        for bad in
            ["", "5", "5..3", "0x..1", "-1..2", "+5", "1+", "0xg+1", "0xffffffffffffffff+2", "1..2..3", "0x+1", "0x+0x"]
        {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_cover_a_part() {
        let windows: Vec<_> = Part { memory: 0, from: 5, to: WINDOW + 7 }.windows().collect();
        assert_eq!(windows, [5..WINDOW, WINDOW..WINDOW + 7]);
        assert_eq!(Part { memory: 0, from: 9, to: 9 }.windows().count(), 0);
    }
}
