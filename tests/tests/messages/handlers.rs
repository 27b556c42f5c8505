//! Messages to handlers: a fresh instance takes each, once.

use std::sync::Arc;

use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::record::{CellValue, family};
use reel_host::port::Clock;
use reel_host::runtime::Engines;
use reel_host::runtime::Verdict;
use reel_host::runtime::handlers::Handlers;
use reel_host::runtime::resident::deploying::Wanted;
use reel_host::runtime::resident::{DeployRequest, Habits};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::TickingClock;

use super::laws::{counts, deliver, deploy, lying, request, wanted};
use super::side::{Side, space};

/// The handler of these tests.
pub fn porter() -> Vec<u8> {
    std::fs::read(guest("porter", Target::P2)).expect("porter")
}

/// Deploys a handler; others know of it from now on.
pub fn deploy_handler(side: &mut Side, name: &str, bytes: Vec<u8>, subscriptions: Vec<Wanted>) {
    let nobody = Box::new(|_: &_| Err("nobody is called".to_owned()));
    let handlers = Handlers::new(side.store().clone(), nobody, None);
    let clock: Arc<dyn Clock> = Arc::new(TickingClock::at(1));
    let request = DeployRequest { bytes, ..request(name, subscriptions) };
    handlers.deploy(&request, &clock, &|| ()).expect("deployed");
    side.renew();
}

/// A side with a resident `a` that has subscribed to nothing, and a handler `h` that has to `h`.
fn side() -> Side {
    let mut side = Side::new(Habits::default());
    side.at(1);
    deploy(&side, "a", Vec::new());
    deploy_handler(&mut side, "h", porter(), vec![wanted("h", None, 3)]);
    side
}

fn send(side: &Side, key: Option<&str>, text: &str) {
    let key = key.map_or("none".to_owned(), |key| format!("some({key:?})"));
    assert_eq!(side.call("a", &["send", "\"h\"", &key, &format!("{text:?}"), "0"]), "ok");
}

/// What a handler keeps under a key.
pub fn kept(side: &Side, name: &str, key: &str) -> Option<String> {
    let view = side.store().view(side.head(name)).expect("view");
    match view.get(family::KEY_VALUE, &[b"\x06porter", key.as_bytes()].concat()).expect("read")? {
        CellValue::Inline { bytes } => Some(String::from_utf8(bytes.0).expect("text")),
        other => panic!("{other:?}"),
    }
}

fn got(side: &Side) -> Vec<String> {
    (1..).map_while(|n| kept(side, "h", &format!("got {n}"))).collect()
}

#[test]
fn a_fresh_instance_takes_each_message_once_and_every_run_replays() {
    let side = side();
    for text in ["one", "two", "three"] {
        send(&side, Some("k"), text);
    }
    send(&side, None, "four");
    assert_eq!(deliver(&side), 4);
    let mut all = got(&side);
    all.sort();
    assert_eq!(all, ["h/: four", "h/k: one", "h/k: three", "h/k: two"]);
    assert_eq!((counts(&side, "h"), deliver(&side)), ([0, 0, 0], 0));
    assert_eq!(kept(&side, "h", "not fresh"), None);
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let mut replayed = 0;
    for record in side.store().runs(None, 100).expect("runs") {
        if record.begin.space == space("h") && record.begin.args.len() == 3 {
            assert_eq!(side.replay(&engines, record.run), Verdict::Same, "run {}", record.run);
            assert_eq!(record.begin.args[..2], ["reel:guest/inbox@0.1.0#receive", "h"]);
            replayed += 1;
        }
    }
    assert!(replayed >= 4, "{replayed}");
    side.is_sound();
}

#[test]
fn what_a_handler_fails_to_take_is_tried_again_and_dies() {
    let mut side = side();
    for (key, text) in [(Some("x"), "fails 3"), (Some("x"), "after"), (Some("y"), "free"), (None, "traps 9")] {
        send(&side, key, text);
    }
    assert_eq!(deliver(&side), 1);
    assert_eq!(got(&side), ["h/y: free"]);
    assert_eq!(counts(&side, "h"), [2, 1, 0]);
    for moment in [2, 4, 6] {
        side.at(moment);
        side.renew();
        side.household().note_all_messages().expect("noted");
        deliver(&side);
    }
    assert_eq!(got(&side), ["h/y: free", "h/x: fails 3", "h/x: after"]);
    assert_eq!(counts(&side, "h"), [0, 0, 1]);
    assert_eq!(kept(&side, "h", "it should not be here"), None);
    let [.., dead] = lying(&side, "h");
    let why = dead[0].message.error.clone().expect("a reason");
    assert!(why.contains("unreachable") || why.contains("trap"), "{why}");
    let engines = Engines::for_commands(1 << 20).expect("engine");
    for record in side.store().runs(None, 100).expect("runs") {
        if record.begin.space == space("h") && record.begin.args.len() == 3 {
            assert_eq!(side.replay(&engines, record.run), Verdict::Same, "run {}", record.run);
        }
    }
    let back = side.block_on(side.household().put_back(&space("h"), &|_| true)).expect("put back");
    assert_eq!(back, 1);
    side.is_sound();
}

/// A handler that leaves its call, or commits on its way, has not taken its message.
#[test]
fn a_message_is_taken_with_all_of_its_transaction_or_not_at_all() {
    let side = side();
    send(&side, None, "exits");
    send(&side, None, "commits");
    assert_eq!(deliver(&side), 0);
    assert_eq!((counts(&side, "h"), got(&side).len()), ([0, 2, 0], 0));
    let [_, waiting, _] = lying(&side, "h");
    let why: Vec<_> = waiting.iter().map(|lying| lying.message.error.clone().unwrap_or_default()).collect();
    assert!(why.iter().any(|why| why.contains("exited instead of returning")), "{why:?}");
    assert!(why.iter().any(|why| why.contains("commits with that")), "{why:?}");
    side.is_sound();
}

/// Many deliveries are under way at once, and all of them change one cell.
#[test]
fn deliveries_that_overtake_each_other_are_executed_again() {
    let side = side();
    for _ in 0..4 {
        assert_eq!(side.call("a", &["burst-of", "\"h\"", "none", "\"count\"", "50"]), "ok");
    }
    assert_eq!(deliver(&side), 200);
    assert_eq!(kept(&side, "h", "count").as_deref(), Some("200"));
    for key in ["x", "y", "z"] {
        assert_eq!(side.call("a", &["burst", "\"h\"", &format!("some({key:?})"), "100"]), "ok");
    }
    assert_eq!(deliver(&side), 300);
    assert_eq!(kept(&side, "h", "wrong").as_deref(), Some("0"));
    for key in ["x", "y", "z"] {
        assert_eq!(kept(&side, "h", &format!("key {key}")).as_deref(), Some("100"));
    }
    let runs = side.store().runs(None, 2000).expect("runs");
    let ends: Vec<_> = runs.iter().filter_map(|run| run.end.as_ref()).collect();
    assert_eq!(ends.len(), runs.len(), "every run has an end");
    assert!(ends.iter().all(|end| end.outcome == Outcome::Exit { code: 0 }));
    assert!(ends.iter().all(|end| !matches!(end.disposition, Disposition::Aborted)));
    side.is_sound();
}
