//! Guests that ask others: only where they were granted to, once, with a key, and a replay asks nobody.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use reel_tests::web::Server;

use super::{replay, served};

/// Somebody who answers every request with what they were sent, and remembers it.
pub fn other() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(count) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..count]);
                let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
                let head = text.find("\r\n\r\n").map(|end| end + 4);
                if count == 0 || head.is_some_and(|head| bytes.len() >= head + length.unwrap_or(0)) {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.starts_with("GET /drop") {
                kept.lock().expect("asked").push(text);
                continue;
            }
            if text.starts_with("POST /hang") && kept.lock().expect("asked").is_empty() {
                kept.lock().expect("asked").push(text);
                std::mem::forget(stream);
                continue;
            }
            let answer =
                format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\nx-other: yes\r\n\r\n{text}", text.len());
            kept.lock().expect("asked").push(text);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

fn key(request: &str) -> String {
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with("idempotency-key:"));
    line.expect("a key").split(": ").nth(1).expect("a value").to_owned()
}

#[test]
fn others_are_asked_once_and_the_replay_asks_nobody() {
    let (address, asked) = other();
    let (desk, server) = served(&["--net", "127.0.0.1:*"]);
    let posted = server.ask("POST", &format!("/fetch?{address}/pay"), b"10 coins");
    assert_eq!((posted.status, posted.field("x-status")), (200, Some("201")), "{}", posted.text());
    assert!(
        posted.text().starts_with("POST /pay HTTP/1.1") && posted.text().ends_with("10 coins"),
        "{}",
        posted.text()
    );
    let got = server.get(&format!("/fetch?{address}/look"));
    assert!(got.text().starts_with("GET /look HTTP/1.1"), "{}", got.text());
    let keys: Vec<String> = asked.lock().expect("asked").iter().map(|request| key(request)).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[posted.run(), got.run()]);
    assert_eq!(asked.lock().expect("asked").len(), 2);
    let log = desk.reel(&["log", &posted.run().to_string()]).well();
    assert!(log.contains("http.send") && log.contains("/pay"), "{log}");
}

#[test]
fn what_was_not_granted_is_not_sent() {
    let (address, asked) = other();
    let (desk, server) = served(&["--net", "127.0.0.1:1"]);
    let refused = server.get(&format!("/fetch?{address}/"));
    assert_eq!((refused.status, refused.text().contains("HttpRequestDenied")), (403, true), "{}", refused.text());
    assert!(asked.lock().expect("asked").is_empty());
    let closed = server.get("/fetch?127.0.0.1:1/");
    assert_eq!((closed.status, closed.text().contains("ConnectionRefused")), (502, true), "{}", closed.text());
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[refused.run(), closed.run()]);
}

#[test]
fn only_what_may_be_repeated_is_repeated_and_with_one_key() {
    let (address, asked) = other();
    let (desk, server) = served(&["--net", "127.0.0.1:*"]);
    let dropped = server.get(&format!("/fetch?{address}/drop"));
    assert_eq!((dropped.status, dropped.text().contains("ConnectionTerminated")), (502, true), "{}", dropped.text());
    let keys: Vec<String> = asked.lock().expect("asked").iter().map(|request| key(request)).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    wait_for(|| server.said().contains("rolled back, but this had left") && server.said().contains(&keys[0]));
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[dropped.run()]);
}

#[test]
fn what_a_crash_has_cut_off_is_asked_again_with_the_same_key() {
    for resumes in [true, false] {
        let (address, asked) = other();
        let policy = if resumes { "resume" } else { "abort" };
        let (desk, server) = served(&["--net", "127.0.0.1:*", "--on-crash", policy]);
        let mut client = server.connect();
        let head = format!("POST /fetch?{address}/hang HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\ncoin");
        client.write_all(head.as_bytes()).expect("sent");
        wait_for(|| asked.lock().expect("asked").len() == 1);
        server.kill();
        let again = Server::start(&desk, &[]);
        let committed = || {
            let runs = desk.reel(&["runs", "--json"]).out;
            runs.lines().any(|run| run.contains("POST /fetch") && run.contains(r#""state":"committed""#))
        };
        if resumes {
            wait_for(|| asked.lock().expect("asked").len() == 2);
            wait_for(committed);
            let keys: Vec<String> = asked.lock().expect("asked").iter().map(|request| key(request)).collect();
            assert_eq!(keys[0], keys[1]);
        } else {
            assert_eq!(again.get("/hello").status, 200);
            assert_eq!((asked.lock().expect("asked").len(), committed()), (1, false));
        }
        assert_eq!(again.stop(), Some(0));
        replay(&desk, &[2]);
    }
}

pub fn wait_for(mut there: impl FnMut() -> bool) {
    for _ in 0..600 {
        if there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it has not happened in 30 seconds");
}
