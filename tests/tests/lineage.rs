//! Where values come from and where they went: through keys, files, forks, rollbacks, messages and calls, as guests did it.

use std::path::Path;

use reel_tests::guests::{Target, build_as, guest};
use reel_tests::reel::Desk;
use serde_json::Value;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("kvtool.wasm", std::fs::read(guest("kvtool", Target::P2)).expect("the guest"));
    desk
}

/// A run with these operations.
fn run(desk: &Desk, space: &str, operations: &[&str]) {
    desk.reel(&[&["run", "kvtool.wasm", "--quiet", "--space", space, "--"][..], operations].concat()).well();
}

/// The nodes of a lineage, as JSON.
fn nodes(desk: &Desk, args: &[&str]) -> Vec<Value> {
    let out = desk.reel(&[args, &["--json"]].concat()).well();
    let json: Value = serde_json::from_str(&out).expect("JSON");
    json["nodes"].as_array().expect("nodes").clone()
}

fn runs(nodes: &[Value]) -> Vec<u64> {
    let mut runs: Vec<u64> = nodes.iter().filter_map(|node| node["run"].as_u64()).collect();
    runs.sort_unstable();
    runs.dedup();
    runs
}

fn value<'a>(nodes: &'a [Value], key: &str) -> &'a Value {
    let is = |node: &&Value| node["key"] == key || node["path"] == key;
    nodes.iter().find(is).unwrap_or_else(|| panic!("{key} in {nodes:?}"))
}

/// 1 makes a price, 2 an order of it, 3 something else, 4 a bill of the order and a file.
fn trade(desk: &Desk) {
    run(desk, "shop", &["keyvalue.set prices tea 350"]);
    run(desk, "shop", &["keyvalue.get prices tea", "keyvalue.set orders 1 tea", "keyvalue.get prices tea"]);
    run(desk, "shop", &["keyvalue.set prices coffee 500"]);
    run(desk, "shop", &["keyvalue.get orders 1", "file.write /bill one-tea", "keyvalue.get prices coffee"]);
    run(desk, "shop", &["file.read /bill", "keyvalue.set sent 1 yes"]);
}

#[test]
fn back_through_keys_and_files() {
    let desk = desk();
    trade(&desk);
    let back = nodes(&desk, &["why", "shop:sent/1", "--depth", "4"]);
    // Coffee was read after the bill was written: it is no reason for it.
    assert_eq!(runs(&back), [1, 2, 4, 5], "{back:?}");
    assert_eq!(back[0]["key"], "1");
    assert_eq!(value(&back, "bill")["version"], 4);
    assert_eq!(value(&back, "tea")["version"], 1);
    assert!(!back.iter().any(|node| node["key"] == "coffee"));
    let writer = back.iter().find(|node| node["run"] == 2).expect("run 2");
    assert!(writer["seq"].as_u64().is_some_and(|seq| seq > 0), "{writer}");
    // Not deeper than asked for, and it says so.
    let near = nodes(&desk, &["why", "shop:sent/1", "--depth", "1"]);
    assert_eq!(runs(&near), [5]);
    assert_eq!(value(&near, "bill")["deep"], true);
    // As it was.
    run(&desk, "shop", &["keyvalue.set prices tea 999"]);
    assert_eq!(runs(&nodes(&desk, &["why", "shop:prices/tea@1"])), [1]);
    assert_eq!(runs(&nodes(&desk, &["why", "shop@2:prices/tea"])), [1]);
    assert_eq!(runs(&nodes(&desk, &["why", "shop:prices/tea"])), [6]);
    assert_eq!(runs(&nodes(&desk, &["why", "shop:/bill", "--depth", "1"])), [4]);
    desk.reel(&["why", "shop:prices/milk"]).fails(66);
    desk.reel(&["why", "nowhere:/x"]).fails(66);
    desk.reel(&["why", "no place"]).fails(2);
    // As a tree and as pictures.
    let tree = desk.reel(&["why", "shop:sent/1"]).well();
    assert!(tree.starts_with("sent/1 of shop@5") && tree.contains("written by run 5"), "{tree}");
    assert!(tree.contains("/bill of shop@4"), "{tree}");
    let dot = desk.reel(&["why", "shop:sent/1", "--dot"]).well();
    assert!(dot.starts_with("digraph why {") && dot.contains("n0 -> n1"), "{dot}");
    let mermaid = desk.reel(&["why", "shop:sent/1", "--mermaid"]).well();
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("n0 -->"), "{mermaid}");
}

#[test]
fn forward_to_all_who_read_it() {
    let desk = desk();
    trade(&desk);
    let forth = nodes(&desk, &["impact", "shop:prices/tea@1"]);
    assert_eq!(runs(&forth), [2, 4, 5], "{forth:?}");
    assert_eq!(value(&forth, "bill")["version"], 4);
    // Once another value is there, who reads that has not read this.
    run(&desk, "shop", &["keyvalue.set prices tea 400"]);
    run(&desk, "shop", &["keyvalue.get prices tea", "keyvalue.set orders 2 tea"]);
    assert_eq!(runs(&nodes(&desk, &["impact", "shop:prices/tea@1"])), [2, 4, 5]);
    assert_eq!(runs(&nodes(&desk, &["impact", "shop:prices/tea"])), [7]);
    // Who has written over it in the same run reads his own.
    run(&desk, "shop", &["keyvalue.set prices tea 1", "keyvalue.get prices tea", "keyvalue.set x y z"]);
    assert_eq!(runs(&nodes(&desk, &["impact", "shop:prices/tea@6"])), [7]);
    // A scan reads what is in its range.
    run(&desk, "shop", &["keyvalue.scan prices c . . 10", "keyvalue.set seen coffee yes"]);
    assert_eq!(runs(&nodes(&desk, &["impact", "shop:prices/coffee"])), [4, 9]);
    let few = nodes(&desk, &["impact", "shop:prices/coffee", "--each", "1"]);
    assert_eq!((few[0]["more"].as_u64(), runs(&few)), (Some(1), vec![4]));
    assert!(desk.reel(&["impact", "shop:prices/coffee", "--each", "1"]).well().contains("1 more"));
}

#[test]
fn through_forks_and_rollbacks() {
    let desk = desk();
    trade(&desk);
    assert_eq!(desk.reel(&["fork", "shop@2", "trial"]).code, Some(0));
    run(&desk, "trial", &["keyvalue.get prices tea", "keyvalue.set orders 9 tea"]);
    let back = nodes(&desk, &["why", "trial:orders/9"]);
    assert_eq!(runs(&back), [1, 6], "{back:?}");
    let tea = value(&back, "tea");
    assert_eq!((tea["space"].as_str(), tea["version"].as_u64()), (Some("shop"), Some(1)));
    assert!(tea["through"][0].as_str().is_some_and(|text| text.contains("forked from shop@2")), "{tea}");
    assert!(runs(&nodes(&desk, &["impact", "shop:prices/tea@1"])).contains(&6));
    run(&desk, "shop", &["keyvalue.set prices tea 1"]);
    assert_eq!(desk.reel(&["rollback", "shop", "--to", "2"]).code, Some(0));
    let now = nodes(&desk, &["why", "shop:prices/tea"]);
    assert_eq!(runs(&now), [1], "{now:?}");
    assert!(now[0]["through"][0].as_str().is_some_and(|text| text.contains("rolled back to 2")), "{now:?}");
}

#[test]
fn through_the_calls_of_a_life() {
    let desk = desk();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/session");
    build_as(&dir, "session", "", &desk.path().join("session.wasm"));
    assert_eq!(desk.reel(&["deploy", "session.wasm", "--as", "lesson"]).code, Some(0));
    assert_eq!(desk.reel(&["call", "lesson", "begin", "\"Ada\"", "7"]).code, Some(0));
    assert_eq!(desk.reel(&["call", "lesson", "answer", "100"]).code, Some(0));
    assert_eq!(desk.reel(&["call", "lesson", "answer", "116"]).code, Some(0));
    let back = nodes(&desk, &["why", "lesson:/transcript.txt", "--depth", "6"]);
    let newest = runs(&back).into_iter().max().expect("a run");
    // What it knows it has from all its calls, back to its birth.
    assert!(runs(&back).len() >= 3 && runs(&back).contains(&(newest - 1)), "{back:?}");
    let edges = |node: &Value| node["edges"].as_array().cloned().unwrap_or_default();
    assert!(back.iter().flat_map(edges).any(|edge| edge["how"] == "lived on after"), "{back:?}");
}

#[test]
fn through_messages() {
    let desk = desk();
    for guest in ["tracker", "alarm"] {
        let dir = match guest {
            "alarm" => "../examples/guests/tracker/alarm",
            _ => "../examples/guests/tracker",
        };
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        build_as(&dir, guest, "", &desk.path().join(format!("{guest}.wasm")));
    }
    assert_eq!(desk.reel(&["deploy", "alarm.wasm", "--as", "alarm", "--subscribe", "shipments"]).code, Some(0));
    assert_eq!(desk.reel(&["deploy", "tracker.wasm", "--as", "tracker"]).code, Some(0));
    let server = reel_tests::web::Server::start(&desk, &["--listen", "127.0.0.1:0"]);
    let shipment = br#"{"from": [53.55, 10.0], "to": [52.52, 13.4], "corridor_km": 15, "due_in_seconds": 7200}"#;
    let made = server.ask("PUT", "/shipments/piano", shipment).status;
    let moved = server.ask("POST", "/shipments/piano/positions", br#"{"at": [53.6, 11.4]}"#).status;
    let patience = std::time::Instant::now();
    let there = || desk.reel(&["fs", "cat", "alarm:/alerts.txt"]).code == Some(0);
    while !there() {
        let waited = patience.elapsed().as_secs();
        assert!(waited < 30, "{made} {moved} {}", desk.reel(&["runs"]).out);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    server.stop();
    let back = nodes(&desk, &["why", "alarm:/alerts.txt"]);
    let edges = |node: &Value| node["edges"].as_array().cloned().unwrap_or_default();
    let sent = back.iter().flat_map(edges).find(|edge| edge["how"] == "sent by").expect("it came by a message");
    let sender = &back[sent["to"].as_u64().expect("a number") as usize];
    assert_eq!(sender["space"], "tracker", "{back:?}");
    assert!(back.iter().any(|node| node["key"] == "piano"), "{back:?}");
    // And forward again: the piano's first state leads to the alert.
    let version = value(&back, "piano")["version"].as_u64().expect("a version");
    let forth = nodes(&desk, &["impact", &format!("tracker:shipments/piano@{version}")]);
    assert!(forth.iter().any(|node| node["path"] == "alerts.txt"), "{forth:?}");
}

#[test]
fn while_a_server_has_the_database() {
    let desk = desk();
    trade(&desk);
    let server = reel_tests::web::Server::start(&desk, &["--listen", "127.0.0.1:0"]);
    assert_eq!(runs(&nodes(&desk, &["why", "shop:sent/1"])), [2, 4, 5]);
    assert_eq!(runs(&nodes(&desk, &["impact", "shop:prices/tea@1"])), [2, 4, 5]);
    server.stop();
}
