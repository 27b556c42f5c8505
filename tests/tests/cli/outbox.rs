//! Writes to host directories that cannot arrive: listed, retried, given up.

use std::fs;
use std::time::Duration;

use reel_tests::guests::{Target, guest};
use reel_tests::reel::{Desk, end};

#[test]
fn what_has_not_arrived_is_listed_retried_and_dropped() {
    let desk = Desk::new();
    let (out, away) = (desk.path().join("out"), desk.path().join("away"));
    let chaos = guest("chaos", Target::P2).display().to_string();
    let grant = format!("{}::/out", out.display());
    assert_eq!(desk.reel(&["run", &chaos, "--", "/", ""]).code, Some(0));
    assert_eq!(desk.reel(&["outbox", "--json"]).well(), "");
    for round in 1..=2 {
        fs::create_dir(&out).expect("directory");
        let script = format!("write a 5 {round}\nnap 700000");
        let child = desk.spawn(&mut desk.command(&["run", &chaos, "-q", "--dir", &grant, "--", "/out", &script]));
        // While the guest sleeps, its directory goes elsewhere.
        std::thread::sleep(Duration::from_millis(350));
        fs::rename(&out, &away).expect("rename");
        let done = end(child);
        assert_eq!(done.code, Some(125), "{done:?}");
        assert!(done.err.contains("reel outbox"), "{done:?}");
        let listed = desk.reel(&["outbox", "--json"]).well();
        assert!(listed.contains("\"changes\":1"), "{listed}");
        let commit = serde_json::from_str::<serde_json::Value>(&listed).expect("JSON")["commit"].to_string();
        if round == 1 {
            fs::rename(&away, &out).expect("rename");
            assert_eq!(desk.reel(&["outbox", "--retry", "--json"]).well(), "");
            assert_eq!(fs::read(out.join("a")).expect("a").len(), 5);
            fs::remove_dir_all(&out).expect("remove");
        } else {
            assert_eq!(desk.reel(&["outbox", "--drop", "999"]).code, Some(2));
            assert_eq!(desk.reel(&["outbox", "--drop", &commit, "--json"]).well(), "");
        }
    }
}

/// A flush that was cut off half-way goes on where it stopped: what it has itself changed by then is not taken for somebody's later change.
#[test]
fn a_flush_that_was_cut_off_is_finished() {
    let desk = Desk::new();
    let (out, away) = (desk.path().join("out"), desk.path().join("away"));
    let chaos = guest("chaos", Target::P2).display().to_string();
    let grant = format!("{}::/out", out.display());
    assert_eq!(desk.reel(&["run", &chaos, "--", "/", ""]).code, Some(0));
    fs::create_dir_all(out.join("d")).expect("directory");
    fs::write(out.join("d/a"), "old").expect("write");
    fs::write(out.join("b"), "old").expect("write");
    // A file from a machine whose clock is ahead.
    let ahead = std::time::SystemTime::now() + Duration::from_secs(100_000);
    fs::File::options().write(true).open(out.join("b")).expect("open").set_modified(ahead).expect("time");
    let script = "unlink d/a\nrmdir d\nwrite b 5 1\nnap 700000";
    let child = desk.spawn(&mut desk.command(&["run", &chaos, "-q", "--dir", &grant, "--", "/out", script]));
    std::thread::sleep(Duration::from_millis(350));
    fs::rename(&out, &away).expect("rename");
    assert_eq!(end(child).code, Some(125));
    // As if the host had died after the first removal.
    fs::rename(&away, &out).expect("rename");
    fs::remove_file(out.join("d/a")).expect("remove");
    assert_eq!(desk.reel(&["outbox", "--retry", "--json"]).well(), "");
    assert!(!out.join("d").exists());
    assert_eq!(fs::read(out.join("b")).expect("b").len(), 5);
}
