//! Streams that close, disks that are full, signals.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::Duration;

use reel_tests::reel::{Desk, Said, end};

use crate::guests;

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

/// Waits for the first byte of output.
fn first_byte(child: &mut Child) {
    let mut byte = [0];
    child.stdout.as_mut().expect("piped").read_exact(&mut byte).expect("output");
}

#[test]
fn who_stops_reading_is_told_nothing() {
    let desk = Desk::new();
    desk.guest("ticks.wasm", &guests::floods(40));
    assert_eq!(desk.command(&["run", "ticks.wasm"]).stdout(Stdio::null()).status().expect("run").code(), Some(0));
    for args in [
        &["log", "1"][..],
        &["log", "1", "--json"],
        &["show", "1@9"],
        &["runs"],
        &["replay", "1"],
        &["verify"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let mut child = desk.spawn(&mut desk.command(args));
        drop(child.stdout.take());
        let said = end(child);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_guest_is_told_that_nobody_reads() {
    let desk = Desk::new();
    desk.guest("flood.wasm", &guests::floods(1000));
    let mut child = desk.spawn(&mut desk.command(&["run", "flood.wasm", "-q"]));
    drop(child.stdout.take());
    let said = end(child);
    assert_eq!((said.code, said.err.as_str()), (Some(5), ""));
    assert!(desk.reel(&["replay", "1"]).well().contains("same"));
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let desk = Desk::new();
    desk.guest("hello.wasm", &guests::hello());
    assert_eq!(desk.reel(&["run", "hello.wasm"]).code, Some(0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = desk.command(&["log", "1"]).stdout(full).stderr(Stdio::piped()).output().expect("reel starts");
    let said = Said::from(output);
    said.is(125, "", "error: cannot write the output: No space left on device\n");
}

#[test]
fn an_interrupted_run_is_rolled_back_and_recorded() {
    let desk = Desk::new();
    desk.guest("spin.wasm", &guests::spins());
    desk.guest("sleep.wasm", &guests::ticks(1000, 100_000));
    for (run, program, name) in [(1, "spin.wasm", "INT"), (2, "spin.wasm", "TERM"), (3, "sleep.wasm", "INT")] {
        let mut child = desk.spawn(&mut desk.command(&["run", program]));
        first_byte(&mut child);
        // It listens from its first pause on.
        std::thread::sleep(Duration::from_millis(100));
        signal(&child, name);
        let said = end(child);
        assert_eq!(said.code, Some(130), "{}", said.err);
        assert_eq!(said.err, format!("run {run}: interrupted; rolled back. reel log {run} | reel replay {run}\n"));
        let replay = desk.reel(&["replay", &run.to_string()]).well();
        assert!(replay.contains("same") && replay.contains("(interrupted)"), "{replay}");
    }
    assert_eq!(desk.reel(&["runs", "--failed"]).well().lines().count(), 4);
}
