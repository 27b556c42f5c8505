//! What came from outside comes from the log; what was never asked is never asked.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

/// Somebody who answers every request with a number of its own, and remembers all requests.
fn other() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(count) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..count]);
                let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length =
                        head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
                    length.map_or(body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length)
                });
                if count == 0 || whole {
                    break;
                }
            }
            let mut kept = kept.lock().expect("asked");
            kept.push(String::from_utf8_lossy(&bytes).into_owned());
            let answer = format!("answer {}", kept.len());
            let head = format!("HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
            let _ = stream.write_all(format!("{head}{answer}").as_bytes());
        }
    });
    (address, asked)
}

fn count(asked: &Mutex<Vec<String>>) -> usize {
    asked.lock().expect("asked").len()
}

#[test]
fn time_and_chance_are_those_of_the_log() {
    let desk = desk("till", &["ahead", "draws"]);
    assert_eq!(till(&desk, &["--", "look", "look", "wait 30", "look"]), Some(0));
    // It left the record with its first event, and saw the same times and draws.
    let run = one(&desk, "1", "till-ahead.wasm");
    assert_eq!((&run["verdict"], &run["stdout"]), (&"output".into(), &Value::Null), "{run}");
    assert!(run["stderr"]["is"].as_u64() > Some(0), "{run}");
    assert_eq!(run["notes"], Value::Array(Vec::new()));
    // One that draws more often than then: it is said that the last ones are made up, and they are the same each time.
    let said = |_| desk.reel(&["retry", "1", "--with", "till-draws.wasm"]).out;
    let all: Vec<String> = (0..3).map(said).collect();
    assert!(all[0].contains("note: chance is drawn from a seed of the run"), "{}", all[0]);
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
}

#[test]
fn nobody_waits_for_a_time_that_has_passed() {
    let desk = desk("till", &["ahead", "sleepy"]);
    assert_eq!(till(&desk, &["--", "wait 3000"]), Some(0));
    let begun = std::time::Instant::now();
    assert_eq!(one(&desk, "1", "till-ahead.wasm")["stdout"], Value::Null);
    // An hour, of which a run without a deadline has enough.
    assert_eq!(one(&desk, "1", "till-sleepy.wasm")["verdict"], "same");
    assert!(begun.elapsed().as_millis() < 2900, "{:?}", begun.elapsed());
    // One with a deadline has not.
    assert_eq!(till(&desk, &["--deadline", "10s", "--", "say short"]), Some(0));
    let run = one(&desk, "2", "till-sleepy.wasm");
    assert_eq!(run["verdict"], "broken", "{run}");
    assert!(run["is"].as_str().is_some_and(|is| is.contains("deadline")), "{run}");
}

#[test]
fn requests_of_then_have_the_answers_of_then() {
    let (address, asked) = other();
    let fetch = |path: &str, body: &str| format!("fetch {address} {path} {body}");
    let desk = desk("till", &["ahead", "mute", "loud"]);
    let net = ["--net", "127.0.0.1:*", "--"];
    let steps = [fetch("/one", "a"), "say between".into(), fetch("/two", "b"), fetch("/one", "a")];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    assert_eq!(till(&desk, &[&net[..], &steps].concat()), Some(0));
    assert_eq!(count(&asked), 3);
    // From the first event on, and from between two of them on.
    for with in ["till-ahead.wasm", "till-loud.wasm"] {
        let run = one(&desk, "1", with);
        assert_eq!(run["verdict"], "output", "{run}");
        assert_eq!(run["why"], Value::Null);
    }
    let ahead = one(&desk, "1", "till-ahead.wasm");
    assert_eq!((&ahead["stdout"], &ahead["unasked"]), (&Value::Null, &Value::Array(Vec::new())), "{ahead}");
    // Not to ask is another thing to do, too.
    let mute = one(&desk, "1", "till-mute.wasm");
    assert_eq!((&mute["verdict"], mute["unasked"].as_array().map(Vec::len)), (&"effects".into(), Some(3)), "{mute}");
    assert!(mute["unasked"][0].as_str().is_some_and(|asked| asked.starts_with("POST http://127.0.0.1:")), "{mute}");
    assert_eq!(count(&asked), 3);
}

#[test]
fn a_new_request_is_stopped_and_never_sent() {
    let (address, asked) = other();
    let desk = desk("till", &["asks", "twice", "dials"]);
    let step = format!("fetch {address} /one a");
    assert_eq!(till(&desk, &["--net", "127.0.0.1:*", "--", "pay 5", &step, "pay 6"]), Some(0));
    assert_eq!(count(&asked), 1);
    let run = one(&desk, "1", "till-asks.wasm");
    assert_eq!(run["verdict"], "new-request", "{run}");
    assert_eq!(run["why"], format!("POST http://{address}/more, with 1 bytes"));
    let run = one(&desk, "1", "till-twice.wasm");
    assert_eq!(run["verdict"], "new-request", "{run}");
    assert!(run["why"].as_str().is_some_and(|why| why.ends_with("it was sent then, but once")), "{run}");
    let run = one(&desk, "1", "till-dials.wasm");
    assert_eq!(run["verdict"], "new-request", "{run}");
    assert!(run["why"].as_str().is_some_and(|why| why.starts_with("tcp.") || why.starts_with("net.")), "{run}");
    let said = desk.reel(&["retry", "1", "--with", "till-asks.wasm"]);
    assert_eq!(said.code, Some(13));
    assert!(said.out.starts_with("run 1: new-request"), "{}", said.out);
    assert_eq!(count(&asked), 1, "nobody was asked");
    // Who had no network has none now: it is refused as it would be, and that is told.
    assert_eq!(till(&desk, &["--", &step]), Some(0));
    assert_ne!(one(&desk, "2", "till-dials.wasm")["verdict"], "new-request");
    assert_eq!(count(&asked), 1, "nobody was asked");
}

#[test]
fn sockets_of_then_are_not_gone_on_with() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut line = [0; 7];
        stream.read_exact(&mut line).expect("a line");
        stream.write_all(&line).expect("written");
        // Nobody else comes.
        listener.set_nonblocking(true).expect("set");
        std::thread::sleep(std::time::Duration::from_millis(1));
        listener
    });
    let desk = Desk::new();
    desk.file("netter.wasm", std::fs::read(guest("netter", Target::P2)).expect("the guest"));
    let till = std::fs::read(guest("till", Target::P2)).expect("the guest");
    desk.file("till.wasm", till);
    let run = ["run", "netter.wasm", "--quiet", "--net", "127.0.0.1:*", "--", "echo", &address, "1"];
    assert_eq!(desk.reel(&run).out, "line 0\n");
    let listener = served.join().expect("served");
    assert_eq!(one(&desk, "1", "netter.wasm")["verdict"], "same");
    // Another program altogether, which does none of it.
    let run = one(&desk, "1", "till.wasm");
    assert!(["cannot", "broken"].contains(&run["verdict"].as_str().expect("a word")), "{run}");
    assert!(listener.accept().is_err(), "nobody was connected to");
}
