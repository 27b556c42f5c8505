//! Networks that fail, made of namespaces: cables that are pulled, thin lines, names and hosts that do not answer.
//!
//! Each test executes itself in namespaces of its own, where it may do as it likes: the server has one end of a cable, the
//! test has the other. `cargo test --release -p reel-tests --test web networks -- --ignored`

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use reel_tests::reel::Desk;
use reel_tests::web::{Answer, Server};

use super::others::wait_for;
use super::{desk, replay};

/// Whether this process is the one in the namespaces; the other executes it, and is done.
fn apart(test: &str) -> bool {
    const HERE: &str = "REEL_APART";
    if std::env::var_os(HERE).is_some() {
        // The programs are there: the first process has built them.
        sh("mount -t tmpfs none /run && ip netns add far && ip link set lo up");
        sh("ip link add near type veth peer name far netns far");
        sh("ip addr add 10.9.0.1/24 dev near && ip link set near up");
        far("ip addr add 10.9.0.2/24 dev far && ip link set far up && ip link set lo up");
        return true;
    }
    drop(desk(&[]));
    let test = format!("networks::{test}");
    let own = std::env::current_exe().expect("a path");
    let mut command = Command::new("unshare");
    command.args(["-rnm", "--kill-child"]).arg(own).args(["--exact", &test, "--ignored", "--nocapture"]);
    let ended = command.env(HERE, "1").status().expect("unshare is installed");
    assert!(ended.success(), "{test} in namespaces of its own: {ended}");
    false
}

fn sh(words: &str) {
    let done = Command::new("sh").args(["-c", words]).output().expect("a shell");
    assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
}

fn far(words: &str) {
    sh(&format!("ip netns exec far sh -c '{words}'"));
}

/// A server at the far end of the cable.
fn serve_far(desk: &Desk, more: &[&str]) -> Server {
    let reel = desk.command(&[&["serve", "--listen", "10.9.0.2:0"], more].concat());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "far"]).arg(reel.get_program()).args(reel.get_args()).env("NO_COLOR", "1");
    command.current_dir(desk.path());
    Server::start_by(command)
}

fn commits_of(desk: &Desk, path: &str) -> usize {
    let runs = desk.reel(&["runs", "--limit", "0", "--json"]).well();
    runs.lines().filter(|run| run.contains(path) && run.contains(r#""state":"committed""#)).count()
}

#[test]
#[ignore = "makes namespaces: needs unshare and ip"]
fn a_cable_that_is_pulled() {
    if !apart("a_cable_that_is_pulled") {
        return;
    }
    let desk = desk(&[]);
    let server = serve_far(&desk, &[]);
    assert_eq!(server.get("/hello").status, 200);
    // While a body comes: nothing of it stays, and what has come after is served as ever.
    let mut half = server.connect();
    half.write_all(b"PUT /put/half HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").expect("sent");
    // While the guest works: it commits, once, and its answer comes when the cable is back.
    let mut asked = server.connect();
    asked.write_all(b"GET /sleep/700 HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut counted = server.connect();
    counted.write_all(b"GET /count/n HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    sh("ip link set near down");
    std::thread::sleep(Duration::from_secs(2));
    sh("ip link set near up");
    let mut answer = [0; 4096];
    let count = asked.read(&mut answer).expect("the answer comes");
    let answer = Answer::read(&answer[..count]).expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "awake".to_owned()));
    let mut all = Vec::new();
    counted.read_to_end(&mut all).expect("the answer comes");
    assert_eq!(Answer::read(&all).expect("an answer").text(), "1");
    // The rest of the body comes.
    half.write_all(b"whole").expect("sent");
    wait_for(|| server.get("/get/half").text() == "halfwhole");
    // Now for ever: the client is gone, and nothing says so.
    let mut half = server.connect();
    half.write_all(b"PUT /put/lost HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").expect("sent");
    sh("ip link set near down && ip addr del 10.9.0.1/24 dev near");
    drop(half);
    sh("ip addr add 10.9.0.3/24 dev near && ip link set near up");
    wait_for(|| server.get("/hello").status == 200);
    let begun = Instant::now();
    let given_up = || {
        desk.reel(&["runs", "--limit", "0", "--json"])
            .well()
            .lines()
            .any(|run| run.contains("/put/lost") && run.contains("\"aborted\""))
    };
    while !given_up() {
        assert!(begun.elapsed() < Duration::from_secs(90), "the guest still waits for a body that will not come");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(server.get("/get/lost").status, 404);
    assert_eq!(server.stop(), Some(0));
    assert_eq!(commits_of(&desk, "/count/n"), 1);
    desk.reel(&["verify"]).well();
}

#[test]
#[ignore = "makes namespaces: needs unshare and ip"]
fn a_thin_line() {
    if !apart("a_thin_line") {
        return;
    }
    let desk = desk(&[]);
    let server = serve_far(&desk, &[]);
    far("tc qdisc add dev far root tbf rate 2mbit burst 16kbit latency 100ms");
    let before = memory(&server);
    // 32 MB that nobody can carry: they wait in the server to a limit, and the guests with them.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut stream = server.connect();
                stream.write_all(b"GET /big/2000000 HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
                let mut first = [0; 65536];
                assert!(stream.read(&mut first).expect("a beginning") > 0);
                std::thread::sleep(Duration::from_secs(3));
            });
        }
        let small = server.get("/count/thin");
        assert_eq!((small.status, small.text()), (200, "1".to_owned()));
    });
    let after = memory(&server);
    assert!(after < before + 256, "{before} MiB before, {after} MiB after");
    assert_eq!(server.stop(), Some(0));
    desk.reel(&["verify"]).well();
}

/// What a process keeps in memory, in MiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}

#[test]
#[ignore = "makes namespaces: needs unshare and ip"]
fn names_and_hosts_that_do_not_answer() {
    if !apart("names_and_hosts_that_do_not_answer") {
        return;
    }
    // Nobody answers there: whoever asks for a name waits for as long as the resolver does.
    let conf = std::env::temp_dir().join(format!("resolv-{}", std::process::id()));
    std::fs::write(&conf, "nameserver 10.9.0.7\noptions timeout:1 attempts:1\n").expect("written");
    sh(&format!("mount --bind {} /etc/resolv.conf", conf.display()));
    let desk = desk(&["--net", "shop.test:80", "--net", "10.8.0.0:80", "--net", "10.9.0.9:80", "--net", "10.9.0.1:*"]);
    let server = serve_far(&desk, &[]);
    let asked = |path: &str| {
        let begun = Instant::now();
        let answer = server.get(&format!("/fetch?{path}"));
        (answer.status, answer.text(), begun.elapsed().as_secs(), answer.run())
    };
    let name = asked("shop.test/");
    assert!(name.0 == 502 && name.1.contains("Dns") && name.2 < 30, "{name:?}");
    let nowhere = asked("10.8.0.0/");
    assert!(nowhere.0 == 502 && nowhere.2 < 5, "{nowhere:?}");
    // No machine has that address, and nobody says so at once.
    let silent = asked("10.9.0.9/");
    assert!(silent.0 == 502 && silent.2 < 30, "{silent:?}");
    // Someone whose cable is pulled in the middle of an answer.
    let listener = TcpListener::bind("10.9.0.1:0").expect("a port");
    let place = listener.local_addr().expect("an address").to_string();
    let cut = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("someone asks");
            assert!(stream.read(&mut [0; 8]).expect("a request") > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").expect("sent");
            // What it has not read makes its end a reset.
            std::thread::sleep(Duration::from_millis(300));
        });
        asked(&format!("{place}/half"))
    });
    assert!(cut.0 >= 500 && cut.2 < 10, "{cut:?}");
    assert_eq!(server.get("/hello").status, 200);
    assert_eq!(server.stop(), Some(0));
    let _ = std::fs::remove_file(&conf);
    replay(&desk, &[name.3, nowhere.3, silent.3, cut.3]);
    desk.reel(&["verify"]).well();
}
