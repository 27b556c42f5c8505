//! Guests that are deployed while a server has the database: the next request gets the new one, and no request is lost.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

use super::{deploy, replay};

fn empty() -> (Desk, Server) {
    let desk = Desk::new();
    let server = Server::start(&desk, &[]);
    (desk, server)
}

#[test]
fn a_guest_and_its_routes_are_there_at_once() {
    let (desk, server) = empty();
    let web = guest("web", Target::P2);
    assert_eq!(server.get("/hello").status, 404);
    assert!(server.said().contains("no guest has a route yet"), "{}", server.said());
    deploy(&desk, &web, "web", &["--route", "/hello"]);
    assert_eq!((server.get("/hello").status, server.get("/count/x").status), (200, 404));
    // What another has is not taken from it; a fork is asked for nothing.
    let path = web.to_str().expect("a path");
    let said = desk.reel(&["deploy", path, "--as", "thief", "--route", "/hello"]).fails(2);
    assert!(said.contains("the requests to /hello are answered by web already"), "{said}");
    assert_eq!(desk.reel(&["fork", "web", "a"]).code, Some(0));
    let run = server.get("/hello").run();
    assert!(desk.reel(&["runs", "--limit", "1"]).well().contains("web"), "run {run}");
    // Its routes become others, and what is given up is free for others.
    deploy(&desk, &web, "web", &["--route", "/count"]);
    assert_eq!((server.get("/hello").status, server.get("/count/x").status), (404, 200));
    deploy(&desk, &web, "thief", &["--route", "/hello"]);
    assert_eq!(server.get("/hello").status, 200);
    assert_eq!(desk.reel(&["spaces", "--remove", "thief"]).code, Some(0));
    assert_eq!(server.get("/hello").status, 404);
    // Back to the version with its first route.
    assert_eq!(desk.reel(&["rollback", "web", "--to", "1"]).code, Some(0));
    assert_eq!((server.get("/hello").status, server.get("/count/x").status), (200, 404));
    assert_eq!(server.stop(), Some(0));
    replay(&desk, &[run]);
}

/// Of two that want the same route at once, one gets it.
#[test]
fn two_at_once_do_not_get_the_same_route() {
    let (desk, server) = empty();
    let web = guest("web", Target::P2);
    let path = web.to_str().expect("a path");
    let children: Vec<_> =
        (0..6).map(|number| desk.spawn(&mut desk.command(&["deploy", path, "--as", &format!("g{number}")]))).collect();
    let codes: Vec<_> = children.into_iter().map(|child| reel_tests::reel::end(child).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(2)).count(), 5, "{codes:?}");
    assert_eq!(server.stop(), Some(0));
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_request_is_lost_while_it_is_deployed_again_and_again() {
    let (desk, server) = empty();
    let web = guest("web", Target::P2);
    for kind in ["handler", "resident", "handler"] {
        deploy(&desk, &web, "web", &["--kind", kind]);
        let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = server.get("/hello");
                        assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // Whatever becomes of this thread, the others end.
            let _over = Over(&stop);
            for number in 0..10 {
                deploy(&desk, &web, "web", &["--kind", kind, "--env", &format!("NUMBER={number}")]);
                // Some are answered between any two.
                let (before, begun) = (answered.load(Ordering::Relaxed), Instant::now());
                while answered.load(Ordering::Relaxed) < before + 5 && begun.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        assert!(answered.load(Ordering::Relaxed) >= 50);
    }
    assert_eq!(server.stop(), Some(0));
    assert!(desk.reel(&["verify"]).well().starts_with("sound: "));
}
