//! `reel:guest/transaction`.

use crate::bindings::reel::guest::transaction::{Error, Savepoint, abort, commit, set_savepoint, version};
use crate::words::{Said, Words, done};

/// Every savepoint that was set; nothing in place of one that was let go.
#[derive(Default)]
pub struct Held(Vec<Option<Savepoint>>);

fn said(error: Error) -> String {
    match error {
        Error::Conflict => "conflict",
        Error::TooManySavepoints => "too-many-savepoints",
        Error::Gone => "gone",
    }
    .into()
}

/// Calls a function.
pub fn call(function: &str, words: &Words, held: &mut Held) -> Said {
    let index: usize = words.number(0);
    match function {
        "version" => Ok(version().to_string()),
        "commit" => commit().map(|version| format!("version {version}")).map_err(said),
        "abort" => {
            abort(&words.rest());
            Err("of the host: it went on".into())
        }
        "set-savepoint" => {
            held.0.push(Some(set_savepoint().map_err(said)?));
            Ok(format!("savepoint {}", held.0.len() - 1))
        }
        "rollback" => match held.0.get(index) {
            Some(Some(savepoint)) => savepoint.rollback().map(done).map_err(said),
            _ => Ok("none is held".into()),
        },
        "drop" => match held.0.get_mut(index).and_then(Option::take) {
            Some(savepoint) => {
                drop(savepoint);
                Ok(done(()))
            }
            None => Ok("none is held".into()),
        },
        _ => Ok(format!("what is {function}?")),
    }
}
