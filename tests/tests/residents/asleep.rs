//! Calls that sleep, and calls that were cut off: they go on, once.

use reel_abi::id::{RunId, Seq};
use reel_abi::outcome::RunBegin;
use reel_abi::record::Frame;
use reel_abi::resident::OnCrash;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;
use reel_host::runtime::resident::{CallError, Habits};
use reel_host::runtime::{Engines, Verdict};
use reel_store::Submission;

use super::side::{Side, keeper, space};

/// Guests sleep through what takes longer than a millisecond.
fn sleepy() -> Side {
    let side = Side::new(Habits { sleeps_after: 1_000_000, ..Habits::default() });
    side.at(1);
    side.deploy("k", &keeper());
    side.call("k", &["add", "1"]);
    side
}

/// Calls what sleeps for five moments.
#[track_caller]
fn falls_asleep(side: &Side) -> RunId {
    match side.try_call("k", &["slow-add", "10", "5000"]) {
        Err(CallError::Asleep { run, .. }) => run,
        other => panic!("it does not sleep: {other:?}"),
    }
}

/// What is said before a sleep is shown before it, and not again.
#[test]
fn what_is_said_is_shown_when_it_falls_asleep() {
    let mut side = sleepy();
    assert!(matches!(side.try_call("k", &["say-twice", "\"here\"", "5000"]), Err(CallError::Asleep { .. })));
    assert_eq!(side.said.text(), "here\n");
    side.at(9);
    side.renew();
    go_on(&side);
    assert_eq!(side.said.text(), "here\nhere again\n");
    assert_eq!(side.call("k", &["add", "0"]), "1");
}

fn go_on(side: &Side) {
    side.block_on(side.household().go_on(&space("k"), std::future::pending())).expect("gone on");
}

#[test]
fn a_call_that_sleeps_goes_on_once() {
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let mut side = sleepy();
    let run = falls_asleep(&side);
    assert!(matches!(side.try_call("k", &["add", "1"]), Err(CallError::Asleep { .. })));
    side.renew();
    go_on(&side);
    assert!(matches!(side.try_call("k", &["add", "1"]), Err(CallError::Asleep { .. })), "it is not time yet");
    side.at(9);
    side.reopen();
    go_on(&side);
    assert_eq!(side.call("k", &["add", "0"]), "11");
    go_on(&side);
    side.renew();
    go_on(&side);
    let again = side.block_on(side.household().resume(run, std::future::pending())).expect("it is over");
    assert_eq!(again.results.as_deref(), Some("11"));
    assert_eq!(side.call("k", &["add", "0"]), "11");
    assert_eq!(side.replay(&engines, run), Verdict::Same);
    side.is_sound();
}

/// A call that sleeps is of the life that it was made in.
#[test]
fn a_sleeper_whose_space_went_back_is_forgotten() {
    let side = sleepy();
    let before = side.head("k");
    side.call("k", &["add", "1"]);
    let run = falls_asleep(&side);
    side.fork("k", "fork");
    assert_eq!(side.call("fork", &["add", "0"]), "2", "a fork is awake");
    side.rollback("k", before);
    assert_eq!(side.call("k", &["add", "0"]), "1");
    side.at(9);
    assert!(side.household().due().is_empty());
    let late = side.block_on(side.household().resume(run, std::future::pending()));
    assert!(matches!(late, Err(CallError::NotResumable(..))));
    assert_eq!(side.call("k", &["add", "0"]), "1");
}

#[test]
fn a_sleeper_is_forgotten_by_those_who_deploy_it_again() {
    let side = sleepy();
    falls_asleep(&side);
    side.deploy("k", &keeper());
    assert_eq!(side.call("k", &["add", "3"]), "3");
}

/// The first `count` events of a run, as a crash leaves them, under the same number in another database.
fn cut_off(from: &Side, to: &Side, run: RunId, count: u64) {
    let store = to.store();
    assert_eq!(store.next_run(), run);
    let record = from.store().run(run).expect("read").expect("run");
    let base = to.head("k");
    let mut begun = Some(RunBegin { segment: base.segment, version: base.version, ..record.begin });
    for at in from.store().frames(run, Seq(0)).expect("frames") {
        let frame = from.store().frame(&at).expect("frame");
        let raw = frame.unpack().expect("unpack");
        let left = count.saturating_sub(frame.first.0).min(u64::from(frame.count));
        if left == 0 {
            break;
        }
        let mut reader = Reader::new(&raw);
        for _ in 0..left {
            EventView::take(&mut reader).expect("event");
        }
        let clocks = (frame.opened, frame.closed);
        let part = Frame::pack(run, frame.first, left as u32, clocks, &raw[..reader.at()]).expect("pack");
        let (commit, ending) = (None, None);
        store.append_soon(Submission { run, begun: begun.take(), frames: vec![part], commit, ending }).expect("append");
    }
    while store.frames(run, Seq(0)).expect("frames").last().is_none_or(|at| at.next() != Seq(count)) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Wherever a crash cuts a call off, it comes to the same end; or never happened, as the guest was deployed.
#[test]
fn a_call_that_was_cut_off_goes_on_or_never_happened() {
    let calls: [&[&str]; 3] = [&["append", "\"text\""], &["put", "\"a\"", "\"b\""], &["add", "5"]];
    for call in calls {
        let prepare = |on_crash| {
            let side = Side::new(Habits::default());
            side.deploy_as("k", &keeper(), on_crash);
            side.call("k", &["open", "\"a\""]);
            side.at(1);
            side
        };
        let whole = prepare(OnCrash::Resume);
        let report = whole.try_call("k", call).expect("called");
        let events = whole.events(report.run);
        for cut in 1..report.end.events {
            for on_crash in [OnCrash::Resume, OnCrash::Abort] {
                let resumes = on_crash == OnCrash::Resume;
                let mut side = prepare(on_crash);
                let before = side.digest("k");
                cut_off(&whole, &side, report.run, cut);
                side.reopen();
                go_on(&side);
                go_on(&side);
                let wanted = if resumes { whole.digest("k") } else { before };
                assert_eq!(side.digest("k"), wanted, "{call:?} cut off at {cut}, resumed: {resumes}");
                if resumes {
                    assert_eq!(side.events(report.run), events, "{call:?} cut off at {cut}");
                }
            }
        }
    }
}

#[test]
fn a_call_that_sleeps_is_given_up() {
    let mut side = sleepy();
    let run = falls_asleep(&side);
    side.block_on(side.household().stop_and_give_up(&space("k"))).expect("stopped");
    assert!(matches!(side.try_call("k", &["add", "1"]), Err(CallError::Stopped(_))));
    side.block_on(side.household().set_stopped(&space("k"), false)).expect("started");
    assert_eq!(side.call("k", &["add", "1"]), "2");
    let again = falls_asleep(&side);
    side.at(9);
    side.reopen();
    assert!(side.block_on(side.household().resume(run, std::future::pending())).is_err(), "it was given up");
    go_on(&side);
    assert_eq!(side.call("k", &["add", "0"]), "12", "the other one is not");
    assert!(again > run);
    side.is_sound();
}
