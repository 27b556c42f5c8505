//! What must hold, in one process.

use std::time::Duration;

use reel_abi::limits::Limits;
use reel_abi::message::Place;
use reel_abi::outcome::Outcome;
use reel_abi::record::family;
use reel_abi::resident::OnCrash;
use reel_host::runtime::resident::deploying::Wanted;
use reel_host::runtime::resident::queue::{Lying, STATES, messages};
use reel_host::runtime::resident::{CallReport, DeployError, DeployRequest, Habits};
use reel_host::runtime::{Engines, Verdict};
use reel_tests::guests::{Target, guest};

use super::side::{Side, space};

/// The guest of these tests.
pub fn postman() -> Vec<u8> {
    std::fs::read(guest("postman", Target::P2)).expect("postman")
}

pub fn wanted(topic: &str, function: Option<&str>, attempts: u32) -> Wanted {
    Wanted { topic: topic.into(), function: function.map(str::to_owned), attempts }
}

pub fn request(name: &str, subscriptions: Vec<Wanted>) -> DeployRequest {
    DeployRequest {
        name: space(name),
        bytes: postman(),
        program: "guest.wasm".into(),
        env: Vec::new(),
        dirs: Vec::new(),
        net: Vec::new(),
        calls: Vec::new(),
        routes: Vec::new(),
        limits: Limits::default(),
        on_crash: OnCrash::Abort,
        subscriptions,
        schedules: Vec::new(),
    }
}

pub fn deploy(side: &Side, name: &str, subscriptions: Vec<Wanted>) {
    let report = side.block_on(side.household().deploy(&request(name, subscriptions), std::future::pending(), &|| ()));
    assert!(report.expect("deployed").end.outcome.is_success());
}

/// A side with a guest `a` that has subscribed to nothing, and `b` that has to the topic `b`.
fn side() -> Side {
    let side = Side::new(Habits::default());
    side.at(1);
    deploy(&side, "a", Vec::new());
    deploy(&side, "b", vec![wanted("b", None, 3)]);
    side
}

/// Delivers all that can be delivered now; how many messages were taken.
pub fn deliver(side: &Side) -> usize {
    side.household().look_at_due_messages().expect("looked");
    let mut taken = 0;
    side.block_on(async {
        while let Ok(name) = tokio::time::timeout(Duration::from_millis(1), side.household().next_in_line()).await {
            taken += side.household().deliver(&name).await;
        }
    });
    taken
}

/// All that lies in a space: ready, waiting, dead.
pub fn lying(side: &Side, name: &str) -> [Vec<Lying>; 3] {
    let view = side.store().view(side.head(name)).expect("view");
    STATES.map(|state| {
        let found = messages(side.store(), &view, state, &[], usize::MAX).expect("messages");
        found.map(|found| found.expect("a message").1).collect()
    })
}

pub fn counts(side: &Side, name: &str) -> [usize; 3] {
    lying(side, name).map(|lying| lying.len())
}

pub fn send(side: &Side, from: &str, key: Option<&str>, text: &str) -> CallReport {
    let key = key.map_or("none".to_owned(), |key| format!("some({key:?})"));
    let report = side.try_call(from, &["send", "\"b\"", &key, &format!("{text:?}"), "0"]).expect("called");
    assert_eq!(report.results.as_deref(), Some("ok"), "{:?}", report.end);
    report
}

fn got(side: &Side, name: &str) -> String {
    side.call(name, &["got"])
}

#[test]
fn what_is_sent_is_taken_once_with_what_it_does() {
    let side = side();
    let sent = send(&side, "a", Some("k"), "one");
    send(&side, "a", None, "two");
    assert_eq!(counts(&side, "b"), [2, 0, 0]);
    let before = side.head("b");
    assert_eq!(deliver(&side), 2);
    assert_eq!(got(&side, "b"), r#"["b/k: one", "b/: two"]"#);
    assert_eq!((counts(&side, "b"), deliver(&side)), ([0, 0, 0], 0));
    // The sender's run names who got it, and that is what a replay believes.
    let events = side.events(sent.run);
    let names: Vec<_> = events.iter().map(|event| event.name).filter(|name| name.starts_with("msg.")).collect();
    assert_eq!(names, ["msg.route", "msg.send"]);
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let newest = side.store().newest_run().expect("runs");
    let mut replayed = 0;
    for run in 1..=newest.0 {
        let run = reel_abi::id::RunId(run);
        let Some(record) = side.store().run(run).expect("run") else { continue };
        if record.begin.component != reel_abi::id::Digest::of(b"") {
            assert!(matches!(side.replay(&engines, run), Verdict::Same), "run {run}");
            replayed += 1;
        }
    }
    assert!(replayed >= 7, "{replayed}");
    // Where the queue was, it still is.
    let view = side.store().view(before).expect("view");
    assert_eq!(view.scan(family::QUEUE, &[1], None, 9).expect("scan").len(), 2);
    side.is_sound();
}

#[test]
fn who_does_not_commit_sends_nothing() {
    let side = side();
    let report = side.try_call("a", &["send-and-trap", "\"b\""]).expect("called");
    assert!(matches!(report.end.outcome, Outcome::Trap { .. }));
    assert_eq!(counts(&side, "b"), [0, 0, 0]);
    assert_eq!(side.call("a", &["half", "\"b\""]), "ok");
    assert_eq!(deliver(&side), 1);
    assert_eq!(got(&side, "b"), r#"["b/: done"]"#);
    for (topic, why) in [("nobody", "no guest has subscribed"), ("", "a topic has a name")] {
        let said = side.call("a", &["send", &format!("{topic:?}"), "none", "\"x\"", "0"]);
        assert!(said.starts_with("err(") && said.contains(why), "{said}");
    }
    let said = side.call("a", &["send-bytes", "\"b\"", "1048577"]);
    assert!(said.contains("at most 1048576"), "{said}");
    assert_eq!(side.call("a", &["send-bytes", "\"b\"", "1048576"]), "ok");
    assert_eq!(deliver(&side), 1);
    side.is_sound();
}

#[test]
fn a_key_has_an_order_that_a_failing_message_holds() {
    let mut side = side();
    for (key, text) in [("x", "1"), ("x", "fails 3"), ("x", "3"), ("y", "1"), ("y", "2")] {
        send(&side, "a", Some(key), text);
    }
    send(&side, "a", None, "fails 2");
    send(&side, "a", None, "free");
    assert_eq!(deliver(&side), 4);
    assert_eq!(got(&side, "b"), r#"["b/x: 1", "b/y: 1", "b/y: 2", "b/: free"]"#);
    assert_eq!(counts(&side, "b"), [2, 1, 0]);
    assert_eq!(deliver(&side), 0, "not before its time");
    assert_eq!(side.call("b", &["forget"]), "");
    // Another process knows as much.
    side.at(2);
    side.reopen();
    side.household().note_all_messages().expect("noted");
    assert_eq!(deliver(&side), 1, "the one without a key, the second time");
    side.at(3);
    side.renew();
    side.household().note_all_messages().expect("noted");
    assert_eq!(deliver(&side), 2);
    assert_eq!(got(&side, "b"), r#"["b/: fails 2", "b/x: fails 3", "b/x: 3"]"#);
    assert_eq!(counts(&side, "b"), [0, 0, 0]);
    // What failing deliveries have written is nowhere.
    let view = side.store().view(side.head("b")).expect("view");
    assert_eq!(view.get(family::KEY_VALUE, b"\x05takenwrong").expect("read"), None);
    side.is_sound();
}

#[test]
fn what_fails_too_often_is_a_dead_letter_that_can_be_put_back() {
    let mut side = side();
    send(&side, "a", Some("x"), "traps 4");
    send(&side, "a", Some("x"), "after");
    send(&side, "a", None, "fails 9");
    for moment in [2, 4, 6] {
        deliver(&side);
        side.at(moment);
        side.renew();
        side.household().note_all_messages().expect("noted");
    }
    deliver(&side);
    assert_eq!(counts(&side, "b"), [0, 0, 2]);
    assert_eq!(got(&side, "b"), r#"["b/x: after"]"#, "the key went on");
    let [.., dead] = lying(&side, "b");
    assert!(dead.iter().all(|dead| dead.message.attempts == 3 && dead.message.error.is_some()), "{dead:?}");
    let trapped = dead.iter().find(|dead| dead.message.key.is_some()).expect("the one with a key").id();
    let back = side.block_on(side.household().put_back(&space("b"), &|dead| dead.id() == trapped)).expect("put back");
    assert_eq!((back, counts(&side, "b")), (1, [1, 0, 1]));
    let [ready, ..] = lying(&side, "b");
    assert_eq!((ready[0].id(), ready[0].message.attempts), (trapped, 0), "it is the same message, tried anew");
    let dropped = side.block_on(side.household().drop_messages(&space("b"), &|_| true)).expect("dropped");
    assert_eq!((dropped, counts(&side, "b")), (2, [0, 0, 0]));
    let left = reel_host::runtime::subscribers::count(&side.store().view(side.head("b")).expect("view"));
    assert_eq!(left.expect("read"), 0);
    assert_eq!(deliver(&side), 0);
    side.is_sound();
}

#[test]
fn what_is_delayed_comes_in_its_time() {
    let mut side = side();
    side.call("a", &["send", "\"b\"", "some(\"k\")", "\"late\"", "5000"]);
    send(&side, "a", Some("k"), "soon");
    assert_eq!(counts(&side, "b"), [1, 1, 0]);
    let [_, waiting, _] = lying(&side, "b");
    assert!(matches!(waiting[0].place, Place::Waiting(..)));
    assert_eq!(deliver(&side), 1);
    for (moment, taken) in [(5, 0), (6, 1)] {
        side.at(moment);
        side.renew();
        side.household().note_all_messages().expect("noted");
        assert_eq!(deliver(&side), taken, "at {moment}");
    }
    assert_eq!(got(&side, "b"), r#"["b/k: soon", "b/k: late"]"#);
    side.is_sound();
}

#[test]
fn forks_and_rollbacks_carry_the_queue() {
    let side = side();
    send(&side, "a", None, "first");
    let then = side.head("b");
    assert_eq!(deliver(&side), 1);
    side.fork("b", "f");
    side.rollback("b", then);
    assert_eq!(counts(&side, "b"), [1, 0, 0], "as it was then");
    assert_eq!(counts(&side, "f"), [0, 0, 0]);
    assert_eq!(deliver(&side), 1, "and taken again");
    assert_eq!((got(&side, "b"), got(&side, "f")), (r#"["b/: first"]"#.into(), r#"["b/: first"]"#.into()));
    // What others send goes to the one that was deployed, what the fork sends to its own topic to itself.
    send(&side, "a", None, "from a");
    send(&side, "f", None, "from f");
    assert_eq!((counts(&side, "b"), counts(&side, "f")), ([1, 0, 0], [1, 0, 0]));
    assert_eq!(deliver(&side), 2);
    assert_eq!(got(&side, "f"), r#"["b/: first", "b/: from f"]"#);
    // What lies with a fork comes after what it had, though its versions begin anew.
    side.fork("b", "g");
    side.call("g", &["burst", "\"b\"", "some(\"k\")", "3"]);
    assert_eq!(deliver(&side), 3);
    assert_eq!(got(&side, "g"), r#"["b/: first", "b/: from a", "b/k: 0", "b/k: 1", "b/k: 2"]"#);
    side.is_sound();
}

#[test]
fn one_who_sends_to_itself_for_ever_lets_others_have_their_turn() {
    let side = side();
    deploy(&side, "l", vec![wanted("loop", None, 3)]);
    side.call("l", &["send", "\"loop\"", "none", "\"loop loop\"", "0"]);
    for n in 0..50 {
        send(&side, "a", Some("k"), &n.to_string());
    }
    side.household().look_at_due_messages().expect("looked");
    side.block_on(async {
        for _ in 0..6 {
            let name = side.household().next_in_line().await;
            side.household().deliver(&name).await;
        }
    });
    assert_eq!(counts(&side, "b"), [0, 0, 0]);
    assert_eq!(counts(&side, "l"), [1, 0, 0]);
}

#[test]
fn functions_that_take_messages() {
    let side = side();
    for (name, function) in [("t", "as-text"), ("y", "as-bytes"), ("p", "other-ways.as-part")] {
        deploy(&side, name, vec![wanted(name, Some(function), 3)]);
        side.call("a", &["send", &format!("{name:?}"), "none", "\"hello\"", "0"]);
    }
    assert_eq!(deliver(&side), 3);
    assert_eq!(got(&side, "t"), r#"["text hello"]"#);
    assert_eq!(got(&side, "y"), r#"["5 bytes"]"#);
    assert_eq!(got(&side, "p"), r#"["attempt 1 of a"]"#);
    for function in ["unfit", "pay", "nothing-of-that-name"] {
        let refused = side.block_on(side.household().deploy(
            &request("u", vec![wanted("u", Some(function), 3)]),
            std::future::pending(),
            &|| (),
        ));
        assert!(matches!(refused, Err(DeployError::Call(_))), "{function}");
    }
    // Several who have subscribed get a copy each.
    deploy(&side, "c", vec![wanted("b", None, 3)]);
    send(&side, "a", None, "to both");
    assert_eq!(deliver(&side), 2);
    assert_eq!((got(&side, "b"), got(&side, "c")), (r#"["b/: to both"]"#.into(), r#"["b/: to both"]"#.into()));
}

#[test]
fn a_call_that_is_overtaken_is_made_again_and_takes_its_message_once() {
    let side = side();
    send(&side, "a", None, "once");
    // While it is taken, more comes: that overtakes nobody.
    let mut taken = 0;
    for n in 0..3 {
        *side.meanwhile.lock().expect("nobody failed") = Some(Box::new(move |store| {
            let cell = reel_abi::record::CellValue::Inline { bytes: vec![n].into() };
            super::side::write(store, "b", family::KEY_VALUE, b"\x01xk", cell);
        }));
        send(&side, "a", None, "more");
        taken += deliver(&side);
    }
    assert_eq!(taken, 4);
    assert_eq!(got(&side, "b"), r#"["b/: once", "b/: more", "b/: more", "b/: more"]"#);
    let reports = side.store().runs(None, 100).expect("runs");
    assert!(reports.iter().all(|run| run.end.is_some()));
    side.is_sound();
}
