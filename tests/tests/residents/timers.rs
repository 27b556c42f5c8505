//! Timers: their calls are made once, and one that fails is let be.

use reel_abi::limits::{LimitKind, Limits};
use reel_abi::outcome::Outcome;
use reel_abi::resident::OnCrash;
use reel_host::runtime::resident::timers::Timer;
use reel_host::runtime::resident::{CallError, DeployRequest, Habits};

use super::side::{Side, committed, keeper, space};

const LONG: std::time::Duration = std::time::Duration::from_secs(10);

fn side() -> Side {
    let side = Side::new(Habits { sleeps_after: 1_000_000, ..Habits::default() });
    side.at(1);
    side.deploy("k", &keeper());
    side
}

fn set(side: &Side, name: &str, value: &str) {
    side.call("k", &["put-in", "\"reel:timers\"", &format!("{name:?}"), &format!("{value:?}")]);
}

/// The timers that ring now.
fn due(side: &Side) -> Vec<Timer> {
    let due = side.household().due_timers().expect("timers");
    due.into_iter().flat_map(|(_, timers)| timers).collect()
}

fn names(timers: &[Timer]) -> Vec<&[u8]> {
    timers.iter().map(|timer| timer.name.as_slice()).collect()
}

#[test]
fn a_timer_ends_with_its_call_though_that_slept() {
    let mut side = side();
    set(&side, "t", "1 slow-add(10, 5000)");
    let timers = due(&side);
    assert_eq!(names(&timers), [b"t"]);
    let slept = side.block_on(side.household().call_for_timer(&space("k"), &timers[0]));
    assert!(matches!(slept, Err(CallError::Asleep { .. })), "{slept:?}");
    side.household().rang(&space("k"));
    side.at(20);
    side.reopen();
    side.block_on(side.household().go_on(&space("k"), std::future::pending())).expect("gone on");
    side.household().note_all_timers().expect("timers");
    assert_eq!(names(&due(&side)), [b""; 0], "it has ended");
    assert_eq!(side.call("k", &["add", "0"]), "10");
    side.is_sound();
}

#[test]
fn a_timer_whose_call_fails_is_let_be() {
    let side = side();
    set(&side, "bad", "1 traps(5)");
    set(&side, "good", "1/1000 add(1)");
    let timers = due(&side);
    assert_eq!(names(&timers), [b"bad".as_slice(), b"good"]);
    assert_eq!(names(&due(&side)), [b""; 0], "their calls are under way");
    for timer in &timers {
        let report = side.block_on(side.household().call_for_timer(&space("k"), timer)).expect("called");
        if !committed(&report) {
            side.household().timer_failed(&space("k"), timer, LONG);
        }
    }
    side.household().rang(&space("k"));
    assert_eq!(names(&due(&side)), [b""; 0], "other timers do not make it ring again");
    set(&side, "bad", "2 add(5)");
    assert_eq!(names(&due(&side)), [b"bad"], "it was set to something else");
    assert_eq!(side.call("k", &["add", "0"]), "1");
}

#[test]
fn the_timers_of_a_guest_that_takes_no_calls_wait() {
    let side = side();
    set(&side, "t", "1 add(1)");
    side.household().let_timers_wait(&space("k"), LONG);
    assert_eq!(names(&due(&side)), [b""; 0]);
    side.household().let_timers_wait(&space("k"), std::time::Duration::ZERO);
    assert_eq!(names(&due(&side)), [b"t"]);
}

/// No call sleeps through its deadline.
#[test]
fn a_sleep_beyond_the_deadline_meets_it() {
    let side = side();
    let request = DeployRequest {
        name: space("d"),
        bytes: keeper(),
        program: "guest.wasm".into(),
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        routes: Vec::new(),
        limits: Limits { deadline_millis: 100, ..Limits::default() },
        on_crash: OnCrash::Abort,
        subscriptions: Vec::new(),
        schedules: Vec::new(),
    };
    side.block_on(side.household().deploy(&request, std::future::pending(), &|| ())).expect("deployed");
    let report = side.try_call("d", &["slow-add", "1", "5000"]).expect("it does not sleep");
    let late = matches!(report.end.outcome, Outcome::Limit { kind: LimitKind::Deadline, .. });
    assert!(late, "{:?}", report.end);
    assert_eq!(side.call("d", &["add", "1"]), "1");
}
