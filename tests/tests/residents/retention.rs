//! Letting history go takes nothing of what a resident is made of.

use std::time::Duration;

use reel_tests::reel::Desk;

use super::side::keeper;

fn gc(desk: &Desk) {
    // All that was done until now is older than the policy.
    std::thread::sleep(Duration::from_millis(50));
    done(desk, &["gc", "--keep", "10ms", "--apply"]);
}

/// Gives a command, which may say something on stderr.
#[track_caller]
fn done(desk: &Desk, args: &[&str]) {
    let said = desk.reel(args);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_resident_outlives_the_history_that_is_let_go() {
    let desk = Desk::new();
    desk.file("keeper.wasm", keeper());
    let call = |name: &str, call: &[&str]| desk.reel(&[&["call", name], call].concat()).well();
    done(&desk, &["deploy", "keeper.wasm", "--as", "k"]);
    call("k", &["put", "\"a\"", "\"b\""]);
    call("k", &["add", "1"]);
    done(&desk, &["fork", "k", "fork"]);
    done(&desk, &["tag", "old", "k@3"]);
    call("k", &["add", "2"]);
    done(&desk, &["checkpoint", "k"]);
    call("k", &["get", "\"a\""]);
    done(&desk, &["deploy", "keeper.wasm", "--as", "k"]);
    call("k", &["add", "40"]);
    done(&desk, &["deploy", "keeper.wasm", "--as", "other"]);
    call("other", &["add", "5"]);
    done(&desk, &["deploy", "keeper.wasm", "--as", "other"]);
    done(&desk, &["deploy", "keeper.wasm", "--as", "given-up"]);
    call("given-up", &["add", "6"]);
    done(&desk, &["spaces", "--remove", "given-up"]);
    gc(&desk);
    assert_eq!(call("k", &["add", "0"]), "40\n");
    assert_eq!(call("k", &["get", "\"a\""]), "some(\"b\")\n");
    assert_eq!(call("fork", &["add", "0"]), "1\n");
    assert_eq!(call("other", &["add", "0"]), "0\n");
    done(&desk, &["rollback", "k", "--to", "old"]);
    assert_eq!(call("k", &["add", "0"]), "1\n");
    gc(&desk);
    assert_eq!(call("k", &["get", "\"a\""]), "some(\"b\")\n");
    desk.reel(&["verify"]).well();
}

#[test]
fn of_lives_that_are_over_history_is_let_go() {
    let desk = Desk::new();
    desk.file("keeper.wasm", keeper());
    for _ in 0..2 {
        done(&desk, &["deploy", "keeper.wasm", "--as", "k"]);
        desk.reel(&["call", "k", "add", "1"]).well();
    }
    gc(&desk);
    assert_eq!(desk.reel(&["replay", "2"]).code, Some(66));
    assert_eq!(desk.reel(&["replay", "4"]).code, Some(0));
}
