//! Clients that are slow, broken or mean harm, and requests that are none.

use std::io::{Read, Write};
use std::time::Duration;

use reel_tests::web::{Answer, Server};

use super::{desk, served};

#[test]
fn what_is_no_request_is_refused_and_hurts_nobody() {
    let (_desk, server) = served(&[]);
    let status = |bytes: &[u8]| Answer::read(&server.raw(bytes)).map(|answer| answer.status);
    assert_eq!(status(b"\0\0\0\0\r\n\r\n"), Some(400));
    assert_eq!(status(b"GET / HTTP/9.9\r\n\r\n"), Some(400));
    assert_eq!(status(b"GET /hello HTTP/1.1\r\nhost: a\r\nname with space: x\r\n\r\n"), Some(400));
    // Two lengths, or a length and chunks, are how requests are smuggled (RFC 9112, section 6.3).
    let two = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!";
    assert_eq!(status(two), Some(400));
    let bomb = format!("GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    assert_eq!(status(bomb.as_bytes()), Some(431));
    let many: String = (0..10_000).map(|n| format!("x{n}: y\r\n")).collect();
    assert_eq!(status(format!("GET /hello HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes()), Some(431));
    assert_eq!(status(b"CONNECT example.com:80 HTTP/1.1\r\nhost: a\r\n\r\n"), Some(400));
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let (_desk, server) = served(&[]);
    // In the middle of its body: the guest is told, and rolled back.
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(b"PUT /put/half HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").expect("sent");
        drop(stream);
    }
    // Before its answer: what it has asked for is done.
    let mut stream = server.connect();
    stream.write_all(b"GET /count/gone HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    drop(stream);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.get("/get/half").status, 404);
    assert_eq!(server.get("/get/gone").text(), "1");
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let (_desk, server) = served(&[]);
    let slow: Vec<_> = (0..200)
        .map(|n| {
            let mut stream = server.connect();
            let begun: &[u8] =
                if n % 2 == 0 { b"GET /he" } else { b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx" };
            stream.write_all(begun).expect("sent");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(server.get("/hello").status, 200);
    }
    drop(slow);
}

#[test]
fn several_requests_on_one_connection() {
    let (_desk, server) = served(&[]);
    let mut stream = server.connect();
    stream.write_all(&b"GET /count/p HTTP/1.1\r\nhost: a\r\n\r\n".repeat(5)).expect("sent");
    stream.write_all(b"GET /get/p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("answers");
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 6, "{all}");
    assert!(all.ends_with("\r\n\r\n5"), "{all}");
}

#[test]
fn too_many_at_once_are_told_so() {
    let desk = desk(&[]);
    let server = Server::start(&desk, &["--at-once", "20"]);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /sleep/4000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    let full = (0..50).find_map(|_| {
        let answer = server.get("/hello");
        std::thread::sleep(Duration::from_millis(100));
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(full.expect("it is full").field("retry-after"), Some("1"));
    for mut stream in waiting {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("an answer");
        assert_eq!(Answer::read(&all).expect("an answer").status, 200);
    }
    assert_eq!(server.get("/hello").status, 200);
    let said = desk.reel(&["serve", "--at-once", "0"]).fails(2);
    assert!(said.contains("--at-once"), "{said}");
}

#[test]
fn a_guest_that_computes_for_ever_is_stopped() {
    let (_desk, server) = served(&["--deadline", "300ms"]);
    assert_eq!(server.get("/spin").status, 500);
    assert_eq!(server.get("/hello").status, 200);
}

#[test]
fn hosts_and_paths_have_their_guests() {
    let desk = desk(&["--route", "/a", "--route", "one.example/"]);
    let server = Server::start(&desk, &[]);
    let status = |host: &str, path: &str| {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        Answer::read(&server.raw(bytes.as_bytes())).map(|answer| (answer.status, answer.field("reel-run").is_some()))
    };
    assert_eq!(status("localhost", "/hello"), Some((404, false)));
    assert_eq!(status("localhost", "/a/x"), Some((404, true)));
    assert_eq!(status("ONE.example:80", "/hello"), Some((200, true)));
    drop(server);
    let web = reel_tests::guests::guest("web", reel_tests::guests::Target::P2);
    let taken = desk.reel(&["deploy", web.to_str().expect("a path"), "--as", "other", "--route", "/a"]).fails(2);
    assert!(taken.contains("answered by web already"), "{taken}");
}

#[test]
fn a_port_in_use_is_said() {
    let (desk, server) = served(&[]);
    let other = reel_tests::reel::Desk::new();
    let said = other.reel(&["serve", "--listen", &server.address.to_string()]).fails(125);
    assert!(said.contains("somebody listens there already"), "{said}");
    let said = other.reel(&["serve", "--listen", "nonsense"]).fails(125);
    assert!(said.contains("HOST:PORT"), "{said}");
    drop(desk);
}
