//! `reel:guest/keyvalue`.

use crate::bindings::reel::guest::keyvalue::{
    Error, Page, Range, delete, exists, get, get_at, increment, scan, scan_at, set,
};
use crate::standard::Held;
use crate::words::{Said, Words, done, shown_entries, shown_value};

fn said(error: &Error) -> String {
    match error {
        Error::KeyTooLong(len) => format!("key-too-long {len}"),
        Error::ValueTooLarge(len) => format!("value-too-large {len}"),
        Error::QuotaExceeded(which) => format!("quota-exceeded {which:?}"),
        Error::NoSuchVersion(version) => format!("no-such-version {version}"),
        Error::Pruned(why) => format!("pruned {why:?}"),
        Error::NotANumber => "not-a-number".into(),
        Error::Other(what) => format!("other {what:?}"),
    }
}

/// Calls a function.
pub fn call(function: &str, words: &Words, held: &mut Held) -> Said {
    let past = function.ends_with("-at");
    let first = usize::from(past);
    let bucket = held.bucket(&words.text(first)?)?;
    let key = words.bytes(first + 1);
    let range = || Range {
        prefix: words.bound(first + 1).unwrap_or_default(),
        start: words.bound(first + 2),
        end: words.bound(first + 3),
        limit: words.given(first + 4).map_or(100, |limit| limit.parse().unwrap_or_default()),
    };
    let page = |page: Page| shown_entries(&page.entries, page.next.as_deref());
    match function {
        "get" => get(bucket, &key).map(|value| shown_value(value.as_deref())),
        "set" => set(bucket, &key, &words.bytes(2)).map(done),
        "delete" => delete(bucket, &key).map(done),
        "exists" => exists(bucket, &key).map(|exists| exists.to_string()),
        "increment" => increment(bucket, &key, words.number(2)).map(|sum| sum.to_string()),
        "scan" => scan(bucket, &range()).map(page),
        "get-at" => get_at(bucket, &key, words.number(0)).map(|value| shown_value(value.as_deref())),
        "scan-at" => scan_at(bucket, &range(), words.number(0)).map(page),
        _ => return Ok(format!("what is {function}?")),
    }
    .map_err(|error| said(&error))
}
