//! What a crash cuts off in the middle of a call.

use std::process::Child;
use std::time::Duration;

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

fn teller() -> String {
    guest("teller", Target::P2).to_string_lossy().into_owned()
}

fn desk() -> Desk {
    let desk = Desk::new();
    for name in ["b", "c"] {
        desk.reel(&["deploy", &teller(), "--as", name, "--kind", "handler", "--call", "c"]).well();
    }
    desk
}

fn ask(desk: &Desk, script: &str) -> String {
    let args = ["run", &teller(), "--space", "asker", "--call", "b", "--call", "c", "--", script];
    desk.reel(&args).well().trim_end().to_owned()
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn begin(desk: &Desk, script: &str) -> Child {
    let child = desk.spawn(&mut desk.command(&["run", &teller(), "--call", "b", "--call", "c", "--", script]));
    std::thread::sleep(Duration::from_millis(1500));
    child
}

#[test]
fn a_crash_undoes_all_of_it_and_the_caller_cannot_go_on() {
    let desk = desk();
    kill(begin(&desk, "set k 1; call b {set k 1; call c {set k 1}}; sleep 60000"));
    assert_eq!(ask(&desk, "call b {get k}; call c {get k}"), "- -");
    let run = cut_off(&desk);
    let resumed = desk.reel(&["resume", &run]);
    assert_eq!(resumed.code, Some(125), "{}{}", resumed.out, resumed.err);
    assert!(resumed.err.contains("what they did is gone"), "{}", resumed.err);
    assert_eq!(ask(&desk, "call b {get k}; call c {get k}"), "- -");
    desk.reel(&["verify"]).well();
}

/// The run in `main` that was cut off.
fn cut_off(desk: &Desk) -> String {
    let runs = desk.reel(&["runs", "--limit", "100", "--json"]).well();
    let runs = runs.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let cut = runs.filter(|run| run["space"] == "main" && run["end"].is_null() && run["outcome"].is_null());
    cut.collect::<Vec<_>>().pop().expect("a run was cut off")["run"].to_string()
}

#[test]
fn what_was_committed_on_the_way_stays_and_the_run_goes_on() {
    let desk = desk();
    kill(begin(&desk, "call b {set k 1}; commit; sleep 3000; call c {set k 1}"));
    assert_eq!(ask(&desk, "call b {get k}; call c {get k}"), "1 -");
    let resumed = desk.reel(&["resume", &cut_off(&desk)]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.out, resumed.err);
    assert_eq!(ask(&desk, "call b {get k}; call c {get k}"), "1 1");
    desk.reel(&["verify"]).well();
}

/// A call that was cut off in the middle is nobody's to resume.
#[test]
fn a_called_run_is_not_resumed_alone() {
    let desk = desk();
    kill(begin(&desk, "call b {set k 1; sleep 60000}"));
    let runs = desk.reel(&["runs", "--limit", "100", "--json"]).well();
    let run = runs.lines().find(|line| line.contains("\"space\":\"b\"") && line.contains("act")).expect("the call");
    let run: serde_json::Value = serde_json::from_str(run).expect("JSON");
    let resumed = desk.reel(&["resume", &run["run"].to_string()]);
    assert_ne!(resumed.code, Some(0));
    assert!(resumed.err.contains("part of the transaction of run"), "{}", resumed.err);
    assert_eq!(ask(&desk, "call b {get k}"), "-");
    desk.reel(&["verify"]).well();
}

#[test]
fn a_server_that_is_killed_has_moved_all_or_nothing() {
    let desk = desk();
    let web = guest("web", Target::P2);
    let web = web.to_string_lossy();
    desk.reel(&["deploy", &web, "--as", "web", "--call", "b", "--call", "c"]).well();
    ask(&desk, "call b {set n 100000}; call c {set n 0}");
    let mut moved = 0;
    for round in 0..4 {
        let server = Server::start(&desk, &[]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let body = "b act \"add n -1\"\nc act \"add n 1\"";
                    let request = format!(
                        "POST /call HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    while let Ok(mut stream) = std::net::TcpStream::connect(server.address) {
                        use std::io::{Read, Write};
                        let mut answer = Vec::new();
                        let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
                        if sent.is_err() || answer.is_empty() {
                            break;
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(300 + 70 * round));
            server.signal_kill();
        });
        server.kill();
        let sums = ask(&desk, "call b {get n}; call c {get n}");
        let sums: Vec<i64> = sums.split(' ').map(|sum| sum.parse().expect("a sum")).collect();
        assert_eq!(sums[0] + sums[1], 100_000, "round {round}");
        assert!(sums[1] >= moved, "what was answered stays");
        moved = sums[1];
    }
    assert!(moved > 0);
    desk.reel(&["verify"]).well();
}
