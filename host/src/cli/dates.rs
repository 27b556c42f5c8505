//! Times as text: RFC 3339 in UTC, so that they mean the same on every machine and in every time zone.

use super::units::Span;
pub use crate::sql::times::exact;
use crate::sql::times::{civil, whole};

const DAY: i64 = 86_400;

/// `2026-01-31 14:05:09`, for tables.
pub fn short(nanos: u64) -> String {
    whole(nanos, ' ')
}

/// A moment: a span before `now` (`5m`, `3d`), a time of day (`14:05`: the last time that it was so), a date, or RFC 3339 with `Z` or an
/// offset. Nanoseconds since 1970.
pub fn moment(text: &str, now: u64) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time; write for example 5m, 3d, 14:05, 2026-01-31 or 2026-01-31T14:05:09Z");
    if let Ok(Span { millis }) = text.parse() {
        return Ok(now.saturating_sub(millis.saturating_mul(1_000_000)));
    }
    of_day(text).map(|of_day| last(of_day, now)).or_else(|| parse(text)).ok_or_else(wrong)
}

/// Nanoseconds since midnight of `14:05` or `14:05:09`.
fn of_day(text: &str) -> Option<u64> {
    let [hour, minute, second] = match text.len() {
        5 => numbers::<2>(text, ':', &[2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
        _ => numbers::<3>(text, ':', &[2, 2, 2])?,
    };
    let seconds = u64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    (hour < 24 && minute < 60 && second < 60).then_some(seconds * 1_000_000_000)
}

/// When it was so late last: today, or yesterday if that is still to come.
fn last(of_day: u64, now: u64) -> u64 {
    let day = DAY as u64 * 1_000_000_000;
    let today = (now - now % day).saturating_add(of_day);
    if today <= now { today } else { today.saturating_sub(day) }
}

fn parse(text: &str) -> Option<u64> {
    if !text.is_ascii() || text.len() < 10 {
        return None;
    }
    let (date, rest) = text.split_at(10);
    let [year, month, day] = numbers::<3>(date, '-', &[4, 2, 2])?;
    let days = days(year, month, day)?;
    let mut nanos = i128::from(days * DAY) * 1_000_000_000;
    if !rest.is_empty() {
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = rest.split_at(zone);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let [hour, minute, second] = numbers::<3>(clock, ':', &[2, 2, 2])?;
        if hour > 23 || minute > 59 || second > 60 || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        nanos += i128::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + fraction;
        nanos -= i128::from(offset(zone)?) * 1_000_000_000;
    }
    u64::try_from(nanos).ok()
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let [hours, minutes] = numbers::<2>(zone.get(1..)?, ':', &[2, 2])?;
    let ahead = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if zone.starts_with('-') { -ahead } else { ahead })
}

fn numbers<const N: usize>(text: &str, between: char, widths: &[usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(between);
    for (slot, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == *width && part.bytes().all(|b| b.is_ascii_digit()))?;
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// The way back; nothing for a date that does not exist.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = year - i64::from(month <= 2);
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for nanos in [0, 951_782_399_999_999_999, 1_785_000_000_123_456_789, 4_102_444_800_000_000_000, u64::MAX] {
            assert_eq!(parse(&exact(nanos)), Some(nanos), "{}", exact(nanos));
        }
        assert_eq!(exact(1_700_000_000_000_000_001), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(parse("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000_000_000));
        assert_eq!(parse("1970-01-02"), Some(86_400_000_000_000));
    }

    #[test]
    fn spans_go_back_from_now() {
        assert_eq!(moment("1m", 100_000_000_000), Ok(40_000_000_000));
        assert_eq!(moment("9999d", 100), Ok(0));
    }

    #[test]
    fn a_time_of_day_is_the_last_one() {
        let now = parse("2023-11-14T22:13:20Z").expect("a time");
        for (text, at) in [
            ("22:13", "2023-11-14T22:13:00Z"),
            ("22:13:20", "2023-11-14T22:13:20Z"),
            ("22:13:21", "2023-11-13T22:13:21Z"),
            ("00:00", "2023-11-14T00:00:00Z"),
            ("23:59", "2023-11-13T23:59:00Z"),
        ] {
            assert_eq!(moment(text, now), Ok(parse(at).expect("a time")), "{text}");
        }
        for bad in ["24:00", "12:60", "1:00", "12:00:60", "12:00Z", "12:", ":12", "12:00:00:00"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in
            ["", "yesterday", "2023-02-29", "2023-13-01", "2023-1-1", "2023-11-14T25:00:00Z", "2023-11-14T22:13:20"]
        {
            assert!(moment(bad, 0).is_err(), "{bad}");
        }
        assert!(moment("2023-11-14T22:13:20.Z", 0).is_err());
        assert!(moment("1960-01-01", 0).is_err());
        assert!(moment("２０２３-11-14", 0).is_err());
    }
}
