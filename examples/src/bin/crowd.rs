//! Ten thousand people who want a seat at once: the load of the tutorial.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a program beside the sandbox"
)]

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use reel_examples::http::Head;

const USAGE: &str = "\
usage: crowd HOST:PORT SHOW SEATS

As many people as there are seats ask for one each, sixteen of them at a time. How often each status was answered is printed.";

/// How many ask at the same time.
const AT_ONCE: u32 = 16;

/// How long one waits for a piece of the answer.
const PIECE: Duration = Duration::from_secs(60);

const FIRST: [&str; 16] = [
    "Ada",
    "Bo",
    "Chidi",
    "Dana",
    "Emre",
    "Françoise",
    "Göran",
    "Hana",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mara",
    "Nils",
    "Olga",
    "Priya",
];
const LAST: [&str; 13] = [
    "Abara",
    "Berg",
    "Costa",
    "Dahl",
    "Ek",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jensen",
    "Kaya",
    "Lindqvist",
    "Müller",
];

/// One of them has a longer name.
const GUEST: (u32, &str) = (7331, "Guðrún Sólveig Jónsdóttir");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, show, seats] = args.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match seats.parse().context("SEATS is a number").and_then(|seats| crowd(host, show, seats)) {
        Ok(answers) => {
            for (status, count) in answers {
                println!("{count:>6} x {status}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How often each status was answered.
fn crowd(host: &str, show: &str, seats: u32) -> Result<BTreeMap<String, u32>> {
    let next = AtomicU32::new(1);
    let asking = || -> Result<Vec<String>> {
        let connection = TcpStream::connect(host).with_context(|| format!("nobody answers at {host}"))?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PIECE))?;
        let mut connection = BufReader::new(connection);
        let mut answers = Vec::new();
        loop {
            let seat = next.fetch_add(1, Ordering::Relaxed);
            if seat > seats {
                return Ok(answers);
            }
            let body = format!("{{\"name\": \"{}\"}}", name(seat));
            let request = format!(
                "POST /shows/{show}/seats/{seat} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.get_mut().write_all(request.as_bytes())?;
            let head = Head::read(&mut connection)?.context("the server has closed the connection")?;
            head.body(&mut connection, |_| Ok(()))?;
            answers.push(head.line.split_once(' ').map_or("", |(_, status)| status).to_owned());
        }
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(asking)).collect();
        let mut counts = BTreeMap::new();
        for answers in asking {
            for status in answers.join().expect("nobody panics")? {
                *counts.entry(status).or_default() += 1;
            }
        }
        Ok(counts)
    })
}

fn name(seat: u32) -> String {
    if seat == GUEST.0 {
        return GUEST.1.to_owned();
    }
    let of = |names: &[&'static str], step: u32| names[(seat * step) as usize % names.len()];
    format!("{} {}", of(&FIRST, 5), of(&LAST, 7))
}
