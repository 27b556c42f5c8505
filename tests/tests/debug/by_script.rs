//! `reel debug` as a user has it: by script, as JSON, at a terminal, with a server, and with what means harm.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use serde_json::Value;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("kvtool.wasm", std::fs::read(guest("kvtool", Target::P2)).expect("the guest"));
    desk
}

fn run(desk: &Desk, operations: &[&str]) {
    desk.reel(&[&["run", "kvtool.wasm", "--space", "shop", "--"][..], operations].concat()).well();
}

fn json(desk: &Desk, args: &[&str]) -> Vec<Value> {
    let out = desk.reel(&[args, &["--json"]].concat()).well();
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const LONG: &str = "a value that is longer than what an event has in itself, so that only a replay knows it";

fn trade(desk: &Desk) {
    run(desk, &["keyvalue.set prices tea 350", "file.write /bill one-tea"]);
    run(
        desk,
        &[
            "keyvalue.get prices tea",
            &format!("keyvalue.set orders 7 {}", LONG.replace(' ', "_")),
            "keyvalue.set prices tea 400",
            "keyvalue.delete prices tea",
            "file.write /bill two",
        ],
    );
}

#[test]
fn a_script_steps_there_and_back() {
    let desk = desk();
    trade(&desk);
    let log = json(&desk, &["log", "2"]);
    let last = log.len() as u64 - 1;
    // Each stop has the event as the log has it.
    let steps: Vec<Value> = json(&desk, &["debug", "2", "--script", "^ n n n b b $ b5"]);
    let at: Vec<u64> = steps.iter().map(|stop| stop["seq"].as_u64().expect("a number")).collect();
    assert_eq!(at, [0, 1, 2, 3, 2, 1, last, last - 5]);
    for stop in &steps {
        let event = &log[stop["seq"].as_u64().expect("a number") as usize];
        assert_eq!((&stop["call"], &stop["class"]), (&event["call"], &event["class"]));
    }
    assert_eq!((&steps[2], &steps[1]), (&steps[4], &steps[5]));
    // The last write of a key, and the one before.
    let writes = json(&desk, &["debug", "2", "--script", "$ k:prices/tea k:prices/tea k:orders/7"]);
    let calls: Vec<&str> = writes.iter().filter_map(|stop| stop["call"].as_str()).collect();
    assert_eq!(calls, ["run.end", "kv.delete", "kv.set", "kv.set"]);
    let changed = |stop: &Value, key: &str| {
        let all = stop["changed"].as_array().expect("a list").clone();
        all.into_iter().find(|held| held["key"]["text"] == key).unwrap_or_else(|| panic!("{key} in {stop}"))
    };
    assert_eq!(changed(&writes[1], "tea")["is"], "nothing");
    assert_eq!(changed(&writes[2], "tea")["bytes"]["text"], "400");
    assert_eq!(changed(&writes[3], "7")["bytes"]["text"], LONG.replace(' ', "_"));
    // The first stop has what was there before.
    let first = json(&desk, &["debug", "2", "--at", "0"]).remove(0);
    let others = first["others"].as_array().expect("a list");
    assert!(others.iter().any(|held| held["key"]["text"] == "tea" && held["bytes"]["text"] == "350"), "{first}");
    assert!(others.iter().any(|held| held["path"] == "bill" && held["bytes"]["text"] == "one-tea"), "{first}");
    // As text.
    let text = desk.reel(&["debug", "2", "--script", "$ k:orders/7 mark:x n 'x /prices"]).well();
    assert!(text.contains("orders/7 = \"a_value") && text.contains("changed since version 1"), "{text}");
    // Forks.
    let before = desk.reel(&["kv", "get", "shop@1", "prices", "tea"]).well();
    desk.reel(&["debug", "2", "--script", "3 fork:there"]).well();
    assert_eq!(desk.reel(&["kv", "get", "there", "prices", "tea"]).well(), before);
    desk.reel(&["debug", "2", "--script", "fork:there"]).fails(67);
    // Memory.
    let memory = desk.reel(&["debug", "2", "--script", "$ mem:0x0+32"]).well();
    assert!(memory.contains("memory 0 when the guest asked for event"), "{memory}");
}

#[test]
fn what_cannot_be_is_refused() {
    let desk = desk();
    trade(&desk);
    desk.reel(&["debug", "9", "--json"]).fails(66);
    desk.reel(&["debug", "2", "--at", "99999", "--json"]).fails(66);
    desk.reel(&["debug", "2", "--script", "99999"]).fails(66);
    desk.reel(&["debug", "2", "--script", "nonsense"]).fails(2);
    desk.reel(&["debug", "2", "--script", "'nowhere"]).fails(66);
    desk.reel(&["debug", "2", "--script", "/nowhere_at_all"]).fails(66);
    desk.reel(&["debug", "2", "--script", "!"]).fails(66);
    desk.reel(&["debug", "2", "--script", "k:no/such"]).fails(66);
    assert_eq!(desk.reel(&["debug", "2", "--script", "$ mem:9:0"]).code, Some(66));
    assert_eq!(desk.reel(&["debug", "2", "--script", "$ mem:0xffffffffffffffff"]).code, Some(66));
    assert!(desk.reel(&["debug", "2", "--script", "mem:0x0"]).fails(11).contains("no memory yet"));
    let no_terminal = desk.reel(&["debug", "2"]).fails(2);
    assert!(no_terminal.contains("--script"), "{no_terminal}");
}

#[test]
fn the_failing_event_is_found() {
    let desk = Desk::new();
    desk.guest(
        "trap.wasm",
        r#"(component
  (core module $m (memory (export "memory") 1) (func (export "run") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $out (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $out)))"#,
    );
    desk.reel(&["run", "trap.wasm"]).fails(123);
    let stop = json(&desk, &["debug", "last", "--script", "!"]).remove(0);
    assert_eq!(stop["call"], "run.end");
    assert!(stop["request"]["outcome"].as_str().is_some_and(|outcome| outcome.contains("unreachable")), "{stop}");
}

/// No escape sequence of a guest reaches whoever reads.
#[test]
fn escape_sequences_are_harmless() {
    let desk = desk();
    let nasty = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{9b}31m";
    run(&desk, &[&format!("keyvalue.set b{nasty} k{nasty} {nasty}"), &format!("file.write /f{nasty} {nasty}")]);
    for args in [["debug", "1", "--script", "$ w w all"].as_slice(), &["debug", "1", "--script", "$ all", "--json"]] {
        let out = desk.reel(args).well();
        let plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(out.chars().all(plain), "{out:?}");
        assert!(out.contains("2J"), "{out}");
    }
}

/// With a server it says the same.
#[test]
fn a_server_answers_the_same() {
    let desk = desk();
    trade(&desk);
    let scripts: [&[&str]; 3] = [
        &["debug", "2", "--script", "$ k:orders/7 w b all mem:0+64"],
        &["debug", "2", "--at", "3", "--json"],
        &["debug", "2", "--script", "!"],
    ];
    let said = |desk: &Desk| -> Vec<(Option<i32>, String)> {
        let all = scripts.iter().map(|args| desk.command(args).output().expect("reel runs"));
        all.map(|out| (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())).collect()
    };
    let alone = said(&desk);
    let mut server = desk.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("serves");
    let mut words = [0; 8];
    server.stderr.as_mut().expect("piped").read_exact(&mut words).expect("it says that it serves");
    let served = said(&desk);
    server.kill().expect("killed");
    drop(server.wait());
    assert_eq!(alone, served);
}

/// Stepping by hand, at a terminal that `script` makes; where there is no such program, only the rest is tested.
#[test]
fn at_a_terminal() {
    let desk = desk();
    trade(&desk);
    let reel = reel_tests::reel::reel();
    let command = format!("stty rows 24 cols 80; {} debug 2", reel.display());
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(desk.path()).env("TERM", "xterm").env_remove("REEL_DB");
    let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        return;
    };
    let mut stdin = child.stdin.take().expect("piped");
    for keys in ["n", "n", "b", "$", "k", "orders/7\r", "2", "a", "h", "4", "/kv.set\r", "\t", "q"] {
        std::thread::sleep(std::time::Duration::from_millis(150));
        stdin.write_all(keys.as_bytes()).expect("written");
    }
    let out = child.wait_with_output().expect("it ends");
    drop(stdin);
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{text}");
    // What is drawn is only what changes.
    for word in ["event 0 of ", "[1 event]", "orders/7", "changed since", "memory 0"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.contains("\u{1b}[?1049h") && text.contains("\u{1b}[?1049l"), "the terminal is given back");
}
