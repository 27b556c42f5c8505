//! Files, which belong to the same transaction.

use std::fs;

use crate::words::{Said, Words, done, shown};

/// Calls a function.
pub fn call(function: &str, words: &Words) -> Said {
    let path = words.at(0);
    match function {
        "write" => fs::write(path, words.bytes(1)).map(done),
        "read" => fs::read(path).map(|bytes| shown(&bytes)),
        "remove" => fs::remove_file(path).map(done),
        _ => return Ok(format!("what is {function}?")),
    }
    .map_err(|error| format!("{:?}", error.kind()))
}
