//! Handlers: the request of then is asked again, the message of then is delivered again.

use reel_tests::web::Server;

use super::*;

/// A server with the handler `web`.
fn served(desk: &Desk) -> Server {
    assert_eq!(desk.reel(&["deploy", "web.wasm", "--as", "web", "--net", "127.0.0.1:*"]).code, Some(0));
    Server::start(desk, &[])
}

#[test]
fn requests_are_asked_again_on_the_state_of_their_time() {
    let desk = desk("web", &["mended", "loud"]);
    let server = served(&desk);
    assert_eq!(server.get("/count/trapped").text(), "1");
    let trapped = server.get("/trap");
    assert_eq!(trapped.status, 500);
    assert_eq!(server.get("/count/trapped").text(), "2");
    let hello = server.get("/hello").run().to_string();
    // While it serves, too.
    for serves in [true, false] {
        let failed = retry(&desk, &["--failed", "--guest", "web", "--with", "web-mended.wasm", "--expect", "fixed"]);
        assert_eq!((failed.code, failed.verdicts()), (Some(0), vec!["fixed"]), "{serves}");
        let run = &failed.runs[0];
        assert_eq!((&run["answer"]["was"], &run["answer"]["is"]["status"]), (&Value::Null, &200.into()), "{run}");
        assert_eq!(run["answer"]["is"]["body"]["text"], "no trap any more");
        assert_eq!(
            (&run["keys"][0]["was"]["text"], &run["keys"][0]["is"]["text"]),
            (&"1".into(), &"2".into()),
            "{run}"
        );
        let loud = one(&desk, &hello, "web-loud.wasm");
        assert_eq!((&loud["verdict"], &loud["answer"]["was"]["body"]["text"]), (&"effects".into(), &"hello\n".into()));
        assert_eq!(loud["answer"]["is"]["body"]["text"], "HELLO\n");
        let all = retry(&desk, &["--guest", "web", "--with", "web.wasm"]);
        assert_eq!((all.code, all.verdicts()), (Some(0), vec!["same"; if serves { 4 } else { 5 }]));
        if serves {
            assert_eq!(server.get("/count/trapped").text(), "3");
            assert_eq!(retry(&desk, &["last", "--with", "web.wasm"]).code, Some(0));
        }
        if serves {
            server.signal("TERM");
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }
}

#[test]
fn bodies_are_known_as_far_as_they_were_read() {
    let desk = desk("web", &["curt", "reads", "loud"]);
    let server = served(&desk);
    let body = vec![b'x'; 300_000];
    let echo = server.ask("POST", "/echo", &body).run().to_string();
    let look = server.ask("POST", "/look", b"never read").run().to_string();
    let nothing = server.ask("POST", "/look", b"").run().to_string();
    let put = server.ask("POST", "/put/k", &body).run().to_string();
    assert_eq!(server.stop(), Some(0));
    let curt = one(&desk, &echo, "web-curt.wasm");
    assert_eq!((&curt["verdict"], &curt["answer"]["is"]["body"]["text"]), (&"effects".into(), &"".into()));
    let reads = one(&desk, &look, "web-reads.wasm");
    assert_eq!(reads["verdict"], "cannot", "{reads}");
    assert!(reads["why"].as_str().is_some_and(|why| why.contains("more of a body of 10 bytes")), "{reads}");
    // Of a body that is known to have nothing, nothing is missing.
    let reads = one(&desk, &nothing, "web-reads.wasm");
    assert_eq!(reads["verdict"], "effects", "{reads}");
    assert_eq!(one(&desk, &put, "web-loud.wasm")["verdict"], "same");
}

#[test]
fn others_who_were_asked_answer_as_they_did() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nother");
    });
    let desk = desk("web", &["loud", "mended"]);
    let server = served(&desk);
    let asked = server.get(&format!("/fetch?{address}/a"));
    assert_eq!(asked.text(), "other");
    assert_eq!(server.stop(), Some(0));
    // Nobody listens there any more.
    assert_eq!(one(&desk, &asked.run().to_string(), "web-loud.wasm")["verdict"], "same");
}

#[test]
fn messages_are_taken_again() {
    let desk = desk("porter", &["mended", "double"]);
    let deploy = ["deploy", "porter.wasm", "--as", "h", "--kind", "handler", "--subscribe", "h", "--attempts", "1"];
    assert_eq!(desk.reel(&deploy).code, Some(0));
    for text in ["count", "traps 9", "count"] {
        assert_eq!(desk.reel(&["queue", "put", "h", "h", text]).code, Some(0));
    }
    let server = Server::start(&desk, &[]);
    let taken =
        || desk.reel(&["sql", "--json", "SELECT run FROM runs WHERE args LIKE '%receive%' AND ended IS NOT NULL"]).out;
    for _ in 0..200 {
        if taken().lines().count() >= 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(server.stop(), Some(0));
    let where_ = ["--guest", "h", "--where", "args LIKE '%receive%'"];
    let mended = retry(&desk, &[&where_[..], &["--with", "porter-mended.wasm"]].concat());
    assert_eq!(mended.verdicts(), ["same", "fixed", "same"]);
    let double = retry(&desk, &[&where_[..], &["--with", "porter-double.wasm"]].concat());
    assert_eq!(double.verdicts(), ["effects", "same", "effects"]);
    assert_eq!(double.runs[0]["keys"][0]["is"]["text"], "2", "{}", double.runs[0]);
}
