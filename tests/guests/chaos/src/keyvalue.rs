//! The operations of a script on buckets and on the transaction.

use super::space::{Fault, Range, Space};
use super::{hash, pattern};

/// Executes an operation; what it shows, or nothing if it is none of these.
pub fn execute(operation: &str, arguments: &[&str], space: &mut dyn Space) -> Option<Result<String, Fault>> {
    let word = |index: usize| arguments.get(index).copied().unwrap_or("-");
    let number = |index: usize| word(index).parse::<u64>().unwrap_or(0);
    let bucket = |index: usize| String::from_utf8_lossy(&bytes(word(index))).into_owned();
    let key = |index: usize| bytes(word(index));
    let nothing = |()| String::new();
    Some(match operation {
        "get" => space.get(None, &bucket(0), &key(1)).map(|value| show(value.as_deref())),
        "get-past" => space.get(Some(number(0) as usize), &bucket(1), &key(2)).map(|value| show(value.as_deref())),
        "set" => space.set(&bucket(0), &key(1), &pattern(number(2), number(3))).map(nothing),
        "set-number" => space.set(&bucket(0), &key(1), word(2).as_bytes()).map(nothing),
        "delete" => space.delete(&bucket(0), &key(1)).map(nothing),
        "exists" => space.exists(&bucket(0), &key(1)).map(|exists| exists.to_string()),
        "increment" => space.increment(&bucket(0), &key(1), word(2).parse().unwrap_or(1)).map(|sum| sum.to_string()),
        "scan" => scan(space, None, &bucket(0), &arguments[1.min(arguments.len())..]),
        "scan-past" => scan(space, Some(number(0) as usize), &bucket(1), &arguments[2.min(arguments.len())..]),
        "keys" => {
            space.keys(&bucket(0)).map(|keys| format!("{} {:016x}", keys.len(), hash(keys.join("\n").as_bytes())))
        }
        "swap" | "swap-late" => {
            let between = (operation == "swap-late").then(|| pattern(number(2), number(3) + 1));
            let value = pattern(number(2), number(3));
            text(word(1))
                .and_then(|key| space.swap(&bucket(0), &key, between.as_deref(), &value))
                .map(|done| done.to_string())
        }
        "get-many" => texts(&arguments[1.min(arguments.len())..]).and_then(|keys| {
            let values = space.get_many(&bucket(0), &keys)?;
            Ok(values.iter().map(|value| show(value.as_deref())).collect::<Vec<_>>().join(", "))
        }),
        "set-many" => texts(&arguments[3.min(arguments.len())..]).and_then(|keys| {
            let entries: Vec<_> = (number(2)..).zip(keys).map(|(seed, key)| (key, pattern(number(1), seed))).collect();
            space.set_many(&bucket(0), &entries).map(nothing)
        }),
        "delete-many" => texts(&arguments[1.min(arguments.len())..])
            .and_then(|keys| space.delete_many(&bucket(0), &keys))
            .map(nothing),
        "save" => space.save().map(nothing),
        "back" => space.back(number(0) as usize).map(nothing),
        "keep" => space.keep(number(0) as usize).map(nothing),
        "commit" => space.commit().map(nothing),
        _ => return None,
    })
}

/// The rest of the operation is prefix, start, end and limit; `.` is no bound.
fn scan(space: &mut dyn Space, past: Option<usize>, bucket: &str, rest: &[&str]) -> Result<String, Fault> {
    let word = |index: usize| rest.get(index).copied().unwrap_or(".");
    let bound = |index: usize| (word(index) != ".").then(|| bytes(word(index)));
    let range = Range {
        prefix: bound(0).unwrap_or_default(),
        start: bound(1),
        end: bound(2),
        limit: word(3).parse::<u32>().unwrap_or(100).max(1),
    };
    let entries = space.scan(past, bucket, range)?;
    let digest = entries.iter().fold(0, |digest: u64, (key, value)| {
        (digest.rotate_left(1) ^ hash(key)).wrapping_mul(3).wrapping_add(hash(value))
    });
    Ok(format!("{} {digest:016x}", entries.len()))
}

fn show(value: Option<&[u8]>) -> String {
    match value {
        None => "none".into(),
        Some(value) if (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic) => {
            String::from_utf8_lossy(value).into_owned()
        }
        Some(value) => format!("{} {:016x}", value.len(), hash(value)),
    }
}

/// The bytes that a word stands for.
fn bytes(word: &str) -> Vec<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).unwrap_or(0) as u8;
    match word.split_once(':') {
        _ if word == "-" => Vec::new(),
        Some(("x", digits)) => {
            digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, one| byte << 4 | digit(one))).collect()
        }
        Some(("l", len)) => vec![b'l'; len.parse().unwrap_or(0)],
        _ => word.as_bytes().to_vec(),
    }
}

/// The key that a word stands for, where only text is taken.
fn text(word: &str) -> Result<String, Fault> {
    String::from_utf8(bytes(word)).map_err(|_| "no text".into())
}

fn texts(words: &[&str]) -> Result<Vec<String>, Fault> {
    words.iter().map(|word| text(word)).collect()
}
