//! Guests that know `wasi:messaging` and nothing of this host.

use reel_abi::record::{CellValue, family};
use reel_host::runtime::resident::{DeployRequest, Habits};
use reel_host::runtime::{Engines, Verdict};
use reel_tests::guests::{Target, guest};

use super::handlers::deploy_handler;
use super::laws::{counts, deliver, deploy, lying, request, wanted};
use super::side::Side;

fn courier() -> Vec<u8> {
    std::fs::read(guest("courier", Target::P2)).expect("courier")
}

/// A side with `a`, who sends, and two couriers: a resident `r` and a handler `h`, who have subscribed to topics of their names.
fn side() -> Side {
    let mut side = Side::new(Habits::default());
    side.at(1);
    deploy(&side, "a", Vec::new());
    let resident = DeployRequest { bytes: courier(), ..request("r", vec![wanted("r", None, 2)]) };
    let report = side.block_on(side.household().deploy(&resident, std::future::pending(), &|| ()));
    assert!(report.expect("deployed").end.outcome.is_success());
    deploy_handler(&mut side, "h", courier(), vec![wanted("h", None, 2)]);
    side
}

fn got(side: &Side, name: &str) -> String {
    let view = side.store().view(side.head(name)).expect("view");
    match view.get(family::KEY_VALUE, b"\x07couriergot").expect("read") {
        Some(CellValue::Inline { bytes }) => String::from_utf8(bytes.0).expect("text"),
        other => panic!("{other:?}"),
    }
}

fn send(side: &Side, to: &str, text: &str) {
    assert_eq!(side.call("a", &["send", &format!("{to:?}"), "none", &format!("{text:?}"), "0"]), "ok");
}

#[test]
fn messages_come_and_go_by_the_standard_and_replay() {
    let mut side = side();
    for (to, other) in [("r", "h"), ("h", "r")] {
        send(&side, to, &format!("relay {other}"));
        send(&side, to, "hello");
        send(&side, to, "nobody");
        send(&side, to, "ask");
    }
    assert_eq!(deliver(&side), 10);
    for (name, other) in [("r", "h"), ("h", "r")] {
        let said = got(&side, name);
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        let hello = format!("{name}||hello|[(\"from\", \"a test\")]");
        let relayed = format!("{name}|text/plain|relayed for {other}|[(\"one\", \"uno\")]");
        let mut wanted = vec![hello.as_str(), &relayed, "no guest has subscribed to the topic", "nobody answers"];
        wanted.sort_unstable();
        assert_eq!(lines, wanted, "{name}");
    }
    // The resident has its connection open, also after it was away.
    side.checkpoint("r");
    side.at(2);
    side.renew();
    send(&side, "r", "relay h");
    assert_eq!(deliver(&side), 2);
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let mut replayed = 0;
    for record in side.store().runs(None, 1000).expect("runs") {
        if record.begin.args.len() == 3 {
            assert_eq!(side.replay(&engines, record.run), Verdict::Same, "run {}", record.run);
            replayed += 1;
        }
    }
    assert!(replayed >= 12, "{replayed}");
    side.is_sound();
}

#[test]
fn what_is_refused_or_too_much_is_a_failure() {
    let side = side();
    for to in ["r", "h"] {
        send(&side, to, "refuse");
        send(&side, to, "bomb");
    }
    assert_eq!(deliver(&side), 0);
    for name in ["r", "h"] {
        assert_eq!(counts(&side, name), [0, 2, 0]);
        let [_, waiting, _] = lying(&side, name);
        let why: Vec<_> = waiting.iter().map(|lying| lying.message.error.clone().unwrap_or_default()).collect();
        assert!(why.iter().any(|why| why.contains("other(\"refused\")")), "{why:?}");
        assert!(why.iter().any(|why| why.contains("bytes in one call")), "{why:?}");
    }
    side.is_sound();
}
