//! `kvtool [OPERATION]...`: calls what it is told, and prints what each call gives. Every argument is an operation, then every line of standard
//! input is one, so that a test can have two runs take turns. The first words name the interface and the function:
//!
//! ```text
//! store.open B                        batch.get-many B K...          transaction.version
//! store.get B K                       batch.set-many B K V...        transaction.set-savepoint    (held, as the next number from 0)
//! store.set B K V                     batch.delete-many B K...       transaction.rollback N
//! store.delete B K                    atomics.increment B K DELTA    transaction.drop N
//! store.exists B K                    atomics.new B K                transaction.commit
//! store.list-keys B [CURSOR]          atomics.current N              transaction.abort REASON
//!                                     atomics.swap N V
//! draft.get B K, and so on            the functions of store, batch and atomics.increment in the draft before
//! keyvalue.get B K                    keyvalue.scan B PREFIX START END LIMIT
//! keyvalue.set B K V                  keyvalue.get-at VERSION B K
//! keyvalue.delete B K                 keyvalue.scan-at VERSION B PREFIX START END LIMIT
//! keyvalue.exists B K                 keyvalue.increment B K DELTA
//! sdk.savepoint, sdk.transaction      a closure: what follows, up to `ok [TEXT]` or `fail [TEXT]`
//! sdk.commit, sdk.version, sdk.abort REASON, sdk.scan B PREFIX START END PAGE, sdk.get-at VERSION B K, and as in keyvalue
//! file.write PATH V, file.read PATH, file.remove PATH
//! print TEXT, wait (for a line), exit CODE, panic
//! ```
//!
//! `-` stands for no bytes, `x:00ff` for bytes, `l:4096` for so many letters, and `.` for a bound that is not given.

mod atomics;
mod draft;
mod file;
mod keyvalue;
mod script;
mod sdk;
mod standard;
mod transaction;
mod words;

use std::io::Write;

use script::Script;
use words::{Said, Words};

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package test:kvtool;
            world kvtool {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
                import wasi:keyvalue/batch@0.2.0-draft;
                import reel:guest/transaction@0.1.0;
                import reel:guest/keyvalue@0.1.0;
            }
        ",
        world: "test:kvtool/kvtool",
        generate_all,
    });
}

/// What is open.
#[derive(Default)]
pub struct Held {
    standard: standard::Held,
    draft: draft::Held,
    cas: atomics::Held,
    savepoints: transaction::Held,
}

fn main() {
    let mut script = Script::new(std::env::args().skip(1).collect());
    let mut held = Held::default();
    while let Some(operation) = script.next() {
        execute(&operation, &mut script, &mut held);
    }
}

/// Executes an operation and prints what it gives.
pub fn execute(operation: &str, script: &mut Script, held: &mut Held) {
    let words = Words::of(operation);
    let Some((interface, function)) = words.name().split_once('.') else {
        let said = match words.name() {
            "" => return,
            "print" => words.rest(),
            "wait" => script.next().unwrap_or_else(|| "the end".into()),
            "exit" => std::process::exit(words.number(0)),
            "panic" => panic!("asked to"),
            other => format!("what is {other}?"),
        };
        return say(operation, &Ok(said));
    };
    let said = match interface {
        "store" | "batch" => standard::call(function, &words, &mut held.standard),
        "atomics" => atomics::call(function, &words, held),
        "draft" => draft::call(function, &words, &mut held.draft),
        "keyvalue" => keyvalue::call(function, &words, &mut held.standard),
        "transaction" => transaction::call(function, &words, &mut held.savepoints),
        "file" => file::call(function, &words),
        "sdk" => sdk::call(function, &words, script, held),
        _ => Ok(format!("what is {interface}?")),
    };
    say(operation, &said);
}

/// Prints a result, at once.
pub fn say(operation: &str, said: &Said) {
    let mut out = std::io::stdout().lock();
    let printed = match said {
        Ok(text) => writeln!(out, "{operation}: {text}"),
        Err(error) => writeln!(out, "{operation}: error {error}"),
    };
    printed.and_then(|()| out.flush()).expect("there is somebody who listens");
}
