//! One process has the database open; others are served, or told.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, Said};

use crate::guests;

/// A desk where a guest runs for some seconds, and has printed its first line.
fn busy(times: u32) -> (Desk, Child) {
    let desk = Desk::new();
    desk.guest("ticks.wasm", &guests::ticks(times, 250));
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    assert_eq!(desk.reel(&["run", "write.wasm"]).code, Some(0));
    let mut child = desk.spawn(&mut desk.command(&["run", "ticks.wasm"]));
    let mut line = String::new();
    // The rest of the output stays in the pipe, which is large enough for it.
    BufReader::with_capacity(1, child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "tick\n");
    (desk, child)
}

#[test]
fn readers_are_served_while_a_guest_runs() {
    let (desk, child) = busy(12);
    std::thread::sleep(Duration::from_millis(600));
    let begun = Instant::now();
    let runs = desk.reel(&["runs"]).well();
    assert!(runs.lines().nth(1).is_some_and(|line| line.ends_with(" running")), "{runs}");
    assert!(desk.reel(&["log", "1"]).well().contains("fs.open"));
    assert_eq!(desk.reel(&["fs", "cat", "main:a.txt"]).well(), "x".repeat(100));
    assert!(desk.reel(&["spaces"]).well().contains("main"));
    desk.reel(&["log", "9"]).is(66, "", "error: there is no run 9 in this database\nhint: `reel runs` lists them\n");
    let log = desk.reel(&["log", "1", "--json"]).well();
    let digest = log.lines().position(|line| line.contains("\"digest\"")).expect("bytes elsewhere");
    let shown = desk.reel(&["show", &format!("1@{digest}")]);
    assert_eq!(shown.code, Some(0));
    assert!(shown.err.contains("needs the database for itself"), "{}", shown.err);
    for args in
        [&["run", "write.wasm", "--wait", "0"][..], &["verify", "--wait", "100ms"], &["replay", "1", "--wait", "0"]]
    {
        let said = desk.reel(args).fails(120);
        assert!(said.starts_with("error: the database .reel is in use by another process\n  at pid "), "{said}");
        assert!(said.contains("reel run ticks.wasm)\nhint: wait for it to end, or give `--wait SECONDS`\n"), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "served at once, not after the run");
    let said: Said = child.wait_with_output().expect("ends").into();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(!desk.path().join(".reel/admin.sock").exists());
}

#[test]
fn a_follower_sees_the_run_to_its_end() {
    let (desk, child) = busy(6);
    std::thread::sleep(Duration::from_millis(500));
    let followed = desk.reel(&["log", "last", "--follow"]).well();
    assert!(followed.lines().last().is_some_and(|line| line.contains("run.end")), "{followed}");
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(0));
    let after = desk.reel(&["log", "last"]).well();
    assert_eq!(followed.split_whitespace().collect::<Vec<_>>(), after.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_follower_that_leaves_does_not_disturb() {
    let (desk, child) = busy(6);
    std::thread::sleep(Duration::from_millis(500));
    let mut follower = desk.spawn(&mut desk.command(&["log", "last", "--follow"]));
    drop(follower.stdout.take());
    assert_eq!(follower.wait_with_output().expect("ends").status.code(), Some(0));
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(0));
}

#[test]
fn a_second_run_waits_for_the_first() {
    let (desk, child) = busy(5);
    let said = desk.reel(&["run", "write.wasm", "--wait", "20"]);
    said.is(0, "", "");
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(0));
    assert_eq!(desk.reel(&["runs"]).well().lines().count(), 4);
}

#[test]
fn many_at_once() {
    let desk = Desk::new();
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    let children: Vec<Child> =
        (0..8).map(|_| desk.spawn(&mut desk.command(&["run", "write.wasm", "--wait", "30"]))).collect();
    for child in children {
        let said: Said = child.wait_with_output().expect("ends").into();
        said.is(0, "", "");
    }
    assert_eq!(desk.reel(&["runs", "--limit", "0"]).well().lines().count(), 9);
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    drop(std::os::unix::net::UnixListener::bind(desk.path().join(".reel/admin.sock")).expect("bound"));
    assert_eq!(desk.reel(&["runs"]).well().lines().count(), 2);
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    assert!(!desk.path().join(".reel/admin.sock").exists());
}

#[test]
fn a_long_path_leaves_no_room_for_a_socket() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    let long = format!("{}/db", "d".repeat(150));
    let said = desk.reel(&["run", "hello.wasm", "--db", &long]);
    said.is(0, "hello\n", "");
    assert_eq!(desk.reel(&["runs", "--db", &long]).well().lines().count(), 2);
}
