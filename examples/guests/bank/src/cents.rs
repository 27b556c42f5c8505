//! Amounts of money.

use std::fmt;
use std::str::FromStr;

/// An amount in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cents(i64);

impl Cents {
    /// So many cents.
    pub fn of(cents: i64) -> Self {
        Self(cents)
    }

    /// The sum, unless it is out of range.
    pub fn plus(self, other: Self) -> Result<Self, String> {
        self.0.checked_add(other.0).map(Self).ok_or_else(|| "a sum is out of range".into())
    }

    /// The same with the other sign.
    pub fn negated(self) -> Self {
        Self(-self.0)
    }

    /// Half of it, rounded up.
    pub fn half(self) -> Self {
        Self(self.0 - self.0 / 2)
    }

    /// A part of it, rounded.
    pub fn percent(self, percent: f64) -> Self {
        Self((self.0 as f64 * percent / 100.0).round() as i64)
    }
}

/// `12.50`, with `{:+}` also `+12.50`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.0 {
            ..0 => "-",
            _ if f.sign_plus() => "+",
            _ => "",
        };
        let (cents, width) = (self.0.unsigned_abs(), f.width().unwrap_or(0));
        write!(f, "{:>width$}", format!("{sign}{}.{:02}", cents / 100, cents % 100))
    }
}

/// `12`, `12.5` or `12.50`, and none below zero.
impl FromStr for Cents {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no amount; write it like 12.50");
        let (units, cents) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(units) || !plain(cents) || cents.len() > 2 {
            return Err(bad());
        }
        let units: i64 = units.parse().map_err(|_| bad())?;
        let cents: i64 = format!("{cents:0<2}").parse().map_err(|_| bad())?;
        units.checked_mul(100).and_then(|amount| amount.checked_add(cents)).map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::Cents;

    #[test]
    fn amounts_are_exact() {
        for (text, cents) in [("12", 1200), ("12.5", 1250), ("0.01", 1), ("99999999999.99", 9_999_999_999_999)] {
            assert_eq!(text.parse(), Ok(Cents::of(cents)), "{text}");
        }
        for text in ["", ".5", "1.", "1.234", "-3", "+1", "1e3", "99999999999999999999"] {
            assert!(text.parse::<Cents>().is_err(), "{text}");
        }
        assert_eq!(format!("{} {:+} {:>8}", Cents::of(-5), Cents::of(1250), Cents::of(100)), "-0.05 +12.50     1.00");
        assert_eq!((Cents::of(3).half(), Cents::of(1050).percent(10.0)), (Cents::of(2), Cents::of(105)));
    }
}
