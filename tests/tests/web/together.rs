//! Many at once: nothing is lost, nothing is counted twice, whoever reads what is not durable yet.

use std::io::{Read, Write};

use reel_tests::web::Server;

use super::{desk, served};

/// Requests of one connection, one after the other; how many were acknowledged.
fn many(server: &Server, path: &str, count: usize) -> usize {
    let mut stream = server.connect();
    let mut acknowledged = 0;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut piece = [0; 4096];
    for _ in 0..count {
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
        let mut all = Vec::new();
        let status = loop {
            let Ok(read @ 1..) = stream.read(&mut piece) else { break None };
            all.extend_from_slice(&piece[..read]);
            if let Some(answer) = reel_tests::web::Answer::read(&all).filter(|answer| answer.whole) {
                break Some(answer.status);
            }
        };
        match status {
            Some(200) => acknowledged += 1,
            Some(503) => {}
            Some(other) => panic!("{path}: {other}"),
            None => break,
        }
    }
    acknowledged
}

#[test]
fn one_key_counted_by_many() {
    for kind in ["handler", "resident"] {
        let (desk, server) = served(&["--kind", kind]);
        let counted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| many(&server, "/count/hot", 50))).collect();
            threads.into_iter().map(|thread| thread.join().expect("counted")).sum()
        });
        assert!(counted > 700, "{kind}: {counted} of 800");
        assert_eq!(server.get("/get/hot").text(), counted.to_string(), "{kind}");
        assert_eq!(server.stop(), Some(0));
        desk.reel(&["verify"]).well();
    }
}

#[test]
fn killed_while_many_count() {
    let desk = desk(&[]);
    let kills: usize = std::env::var("REEL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let (mut least, mut most) = (0, 0);
    for round in 0..kills {
        let server = Server::start(&desk, &[]);
        let (acknowledged, asked) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| many(&server, "/count/n", 1_000_000))).collect();
            std::thread::sleep(std::time::Duration::from_millis(50 + 37 * (round as u64 % 10)));
            server.signal_kill();
            (threads.into_iter().map(|thread| thread.join().expect("counted")).sum::<usize>(), 8)
        });
        server.kill();
        // Each client may have one request of which it does not know what became.
        (least, most) = (least + acknowledged, most + acknowledged + asked);
    }
    let server = Server::start(&desk, &[]);
    let counted: usize = server.get("/get/n").text().parse().expect("a number");
    assert!((least..=most).contains(&counted), "{counted} where {least} to {most} were counted");
    assert_eq!(server.stop(), Some(0));
    desk.reel(&["verify"]).well();
}
