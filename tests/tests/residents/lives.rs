//! What makes up a life: deployment, memories of all kinds, handles that stay open, checkpoints that are of no use.

use reel_abi::id::Seq;
use reel_abi::outcome::Outcome;
use reel_abi::record::{CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, OnCrash, page_key};
use reel_host::runtime::resident::{CallError, Debt, Habits};
use reel_host::runtime::{Engines, Verdict};

use super::side::{Side, committed, keeper, space};

fn side() -> Side {
    Side::new(Habits::default())
}

/// A checkpoint, and then only what is in the space: how many calls were replayed at the next call.
#[track_caller]
fn calls_replayed(side: &mut Side, name: &str) -> Option<usize> {
    side.renew();
    side.try_call(name, &["add", "0"]).expect("called").woken
}

#[test]
fn a_checkpoint_saves_the_replay() {
    let mut side = side();
    side.deploy("k", &keeper());
    for n in 0..5 {
        assert_eq!(side.call("k", &["add", "2"]), ((n + 1) * 2).to_string());
    }
    assert_eq!(calls_replayed(&mut side, "k"), Some(5));
    side.checkpoint("k");
    assert_eq!(calls_replayed(&mut side, "k"), Some(0));
    assert_eq!(side.call("k", &["add", "0"]), "10");
}

/// Without being asked, when a replay would cost much.
#[test]
fn checkpoints_come_by_themselves() {
    let debt = Debt { calls: 3, ..Habits::default().debt };
    let mut side = Side::new(Habits { debt, ..Habits::default() });
    side.deploy("k", &keeper());
    for n in 0..40 {
        side.call("k", &["hold", "5000", &n.to_string()]);
        side.call("k", &["dirty", &n.to_string(), "1"]);
    }
    let (sum, digest) = (side.call("k", &["dirty", "0", "0"]), side.digest("k"));
    side.block_on(side.household().rest());
    let before = side.head("k");
    side.renew();
    assert_eq!(side.digest("k"), digest);
    let woken = side.try_call("k", &["dirty", "0", "0"]).expect("called");
    assert_eq!((woken.results.as_deref(), woken.woken), (Some(&*sum), None), "the digest woke it");
    assert!(before.version.0 > 90, "calls and checkpoints: {before:?}");
    side.is_sound();
}

#[test]
fn memory_that_grew_is_what_it_was() {
    let mut side = side();
    side.deploy("k", &keeper());
    side.call("k", &["hold", "3000000", "7"]);
    side.call("k", &["dirty", "100", "9"]);
    let digest = side.digest("k");
    side.checkpoint("k");
    side.renew();
    assert_eq!(side.digest("k"), digest);
    assert_eq!(side.call("k", &["dirty", "0", "0"]), (100 * 9 + (733 - 100) * 7).to_string());
    // Zeros again, where nothing was before there was a checkpoint.
    side.call("k", &["let-go"]);
    side.call("k", &["hold", "3000000", "0"]);
    assert_eq!(side.call("k", &["dirty", "0", "0"]), "0");
    side.checkpoint("k");
    side.renew();
    assert_eq!(side.call("k", &["dirty", "0", "0"]), "0");
}

/// What a rollback takes away is not taken for something that is there.
#[test]
fn a_checkpoint_after_a_rollback_is_whole() {
    let mut side = side();
    side.deploy("k", &keeper());
    side.call("k", &["hold", "100000", "7"]);
    let called = side.head("k");
    side.checkpoint("k");
    side.rollback("k", called);
    side.call("k", &["add", "1"]);
    let digest = side.digest("k");
    side.checkpoint("k");
    assert_eq!(calls_replayed(&mut side, "k"), Some(0));
    side.renew();
    side.hibernate("k");
    assert_eq!(side.call("k", &["dirty", "0", "0"]), "175");
    side.rollback("k", called);
    side.call("k", &["add", "1"]);
    assert_eq!(side.digest("k"), digest);
}

/// It sleeps all the same; its calls are replayed.
#[test]
fn a_resident_whose_space_went_back_can_sleep() {
    let side = side();
    side.deploy("k", &keeper());
    side.call("k", &["add", "1"]);
    let first = side.head("k");
    side.call("k", &["hold", "100000", "7"]);
    side.rollback("k", first);
    side.hibernate("k");
    assert_eq!(side.call("k", &["add", "1"]), "2");
    assert_eq!(side.call("k", &["hold", "0", "0"]), "0");
}

#[test]
fn handles_stay_open() {
    let mut side = side();
    side.deploy("k", &keeper());
    let text = |text: &str| format!("ok(\"{text}\")");
    for name in ["a", "b", "c"] {
        side.call("k", &["open", &format!("\"{name}\"")]);
        side.call("k", &["append", "\"0123456789\""]);
    }
    assert_eq!(side.call("k", &["read-on", "\"a\"", "3"]), text("012"));
    assert_eq!(side.call("k", &["next-name", "\".\""]), "some(\"a\")");
    assert_eq!(side.call("k", &["stream-from", "\"b\"", "4"]), "true");
    assert_eq!(side.call("k", &["stream-read", "2"]), "\"45\"");
    assert_eq!(side.call("k", &["stream-to", "\"d\""]), "true");
    assert_eq!(side.call("k", &["stream-write", "\"one\""]), "true");
    side.call("k", &["say", "\"said\""]);
    side.checkpoint("k");
    assert_eq!(calls_replayed(&mut side, "k"), Some(0));
    assert_eq!(side.call("k", &["append", "\"!\""]), "ok(11)");
    assert_eq!(side.call("k", &["read-on", "\"a\"", "3"]), text("345"));
    assert_eq!(side.call("k", &["next-name", "\".\""]), "some(\"b\")");
    assert_eq!(side.call("k", &["stream-read", "3"]), "\"678\"");
    assert_eq!(side.call("k", &["stream-write", "\" two\""]), "true");
    side.hibernate("k");
    // Names that came after the listing was begun are not in it.
    assert_eq!(side.call("k", &["next-name", "\".\""]), "some(\"c\")");
    assert_eq!(side.call("k", &["next-name", "\".\""]), "none");
    assert_eq!(side.call("k", &["next-name", "\".\""]), "some(\"a\")", "begun again");
    side.call("k", &["drop-handles"]);
    assert_eq!(side.call("k", &["read", "\"d\""]), text("one two"));
    side.call("k", &["say", "\"and said\""]);
    assert_eq!(side.said.text(), "said\nand said\n");
}

/// Its time goes on while it sleeps, and a timer with it.
#[test]
fn a_timer_is_set_in_one_call_and_awaited_in_another() {
    let mut side = side();
    side.deploy("k", &keeper());
    side.at(10);
    side.call("k", &["set-timer", "5000"]);
    side.checkpoint("k");
    side.renew();
    side.at(12);
    assert_eq!(side.call("k", &["rings"]), "false");
    side.hibernate("k");
    side.at(20);
    assert_eq!(side.call("k", &["rings"]), "true");
    assert_eq!(side.call("k", &["await-timer"]), "true");
    assert_eq!(side.call("k", &["await-timer"]), "false");
}

/// What failed never happened, whichever way it did.
#[test]
fn trouble_leaves_nothing_behind() {
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let side = side();
    side.deploy("k", &keeper());
    side.call("k", &["add", "1"]);
    for call in [&["panics", "5"][..], &["traps", "5"], &["aborts", "5", "\"no\""], &["exits", "3"], &["exits", "0"]] {
        let before = side.head("k");
        let report = side.try_call("k", call).expect("called");
        assert!(!committed(&report), "{call:?}: {:?}", report.end);
        assert_eq!((side.head("k"), report.results.as_deref()), (before, None), "{call:?}");
        assert_eq!(side.replay(&engines, report.run), Verdict::Same, "{call:?}");
        assert_eq!(side.call("k", &["add", "0"]), "1", "after {call:?}");
    }
    let left = side.try_call("k", &["exits", "0"]).expect("called").end.outcome;
    assert!(matches!(&left, Outcome::Trap { message, .. } if message.contains("exited")), "{left}");
}

#[test]
fn another_deployment_is_another_life() {
    let mut side = side();
    side.deploy("k", &keeper());
    side.call("k", &["hold", "200000", "7"]);
    side.call("k", &["put", "\"a\"", "\"kept\""]);
    side.checkpoint("k");
    side.call("k", &["add", "5"]);
    side.deploy("k", &keeper());
    assert!(pages(&side, "k").is_empty());
    assert_eq!(side.call("k", &["add", "1"]), "1");
    assert_eq!(side.call("k", &["get", "\"a\""]), "some(\"kept\")");
    assert_eq!(calls_replayed(&mut side, "k"), Some(2), "the checkpoint of the other life is none of this one");
    let digest = side.digest("k");
    side.checkpoint("k");
    side.renew();
    assert_eq!(side.digest("k"), digest);
    assert_eq!(side.call("k", &["hold", "0", "0"]), "0");
}

/// The keys of all pages in a space.
fn pages(side: &Side, name: &str) -> Vec<Vec<u8>> {
    let view = side.store().view(side.head(name)).expect("view");
    view.scan(family::PAGE, b"", None, 100_000).expect("scan").into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_guest_that_is_stopped_takes_no_calls() {
    let mut side = side();
    side.deploy("k", &keeper());
    side.call("k", &["add", "1"]);
    side.block_on(side.household().set_stopped(&space("k"), true)).expect("stopped");
    assert!(matches!(side.try_call("k", &["add", "1"]), Err(CallError::Stopped(_))));
    side.renew();
    assert!(matches!(side.try_call("k", &["add", "1"]), Err(CallError::Stopped(_))));
    side.block_on(side.household().set_stopped(&space("k"), false)).expect("started");
    assert_eq!(side.call("k", &["add", "1"]), "2");
}

/// Nonsense in the place of a checkpoint, or of a page of it: the one before serves, and the next one is whole again.
#[test]
fn a_checkpoint_of_no_use_is_passed_over() {
    passes_over(Habits::default());
}

/// The same where whoever goes to sleep leaves a checkpoint, as one does whose calls took long.
#[test]
fn a_checkpoint_of_no_use_is_passed_over_by_one_that_sleeps() {
    passes_over(Habits { felt: Debt::default(), ..Habits::default() });
}

/// The same where there is a checkpoint after each call, on its way while the next one is made.
#[test]
fn a_checkpoint_of_no_use_is_passed_over_by_one_that_has_many() {
    passes_over(Habits { debt: Debt::default(), ..Habits::default() });
}

fn passes_over(habits: Habits) {
    let nonsense = || CellValue::Inline { bytes: vec![0xff; 9].into() };
    type Spoil = fn(&Side, CellValue);
    let spoil: [(&str, Spoil); 3] = [
        ("the checkpoint", |side, value| side.write("k", family::RESIDENT, CHECKPOINT_KEY, value)),
        ("a page", |side, value| side.write("k", family::PAGE, &pages(side, "k")[1], value)),
        ("a page beyond", |side, value| side.write("k", family::PAGE, &page_key(7, 1 << 30), value)),
    ];
    for (what, spoil) in spoil {
        let mut side = Side::new(habits);
        side.deploy("k", &keeper());
        side.call("k", &["hold", "100000", "1"]);
        side.checkpoint("k");
        side.call("k", &["dirty", "25", "2"]);
        let digest = side.digest("k");
        // A page is read as it is in the version of the checkpoint: what comes later does not spoil that one, only those to come.
        spoil(&side, nonsense());
        side.checkpoint("k");
        spoil(&side, nonsense());
        side.renew();
        assert_eq!(side.digest("k"), digest, "{what}");
        side.call("k", &["let-go"]);
        side.call("k", &["hold", "100000", "0"]);
        // Calls leave what they like below the stack: the last one is always the same.
        side.call("k", &["add", "0"]);
        let digest = side.digest("k");
        side.checkpoint("k");
        assert_eq!(calls_replayed(&mut side, "k"), Some(0), "{what}: the next checkpoint is whole");
        assert_eq!(side.digest("k"), digest, "{what}");
        assert_eq!(side.call("k", &["dirty", "0", "0"]), "0", "{what}");
        side.call("k", &["add", "0"]);
        let digest = side.digest("k");
        side.hibernate("k");
        side.call("k", &["add", "0"]);
        assert_eq!(side.digest("k"), digest, "{what}");
    }
}

/// From every event of a call on, a fork that learns the same of the world comes to the same end.
#[test]
fn a_fork_from_within_a_call_comes_to_the_same_end() {
    let side = side();
    side.deploy("k", &keeper());
    side.call("k", &["open", "\"a\""]);
    side.call("k", &["say", "\"before\""]);
    side.checkpoint("k");
    for (at, call) in [&["append", "\"text\""][..], &["put", "\"a\"", "\"b\""], &["read", "\"a\""], &["add", "1"]]
        .into_iter()
        .enumerate()
    {
        let report = side.try_call("k", call).expect("called");
        let (digest, events) = (side.digest("k"), side.events(report.run));
        for until in 1..report.end.events {
            let name = space(&format!("fork{at}-{until}"));
            let within = side.household().fork_within(report.run, Seq(until), &name, std::future::pending());
            let fork = side.block_on(within).expect("forked");
            assert_eq!((fork.results, fork.end.outcome), (report.results.clone(), report.end.outcome.clone()));
            assert_eq!(side.events(fork.run), events, "{call:?} from {until}");
            assert_eq!(side.digest(name.as_str()), digest, "{call:?} from {until}");
        }
    }
    let (none, name) = (side.try_call("k", &["now"]).expect("called"), space("no"));
    let refused = side.household().fork_within(none.run, Seq(none.end.events), &name, std::future::pending());
    assert!(matches!(side.block_on(refused), Err(CallError::NotResumable(..))));
}

/// A birth that fails leaves no guest.
#[test]
fn a_birth_that_exits_is_none() {
    let exits = wat::parse_str(
        r#"(component
            (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
            (core func $exit (canon lower (func $exit "exit")))
            (core module $m
                (import "" "exit" (func $exit (param i32)))
                (func $start (call $exit (i32.const 0))) (start $start)
                (func (export "f")))
            (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    )
    .expect("wat");
    let side = side();
    let report = side.deploy_as("k", &exits, OnCrash::Abort);
    assert!(!committed(&report), "{:?}", report.end);
    assert!(matches!(side.try_call("k", &["f"]), Err(CallError::NoSuchGuest(_))));
}

#[test]
fn who_was_called_longest_ago_makes_room() {
    let side = Side::new(Habits { awake: 2, ..Habits::default() });
    for (moment, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        side.at(moment as u64);
        side.deploy(name, &keeper());
    }
    for round in 1..4 {
        for name in ["a", "b", "c", "d"] {
            assert_eq!(side.call(name, &["add", "1"]), round.to_string());
            assert!(side.household().presence().len() <= 2);
        }
    }
}
