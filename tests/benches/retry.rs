//! What old runs against new code cost, beside running them the first time: `cargo bench -p reel-tests --bench retry`.
//!
//! Runs of a command, requests to a handler and requests to a resident, first live, by 16 clients or all copies at once, each durable when it is answered. Then
//! `reel retry` executes all of them with the same component, with one that says something else in each run, and with one that does nothing else but has another
//! digest. What is measured is the time of whole commands, so that starting, opening the database and loading what was compiled count.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, guest, variant};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

/// Clients at once.
const CLIENTS: usize = 16;

fn main() {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    commands(runs);
    for kind in ["handler", "resident"] {
        requests(kind, runs);
    }
}

fn commands(runs: usize) {
    let desk = Desk::new();
    let till = std::fs::read(guest("till", Target::P2)).expect("the guest");
    desk.file("till.wasm", &till);
    // It is compiled when it is measured.
    desk.reel(&["run", "till.wasm", "--quiet", "--space", "warm", "--", "say x"]).well();
    let copies = runs.to_string();
    let begun = Instant::now();
    let args =
        ["run", "till.wasm", "--quiet", "--copies", &copies, "--space", "till", "--", "say hello", "write /a.txt x"];
    assert_eq!(desk.reel(&args).code, Some(0));
    let live = begun.elapsed();
    compared("command", &desk, "till", &till, &["loud", "other"], live);
}

fn requests(kind: &str, runs: usize) {
    let desk = Desk::new();
    let web = std::fs::read(guest("web", Target::P2)).expect("the guest");
    desk.file("web.wasm", &web);
    desk.reel(&["deploy", "web.wasm", "--as", "web", "--kind", kind]).well();
    let server = Server::start(&desk, &[]);
    asked(server.address, CLIENTS, "/hello");
    let begun = Instant::now();
    asked(server.address, runs, "/count/KEY");
    let live = begun.elapsed();
    asked(server.address, CLIENTS, "/hello");
    assert_eq!(server.stop(), Some(0));
    compared(kind, &desk, "web", &web, &["loud", "other"], live);
}

/// Times of retries, with variants of the component.
fn compared(what: &str, desk: &Desk, space: &str, component: &[u8], variants: &[&str], live: Duration) {
    for name in [&["as it was"], variants].concat() {
        desk.file("new.wasm", variant(component, name));
        let args = ["retry", "--guest", space, "--with", "new.wasm", "--allow", "output,effects,cannot", "--json"];
        // The first time compiles it.
        desk.reel(&[&args[..], &["--where", "run < 3"]].concat());
        let begun = Instant::now();
        let said = desk.reel(&args);
        let took = begun.elapsed();
        assert_eq!(said.code, Some(0), "{}", said.err);
        let sum: serde_json::Value =
            said.out.lines().last().and_then(|sum| serde_json::from_str(sum).ok()).expect("a sum");
        let count = sum["runs"].as_u64().expect("a number");
        let ratio = live.as_secs_f64() / took.as_secs_f64();
        println!(
            "{what:<9} {name:<10} {count} runs: first time {live:.0?}, again {took:.0?}: {ratio:.1} times as fast; {}",
            sum["verdicts"]
        );
    }
}

/// Sends so many requests, by all clients at once. `KEY` is another word in each of them.
fn asked(address: SocketAddr, count: usize, path: &str) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).expect("it listens");
                stream.set_nodelay(true).expect("set");
                for turn in (client..count).step_by(CLIENTS) {
                    let path = path.replace("KEY", &format!("key-{turn}"));
                    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).expect("sent");
                    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"), "{path}");
                }
            });
        }
    });
}

/// One answer that says how long it is.
fn answer(stream: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).expect("an answer");
        assert!(count > 0, "it has gone");
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
