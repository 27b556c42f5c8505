//! Requests answered by guests: each a transaction, each in the log, whatever the guest or the client does.

mod answers;
mod clients;
mod deployed;
mod health;
mod networks;
mod others;
mod secure;
mod tls;
mod together;
mod trace;

use std::path::Path;

use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;

/// A desk on which the handler `web` is deployed.
fn desk(more: &[&str]) -> Desk {
    let desk = Desk::new();
    let web = guest("web", Target::P2);
    deploy(&desk, &web, "web", more);
    desk
}

fn deploy(desk: &Desk, component: &Path, name: &str, more: &[&str]) {
    let mut args = vec!["deploy", component.to_str().expect("a path"), "--as", name];
    args.extend(more);
    desk.reel(&args).well();
}

/// A desk with the handler, and a server for it.
fn served(more: &[&str]) -> (Desk, Server) {
    let desk = desk(more);
    let server = Server::start(&desk, &[]);
    (desk, server)
}

/// Replays runs and checks that each does what it did; nobody serves any more.
fn replay(desk: &Desk, runs: &[u64]) {
    for run in runs {
        let said = desk.reel(&["replay", &run.to_string()]);
        assert!(said.err.contains("same") || said.out.contains("same"), "run {run}: {}{}", said.out, said.err);
    }
}
