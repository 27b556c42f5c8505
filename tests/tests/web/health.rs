//! What a server tells of itself, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::{Answer, Server, get};

use super::{deploy, desk};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

fn watched(desk: &Desk, more: &[&str]) -> Server {
    Server::start(desk, &[&METRICS[..], more].concat())
}

/// Tries for a while.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The value of a line.
fn value(server: &Server, name: &str) -> Option<f64> {
    let text = server.health("/metrics").expect("an answer").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_server_tells_how_it_is_where_no_guest_is() {
    let desk = desk(&[]);
    let server = watched(&desk, &[]);
    let ask = |path| server.health(path).expect("an answer");
    assert_eq!((ask("/healthz").status, ask("/healthz").text().as_str()), (200, "ok\n"));
    assert_eq!((ask("/readyz").status, ask("/readyz").text().as_str()), (200, "ready\n"));
    assert_eq!(ask("/metrics").field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!((ask("/").status, ask("/hello").status, ask("/metrics/x").status), (404, 404, 404));
    // What guests have at these paths is theirs.
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (404, "nothing here"));
    }
    let mut stream = TcpStream::connect(server.metrics.expect("an address")).expect("it listens");
    stream
        .write_all(b"POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer");
    assert_eq!(Answer::read(&all).map(|answer| answer.status), Some(405));
    // Those who say nothing keep nobody else waiting.
    let slow: Vec<_> = (0..50).map(|_| TcpStream::connect(server.metrics.expect("an address"))).collect();
    assert_eq!(ask("/healthz").status, 200);
    drop(slow);
    let taken = desk.reel(&["serve", "--metrics", "nonsense", "--wait", "0"]);
    assert_ne!(taken.code, Some(0));
    assert_eq!(server.stop(), Some(0));
    let said = desk.reel(&["serve", "--metrics", "nonsense"]).fails(125);
    assert!(said.contains("HOST:PORT"), "{said}");
}

#[test]
fn what_is_counted_is_what_was_done() {
    let desk = desk(&["--route", "/"]);
    deploy(&desk, &guest("postman", Target::P2), "post", &["--subscribe", "mail", "--attempts", "1"]);
    let server = watched(&desk, &[]);
    let before = ["reel_runs_total{outcome=\"success\"}", "reel_runs_total{outcome=\"trap\"}", "reel_commits_total"];
    let before = before.map(|name| value(&server, name).expect("a line"));
    for _ in 0..5 {
        assert_eq!(server.get("/count/n").status, 200);
    }
    assert_eq!(server.get("/trap").status, 500);
    assert_eq!(server.get("/status/418").status, 418);
    assert_eq!(server.get("/sleep/30").status, 200);
    let count = |name: &str| value(&server, name).unwrap_or_default();
    assert_eq!(count("reel_http_requests_total{guest=\"web\",status=\"2xx\"}"), 6.0);
    assert_eq!(count("reel_http_requests_total{guest=\"web\",status=\"4xx\"}"), 1.0);
    assert_eq!(count("reel_http_requests_total{guest=\"web\",status=\"5xx\"}"), 1.0);
    assert_eq!(count("reel_http_request_duration_seconds_count{guest=\"web\"}"), 8.0);
    assert!(count("reel_http_request_duration_seconds_sum{guest=\"web\"}") >= 0.03);
    let quick = count("reel_http_request_duration_seconds_bucket{guest=\"web\",le=\"0.025\"}");
    assert!(quick <= 7.0, "{quick}");
    assert_eq!(count("reel_http_request_duration_seconds_bucket{guest=\"web\",le=\"+Inf\"}"), 8.0);
    assert_eq!(count("reel_runs_total{outcome=\"success\"}") - before[0], 7.0);
    assert_eq!(count("reel_runs_total{outcome=\"trap\"}") - before[1], 1.0);
    assert!(count("reel_commits_total") - before[2] >= 5.0 && count("reel_log_writes_total") >= 6.0);
    assert!(count("process_resident_memory_bytes") > 1e6 && count("process_open_fds") > 5.0);
    assert_eq!((count("reel_ready"), count("reel_http_requests_under_way")), (1.0, 0.0));
    assert_eq!(count("reel_residents_awake"), 0.0);
    // A resident that has taken a message stays awake. One that is stopped takes none.
    let waiting = "reel_messages{guest=\"post\",state=\"waiting\"}";
    assert_eq!(value(&server, waiting), Some(0.0));
    assert_eq!(server.get("/send/mail?one").status, 200);
    until(|| value(&server, "reel_residents_awake") == Some(1.0));
    until(|| value(&server, waiting) == Some(0.0));
    assert_eq!(desk.reel(&["stop", "post"]).code, Some(0));
    assert_eq!(server.get("/send/mail?two").status, 200);
    until(|| value(&server, waiting) == Some(1.0));
    assert_eq!(value(&server, "reel_messages{guest=\"post\",state=\"dead\"}"), Some(0.0));
}

#[test]
fn conflicts_and_refusals_are_counted() {
    let desk = desk(&[]);
    let server = watched(&desk, &["--at-once", "8"]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..20).for_each(|_| drop(server.get("/count/same"))));
        }
    });
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /sleep/3000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    until(|| value(&server, "reel_http_requests_under_way") == Some(8.0));
    assert!(value(&server, "reel_connections_open") >= Some(8.0));
    assert_eq!(server.get("/hello").status, 503);
    assert!(value(&server, "reel_http_requests_refused_total") >= Some(1.0));
    // Those were refused before any guest was asked.
    assert!(value(&server, "reel_http_requests_total{guest=\"\",status=\"5xx\"}") >= Some(1.0));
    for mut stream in waiting {
        drop(stream.read_to_end(&mut Vec::new()));
    }
    until(|| value(&server, "reel_http_requests_under_way") == Some(0.0));
    until(|| value(&server, "reel_connections_open") == Some(0.0));
    let overtaken = value(&server, "reel_http_executions_overtaken_total").expect("a line");
    assert!(value(&server, "reel_conflicts_total").expect("a line") >= overtaken);
}

/// Whether a line is a comment, or a name, labels and a number.
fn is_proper(line: &str) -> bool {
    if line.starts_with("# HELP reel_") || line.starts_with("# TYPE ") || line.starts_with("# HELP process_") {
        return true;
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')),
        None => (series, Some("")),
    };
    let is_label = |label: &str| {
        let text = label.split_once("=\"").and_then(|(_, text)| text.strip_suffix('"'));
        text.is_some_and(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+()".contains(c)))
    };
    value.parse::<f64>().is_ok()
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && labels.is_some_and(|labels| labels.is_empty() || labels.split(',').all(is_label))
}

#[test]
fn no_name_and_no_request_gets_into_the_metrics() {
    let (desk, web) = (Desk::new(), guest("web", Target::P2));
    for odd in ["a\"} 1", "a\nreel_ready 0", "a\\", "{", "", ".a", "(others)"] {
        let path = web.to_str().expect("a path");
        assert_eq!(
            desk.reel(&["deploy", path, &format!("--as={odd}"), "--route", "odd.example/"]).code,
            Some(2),
            "{odd:?}"
        );
    }
    let name = format!("Z.{}-_", "y".repeat(60));
    deploy(&desk, &web, &name, &["--route", "/a"]);
    let server = watched(&desk, &[]);
    for n in 0..50 {
        server.get(&format!("/a/status/200?{n}=%22%7D"));
        server.get(&format!("/nobody-{n}\"}}"));
        server.ask_with("/x", &format!("x-{n}: reel_ready\r\n"));
        let raw = format!("GET /a\"}} HTTP/1.1\r\nhost: \"{n}}}\r\nconnection: close\r\n\r\n");
        server.raw(raw.as_bytes());
    }
    let text = server.health("/metrics").expect("an answer").text();
    for line in text.lines() {
        assert!(is_proper(line), "{line:?}");
    }
    let guests = text.lines().filter(|line| line.starts_with("reel_http_requests_total{"));
    for line in guests {
        assert!(line.contains(&format!("guest=\"{name}\"")) || line.contains("guest=\"\""), "{line}");
    }
    assert!(text.lines().count() < 150, "{text}");
}

/// A port that nobody has, most likely.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn nobody_is_sent_to_a_server_that_is_not_ready_yet() {
    let desk = desk(&[]);
    // It has to be compiled again, which takes a while.
    std::fs::remove_dir_all(desk.path().join(".reel/cache")).expect("a cache");
    let address: std::net::SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut command = desk.command(&["serve", "--quiet", "--listen", "127.0.0.1:0", "--metrics", &address.to_string()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("reel starts");
    until(|| get(address, "/readyz").is_some());
    let first = get(address, "/readyz").expect("an answer");
    assert_eq!((first.status, first.text().as_str()), (503, "not everything is prepared yet\n"));
    assert_eq!(get(address, "/healthz").expect("an answer").status, 200);
    until(|| get(address, "/readyz").is_some_and(|answer| answer.status == 200));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn a_server_that_is_to_stop_answers_what_is_under_way_and_takes_no_more() {
    let desk = desk(&[]);
    let server = watched(&desk, &[]);
    let mut idle = server.connect();
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut answered = [0; 15];
    idle.read_exact(&mut answered).expect("an answer");
    assert_eq!(&answered, b"HTTP/1.1 200 OK");
    let silent = server.connect();
    let mut busy = server.connect();
    busy.write_all(b"GET /sleep/3000 HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    until(|| value(&server, "reel_http_requests_under_way") == Some(1.0));
    let begun = Instant::now();
    server.signal("TERM");
    until(|| server.health("/readyz").is_some_and(|answer| answer.status == 503));
    assert!(server.health("/readyz").expect("an answer").text().contains("to stop"));
    assert_eq!(server.health("/healthz").expect("an answer").status, 200);
    // Connections without a request are closed, and new ones refused.
    for mut stream in [idle, silent] {
        drop(stream.read_to_end(&mut Vec::new()));
    }
    until(|| TcpStream::connect(server.address).is_err());
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    let mut all = Vec::new();
    busy.read_to_end(&mut all).expect("an answer");
    let answer = Answer::read(&all).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str(), answer.field("connection")), (200, "awake", Some("close")));
    assert_eq!(server.ended(), Some(0));
    super::replay(&desk, &[answer.run()]);
}

#[test]
fn a_database_that_has_failed_is_told() {
    let desk = desk(&[]);
    let server = watched(&desk, &[]);
    assert_eq!(server.get("/count/n").text(), "1");
    let limit = ["--fsize=4096:4096".to_owned(), format!("--pid={}", server.id())];
    assert!(std::process::Command::new("prlimit").args(limit).status().expect("prlimit runs").success());
    let big = vec![7; 1 << 20];
    until(|| server.ask("PUT", "/put/big", &big).status == 500);
    let health = server.health("/healthz").expect("an answer");
    assert_eq!(health.status, 503, "{}", health.text());
    assert_eq!(server.health("/readyz").expect("an answer").status, 503);
    assert_eq!(value(&server, "reel_ready"), Some(0.0));
}
