//! Times as text: RFC 3339 in UTC, nine digits behind the second, so that the order of the texts is that of the times.

const DAY: i64 = 86_400;

/// `2026-01-31T14:05:09.123456789Z`.
pub fn exact(nanos: u64) -> String {
    format!("{}.{:09}Z", whole(nanos, 'T'), nanos % 1_000_000_000)
}

/// `2026-01-31 14:05:09`, with any sign in the middle.
pub fn whole(nanos: u64, between: char) -> String {
    let seconds = (nanos / 1_000_000_000) as i64;
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// The first time whose text is not before `text`, be that a whole time or not; nothing if all are before it.
pub fn first_from(text: &str) -> Option<u64> {
    let (mut low, mut high) = (0, u64::MAX);
    while low < high {
        let middle = low.midpoint(high);
        if exact(middle).as_str() < text { low = middle + 1 } else { high = middle }
    }
    (exact(low).as_str() >= text).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lead_to_times() {
        let at = 1_700_000_000_123_456_789;
        assert_eq!(first_from(&exact(at)), Some(at));
        assert_eq!(first_from("2023-11-14"), Some(1_699_920_000_000_000_000));
        assert_eq!(first_from("2023-11-14T22:13:20"), Some(1_700_000_000_000_000_000));
        assert_eq!(first_from(""), Some(0));
        assert_eq!(first_from("yesterday"), None);
    }
}
