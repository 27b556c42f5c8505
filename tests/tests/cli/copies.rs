//! One program many times at once.

use std::process::Command;
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::{Desk, Said, end, reel};

use crate::guests;

fn with_kvtool() -> Desk {
    let desk = Desk::new();
    desk.file("kvtool.wasm", std::fs::read(guest("kvtool", Target::P2)).expect("kvtool"));
    desk
}

/// What is said last.
fn sum(said: &Said) -> &str {
    said.err.lines().last().unwrap_or_default()
}

#[test]
fn each_copy_has_its_number_and_its_own_end() {
    let desk = with_kvtool();
    let said =
        desk.reel(&["run", "kvtool.wasm", "--copies", "5", "--", "store.set b k{} {}", "atomics.increment b n 1"]);
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 10), "{}", said.err);
    assert!(sum(&said).starts_with("5 runs in main: 5 committed, 0 not; "), "{}", said.err);
    assert_eq!(desk.reel(&["kv", "ls", "main", "b"]).well(), "k1\nk2\nk3\nk4\nk5\nn\n");
    let said = desk.reel(&["run", "kvtool.wasm", "--copies", "2", "--", "store.set b lost {}", "panic"]);
    assert_eq!(said.code, Some(123), "{}", said.err);
    assert!(
        said.err.contains("warning: copy 2, run ") && sum(&said).starts_with("2 runs in main: 0 committed, 2 not; ")
    );
    let said = desk.reel(&["run", "kvtool.wasm", "--copies", "2", "-q", "--", "exit 3"]);
    said.is(1, "", "");
    // No input, whatever there is.
    let said = desk.reel_reading(&["run", "kvtool.wasm", "--copies", "2"], b"print input\n");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    for bad in ["0", "100001", "x"] {
        desk.reel(&["run", "kvtool.wasm", "--copies", bad]).fails(2);
    }
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn a_failure_that_commits_is_counted_as_committed() {
    let desk = with_kvtool();
    let operations = ["store.set b k{} 1", "exit 3"];
    let args = ["run", "kvtool.wasm", "--copies", "3", "--commit-on-failure", "--"];
    let said = desk.reel(&[&args[..], &operations[..]].concat());
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(sum(&said).starts_with("3 runs in main: 3 committed, 0 not; "), "{}", said.err);
    assert_eq!(desk.reel(&["kv", "ls", "main", "b"]).well(), "k1\nk2\nk3\n");
}

#[test]
fn they_need_no_more_descriptors_the_more_there_are() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 500; exec \"$0\" run hello.wasm --copies 700"]).arg(reel()).current_dir(desk.path());
    let said = end(desk.spawn(command.env("REEL_DB", ".reel").env("NO_COLOR", "1")));
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 700), "{}", said.err);
}

#[test]
fn an_interrupt_ends_them_all() {
    let desk = Desk::new();
    desk.guest("spins.wasm", &guests::spins());
    let child = desk.spawn(&mut desk.command(&["run", "spins.wasm", "--copies", "1000"]));
    let recorded = || desk.reel(&["runs", "--json", "--limit", "0"]).out.lines().count();
    let begun = Instant::now();
    while recorded() == 0 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}", said.err);
    // As many as are under way at once, or fewer if the machine is slow.
    let runs = recorded();
    assert!((1..=64).contains(&runs), "{runs}");
    assert!(said.err.contains(&format!("{runs} runs in main: 0 committed, {runs} not; ")), "{}", said.err);
    assert_eq!(sum(&said), format!("warning: interrupted; {} copies were not begun", 1000 - runs));
}
