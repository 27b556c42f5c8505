//! Sizes, spans of time and counts, as people write them. What is shown can be given back.

use std::fmt;
use std::str::FromStr;

/// Bytes: `65536`, `64KiB`, `64K` (the same), `64kB` (64,000), `1.5GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

const BINARY: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size; write for example 65536, 64KiB, 100MB or 1.5GiB");
        let (number, unit) = split(text);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(number, factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A span of time: `500ms`, `30s`, `5m`, `2h`, `3d`, `1h30m`; `none` or `0` where there may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Milliseconds.
    pub millis: u64,
}

const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no span of time; write for example 500ms, 30s, 5m, 1h30m or none");
        if matches!(text, "none" | "0") {
            return Ok(Self { millis: 0 });
        }
        let (mut rest, mut millis) = (text, 0u64);
        while !rest.is_empty() {
            let (number, tail) = split(rest);
            let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let unit = if &tail[..end] == "min" { "m" } else { &tail[..end] };
            let factor = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?;
            let part = scaled(number, factor).ok_or_else(wrong)?;
            millis = millis.checked_add(part).ok_or_else(wrong)?;
            rest = &tail[end..];
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self { millis }) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return f.write_str("none");
        }
        let unit = SPANS.iter().find(|(_, factor)| self.millis.is_multiple_of(*factor));
        let (unit, factor) = unit.copied().unwrap_or(("ms", 1));
        write!(f, "{}{unit}", self.millis / factor)
    }
}

/// A number of things: `10000`, `10_000`, `10k`, `1.5M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number; write for example 10000, 10_000, 10k or 1.5M");
        let (number, unit) = split(text);
        let factor = match unit {
            "" => 1,
            "k" | "K" => 1000,
            "m" | "M" => 1_000_000,
            "g" | "G" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(number, factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("M", 1_000_000), ("k", 1000)].into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        match unit.filter(|_| self.0 > 0) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '_')).unwrap_or(text.len()))
}

/// A decimal number times a factor; nothing if it is none, or does not fit.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || fraction.len() > 6 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut value = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if !fraction.is_empty() {
        let part = fraction.parse::<u64>().ok()?.checked_mul(factor)? / 10u64.pow(fraction.len() as u32);
        value = value.checked_add(part)?;
    }
    Some(value)
}

/// A number of bytes to be read at a glance.
pub fn bytes(count: u64) -> String {
    match BINARY.iter().find(|(_, factor)| count >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", count as f64 / *factor as f64),
        None => format!("{count} B"),
    }
}

/// Nanoseconds to be read at a glance.
pub fn nanos(nanos: u64) -> String {
    match nanos {
        0..1000 => format!("{nanos}ns"),
        1000..1_000_000 => format!("{:.1}us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", nanos as f64 / 1e6),
        1_000_000_000..60_000_000_000 => format!("{:.2}s", nanos as f64 / 1e9),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            if hours > 0 { format!("{hours}h{minutes:02}m{seconds:02}s") } else { format!("{minutes}m{seconds:02}s") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_given_back() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, 65_536 << 20, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        for millis in [0, 1, 1500, 30_000, 90_000, 86_400_000, u64::MAX] {
            assert_eq!(Span { millis }.to_string().parse(), Ok(Span { millis }));
        }
        for count in [0, 7, 10_000, 100_000_000, u64::MAX] {
            assert_eq!(Count(count).to_string().parse(), Ok(Count(count)));
        }
    }

    #[test]
    fn people_write_it_like_this() {
        assert_eq!("1.5GiB".parse(), Ok(Size(3 << 29)));
        assert_eq!("64k".parse(), Ok(Size(65_536)));
        assert_eq!("100MB".parse(), Ok(Size(100_000_000)));
        assert_eq!("1h30m".parse(), Ok(Span { millis: 5_400_000 }));
        assert_eq!("500ms".parse(), Ok(Span { millis: 500 }));
        assert_eq!("10_000".parse(), Ok(Count(10_000)));
        for bad in ["", "x", "-1", "1.", ".5", "1..2", "99999999999TiB", "1e3", "5 MB", "5q", "1.2345678M"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
            assert!(bad.parse::<Span>().is_err(), "{bad}");
            assert!(bad.parse::<Count>().is_err(), "{bad}");
        }
    }
}
