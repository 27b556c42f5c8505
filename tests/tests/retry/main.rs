//! Recorded runs against changed code: what would have become of them is told, nobody is asked, and nothing is changed.

mod calls;
mod choosing;
mod commands;
mod deploys;
mod handlers;
mod hostile;
mod outside;

use std::collections::BTreeMap;

use reel_tests::guests::{Target, guest, variant};
use reel_tests::reel::Desk;
use serde_json::Value;

/// A desk with a guest and variants of it, each by its name: `till.wasm` and `till-mended.wasm`.
fn desk(name: &str, variants: &[&str]) -> Desk {
    let desk = Desk::new();
    let component = std::fs::read(guest(name, Target::P2)).expect("the guest");
    desk.file(&format!("{name}.wasm"), &component);
    for other in variants {
        desk.file(&format!("{name}-{other}.wasm"), variant(&component, other));
    }
    desk
}

/// A run of `till`.
fn till(desk: &Desk, args: &[&str]) -> Option<i32> {
    desk.reel(&[&["run", "till.wasm", "--quiet", "--space", "till"], args].concat()).code
}

/// What came of retries: the exit code, what is said of each run, and of all together.
struct Retried {
    code: Option<i32>,
    runs: Vec<Value>,
    sum: Value,
}

impl Retried {
    fn verdicts(&self) -> Vec<&str> {
        self.runs.iter().map(|run| run["verdict"].as_str().expect("a verdict")).collect()
    }
}

/// Executes runs again; of each something is said.
#[track_caller]
fn retry(desk: &Desk, args: &[&str]) -> Retried {
    let said = desk.reel(&[&["retry", "--json", "--all"], args].concat());
    let mut runs: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sum = runs.pop().unwrap_or_else(|| panic!("nothing was said: {}", said.err));
    Retried { code: said.code, runs, sum }
}

/// One run and what it becomes.
#[track_caller]
fn one(desk: &Desk, run: &str, with: &str) -> Value {
    let mut retried = retry(desk, &[run, "--with", with]);
    assert_eq!(retried.runs.len(), 1);
    retried.runs.remove(0)
}

/// All bytes of a database but those that follow from others, and the compiled components, which are no part of it.
fn bytes_of(desk: &Desk) -> BTreeMap<String, Vec<u8>> {
    let (mut open, mut all) = (vec![desk.path().join(".reel")], BTreeMap::new());
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("directory") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true if path.file_name().is_some_and(|name| name == "cache") => {}
                true => open.push(path),
                // The one says which process has the database; to the other, whoever has it applies what the log says.
                false if path.file_name().is_some_and(|name| name == "lock" || name == "state.redb") => {}
                false => drop(all.insert(path.display().to_string(), std::fs::read(&path).expect("file"))),
            }
        }
    }
    all
}

/// What a user can see of a database.
fn seen(desk: &Desk) -> Vec<String> {
    let questions =
        ["SELECT * FROM runs", "SELECT * FROM transactions", "SELECT * FROM events", "SELECT * FROM spaces"];
    let mut seen: Vec<String> = questions.iter().map(|text| desk.reel(&["sql", "--json", text]).well()).collect();
    seen.push(desk.reel(&["spaces", "--json"]).well());
    seen.push(desk.reel(&["verify"]).out.lines().next().unwrap_or_default().to_owned());
    seen
}
