//! A payment service for the example `shop`, which takes no real money, and can be told to behave badly.
//!
//! It takes the money of a key once, however often it is asked, and says the same receipt each time. What it knows is gone when it ends.
//!
//! ```text
//! POST   /payments          {"cents": 1250}, with an Idempotency-Key   {"receipt": 1}
//! DELETE /payments/KEY      gives the money back
//! GET    /payments          one line for each key
//! PUT    /next              what it does with the next payment: decline, fail, drop, slow SECONDS
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a program beside the sandbox"
)]

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use reel_examples::http::Head;
use serde_json::{Value, json};

/// What it does with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Declines it.
    Decline,
    /// Is broken: nothing is taken.
    Fail,
    /// Takes the money, and breaks the connection off.
    Drop,
    /// Takes the money, and answers later.
    Slow(Duration),
}

/// A payment.
struct Payment {
    receipt: u64,
    cents: u64,
    asked: u32,
    given_back: bool,
}

#[derive(Default)]
struct Books {
    payments: BTreeMap<String, Payment>,
    next: Option<Mood>,
}

/// An answer: the status and the body. Without one, the connection is broken off.
type Answer = Option<(&'static str, String)>;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: payments HOST:PORT")?;
    let listener = TcpListener::bind(&address).with_context(|| format!("cannot listen at {address}"))?;
    let books = Arc::<Mutex<Books>>::default();
    for connection in listener.incoming() {
        let (connection, books) = (connection?, Arc::clone(&books));
        thread::spawn(move || drop(serve(connection, &books)));
    }
    Ok(())
}

fn serve(connection: TcpStream, books: &Mutex<Books>) -> Result<()> {
    let mut answers = connection.try_clone()?;
    let mut requests = BufReader::new(connection);
    while let Some(head) = Head::read(&mut requests)? {
        let mut body = Vec::new();
        head.body(&mut requests, |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        let Some((status, text)) = answer(&head, &body, books) else { break };
        write!(answers, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
        if head.field("connection").is_some_and(|wish| wish.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

fn answer(head: &Head, body: &[u8], books: &Mutex<Books>) -> Answer {
    let mut words = head.line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let books_now = || books.lock().unwrap_or_else(PoisonError::into_inner);
    match (method, path.strip_prefix("/payments/")) {
        ("POST", _) if path == "/payments" => {
            let cents = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["cents"].as_u64());
            let (Some(key), Some(cents)) = (head.field("idempotency-key"), cents) else {
                return said("400 Bad Request", "a payment needs a key and cents\n");
            };
            let mood = books_now().next.take();
            match mood {
                Some(Mood::Decline) => return said("402 Payment Required", "declined\n"),
                Some(Mood::Fail) => return said("500 Internal Server Error", "broken\n"),
                _ => {}
            }
            let taken = books_now().pay(key, cents);
            match mood {
                Some(Mood::Drop) => return None,
                Some(Mood::Slow(time)) => thread::sleep(time),
                _ => {}
            }
            taken
        }
        ("DELETE", Some(key)) => match books_now().payments.get_mut(key) {
            Some(payment) => {
                payment.given_back = true;
                said("200 OK", "given back\n")
            }
            None => said("404 Not Found", "no such payment\n"),
        },
        ("GET", _) if path == "/payments" => said("200 OK", &books_now().lines()),
        ("PUT", _) if path == "/next" => match mood(&String::from_utf8_lossy(body)) {
            Some(mood) => {
                books_now().next = Some(mood);
                said("200 OK", "")
            }
            None => said("400 Bad Request", "decline, fail, drop or slow SECONDS\n"),
        },
        _ => said("404 Not Found", "there is nothing here\n"),
    }
}

fn said(status: &'static str, text: &str) -> Answer {
    Some((status, text.to_owned()))
}

fn mood(words: &str) -> Option<Mood> {
    Some(match words.trim().split_once(' ') {
        Some(("slow", seconds)) => Mood::Slow(Duration::from_secs(seconds.parse().ok()?)),
        Some(_) => return None,
        None => match words.trim() {
            "decline" => Mood::Decline,
            "fail" => Mood::Fail,
            "drop" => Mood::Drop,
            _ => return None,
        },
    })
}

impl Books {
    fn pay(&mut self, key: &str, cents: u64) -> Answer {
        let receipt = self.payments.len() as u64 + 1;
        let payment =
            self.payments.entry(key.to_owned()).or_insert(Payment { receipt, cents, asked: 0, given_back: false });
        if payment.cents != cents {
            return said("422 Unprocessable Content", "the key is that of another payment\n");
        }
        payment.asked += 1;
        payment.given_back = false;
        let status = if payment.asked == 1 { "201 Created" } else { "200 OK" };
        said(status, &format!("{}\n", json!({ "receipt": payment.receipt, "cents": cents })))
    }

    fn lines(&self) -> String {
        let line = |(key, payment): (&String, &Payment)| {
            let Payment { receipt, cents, asked, given_back } = payment;
            let back = if *given_back { ", given back" } else { "" };
            let times = if *asked == 1 { "once".into() } else { format!("{asked} times") };
            format!("receipt {receipt}: {key} paid {}.{:02}{back}; asked {times}\n", cents / 100, cents % 100)
        };
        self.payments.iter().map(line).collect()
    }
}
