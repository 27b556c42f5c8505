//! While a server has the database, it answers; commits go on meanwhile, and who hangs up is not answered further.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reel_tests::reel::{Desk, end};

use crate::ask;

const POKE: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "poke") (result i32)
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (i32.load (i32.const 0))))
  (core instance $i (instantiate $m))
  (func (export "poke") (result u32) (canon lift (core func $i "poke"))))"#;

const ENDLESS: &str = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(desk: &Desk) -> Server {
    let mut command = desk.command(&["serve"]);
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel can be started");
    let mut words = BufReader::new(server.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("serving ") {
        line.clear();
        assert!(words.read_line(&mut line).expect("it says something") > 0, "it does not serve");
    }
    std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
    Server(server)
}

fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_server_answers_as_this_process_does() {
    let desk = Desk::new();
    desk.guest("poke.wasm", POKE);
    desk.reel(&["deploy", "poke.wasm", "--as", "p"]).well();
    for _ in 0..3 {
        desk.reel(&["call", "p", "poke"]).well();
    }
    let questions = [
        "SELECT run, at, guest, space, version, state, outcome FROM runs",
        "SELECT * FROM events",
        "SELECT * FROM transactions",
        "SELECT * FROM components",
        "SELECT space, version, kind, stopped FROM spaces",
    ];
    let alone: Vec<_> = questions.iter().map(|text| ask(&desk, text)).collect();
    let server = serve(&desk);
    let served: Vec<_> = questions.iter().map(|text| ask(&desk, text)).collect();
    assert_eq!(alone, served);
    let wrong = desk.reel(&["sql", "SELECT * FROM nowhere"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("no such table"));
    assert_eq!(desk.reel_reading(&["sql"], b"SELECT 1 AS a;\nSELECT 2 AS b;\n").well(), "a\n1\nb\n2\n");
    desk.reel(&["sql", "--out", "answer.json", "--json", "SELECT 1 AS a"]).is(0, "", "");
    assert_eq!(desk.bytes("answer.json"), b"{\"a\":1}\n");
    drop(server);
}

#[test]
fn commits_go_on_while_a_question_is_answered() {
    let desk = Desk::new();
    desk.guest("poke.wasm", POKE);
    desk.reel(&["deploy", "poke.wasm", "--as", "p"]).well();
    let server = serve(&desk);
    let asking = desk.spawn(&mut desk.command(&["sql", ENDLESS]));
    let hanging = desk.spawn(&mut desk.command(&["sql", ENDLESS]));
    std::thread::sleep(Duration::from_millis(500));
    for count in 1..=5 {
        assert_eq!(desk.reel(&["call", "p", "poke"]).well(), format!("{count}\n"));
    }
    assert_eq!(ask(&desk, "SELECT count(*) n FROM runs WHERE state = 'committed'").len(), 1);
    signal(asking.id(), "INT");
    let asked = Instant::now();
    assert!(end(asking).fails(130).contains("the query was cancelled"));
    assert!(asked.elapsed() < Duration::from_secs(5));
    // Whoever is gone is not answered: the server ends at once, which it does not while it answers.
    signal(hanging.id(), "KILL");
    drop(end(hanging));
    std::thread::sleep(Duration::from_millis(300));
    let id = server.0.id();
    assert!(busy(id) < 0.5, "the server still works on a question that nobody has");
    drop(server);
}

/// Which part of a processor a process takes.
fn busy(process: u32) -> f64 {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it is there");
        let fields: Vec<i64> = stat
            .rsplit(')')
            .next()
            .expect("fields")
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        // utime and stime follow the state, which is no number, and ten others.
        fields[10] + fields[11]
    };
    let (before, begun) = (ticks(), Instant::now());
    std::thread::sleep(Duration::from_millis(1000));
    (ticks() - before) as f64 / 100.0 / begun.elapsed().as_secs_f64()
}
