//! The server is killed again and again while it is called: what it acknowledged is there, once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reel_tests::reel::Desk;

use super::side::keeper;

/// How often the server is killed: a few times, unless `REEL_KILLS` asks for more.
fn kills() -> u64 {
    std::env::var("REEL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Starts a server and waits until it serves.
pub fn serve(desk: &Desk) -> Child {
    let mut server = desk.command(&["serve"]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel starts");
    let mut line = String::new();
    BufReader::new(server.stderr.as_mut().expect("piped")).read_line(&mut line).expect("it says something");
    assert!(line.starts_with("serving"), "{line}");
    server
}

pub fn kill(mut server: Child) {
    server.kill().expect("killed");
    server.wait().expect("it is gone");
}

/// The sums that one guest has acknowledged, and calls of which nobody knows what became.
#[derive(Default)]
struct Called {
    acknowledged: Vec<i64>,
    uncertain: i64,
}

#[test]
fn no_acknowledged_call_is_lost_and_none_repeated() {
    let desk = Desk::new();
    desk.file("keeper.wasm", keeper());
    let mut guests = [("a", Called::default()), ("b", Called::default())];
    for (name, _) in &guests {
        desk.reel(&["deploy", "keeper.wasm", "--as", name, "--on-crash", "abort"]).well();
    }
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..kills() {
        chance = (chance ^ (chance << 13)) ^ ((chance ^ (chance << 13)) >> 7);
        chance ^= chance << 17;
        let server = serve(&desk);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (name, called) in &mut guests {
                let (desk, over) = (&desk, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let said = desk.reel(&["call", name, "add", "1"]);
                        match said.code {
                            Some(0) => called.acknowledged.push(said.out.trim().parse().expect("a sum")),
                            _ => called.uncertain += 1,
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100 + chance % 500));
            over.store(true, Ordering::Relaxed);
            kill(server);
        });
    }
    for (name, called) in &guests {
        let sum: i64 = desk.reel(&["call", name, "add", "0"]).well().trim().parse().expect("a sum");
        let acknowledged = called.acknowledged.len() as i64;
        let distinct: BTreeSet<_> = called.acknowledged.iter().collect();
        assert_eq!(distinct.len() as i64, acknowledged, "no sum was given twice");
        assert!(acknowledged > 0, "somebody was served");
        assert!(
            (acknowledged..=acknowledged + called.uncertain).contains(&sum),
            "{name}: {acknowledged} acknowledged, {} uncertain, and the sum is {sum}",
            called.uncertain
        );
    }
    desk.reel(&["verify"]).well();
}

/// A call that the kill cut off in its middle is completed by the next server, once.
#[test]
fn a_call_that_a_kill_cut_off_is_completed_once() {
    let desk = Desk::new();
    desk.file("keeper.wasm", keeper());
    desk.reel(&["deploy", "keeper.wasm", "--as", "k", "--on-crash", "resume"]).well();
    let mut sum = 0;
    for millis in [100, 250] {
        let server = serve(&desk);
        // Awake, so that the next call sleeps when the server is killed.
        desk.reel(&["call", "k", "add", "0"]).well();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| desk.reel(&["call", "k", "slow-add", "1", "1500"]));
            std::thread::sleep(Duration::from_millis(400 + millis));
            kill(server);
            assert_ne!(call.join().expect("the client").code, Some(0));
        });
        sum += 1;
        let server = serve(&desk);
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(desk.reel(&["call", "k", "add", "0"]).well(), format!("{sum}\n"));
        kill(server);
        assert_eq!(desk.reel(&["call", "k", "add", "0"]).well(), format!("{sum}\n"), "once");
    }
    desk.reel(&["verify"]).well();
}
