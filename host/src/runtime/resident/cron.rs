//! Times as a crontab has them: minute, hour, day of the month, month, day of the week, in UTC.
//!
//! ```text
//! */5 * * * *        every five minutes
//! 30 8 * * mon-fri   at 8:30 on weekdays
//! 0 0 1,15 * *       at midnight on the first and the fifteenth
//! ```
//!
//! As in every cron, a day that is named both by its number and by its weekday comes if either fits.

use std::str::FromStr;

const MINUTE_MILLIS: u64 = 60_000;
const DAY_MILLIS: u64 = 1440 * MINUTE_MILLIS;

/// Days that are looked through for the next one: a 29th of February can be eight years away.
const DAYS: u64 = 8 * 366 + 1;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The five fields, as sets of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day comes if its number or its weekday fits; else if both do.
    either: bool,
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            let count = fields.len();
            return Err(format!(
                "{text:?} has {count} fields: minute, hour, day of the month, month and weekday are wanted"
            ));
        };
        let weekday = field("weekday", weekdays, 0, 7, &WEEKDAYS, 0)?;
        let cron = Self {
            minutes: field("minute", minutes, 0, 59, &[], 0)?,
            hours: field("hour", hours, 0, 23, &[], 0)?,
            days: field("day of the month", days, 1, 31, &[], 0)?,
            months: field("month", months, 1, 12, &MONTHS, 1)?,
            // 7 is Sunday too.
            weekdays: (weekday | weekday >> 7) & 0x7f,
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        match cron.after(0) {
            Some(_) => Ok(cron),
            None => Err(format!("{text:?} never comes: no month that it names has such a day")),
        }
    }
}

/// The numbers of a field, as bits.
fn field(what: &str, text: &str, least: u32, most: u32, names: &[&str], first: u32) -> Result<u64, String> {
    let wrong = |why: &str| Err(format!("the {what} {text:?} {why}"));
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + first);
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        named.or_else(|| text.parse().ok().filter(|_| digits)).filter(|number| (least..=most).contains(number))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => match step.parse::<u32>().ok().filter(|step| (1..=most).contains(step)) {
                Some(step) => (range, Some(step)),
                None => return wrong(&format!("has a step that is none of 1 to {most}")),
            },
        };
        let bounds = match range.split_once('-') {
            _ if range == "*" => Some((least, most)),
            Some((from, to)) => number(from).zip(number(to)),
            // `7/2` begins there and goes on to the end.
            None => number(range).map(|from| (from, if step.is_some() { most } else { from })),
        };
        let Some((from, to)) = bounds else { return wrong(&format!("is none of {least} to {most}")) };
        if from > to {
            return wrong("has a range that ends before it begins");
        }
        (from..=to).step_by(step.unwrap_or(1) as usize).for_each(|number| bits |= 1u64 << number);
    }
    Ok(bits)
}

impl Cron {
    /// The next time after one, in milliseconds since 1970; nothing if there is none.
    pub fn after(&self, millis: u64) -> Option<u64> {
        let next = (millis / MINUTE_MILLIS).checked_add(1)?.checked_mul(MINUTE_MILLIS)?;
        let first = next / DAY_MILLIS;
        (first..first + DAYS).filter(|day| self.has_day(*day)).find_map(|day| {
            let from = if day == first { next % DAY_MILLIS / MINUTE_MILLIS } else { 0 };
            let minute = (from..1440)
                .find(|minute| self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1)?;
            day.checked_mul(DAY_MILLIS)?.checked_add(minute * MINUTE_MILLIS)
        })
    }

    /// Whether it comes on a day since 1970.
    fn has_day(&self, day: u64) -> bool {
        let (month, of_month) = date(day);
        let weekday = (day + 4) % 7;
        let (number, weekday) = (self.days >> of_month & 1 == 1, self.weekdays >> weekday & 1 == 1);
        let fits = if self.either { number || weekday } else { number && weekday };
        fits && self.months >> month & 1 == 1
    }
}

/// Month and day of the month of a day since 1970, in the calendar of Gregory.
fn date(day: u64) -> (u64, u64) {
    // Years that begin in March, so that the day of the leap is their last; 146,097 days are 400 of them.
    let of_era = (day + 719_468) % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a day and minute since 1970.
    fn at(day: u64, hour: u64, minute: u64) -> u64 {
        day * DAY_MILLIS + (hour * 60 + minute) * MINUTE_MILLIS
    }

    fn next(cron: &str, from: u64) -> u64 {
        cron.parse::<Cron>().expect("a cron").after(from).expect("it comes")
    }

    #[test]
    fn times_come_in_their_order() {
        // Day 20,454 is 2026-01-01, a Thursday.
        let new_year = at(20_454, 0, 0);
        assert_eq!(next("* * * * *", new_year), at(20_454, 0, 1), "after, never at");
        assert_eq!(next("* * * * *", new_year - 1), new_year);
        assert_eq!(next("*/5 * * * *", at(20_454, 0, 7)), at(20_454, 0, 10));
        assert_eq!(next("58/1 23 * * *", at(20_454, 23, 59)), at(20_455, 23, 58));
        assert_eq!(next("30 8 * * mon-FRI", at(20_455, 9, 0)), at(20_458, 8, 30), "from Friday to Monday");
        assert_eq!(next("0 0 * * 7", new_year), at(20_457, 0, 0));
        assert_eq!(next("0 0 * * 0", new_year), at(20_457, 0, 0));
        assert_eq!(next("0 0 1 feb *", new_year), at(20_454 + 31, 0, 0));
        assert_eq!(next("0 0 29 2 *", new_year), at(20_454 + 365 * 2 + 31 + 28, 0, 0), "2028");
        assert_eq!(next("0 0 13 * fri", new_year), at(20_455, 0, 0), "a Friday or a thirteenth");
        assert_eq!(next("0 12-14/2,20 * * *", at(20_454, 12, 0)), at(20_454, 14, 0));
        assert_eq!(next("0 0 1 1 *", u64::from(u32::MAX)), at(365, 0, 0));
    }

    /// Against a calendar that counts days one by one.
    #[test]
    fn dates_are_those_of_the_calendar() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for since in 0..80_000 {
            assert_eq!(date(since), (month, day), "day {since}");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "0 fields"),
            ("* * * *", "4 fields"),
            ("* * * * * *", "6 fields"),
            ("60 * * * *", "the minute \"60\" is none of 0 to 59"),
            ("* 24 * * *", "the hour"),
            ("* * 0 * *", "the day of the month"),
            ("* * * 13 *", "the month"),
            ("* * * * 8", "the weekday"),
            ("5-1 * * * *", "ends before it begins"),
            ("*/0 * * * *", "a step"),
            ("*/x * * * *", "a step"),
            ("1,,2 * * * *", "is none of"),
            ("-1 * * * *", "is none of"),
            ("+1 * * * *", "is none of"),
            ("@daily * * * *", "is none of"),
            ("0 0 31 2 *", "never comes"),
            ("99999999999999999999 * * * *", "is none of"),
        ] {
            let said = text.parse::<Cron>().expect_err(text);
            assert!(said.contains(why), "{text:?}: {said}");
        }
        assert!("0 0 1 1 *".parse::<Cron>().expect("a cron").after(u64::MAX).is_none());
    }
}
