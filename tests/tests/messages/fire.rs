//! Money that moves by messages while the server is killed again and again and receivers fail by chance: sums and counts are exact, and each payment
//! comes in the order of its sender, once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reel_tests::reel::Desk;

use super::laws::postman;

/// How often the server is killed: a few times, unless `REEL_KILLS` asks for more.
fn kills() -> u64 {
    std::env::var("REEL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Residents, each of which pays to all others.
const GUESTS: [&str; 3] = ["a", "b", "c"];

/// Handlers, which pay half of it back.
const HANDLERS: [&str; 2] = ["h", "i"];

fn kept(desk: &Desk, guest: &str, key: &str) -> i64 {
    let said = desk.reel(&["kv", "get", guest, "porter", key]);
    if said.code == Some(66) { 0 } else { said.well().trim().parse().expect("a number") }
}

fn serve(desk: &Desk) -> Child {
    let mut server = desk.command(&["serve"]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel starts");
    let mut line = String::new();
    BufReader::new(server.stderr.as_mut().expect("piped")).read_line(&mut line).expect("it says something");
    assert!(line.starts_with("serving"), "{line}");
    server
}

fn kill(mut server: Child) {
    server.kill().expect("killed");
    server.wait().expect("it is gone");
}

/// A number that a call gives.
fn number(desk: &Desk, guest: &str, function: &str) -> i64 {
    desk.reel(&["call", guest, function]).well().trim().parse().expect("a number")
}

#[test]
fn money_is_neither_made_nor_lost() {
    let desk = Desk::new();
    desk.file("postman.wasm", postman());
    for name in GUESTS {
        desk.reel(&["deploy", "postman.wasm", "--as", name, "--subscribe", name, "--attempts", "100"]).well();
    }
    desk.file("porter.wasm", super::handlers::porter());
    for name in HANDLERS {
        let subscribed = ["--subscribe", name, "--attempts", "100", "--every", "200ms tick(\"fire\")"];
        desk.reel(&[&["deploy", "porter.wasm", "--as", name, "--kind", "handler"], &subscribed[..]].concat()).well();
    }
    let all: Vec<&str> = GUESTS.into_iter().chain(HANDLERS).collect();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance
    };
    for _ in 0..kills() {
        let wait = Duration::from_millis(100 + next() % 700);
        let server = serve(&desk);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (place, name) in GUESTS.iter().enumerate() {
                let (desk, over, all) = (&desk, &over, &all);
                scope.spawn(move || {
                    let mut turn = place;
                    while !over.load(Ordering::Relaxed) {
                        turn += 1;
                        let to = format!("{:?}", all[turn % all.len()]);
                        let cents = (1 + turn % 7).to_string();
                        drop(desk.reel(&["call", name, "pay", &to, &cents, "4"]));
                    }
                });
            }
            std::thread::sleep(wait);
            over.store(true, Ordering::Relaxed);
            kill(server);
        });
    }
    let server = serve(&desk);
    let began = Instant::now();
    while !desk.reel(&["queue", "ls", "--json"]).well().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(100), "{}", desk.reel(&["queue", "ls"]).out);
        std::thread::sleep(Duration::from_millis(100));
    }
    let (mut came, mut sum, mut counted) = (0, 0, 0);
    for name in GUESTS {
        let said = desk.reel(&["call", name, "came"]).well();
        let (some, wrong) = said.trim().trim_matches(['(', ')']).split_once(", ").expect("two numbers");
        assert_eq!(wrong, "0", "{name}: out of order, lost or twice");
        came += some.parse::<i64>().expect("a number");
        let balance = number(&desk, name, "balance");
        sum += balance;
        counted += balance.abs();
    }
    for name in HANDLERS {
        let wrong = ["wrong", "not fresh", "it should not be here"].map(|key| kept(&desk, name, key));
        assert_eq!(wrong, [0; 3], "{name}: out of order, lost or twice");
        came += kept(&desk, name, "came");
        sum += kept(&desk, name, "balance");
    }
    kill(server);
    assert_eq!(sum, 0, "money was made or lost");
    assert!(came > 0 && counted >= 0);
    // Each payment that was made has come: the numbers go on where the last one stopped.
    let mut paid = 0;
    for name in GUESTS {
        for to in &all {
            let next: i64 = desk
                .reel(&["call", name, "pay", &format!("{to:?}"), "0", "0"])
                .well()
                .trim()
                .parse()
                .expect("a number");
            paid += next - 1;
        }
        paid += HANDLERS.iter().map(|handler| kept(&desk, handler, &format!("paid {name}"))).sum::<i64>();
    }
    for name in HANDLERS {
        // A timer is called once for each time that it was set to, however often the server was killed.
        let runs = desk.reel(&["runs", "--space", name, "--json", "--limit", "0"]).well();
        let ticks = runs.lines().filter(|line| line.contains("#tick") && line.contains("\"committed\"")).count();
        assert_eq!(kept(&desk, name, "tick fire"), ticks as i64, "{name}");
        assert!(ticks > 0, "{name} was never called");
    }
    assert_eq!(came, paid, "as many came as were paid");
    println!("{came} payments came through {} kills", kills());
    desk.reel(&["verify"]).well();
}
