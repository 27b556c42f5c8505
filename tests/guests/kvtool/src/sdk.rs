//! The crate `reel-guest`. What is executed within a closure is told by the operations that follow.

use std::fmt::Display;

use reel_guest::{Bucket, Range, transaction as steps};

use crate::script::Script;
use crate::words::{Said, Words, done, shown_entries, shown_value};
use crate::{Held, execute, say};

/// Why a closure failed.
enum Failure {
    /// As it was told to.
    Told(String),
    /// By itself.
    Step(steps::Error),
}

impl From<steps::Error> for Failure {
    fn from(error: steps::Error) -> Self {
        Self::Step(error)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told(text) => format!("told {text:?}"),
            Failure::Step(error) => format!("{error:?}"),
        }
    }
}

fn words_of(error: impl Display) -> String {
    error.to_string()
}

/// Executes the operations up to `ok` or `fail`.
fn closure(script: &mut Script, held: &mut Held) -> Result<String, Failure> {
    while let Some(operation) = script.next() {
        let words = Words::of(&operation);
        match words.name() {
            "ok" => return Ok(words.rest()),
            "fail" => return Err(Failure::Told(words.rest())),
            _ => execute(&operation, script, held),
        }
    }
    Err(Failure::Told("the script is over".into()))
}

/// Calls a function.
pub fn call(function: &str, words: &Words, script: &mut Script, held: &mut Held) -> Said {
    match function {
        "savepoint" => {
            say("sdk.savepoint", &Ok("begins".into()));
            let kept = reel_guest::savepoint(|| closure(script, held))?;
            return Ok(format!("kept {kept:?}"));
        }
        "transaction" => {
            let mut attempt = 0;
            let committed = reel_guest::transaction(|| {
                attempt += 1;
                say("sdk.transaction", &Ok(format!("attempt {attempt} reads version {}", reel_guest::version())));
                closure(script, held)
            });
            let (value, version) = committed?;
            return Ok(format!("committed {value:?} as version {version}"));
        }
        "commit" => return reel_guest::commit().map(|version| format!("version {version}")).map_err(words_of),
        "version" => return Ok(reel_guest::version().to_string()),
        "abort" => reel_guest::abort(words.rest()),
        _ => {}
    }
    let first = usize::from(function.ends_with("-at"));
    let bucket = Bucket::open(&words.text(first)?).map_err(words_of)?;
    let key = words.bytes(first + 1);
    let range = || {
        let range = Range::prefix(words.bound(first + 1).unwrap_or_default()).in_pages_of(words.number(first + 4));
        let range = words.bound(first + 2).map_or(range.clone(), |start| range.from(start));
        words.bound(first + 3).map_or(range.clone(), |end| range.before(end))
    };
    let entries = |entries: Vec<(Vec<u8>, Vec<u8>)>| shown_entries(&entries, None);
    match function {
        "get" => bucket.get(key).map(|value| shown_value(value.as_deref())),
        "set" => bucket.set(key, words.bytes(2)).map(done),
        "delete" => bucket.delete(key).map(done),
        "exists" => bucket.exists(key).map(|exists| exists.to_string()),
        "increment" => bucket.increment(key, words.number(2)).map(|sum| sum.to_string()),
        "scan" => bucket.scan(&range()).collect::<Result<_, _>>().map(entries),
        "get-at" => bucket.at(words.number(0)).get(key).map(|value| shown_value(value.as_deref())),
        "scan-at" => bucket.at(words.number(0)).scan(&range()).collect::<Result<_, _>>().map(entries),
        _ => return Ok(format!("what is {function}?")),
    }
    .map_err(words_of)
}
