//! What a guest answers, and what becomes of its transaction.

use super::{replay, served};

#[test]
fn an_answer_is_the_guest_s_and_its_run_replays() {
    let (desk, server) = served(&[]);
    let hello = server.get("/hello");
    assert_eq!((hello.status, hello.text().as_str()), (200, "hello\n"));
    let look = server.ask("PATCH", "/look?a=b", b"");
    assert!(look.text().starts_with("Method::Patch Some(Scheme::Http) Some(\"localhost\")\n"), "{}", look.text());
    assert_eq!(look.field("x-query"), Some("a=b"));
    // What belongs to the connection is none of the guest's affair.
    assert!(!look.text().contains("connection:") && !look.text().contains("host:"), "{}", look.text());
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let echo = server.ask("POST", "/echo", &bytes);
    assert!(echo.body == bytes && echo.whole);
    let big = server.get("/big/5000000");
    assert_eq!((big.body.len(), big.whole), (5_000_000, true));
    let runs = [hello.run(), look.run(), echo.run(), big.run()];
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &runs);
}

#[test]
fn what_failed_has_changed_nothing_and_is_in_the_log() {
    let (desk, server) = served(&[]);
    let mut runs = Vec::new();
    for (path, status, key, outcome) in [
        ("/trap", 500, "trapped", "trap"),
        ("/late-trap", 500, "trapped", "trap"),
        ("/never", 500, "never", "aborted"),
        ("/twice", 500, "twice", "trap"),
        ("/error", 500, "error", "aborted"),
        ("/fail", 503, "failed", "aborted"),
        ("/abort", 500, "aborted", "aborted"),
        ("/unfinished", 500, "unfinished", "aborted"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(server.get(&format!("/get/{key}")).status, 404, "{path}");
        runs.push((answer.run(), outcome));
    }
    // Its own words, if it has any.
    assert_eq!(server.get("/fail").text(), "failed");
    // An answer of the client's fault is an answer.
    server.get("/count/kept");
    assert_eq!(server.get("/status/418").status, 418);
    assert_eq!(server.get("/get/kept").text(), "1");
    assert_eq!(server.stop(), Some(0));
    let listed = desk.reel(&["runs", "--json", "--limit", "1000"]).well();
    for (run, outcome) in &runs {
        let line = listed.lines().find(|line| line.contains(&format!("\"run\":{run},"))).expect("a run in the list");
        assert!(line.contains(outcome), "{line}");
    }
    let runs: Vec<u64> = runs.iter().map(|(run, _)| *run).collect();
    replay(&desk, &runs);
}

#[test]
fn pieces_leave_with_their_commits() {
    let (desk, server) = served(&[]);
    let all = server.get("/stream/3");
    assert_eq!((all.status, all.whole), (200, true));
    assert_eq!(all.text(), "data: 0 1\n\ndata: 1 2\n\ndata: 2 3\n\n");
    // What was committed has left; then the client knows that there is no more.
    let broken = server.get("/stream/3?trap");
    assert_eq!((broken.status, broken.whole), (200, false));
    assert_eq!(broken.text(), "data: 0 4\n\ndata: 1 5\n\n");
    assert_eq!(server.get("/get/streamed").text(), "5");
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[2, 3]);
}

#[test]
fn an_acknowledged_request_outlives_the_power_cut() {
    let desk = super::desk(&[]);
    let mut expected = 0;
    for _ in 0..3 {
        let server = reel_tests::web::Server::start(&desk, &[]);
        for _ in 0..20 {
            expected += 1;
            assert_eq!(server.get("/count/n").text(), expected.to_string());
        }
        server.kill();
    }
    let server = reel_tests::web::Server::start(&desk, &[]);
    assert_eq!(server.get("/get/n").text(), expected.to_string());
}

#[test]
fn a_resident_answers_and_remembers() {
    let (desk, server) = served(&["--kind", "resident"]);
    let first = server.get("/count/a");
    assert_eq!(first.text(), "1");
    let failed = server.get("/fail");
    assert_eq!((failed.status, failed.text().as_str()), (503, "failed"));
    assert_eq!(server.get("/trap").status, 500);
    assert_eq!(server.get("/get/trapped").status, 404);
    let echo = server.ask("POST", "/echo", b"bytes");
    assert_eq!(echo.text(), "bytes");
    assert_eq!(server.get("/count/a").text(), "2");
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[first.run(), failed.run(), echo.run()]);
    let calls = desk.reel(&["ps", "--json"]).well();
    assert!(calls.contains("\"kind\":\"resident\""), "{calls}");
}
