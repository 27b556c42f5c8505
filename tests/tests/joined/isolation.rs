//! Transactions over several spaces are serialisable, as those of one are.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use reel_abi::outcome::Disposition;
use reel_host::runtime::RunReport;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::puppet::Puppet;
use reel_tests::reel::Desk;

use super::together::{act, calling, lab, replays};

fn begin(lab: &Lab, bytes: &[u8], space: &str, hold: bool) -> Puppet {
    let trial = Trial { space: space.to_owned(), hold_output: hold, ..calling(&["lines"]) };
    Puppet::begin_with(lab, bytes, &trial)
}

fn committed(report: &RunReport) -> bool {
    matches!(report.end.disposition, Disposition::Committed { .. })
}

/// Two callers do their steps, the first one ends first; the second is overtaken, and is executed again if nobody has heard of it.
fn second_is_overtaken(first: &[&str], second: &[&str], check: &str, after: &str) {
    for hold in [false, true] {
        let (lab, bytes) = lab();
        let (one, other) = (begin(&lab, &bytes, "main", hold), begin(&lab, &bytes, "other", hold));
        for step in first {
            one.step(step);
        }
        for step in second {
            other.step(step);
        }
        let (report, said) = one.end();
        assert!(committed(&report) && report.attempts == 1, "{said}");
        let (report, said) = other.end();
        if hold {
            assert!(committed(&report) && report.attempts == 2, "{:?} {said}", report.end);
            assert_eq!(act(&lab, &bytes, check).1, after);
        } else {
            assert!(report.conflict.is_some(), "{said}");
            assert_eq!(report.end.disposition, Disposition::Lost { again: None });
        }
        replays(&lab);
    }
}

#[test]
fn no_update_in_a_called_space_is_lost() {
    second_is_overtaken(&["call b {add n 1}"], &["set k 1; call b {add n 10}"], "call b {get n}", "11");
}

/// Each reads what the other writes, in another space.
#[test]
fn there_is_no_write_skew_over_two_spaces() {
    second_is_overtaken(
        &["call b {get bob}; call a {set alice home}"],
        &["call a {get alice}; call b {set bob home}"],
        "call a {get alice}; call b {get bob}",
        "home home",
    );
}

/// Also one that writes nothing at all must have seen one moment.
#[test]
fn two_spaces_are_not_read_at_two_moments() {
    for hold in [false, true] {
        let (lab, bytes) = lab();
        let reader = begin(&lab, &bytes, "other", hold);
        reader.step("call a {get n}");
        assert!(committed(&act(&lab, &bytes, "call a {set n 1}; call b {set n 1}").0));
        reader.step("call b {get n}");
        let (report, said) = reader.end();
        match hold {
            true => assert_eq!((said.as_str(), report.attempts), ("1\n1\n", 2)),
            false => assert!(report.conflict.is_some(), "{said}"),
        }
    }
}

/// One that fails because it has seen two moments has not failed.
#[test]
fn nobody_fails_for_what_never_was() {
    let (lab, bytes) = lab();
    assert!(committed(&act(&lab, &bytes, "call a {set n 0}; call b {set n 0}").0));
    let reader = begin(&lab, &bytes, "other", true);
    reader.step("call a {get n}");
    assert!(committed(&act(&lab, &bytes, "call a {set n 1}; call b {set n 1}").0));
    reader.step("call b {get n; expect n 0}");
    reader.step("raw b nothing");
    let (report, said) = reader.end();
    assert_eq!((said.as_str(), report.attempts), ("1\nerror: it returned an error: \"n is not 0\"\n[]\n", 2));
    // It ends with a failure: that is asked too, and stands if it was right.
    let reader = begin(&lab, &bytes, "other", true);
    reader.step("call a {get n}");
    assert!(committed(&act(&lab, &bytes, "call a {set n 2}; call b {set n 2}").0));
    reader.step("call b {get n}");
    reader.step("trap");
    let (report, said) = reader.end();
    assert_eq!((said.starts_with("2\n2\n"), report.attempts), (true, 2), "{said} {:?}", report.end);
    assert_eq!(report.end.disposition, Disposition::Aborted);
    replays(&lab);
}

#[test]
fn what_was_not_read_does_not_conflict() {
    let (lab, bytes) = lab();
    let (one, other) = (begin(&lab, &bytes, "main", false), begin(&lab, &bytes, "other", false));
    one.step("call b {set one 1; get x}");
    other.step("call b {set two 2; get x}; call c {set k 1}");
    assert!(committed(&one.end().0) && committed(&other.end().0));
    assert_eq!(act(&lab, &bytes, "call b {get one; get two}").1, "1 2");
}

/// Another deployment, a rollback or a removal of a called space overtakes the caller.
#[test]
fn what_happens_to_a_called_space_overtakes_the_caller() {
    let (lab, bytes) = lab();
    let name = "b".parse().expect("name");
    for deed in 0..3 {
        let caller = begin(&lab, &bytes, "main", true);
        caller.step("call b {count n 1}");
        let head = lab.store.head(&name).expect("read").expect("there");
        match deed {
            0 => lab.deploy("b", &bytes, &calling(&[])),
            1 => drop(lab.store.rollback(&name, head, head, reel_abi::id::WallTime(1)).expect("rolled back")),
            _ => lab.store.remove_space(&name, reel_abi::id::WallTime(1)).expect("removed"),
        }
        let (report, said) = caller.end();
        assert_eq!((committed(&report), report.attempts), (true, 2), "{deed}: {said} {:?}", report.end);
        assert_eq!(said.contains("NoSuchGuest") || said.contains("no guest was deployed"), deed == 2, "{said}");
    }
}

fn teller() -> PathBuf {
    guest("teller", Target::P2)
}

/// A bank of two spaces, in which there are so many cents.
fn bank() -> (Desk, String) {
    let (desk, teller) = (Desk::new(), teller().to_string_lossy().into_owned());
    for name in ["east", "west"] {
        desk.reel(&["deploy", &teller, "--as", name, "--kind", "handler"]);
    }
    let script = "call east {set 0 1000; set 1 1000; set 2 1000}; call west {set 0 1000; set 1 1000; set 2 1000}";
    desk.reel(&["run", &teller, "--call", "east", "--call", "west", "--", script]).well();
    (desk, teller)
}

fn total(desk: &Desk, teller: &str) -> i64 {
    let said = desk
        .reel(&["run", teller, "--call", "east", "--call", "west", "--", "call east {total}; call west {total}"])
        .well();
    said.split_whitespace().map(|sum| sum.parse::<i64>().expect("a sum")).sum()
}

/// What the transfers have brought to one of the banks.
fn west_gained(desk: &Desk, teller: &str) -> i64 {
    let said = desk.reel(&["run", teller, "--call", "west", "--", "call west {total}"]).well();
    said.trim().parse::<i64>().expect("a sum") - 3000
}

/// Transfers between two banks, many at once; each also counts itself in its own space.
fn transfers(desk: &Desk, teller: &str, copies: u32, round: u32) -> Child {
    let (from, to) = if round.is_multiple_of(2) { ("east", "west") } else { ("west", "east") };
    let script = format!("count moved 1; call {from} {{add {} -7}}; call {to} {{add {} 7}}", round % 3, round / 2 % 3);
    let copies = copies.to_string();
    let args =
        ["run", teller, "--call", "east", "--call", "west", "--copies", &copies, "--space", "moves", "--", &script];
    desk.spawn(&mut desk.command(&args))
}

#[test]
fn many_transfers_at_once_lose_nothing() {
    let (desk, teller) = bank();
    for round in 0..4 {
        let said = reel_tests::reel::end(transfers(&desk, &teller, 40, round));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains("40 committed"), "{}", said.err);
    }
    assert_eq!(total(&desk, &teller), 6000);
    let moved = desk.reel(&["run", &teller, "--space", "moves", "--", "get moved"]).well();
    assert_eq!(moved.trim(), "160");
    desk.reel(&["verify"]).well();
    // A version of each space for each transfer, all of them by the callers; and a rollback of one space is one of that alone.
    let history = desk.reel(&["history", "moves", "--json"]).well();
    assert!(history.starts_with("{\"space\":\"moves\",\"version\":160,"), "{history}");
    assert_eq!(desk.reel(&["rollback", "east", "--to", "2"]).code, Some(0));
    assert_eq!(total(&desk, &teller), 3000 + 3000 + west_gained(&desk, &teller));
    // What is not kept any more is missed by nobody.
    assert_eq!(desk.reel(&["gc", "--keep", "10ms", "--apply"]).code, Some(0));
    desk.reel(&["verify"]).well();
    assert_eq!(total(&desk, &teller), 6000 + west_gained(&desk, &teller));
}

#[test]
fn transfers_that_are_killed_lose_nothing() {
    let (desk, teller) = bank();
    let mut before = 0;
    for round in 0..12 {
        let mut child = transfers(&desk, &teller, 100_000, round);
        std::thread::sleep(Duration::from_millis(400 + 53 * u64::from(round)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert_eq!(total(&desk, &teller), 6000, "round {round}");
        let moved = desk.reel(&["run", &teller, "--space", "moves", "--", "get moved"]).well();
        let moved: i64 = moved.trim().parse().unwrap_or(0);
        assert!(moved >= before, "{moved} after {before}");
        before = moved;
    }
    assert!(before > 0, "something was moved");
    desk.reel(&["verify"]).well();
    // What was cut off is not committed, and each run that is over replays.
    let runs = desk.reel(&["runs", "--limit", "30", "--json"]).out;
    assert!(runs.lines().count() > 10, "{runs}");
}
