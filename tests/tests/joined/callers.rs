//! Requests, calls of residents and commands are callers alike; directories and messages of who is called go with the caller.

use reel_abi::outcome::Disposition;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

use super::together::{act, calling, lab, replays, teller};

fn path(name: &str) -> String {
    guest(name, Target::P2).to_string_lossy().into_owned()
}

/// A desk with the banks `east` and `west`.
fn desk() -> Desk {
    let desk = Desk::new();
    for name in ["east", "west"] {
        desk.reel(&["deploy", &path("teller"), "--as", name, "--kind", "handler"]).well();
    }
    desk
}

fn ask(desk: &Desk, script: &str) -> String {
    let args = ["run", &path("teller"), "--space", "asker", "--call", "east", "--call", "west", "--", script];
    desk.reel(&args).well().trim_end().to_owned()
}

#[test]
fn requests_call_others() {
    let desk = desk();
    desk.reel(&["deploy", &path("web"), "--as", "web", "--call", "east", "--call", "west"]).well();
    let server = Server::start(&desk, &[]);
    let calls = |script: &str| server.ask("POST", "/call", script.as_bytes());
    let answer = calls("east act \"add n 7; get n\"\nwest act \"add n 1; get n\"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "\"7\" \"1\""));
    let refused = calls("east act \"add n 7; get n\"\nwest act \"add n -9\"");
    assert_eq!((refused.status, refused.text().as_str()), (500, "it returned an error: \"n has not enough\""));
    assert_eq!(calls("nobody act \"get n\"").text(), "the guest was not granted");
    let moved: usize = std::thread::scope(|scope| {
        let one = |_| {
            let script = "east act \"add n -1; add m 1\"\nwest act \"add n 1\"";
            usize::from(server.ask("POST", "/call", script.as_bytes()).status == 200)
        };
        let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || (0..10).map(|_| one(n)).sum::<usize>())).collect();
        threads.into_iter().map(|thread| thread.join().expect("asked")).sum()
    });
    assert_eq!(moved, 7, "no account is overdrawn");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(ask(&desk, "call east {get n; get m}; call west {get n}"), "0 7 8");
    for answer in [answer, refused] {
        for run in [answer.run(), answer.run() + 1, answer.run() + 2] {
            let said = desk.reel(&["replay", &run.to_string()]);
            assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        }
    }
    desk.reel(&["verify"]).well();
}

#[test]
fn residents_call_others_and_come_back_without_calling_again() {
    let desk = desk();
    desk.reel(&["deploy", &path("teller"), "--as", "r", "--kind", "resident", "--call", "east", "--call", "r"]).well();
    let call = |script: &str| desk.reel(&["call", "r", "act", &format!("\"{script}\"")]);
    assert_eq!(call("count k 1; call east {count n 1; get n}").well(), "ok(\"1\")\n");
    let trapped = call("count k 1; call east {count n 5}; trap");
    assert_eq!(trapped.code, Some(123), "{}", trapped.err);
    assert!(call("try r {get k}").out.contains("Circular"));
    assert!(call("raw r act").out.contains("Circular"));
    // Each call is a process that brings the guest back by the calls before.
    assert_eq!(call("count k 1; call east {count n 1; get n}").well(), "ok(\"2\")\n");
    assert_eq!(call("get k; call east {get n}").well(), "ok(\"2 2\")\n");
    assert_eq!(desk.reel(&["fork", "r", "twin"]).code, Some(0));
    let twin = desk.reel(&["call", "twin", "act", "\"count k 1; get k; call east {count n 1; get n}\""]).well();
    assert_eq!(twin, "ok(\"3 3\")\n", "a fork calls whom the other calls");
    let resident = desk.reel(&["run", &path("teller"), "--call", "r", "--", "try r {get k}"]).well();
    assert!(resident.contains("r is a resident, whose memory cannot be a part of another transaction"), "{resident}");
    desk.reel(&["stop", "east"]).well();
    assert!(call("try east {get n}").out.contains("east is stopped"));
    desk.reel(&["start", "east"]).well();
    for line in desk.reel(&["runs", "--limit", "100", "--json"]).well().lines() {
        let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let program = json["program"].as_str().expect("a name");
        if !["deploy", "stop", "start", "checkpoint"].contains(&program) {
            let said = desk.reel(&["replay", &json["run"].to_string()]);
            assert_eq!(said.code, Some(0), "{line}: {}{}", said.out, said.err);
        }
    }
    desk.reel(&["verify"]).well();
}

#[test]
fn directories_of_who_is_called_are_written_with_the_commit() {
    let (lab, bytes) = (Lab::new(), teller());
    let dir = lab.path().join("shared");
    std::fs::create_dir(&dir).expect("directory");
    std::fs::write(dir.join("in"), "given").expect("file");
    let dirs = vec![(dir.to_string_lossy().into_owned(), "/d".to_owned(), false)];
    lab.deploy("b", &bytes, &Trial { dirs, ..Trial::default() });
    // What a failed call has seen of the directory is seen again by those after it, whatever has changed.
    let script = "try b {read /d/in; write /d/no x; trap}; call b {read /d/in; write /d/out one; ls /d}; call b {append /d/out two; read /d/out}";
    let (report, said) = act(&lab, &bytes, &format!("{script}; fail"));
    assert!(!matches!(report.end.disposition, Disposition::Committed { .. }), "{said}");
    assert!(!dir.join("out").exists());
    let (report, said) = act(&lab, &bytes, script);
    assert!(matches!(report.end.disposition, Disposition::Committed { .. }), "{said}");
    assert!(said.ends_with("given in,out onetwo"), "{said}");
    assert_eq!(std::fs::read_to_string(dir.join("out")).expect("written"), "onetwo");
    assert!(!dir.join("no").exists());
    // A replay needs no directory.
    std::fs::remove_dir_all(&dir).expect("removed");
    replays(&lab);
}

#[test]
fn messages_of_who_is_called_leave_with_the_commit() {
    let desk = desk();
    desk.reel(&["deploy", &path("postman"), "--as", "p", "--subscribe", "orders"]).well();
    let waiting = || desk.reel(&["queue", "ls", "--json"]).well();
    ask(&desk, "try east {send orders no; fail}; undo {call west {send orders no}}");
    assert_eq!(waiting(), "");
    let fails = desk.reel(&[
        "run",
        &path("teller"),
        "--call",
        "east",
        "--",
        "send orders no; call east {send orders no}; fail",
    ]);
    assert_eq!((fails.code, waiting().as_str()), (Some(1), ""));
    ask(&desk, "send orders one; call east {send orders two; send orders three}; call west {send orders four}");
    let shown = desk.reel(&["queue", "show", "p"]).well();
    for text in ["one", "two", "three", "four"] {
        assert!(shown.contains(text), "{shown}");
    }
    desk.reel(&["verify"]).well();
}

#[test]
fn what_is_said_is_said_once() {
    let (lab, bytes) = lab();
    let (_, said) =
        lab.run(&bytes, &calling(&["call b {say one}; try b {say two; fail}; call c {say three; call b {say four}}"]));
    assert!(!said.contains("one"), "{said}");
    assert_eq!(lab.said.text(), "one\ntwo\nthree\nfour\n");
}
