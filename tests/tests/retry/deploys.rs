//! `reel deploy --check`: an update is let in if what was is not broken by it.

use reel_tests::web::Server;

use super::*;

#[test]
fn an_update_is_let_in_if_runs_become_what_they_may() {
    let desk = desk("web", &["mended", "loud"]);
    let deploy = |file: &str, more: &[&str]| {
        desk.reel(&[&["deploy", file, "--as", "web", "--check", "last:1000"], more].concat())
    };
    // There is nothing to be the same yet.
    let first = deploy("web.wasm", &[]);
    assert_eq!((first.code, first.out.as_str()), (Some(0), "web@1\n"), "{}", first.err);
    let server = Server::start(&desk, &[]);
    for path in ["/hello", "/trap", "/count/a"] {
        server.get(path);
    }
    for serves in [true, false] {
        let refused = deploy("web-loud.wasm", &[]);
        assert_eq!((refused.code, refused.out.as_str()), (Some(13), ""), "{}", refused.err);
        assert!(refused.err.contains("run ") && refused.err.contains("effects"), "{}", refused.err);
        assert!(refused.err.contains("web was not deployed"), "{}", refused.err);
        let refused = deploy("web-mended.wasm", &["--allow", "output"]);
        assert_eq!((refused.code, refused.err.contains("fixed")), (Some(13), true), "{}", refused.err);
        if serves {
            assert_eq!(server.get("/hello").text(), "hello\n");
            assert_eq!(server.get("/trap").status, 500);
            let same = deploy("web.wasm", &[]);
            assert_eq!(same.code, Some(0), "{}", same.err);
            server.signal("TERM");
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }
    let let_in = deploy("web-mended.wasm", &["--allow", "fixed"]);
    assert_eq!(let_in.code, Some(0), "{}", let_in.err);
    assert!(let_in.out.starts_with("web@"), "{}", let_in.out);
    let server = Server::start(&desk, &[]);
    assert_eq!(server.get("/trap").text(), "no trap any more");
    assert_eq!(desk.reel(&["deploy", "web.wasm", "--as", "web", "--allow", "fixed"]).code, Some(2));
}

#[test]
fn a_resident_is_checked_as_well() {
    let desk = desk("keeper", &["mended", "double"]);
    assert_eq!(desk.reel(&["deploy", "keeper.wasm", "--as", "k"]).code, Some(0));
    assert_eq!(desk.reel(&["call", "k", "add", "5"]).code, Some(0));
    assert_ne!(desk.reel(&["call", "k", "panics", "1"]).code, Some(0));
    let before = desk.reel(&["history", "k"]).out;
    let refused = desk.reel(&["deploy", "keeper-double.wasm", "--as", "k", "--check", "last:10"]);
    assert_eq!(refused.code, Some(13), "{}", refused.err);
    assert_eq!(desk.reel(&["history", "k"]).out, before);
    let let_in = ["deploy", "keeper-mended.wasm", "--as", "k", "--check", "last:10", "--allow", "fixed"];
    let let_in = desk.reel(&let_in);
    assert_eq!(let_in.code, Some(0), "{}", let_in.err);
}
