//! `wasi:keyvalue/atomics`, in the newer draft.

use crate::bindings::wasi::keyvalue0_2_0_draft2::atomics::{Cas, CasError, increment, swap};
use crate::standard::said;
use crate::words::{Said, Words, shown_value};

/// Every compare-and-swap that was begun; nothing in place of one that was used.
#[derive(Default)]
pub struct Held(Vec<Option<Cas>>);

impl Held {
    fn hold(&mut self, cas: Cas) -> String {
        self.0.push(Some(cas));
        format!("cas {}", self.0.len() - 1)
    }
}

/// Calls a function.
pub fn call(function: &str, words: &Words, held: &mut crate::Held) -> Said {
    let cases = &mut held.cas;
    let index: usize = words.number(0);
    match function {
        "increment" => {
            let sum = increment(held.standard.bucket(&words.text(0)?)?, &words.text(1)?, words.number(2));
            sum.map(|sum| sum.to_string()).map_err(|error| said(&error))
        }
        "new" => {
            let cas = Cas::new(held.standard.bucket(&words.text(0)?)?, &words.text(1)?);
            cas.map(|cas| cases.hold(cas)).map_err(|error| said(&error))
        }
        "current" => match cases.0.get(index) {
            Some(Some(cas)) => cas.current().map(|value| shown_value(value.as_deref())).map_err(|error| said(&error)),
            _ => Ok("none is held".into()),
        },
        "swap" => match cases.0.get_mut(index).and_then(Option::take) {
            Some(cas) => match swap(cas, &words.bytes(1)) {
                Ok(()) => Ok("done".into()),
                Err(CasError::StoreError(error)) => Err(said(&error)),
                Err(CasError::CasFailed(cas)) => Err(format!("cas-failed, {}", cases.hold(cas))),
            },
            None => Ok("none is held".into()),
        },
        _ => Ok(format!("what is {function}?")),
    }
}
