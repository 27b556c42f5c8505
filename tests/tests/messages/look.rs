//! What the command line shows of messages, and does to them.

use reel_tests::reel::Desk;
use serde_json::Value;

use super::laws::postman;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("postman.wasm", postman());
    desk.reel(&["deploy", "postman.wasm", "--as", "a"]).well();
    desk.reel(&["deploy", "postman.wasm", "--as", "b", "--subscribe", "b", "--subscribe", "odd\u{1b}[31m=as-text"])
        .well();
    desk
}

#[test]
fn messages_are_listed_shown_put_and_dropped() {
    let desk = desk();
    assert_eq!(desk.reel(&["queue", "ls"]).well(), "GUEST  TOPIC  READY  WAITING  DEAD  OLDEST\n");
    desk.reel(&["call", "a", "send", "\"b\"", "some(\"k\")", "\"one\"", "0"]).well();
    desk.reel(&["queue", "put", "b", "b", "two\u{7}", "--key", "k", "--header", "x=y", "--delay", "1h"]).well();
    desk.reel(&["queue", "put", "b", "odd\u{1b}[31m", "three"]).well();
    let said = desk.reel(&["queue", "ls"]).well();
    assert!(!said.contains('\u{1b}') && said.contains("odd"), "{said}");
    let all = lines(&desk.reel(&["queue", "ls", "--json"]).well());
    assert_eq!((all.len(), &all[0]["ready"], &all[0]["waiting"]), (2, &1.into(), &1.into()));
    let shown = desk.reel(&["queue", "show", "b"]).well();
    assert!(shown.contains("ready b key \"k\"") && shown.contains("x: y") && shown.contains("not before"), "{shown}");
    assert!(!shown.contains('\u{7}') && !shown.contains('\u{1b}'), "{shown}");
    let messages = lines(&desk.reel(&["queue", "show", "b", "--json", "--topic", "b"]).well());
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[0]["payload"]["text"], &messages[0]["sender"]), (&"one".into(), &"a".into()));
    let id = messages[0]["id"].as_str().expect("an id");
    assert_eq!(desk.reel(&["queue", "show", "b", id, "--payload"]).well(), "one");
    let history = desk.reel(&["diff", "b@1", "b"]);
    assert_eq!(history.code, Some(0), "{}", history.err);
    assert!(history.out.contains(&format!("message {id}")), "{}", history.out);
    assert_eq!(desk.reel(&["queue", "drop", "b", id]).well(), "1\n");
    desk.reel(&["queue", "drop", "b", id]).fails(66);
    assert!(desk.reel(&["queue", "show", "b", id]).fails(66).contains("no such message"));
    assert!(desk.reel(&["queue", "put", "b", "c", "x"]).fails(66).contains("has not subscribed"));
    assert_eq!(desk.reel(&["queue", "drop", "b", "--all"]).well(), "2\n");
    assert_eq!(desk.reel(&["queue", "ls", "--json"]).well(), "");
    desk.reel(&["verify"]).well();
}

#[test]
fn a_payload_comes_from_a_file_or_standard_input() {
    let desk = desk();
    desk.file("order", b"\x00\xff from a file");
    desk.reel(&["queue", "put", "b", "b", "@order"]).well();
    assert_eq!(desk.reel_reading(&["queue", "put", "b", "b", "-"], b"from standard input").well(), "");
    desk.reel(&["queue", "put", "b", "b", "@@home"]).well();
    let all = lines(&desk.reel(&["queue", "show", "b", "--json"]).well());
    let texts: Vec<_> = all[1..].iter().map(|line| line["payload"]["text"].as_str().expect("text")).collect();
    assert_eq!(texts, ["from standard input", "@home"]);
    let id = all[0]["id"].as_str().expect("an id");
    desk.reel(&["queue", "show", "b", id, "--payload"]);
    assert!(all[0]["payload"]["base64"].is_string(), "{}", all[0]);
    assert!(desk.reel(&["queue", "put", "b", "b", "@nowhere"]).fails(121).contains("nowhere"));
    let much = desk.reel_reading(&["queue", "put", "b", "b", "-"], &vec![0; (1 << 20) + 1]);
    assert!(much.fails(121).contains("more than"));
}

/// A receiver takes as many as its limit says, and senders are told so.
#[test]
fn a_queue_that_is_full_takes_no_more() {
    let desk = Desk::new();
    desk.file("postman.wasm", postman());
    desk.reel(&["deploy", "postman.wasm", "--as", "a"]).well();
    desk.reel(&["deploy", "postman.wasm", "--as", "b", "--subscribe", "b", "--space-files", "3"]).well();
    for _ in 0..3 {
        assert_eq!(desk.reel(&["call", "a", "send", "\"b\"", "none", "\"x\"", "0"]).well(), "ok\n");
    }
    let said = desk.reel(&["call", "a", "send", "\"b\"", "none", "\"x\"", "0"]).well();
    assert!(said.starts_with("err(") && said.contains('b'), "{said}");
    desk.reel(&["queue", "drop", "b", "--all"]).well();
    assert_eq!(desk.reel(&["call", "a", "send", "\"b\"", "none", "\"x\"", "0"]).well(), "ok\n");
}
