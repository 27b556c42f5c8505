//! Traces: what a client names goes through the run to those whom it asks, and is found again in the log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;
use serde_json::Value;

use super::{deploy, replay, served};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn runs(desk: &Desk, more: &[&str]) -> Vec<Value> {
    let listed = desk.reel(&[&["runs", "--json", "--limit", "1000"], more].concat()).well();
    listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn trace_of(desk: &Desk, run: u64) -> String {
    let all = runs(desk, &[]);
    let run = all.iter().find(|line| line["run"] == run).expect("a run in the list");
    run["trace"].as_str().expect("a trace").to_owned()
}

/// The `traceparent` that a request had.
fn parent(request: &str) -> Option<String> {
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with("traceparent: "))?;
    Some(line.split_once(": ")?.1.to_owned())
}

#[test]
fn a_run_is_of_the_trace_that_its_client_names() {
    let (desk, server) = served(&[]);
    let run = server.ask_with("/look", &format!("traceparent: {PARENT}\r\n")).run();
    assert_eq!(trace_of(&desk, run), TRACE);
    for id in [TRACE, PARENT] {
        assert_eq!(
            runs(&desk, &["--trace", id]).iter().map(|run| run["run"].as_u64()).collect::<Vec<_>>(),
            [Some(run)]
        );
    }
    assert!(runs(&desk, &["--trace", &TRACE.replace('4', "5")]).is_empty());
    let first = format!("{run}@0");
    for said in [desk.reel(&["show", &first]).well(), desk.reel(&["log", &run.to_string(), "--json"]).well()] {
        assert!(said.contains(TRACE) && said.contains("00f067aa0ba902b7"), "{said}");
    }
    assert!(desk.reel(&["log", &run.to_string()]).well().contains(TRACE));
    let said = desk.reel(&["runs", "--trace", "nonsense"]).fails(2);
    assert!(said.contains("32 hexadecimal digits"), "{said}");
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[run]);
}

#[test]
fn whoever_names_none_properly_gets_a_new_one() {
    let (desk, server) = served(&[]);
    let mut traces = BTreeSet::new();
    let bad = [
        String::new(),
        "traceparent: \r\n".into(),
        format!("traceparent: {}\r\n", PARENT.to_uppercase()),
        format!("traceparent: {PARENT}-00\r\n"),
        format!("traceparent: {}\r\n", PARENT.replacen("00", "ff", 1)),
        format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n"),
        format!("traceparent: 00-{}-00f067aa0ba902b7-01\r\n", "0".repeat(32)),
        format!("traceparent: {}\r\n", "9".repeat(10_000)),
        "traceparent: 00-\u{e9}\r\n".into(),
        format!("trace-parent: {PARENT}\r\n"),
    ];
    for fields in &bad {
        let run = server.ask_with("/hello", fields).run();
        traces.insert(trace_of(&desk, run));
    }
    assert_eq!(traces.len(), bad.len(), "{traces:?}");
    assert!(!traces.contains(TRACE) && traces.iter().all(|trace| trace.len() == 32), "{traces:?}");
    // What the host begins in another process is another trace.
    server.kill();
    let server = Server::start(&desk, &[]);
    assert!(traces.insert(trace_of(&desk, server.get("/hello").run())));
}

#[test]
fn a_trace_goes_on_to_others_and_a_replay_says_the_same() {
    for kind in ["handler", "resident"] {
        let (address, asked) = super::others::other();
        let (desk, server) = served(&["--net", "127.0.0.1:*", "--kind", kind]);
        let path = format!("/fetch?{address}/");
        let named = server.ask_with(&path, &format!("traceparent: {PARENT}\r\n"));
        let not_sampled = server.ask_with(&path, &format!("traceparent: {}0\r\n", &PARENT[..54]));
        let begun = server.get(&path);
        let own = format!("00-{}-00f067aa0ba902b7-00", "a".repeat(32));
        let own_way = server.ask_with(&path, &format!("traceparent: {PARENT}\r\nx-trace: {own}\r\n"));
        let parents: Vec<String> =
            asked.lock().expect("asked").iter().map(|request| parent(request).expect("a trace")).collect();
        assert_eq!((&parents[0][..36], &parents[0][52..]), (&PARENT[..36], "-01"), "{parents:?}");
        assert_eq!((&parents[1][..36], &parents[1][52..]), (&PARENT[..36], "-00"));
        assert_eq!(parents[2][3..35], trace_of(&desk, begun.run()));
        assert_eq!(parents[3], own, "what the guest says stands");
        let spans: BTreeSet<&str> = parents.iter().map(|parent| &parent[36..52]).collect();
        assert!(spans.len() == 4 && !spans.contains("0000000000000000"), "{parents:?}");
        let all = [&named, &not_sampled, &begun, &own_way].map(|answer| answer.run());
        assert_eq!(server.stop(), Some(0));
        replay(&desk, &all);
        assert_eq!(asked.lock().expect("asked").len(), 4);
        let log = desk.reel(&["log", &named.run().to_string(), "--family", "http.send"]).well();
        assert!(log.contains(&parents[0]), "{log}");
    }
}

#[test]
fn a_message_carries_the_trace_to_those_who_take_it() {
    let (desk, server) = {
        let desk = super::desk(&[]);
        deploy(&desk, &guest("postman", Target::P2), "post", &["--subscribe", "mail"]);
        let server = Server::start(&desk, &[]);
        (desk, server)
    };
    let sent = server.ask_with("/send/mail?hello", &format!("traceparent: {PARENT}\r\n"));
    assert_eq!(sent.status, 200, "{}", sent.text());
    let begun = Instant::now();
    let taken = loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never taken");
        let found = runs(&desk, &["--trace", TRACE, "--space", "post"]);
        if let Some(found) = found.first() {
            break found["run"].as_u64().expect("a number");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = desk.reel(&["show", &format!("{taken}@0")]).well();
    // It was caused by the run that has sent it, not by the client.
    assert!(said.contains("caused_by") && !said.contains("00f067aa0ba902b7"), "{said}");
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[sent.run(), taken]);
}

#[test]
fn lines_for_machines_name_guest_run_and_trace() {
    let desk = super::desk(&[]);
    let server = Server::start_in(&desk, &["--log-format", "json"], &[("REEL_LOG", "info")]);
    let run = server.ask_with("/hello?%1b%22", &format!("traceparent: {PARENT}\r\n")).run();
    server.get("/trap");
    assert_eq!(desk.reel(&["runs", "--failed", "--json"]).code, Some(0));
    let begun = Instant::now();
    let line = loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", server.said());
        let said = server.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.into_iter().find(|line| line["trace"] == TRACE) {
            break line;
        }
    };
    assert_eq!((&line["guest"], &line["status"]), (&"web".into(), &200.into()), "{line}");
    assert_eq!((&line["run"], &line["level"]), (&run.into(), &"info".into()), "{line}");
    assert!(line["time"].is_string() && line["micros"].is_u64(), "{line}");
}
