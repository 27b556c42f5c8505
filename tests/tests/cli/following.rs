//! `reel log --follow`: what happens is told as it happens, to whoever reads, and nobody is held up.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, end};

use crate::guests;
use crate::served::{Server, signal};

/// The lines of a command, as they come.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (gives, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| gives.send(line)).ok()
    });
    lines
}

/// The lines up to one with these words.
#[track_caller]
fn until(lines: &Receiver<String>, words: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.contains(words)) {
        let line = lines.recv_timeout(Duration::from_secs(30));
        seen.push(line.unwrap_or_else(|_| panic!("nothing with {words} came: {seen:?}")));
    }
    seen
}

fn follower(desk: &Desk, more: &[&str]) -> (Child, Receiver<String>) {
    let mut child = desk.spawn(&mut desk.command(&[&["log", "--follow"], more].concat()));
    let stdout = child.stdout.take().expect("piped");
    (child, lines(stdout))
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    desk.guest("write.wasm", &guests::writes("a.txt", 100, ""));
    desk.guest("ticks.wasm", &guests::ticks(50, 100));
    desk
}

#[test]
fn it_begins_with_what_comes_and_ends_with_the_server() {
    let desk = desk();
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    let server = Server::of(&desk);
    let (child, all) = follower(&desk, &[]);
    let (json_child, json) = follower(&desk, &["--json", "--family", "run"]);
    std::thread::sleep(Duration::from_millis(500));
    desk.reel(&["run", "write.wasm"]).is(0, "", "");
    let seen = until(&all, "run.end");
    assert!(seen.iter().all(|line| line.starts_with("2@")), "{seen:?}");
    // Line for line what the log says of the run.
    let spaced = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let log = desk.reel(&["log", "2"]).well();
    assert_eq!(seen.iter().map(|line| spaced(line)).collect::<Vec<_>>(), log.lines().map(spaced).collect::<Vec<_>>());
    let seen = until(&json, "run.end");
    assert!(seen.len() == 2 && seen[1].contains("\"run\":2"), "{seen:?}");
    // One that takes its time is told of as it goes on, with another in between.
    let ticks = desk.spawn(&mut desk.command(&["run", "ticks.wasm", "--space", "t"]));
    until(&all, "3@0");
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    let seen = until(&all, "run.end");
    assert!(seen.last().is_some_and(|line| line.starts_with("4@")), "{seen:?}");
    signal(ticks.id(), "INT");
    let seen = until(&all, "run.end");
    assert!(seen.last().is_some_and(|line| line.starts_with("3@")), "{seen:?}");
    assert_eq!(end(ticks).code, Some(130));
    let begun = Instant::now();
    server.stop();
    for child in [child, json_child] {
        let said = end(child);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn without_anybody_to_follow_it_waits_and_is_in_nobodys_way() {
    let desk = desk();
    assert!(desk.reel(&["log", "--follow"]).fails(120).contains("no database in .reel"));
    assert_eq!(desk.reel(&["log"]).code, Some(2));
    assert_eq!(desk.reel(&["log", "--follow", "--from", "3"]).code, Some(2));
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    let (child, all) = follower(&desk, &[]);
    std::thread::sleep(Duration::from_millis(500));
    // The database is free meanwhile.
    desk.reel(&["run", "hello.wasm", "--wait", "0"]).is(0, "hello\n", "");
    let server = Server::of(&desk);
    std::thread::sleep(Duration::from_secs(1));
    desk.reel(&["run", "hello.wasm"]).is(0, "hello\n", "");
    until(&all, "run.end");
    server.stop();
    let said = end(child);
    assert_eq!(said.code, Some(0));
    assert!(said.err.starts_with("nobody has the database open"), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
}

/// Memory of a process.
fn resident_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).expect("it runs");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

/// One that does not read, and one that leaves.
#[test]
fn readers_that_are_slow_or_leave_hold_nobody_up() {
    let desk = desk();
    let server = Server::of(&desk);
    let stuck = desk.spawn(&mut desk.command(&["log", "--follow"]));
    let (mut leaving, lines) = follower(&desk, &[]);
    drop(lines);
    std::thread::sleep(Duration::from_millis(500));
    let run = ["run", "write.wasm", "--copies", "200", "--quiet", "--space"];
    desk.reel(&[&run[..], &["first"]].concat()).is(0, "", "");
    let (before, begun) = (resident_bytes(server.id()), Instant::now());
    for space in ["a", "b", "c", "d", "e"] {
        desk.reel(&[&run[..], &[space]].concat()).is(0, "", "");
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let grown = resident_bytes(server.id()).saturating_sub(before);
    assert!(grown < 200 << 20, "{grown}");
    // Nobody reads what it writes: it ends by itself, and quietly.
    assert_eq!(leaving.wait().expect("it ends").code(), Some(0));
    assert!(std::fs::metadata(format!("/proc/{}", stuck.id())).is_ok(), "it still waits for a reader");
    // Now somebody reads: nothing is missing.
    let mut stuck = stuck;
    let all = self::lines(stuck.stdout.take().expect("piped"));
    let runs = desk.reel(&["runs", "--limit", "0"]).well().lines().count() - 1;
    for _ in 0..runs {
        until(&all, "run.end");
    }
    server.stop();
    assert_eq!(end(stuck).code, Some(0));
}
