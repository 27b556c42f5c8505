//! `wasi:keyvalue` in the draft before: its cursors are numbers.

use std::collections::BTreeMap;

use crate::bindings::wasi::keyvalue0_2_0_draft::{atomics, batch, store};
use crate::words::{Said, Words, done, shown, shown_value};

/// Buckets, by name, and those that were opened for the sake of it.
#[derive(Default)]
pub struct Held {
    named: BTreeMap<String, store::Bucket>,
    opened: Vec<store::Bucket>,
}

impl Held {
    fn bucket(&mut self, name: &str) -> Result<&store::Bucket, String> {
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), store::open(name).map_err(|error| said(&error))?);
        }
        Ok(&self.named[name])
    }
}

fn said(error: &store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "no-such-store".into(),
        store::Error::AccessDenied => "access-denied".into(),
        store::Error::Other(what) => format!("other {what:?}"),
    }
}

/// Calls a function.
pub fn call(function: &str, words: &Words, held: &mut Held) -> Said {
    let name = words.text(0)?;
    if function == "open" {
        held.opened.push(store::open(&name).map_err(|error| said(&error))?);
        return Ok(done(()));
    }
    let bucket = held.bucket(&name)?;
    let key = || words.text(1);
    match function {
        "get" => bucket.get(&key()?).map(|value| shown_value(value.as_deref())),
        "set" => bucket.set(&key()?, &words.bytes(2)).map(done),
        "delete" => bucket.delete(&key()?).map(done),
        "exists" => bucket.exists(&key()?).map(|exists| exists.to_string()),
        "list-keys" => bucket.list_keys(words.given(1).and_then(|cursor| cursor.parse().ok())).map(|page| {
            let more = page.cursor.map_or(String::new(), |cursor| format!(" cursor {cursor}"));
            format!("{:?}{more}", page.keys)
        }),
        "increment" => atomics::increment(bucket, &key()?, words.number(2)).map(|sum| sum.to_string()),
        "get-many" => batch::get_many(bucket, &words.texts(1)?).map(|found| {
            let pair = |(key, value): &(String, Vec<u8>)| format!("{}={}", shown(key.as_bytes()), shown(value));
            let found: Vec<String> = found.iter().map(|one| one.as_ref().map_or("none".into(), pair)).collect();
            format!("[{}]", found.join(" "))
        }),
        "set-many" => {
            let count = words.texts(1)?.len() / 2;
            let entry = |index: usize| Ok((words.text(1 + 2 * index)?, words.bytes(2 + 2 * index)));
            let entries = (0..count).map(entry).collect::<Result<Vec<_>, String>>()?;
            batch::set_many(bucket, &entries).map(done)
        }
        "delete-many" => batch::delete_many(bucket, &words.texts(1)?).map(done),
        _ => return Ok(format!("what is {function}?")),
    }
    .map_err(|error| said(&error))
}
