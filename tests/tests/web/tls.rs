//! TLS: of clients with the server, and of guests with others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reel_tests::reel::Desk;
use reel_tests::web::{Answer, Server};

use super::secure::{Authority, Identity, Other, connect, get};
use super::{desk, replay};

fn files(desk: &Desk, identity: &Identity) -> [String; 2] {
    let put = |name, text: &str| desk.file(name, text).to_str().expect("a path").to_owned();
    [put("tls/cert.pem", &identity.certificate), put("tls/key.pem", &identity.key)]
}

/// A server that shows this.
fn serving(desk: &Desk, identity: &Identity, more: &[&str]) -> Server {
    let [certificate, key] = files(desk, identity);
    let mut args = vec!["--tls-cert", &certificate, "--tls-key", &key];
    args.extend(more);
    Server::start(desk, &args)
}

#[test]
fn a_server_with_certificates_speaks_https() {
    let (desk, authority) = (desk(&[]), Authority::new());
    let mut identity = authority.sign(&["localhost"]);
    // A chain: what follows the first is sent too.
    identity.certificate.push_str(&authority.pem);
    let server = serving(&desk, &identity, &[]);
    let trusting = authority.trusted(&[]);
    let look = get(&trusting, server.address, "/look").expect("an answer");
    assert!(look.text().starts_with("Method::Get Some(Scheme::Https) Some(\"localhost\")\n"), "{}", look.text());
    let big = get(&trusting, server.address, "/big/3000000").expect("an answer");
    assert_eq!((big.body.len(), big.whole), (3_000_000, true));
    // Who trusts others does not trust it.
    assert!(get(&Authority::new().trusted(&[]), server.address, "/hello").is_err());
    let mut both = connect(&authority.trusted(&["h2", "http/1.1"]), server.address).expect("a connection");
    assert_eq!(both.conn.alpn_protocol(), Some(&b"h2"[..]));
    // HTTP/2 from the first byte: the preface and no settings are answered with settings.
    both.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("sent");
    let mut frame = [0; 9];
    both.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "{frame:?}");
    let one = connect(&authority.trusted(&["http/1.1"]), server.address).expect("a connection");
    assert_eq!(one.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    drop((both, one));
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[look.run()]);
}

/// The key inside of a PKCS#8 one, as older tools write it.
fn sec1(key: &str) -> String {
    let lines: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = decode(&lines);
    let at = der.windows(4).position(|window| window == [0x04, 0x6d, 0x30, 0x6b]).expect("a key of P-256");
    format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", encode(&der[at + 2..at + 2 + 0x6d]))
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter_map(|byte| LETTERS.iter().position(|letter| *letter == byte));
    let bits: Vec<usize> = digits.flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect()
}

fn encode(bytes: &[u8]) -> String {
    let mut bits: Vec<usize> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect();
    bits.resize(bits.len().next_multiple_of(6), 0);
    let letter = |digit: &[usize]| char::from(LETTERS[digit.iter().fold(0, |digit, bit| digit << 1 | bit)]);
    let mut text: String = bits.chunks(6).map(letter).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[test]
fn keys_of_older_tools_are_read() {
    let (desk, authority) = (desk(&[]), Authority::new());
    let identity = authority.sign(&["localhost"]);
    let server = serving(&desk, &Identity { key: sec1(&identity.key), ..identity }, &[]);
    assert_eq!(get(&authority.trusted(&[]), server.address, "/hello").expect("an answer").status, 200);
}

#[test]
fn what_cannot_be_used_is_said_before_anything_is_served() {
    let (desk, authority) = (Desk::new(), Authority::new());
    let [one, other] = [(); 2].map(|()| authority.sign(&["localhost"]));
    let [certificate, key] = files(&desk, &one);
    let put = |name: &str, text: &str| desk.file(name, text).to_str().expect("a path").to_owned();
    let (foreign, empty) = (put("foreign.pem", &other.key), put("empty.pem", "no PEM\n"));
    let broken = put("broken.pem", &one.certificate.replace("MI", "\u{e9}!"));
    let garbage = put("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAAAAAA\n-----END CERTIFICATE-----\n");
    let directory = desk.path().to_str().expect("a path").to_owned();
    let absent = format!("{directory}/absent.pem");
    let serve = |more: &[&str]| desk.reel(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    for (certificate, key, words) in [
        (&absent, &key, "absent.pem"),
        (&certificate, &absent, "absent.pem"),
        (&directory, &key, "not a regular file"),
        (&empty, &key, "there is no certificate in"),
        (&key, &key, "there is no certificate in"),
        (&certificate, &certificate, "there is no private key in"),
        (&certificate, &empty, "there is no private key in"),
        (&certificate, &foreign, "KeyMismatch"),
        (&broken, &key, "is no PEM file"),
        (&garbage, &key, "cannot be used"),
    ] {
        let said = serve(&["--tls-cert", certificate, "--tls-key", key]).fails(125);
        assert!(said.contains(words) && !said.contains("serving"), "{words}: {said}");
    }
    for alone in [["--tls-cert", &certificate], ["--tls-key", &key]] {
        let said = serve(&alone).fails(2);
        assert!(said.contains("--tls-key") && said.contains("--tls-cert"), "{said}");
    }
    let said = desk.reel(&["serve", "--tls-cert", &certificate, "--tls-key", &key]).fails(2);
    assert!(said.contains("--listen"), "{said}");
    assert!(!desk.path().join(".reel").exists(), "nothing was begun");
}

/// Its metrics come to have these lines: whose connection has ended may know it before the server has counted it.
#[track_caller]
fn tells(server: &Server, lines: &[&str]) {
    let begun = Instant::now();
    loop {
        let metrics = server.health("/metrics").expect("an answer").text();
        if lines.iter().all(|line| metrics.contains(line)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_does_not_speak_tls_is_told_or_dropped() {
    let (desk, authority) = (desk(&[]), Authority::new());
    let server = serving(&desk, &authority.sign(&["localhost"]), &["--metrics", "127.0.0.1:0"]);
    let plain = server.get("/hello");
    assert_eq!((plain.status, plain.whole), (400, true));
    assert!(plain.text().contains("https"), "{}", plain.text());
    for bytes in
        [&b"\0\0\0\0"[..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\0\x05hello", b"SSH-2.0-x\r\n", &[0x80; 5000]]
    {
        let mut stream = server.connect();
        // It may close before it has read all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        assert!(Answer::read(&all).is_none_or(|answer| answer.status == 400), "{bytes:?}");
    }
    assert_eq!(get(&authority.trusted(&[]), server.address, "/hello").expect("an answer").status, 200);
    tells(&server, &["\nreel_tls_handshakes_failed_total 6\n", "\nreel_connections_open 0\n"]);
}

#[test]
fn handshakes_that_stall_keep_nobody_waiting_and_are_dropped() {
    let (desk, authority) = (desk(&[]), Authority::new());
    let server = serving(&desk, &authority.sign(&["localhost"]), &["--metrics", "127.0.0.1:0"]);
    let begun = Instant::now();
    let mut stalled: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = server.connect();
            let first: &[u8] = if n % 2 == 0 { b"" } else { b"\x16\x03\x01\x02" };
            stream.write_all(first).expect("sent");
            stream
        })
        .collect();
    let trusting = authority.trusted(&[]);
    for _ in 0..20 {
        assert_eq!(get(&trusting, server.address, "/hello").expect("an answer").status, 200);
    }
    tells(&server, &["\nreel_connections_open 100\n"]);
    for stream in &mut stalled {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(30)).contains(&took), "{took:?}");
    tells(&server, &["\nreel_connections_open 0\n", "\nreel_tls_handshakes_failed_total 100\n"]);
}

#[test]
fn certificates_are_read_again_when_asked_for() {
    let (desk, first, second) = (desk(&[]), Authority::new(), Authority::new());
    let server = serving(&desk, &first.sign(&["localhost"]), &[]);
    let (old, new) = (first.trusted(&[]), second.trusted(&[]));
    let mut kept = connect(&old, server.address).expect("a connection");
    let until = |what: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{}", server.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // A broken file changes nothing.
    let identity = second.sign(&["localhost"]);
    desk.file("tls/cert.pem", "no PEM");
    server.signal("HUP");
    until(&|| server.said().contains("the certificates stay as they were"));
    assert!(get(&old, server.address, "/hello").is_ok());
    files(&desk, &identity);
    server.signal("HUP");
    until(&|| get(&new, server.address, "/hello").is_ok());
    assert!(get(&old, server.address, "/hello").is_err());
    // Connections that are there go on.
    kept.write_all(b"GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    let mut all = Vec::new();
    kept.read_to_end(&mut all).expect("an answer");
    assert_eq!(Answer::read(&all).expect("an answer").status, 200);
    assert_eq!(server.stop(), Some(0));
}

/// Somebody who answers at once, and not in TLS.
fn plain() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn guests_ask_others_whom_the_system_trusts_and_a_replay_needs_no_network() {
    let (desk, authority) = (desk(&["--net", "127.0.0.1:*", "--net", "localhost:*"]), Authority::new());
    let roots = desk.file("roots.pem", &authority.pem).to_str().expect("a path").to_owned();
    let trusted = Other::start(&authority.sign(&["127.0.0.1", "localhost"]));
    let unknown = Other::start(&Authority::new().sign(&["127.0.0.1"]));
    let expired = Other::start(&authority.sign_until(&["127.0.0.1"], 2002));
    let misnamed = Other::start(&authority.sign(&["example.com"]));
    let plain = plain();
    let server = Server::start_in(&desk, &[], &[("SSL_CERT_FILE", &roots), ("SSL_CERT_DIR", "/nonexistent")]);
    let mut runs = Vec::new();
    let mut fetch = |method: &str, to: &str, body: &[u8]| {
        let answer = server.ask(method, &format!("/fetch?https:{to}"), body);
        runs.push(answer.run());
        answer
    };
    let posted = fetch("POST", &format!("{}/pay", trusted.address), b"10 coins");
    assert_eq!((posted.status, posted.field("x-status")), (200, Some("201")), "{}", posted.text());
    let text = posted.text();
    assert!(text.starts_with("POST /pay HTTP/1.1\r\n") && text.ends_with("10 coins"), "{text}");
    let named = fetch("GET", &format!("localhost:{}/", trusted.address.port()), b"");
    assert_eq!(named.field("x-status"), Some("201"), "{}", named.text());
    for other in [&unknown, &expired, &misnamed] {
        let refused = fetch("GET", &format!("{}/", other.address), b"");
        assert_eq!(refused.status, 502);
        assert!(refused.text().contains("TlsCertificateError"), "{}", refused.text());
    }
    let unencrypted = fetch("GET", &format!("{plain}/"), b"");
    assert_eq!(unencrypted.status, 502);
    assert!(unencrypted.text().contains("TlsProtocolError"), "{}", unencrypted.text());
    assert_eq!(server.stop(), Some(0));
    let before = [&trusted, &unknown, &expired, &misnamed].map(Other::answered);
    assert_eq!(before, [2, 0, 0, 0]);
    replay(&desk, &runs);
    assert_eq!([&trusted, &unknown, &expired, &misnamed].map(Other::answered), before);
}
