//! Calls that another process makes for the one who asks: they end when either leaves, and what cannot be called is refused in words that help.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, end};

use super::killed::{kill, serve};
use super::side::keeper;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("keeper.wasm", keeper());
    desk.reel(&["deploy", "keeper.wasm", "--as", "k"]).well();
    desk
}

/// A call that never returns, which has begun.
fn spins(desk: &Desk) -> Child {
    let call = desk.spawn(&mut desk.command(&["call", "k", "spins"]));
    while !desk.reel(&["runs"]).out.contains("running") {
        std::thread::sleep(Duration::from_millis(20));
    }
    call
}

fn interrupt(child: &Child, signal: &str) {
    let told = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
}

#[test]
fn a_server_that_is_told_to_stop_ends_a_call_that_spins() {
    let desk = desk();
    let mut server = serve(&desk);
    let call = spins(&desk);
    let told = Instant::now();
    interrupt(&server, "-TERM");
    let said = end(call);
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.contains("interrupted; rolled back"), "{}", said.err);
    assert!(server.wait().expect("it ends").success());
    assert!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
    assert_eq!(desk.reel(&["call", "k", "add", "1"]).well(), "1\n");
}

#[test]
fn who_leaves_takes_the_call_along() {
    let desk = desk();
    let server = serve(&desk);
    let mut call = spins(&desk);
    interrupt(&call, "-INT");
    call.wait().expect("it ends");
    assert_eq!(desk.reel(&["call", "k", "add", "1"]).well(), "1\n");
    assert!(desk.reel(&["runs"]).well().contains("interrupted"));
    kill(server);
}

#[test]
fn arguments_may_be_long() {
    let desk = desk();
    let server = serve(&desk);
    let text = format!("{:?}", "x".repeat(120_000));
    let many: Vec<&str> = ["call", "k", "remember"].into_iter().chain([text.as_str(); 10]).collect();
    let said = desk.reel(&many).fails(2);
    assert!(said.contains("more param(s) than expected"), "{}", &said[..200]);
    kill(server);
}

#[test]
fn functions_that_are_not_there_are_hinted_at() {
    let desk = desk();
    let said = desk.reel(&["call", "k", "ad", "1"]).fails(2);
    assert!(said.ends_with("hint: did you mean add?\n"), "{said}");
    let said = desk.reel(&["call", "k", "test:keeper/memory@9.0.0#recal", "1"]).fails(2);
    assert!(said.contains("hint: did you mean recall"), "{said}");
    let said = desk.reel(&["call", "k", "qqqq"]).fails(2);
    assert!(!said.contains("hint"), "{said}");
}
