//! Bookings: one line of an entry, with its date, account and amount.

use std::fmt;
use std::str::FromStr;

/// Most cents in one booking: a hundred thousand million units, far below where sums of them could overflow.
const AMOUNT_MAX: i64 = 10_000_000_000_000;

/// An amount in cents; debits are positive, credits negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cents(pub i64);

impl Cents {
    /// The sum, unless it is out of range.
    pub fn plus(self, other: Self) -> Result<Self, String> {
        self.0.checked_add(other.0).map(Self).ok_or_else(|| "a sum is out of range".into())
    }

    /// The amount in the debit column; nothing for a credit.
    pub fn debit(self) -> Option<Self> {
        (self.0 > 0).then_some(self)
    }

    /// The amount in the credit column, without its sign.
    pub fn credit(self) -> Option<Self> {
        (self.0 < 0).then_some(Self(-self.0))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", cents / 100, cents % 100))
    }
}

/// `12`, `12.5` or `12.50`, with a sign if negative. Nothing is rounded.
impl FromStr for Cents {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no amount; write it like 1250.00");
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (units, cents) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(units) || !plain(cents) || cents.len() > 2 {
            return Err(bad());
        }
        let units: i64 = units.parse().map_err(|_| bad())?;
        let cents: i64 = format!("{cents:0<2}").parse().map_err(|_| bad())?;
        units
            .checked_mul(100)
            .and_then(|amount| amount.checked_add(cents))
            .map(|amount| Self(sign * amount))
            .ok_or_else(bad)
    }
}

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// `2026-01-31`.
impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no date; write it like 2026-01-31");
        let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return Err(bad()) };
        if (year.len(), month.len(), day.len()) != (4, 2, 2) || text.contains('+') {
            return Err(bad());
        }
        let date = Self {
            year: year.parse().map_err(|_| bad())?,
            month: month.parse().map_err(|_| bad())?,
            day: day.parse().map_err(|_| bad())?,
        };
        let leap = date.year.is_multiple_of(4) && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400));
        let days = match date.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(bad()),
        };
        if (1..=days).contains(&date.day) { Ok(date) } else { Err(format!("{text} is not in the calendar")) }
    }
}

/// The name of an account, fit to be a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(String);

impl Account {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        match plain && (1..=40).contains(&text.len()) && !text.starts_with('-') {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is no account: small letters, digits and '-', at most 40")),
        }
    }
}

/// One line of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Number of the entry it belongs to.
    pub entry: String,
    /// When.
    pub date: Date,
    /// Where.
    pub account: Account,
    /// How much.
    pub amount: Cents,
    /// What for.
    pub text: String,
}

/// Columns of a batch.
pub const COLUMNS: [&str; 6] = ["entry", "date", "account", "debit", "credit", "text"];

impl Booking {
    /// The booking in the fields of a record.
    pub fn from_fields(fields: &[String]) -> Result<Self, String> {
        let [entry, date, account, debit, credit, text] = fields else {
            return Err(format!("{} fields instead of {}", fields.len(), COLUMNS.len()));
        };
        if entry.is_empty() {
            return Err("the entry number is missing".into());
        }
        let amount = match (debit.as_str(), credit.as_str()) {
            ("", "") => return Err("neither debit nor credit".into()),
            (debit, "") => side(debit)?,
            ("", credit) => Cents(-side(credit)?.0),
            _ => return Err("both debit and credit".into()),
        };
        let (entry, text) = (entry.clone(), text.clone());
        Ok(Self { entry, date: date.parse()?, account: account.parse()?, amount, text })
    }
}

fn side(text: &str) -> Result<Cents, String> {
    match text.parse::<Cents>()? {
        Cents(1..=AMOUNT_MAX) => text.parse(),
        Cents(..=0) => Err(format!("{text} is not above zero; use the other column")),
        Cents(_) => Err(format!("{text} is more than any booking may be")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, cents) in
            [("12", 1200), ("12.5", 1250), ("0.01", 1), ("-3.07", -307), ("99999999999.99", 9_999_999_999_999)]
        {
            assert_eq!(text.parse(), Ok(Cents(cents)), "{text}");
        }
        for text in ["", ".5", "1.", "1.234", "1,50", "1 000", "+1", "1e3", "--1", "99999999999999999999", "٣"] {
            assert!(text.parse::<Cents>().is_err(), "{text}");
        }
        assert_eq!(Cents(-5).to_string(), "-0.05");
    }

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        for text in ["2026-01-31", "2024-02-29", "2000-02-29"] {
            assert_eq!(text.parse::<Date>().map(|date| date.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "2026-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-1-1",
            "+026-01-01",
            "01.02.2026",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_booking_has_one_side() {
        let fields = |debit: &str, credit: &str| ["1", "2026-01-01", "bank", debit, credit, ""].map(str::to_owned);
        assert_eq!(Booking::from_fields(&fields("1", "")).map(|booking| booking.amount), Ok(Cents(100)));
        assert_eq!(Booking::from_fields(&fields("", "1")).map(|booking| booking.amount), Ok(Cents(-100)));
        for (debit, credit) in [("", ""), ("1", "1"), ("0", ""), ("-1", ""), ("100000000000.01", "")] {
            assert!(Booking::from_fields(&fields(debit, credit)).is_err(), "{debit} {credit}");
        }
    }

    #[test]
    fn accounts_cannot_leave_their_directory() {
        for name in ["", "..", "a/b", "Bank", "-x", "bänk"] {
            assert!(name.parse::<Account>().is_err(), "{name}");
        }
    }
}
