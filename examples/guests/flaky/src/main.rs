//! Fetches exchange rates from a feed that does not always answer, with retries and jitter, and writes `/quotes.csv`.
//!
//! It has a bug that a test will hardly meet: it needs a retry (a random draw) and a certain moment (the clock). The feed is simulated;
//! a replay of the failure is not.

mod draw;
mod feed;
mod stopwatch;

use std::fmt::Write;
use std::time::Duration;

use draw::draw;
use stopwatch::Stopwatch;

const PAIRS: [&str; 5] = ["EUR/USD", "EUR/GBP", "EUR/CHF", "EUR/JPY", "EUR/SEK"];

/// Attempts for one pair before the job gives up.
const ATTEMPTS: u32 = 20;

/// First pause between two attempts; it doubles with each, up to the longest.
const PAUSE: Duration = Duration::from_millis(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(120);

fn main() {
    let mut page = String::from("pair,rate,attempts,waited_ms\n");
    for pair in PAIRS {
        let (rate, attempts, waited) = fetch(pair);
        println!("{pair} {rate:.4}, {attempts} attempt{}", if attempts == 1 { "" } else { "s" });
        let _ = writeln!(page, "{pair},{rate:.4},{attempts},{waited}");
    }
    std::fs::write("/quotes.csv", page).expect("the quotes can be written");
}

/// The rate of a pair, how many attempts it took, and how many milliseconds went by.
fn fetch(pair: &str) -> (f64, u32, u32) {
    let watch = Stopwatch::start();
    let mut pause = PAUSE;
    for attempt in 1..=ATTEMPTS {
        match feed::ask(pair) {
            Ok(rate) if attempt == 1 => return (rate, attempt, 0),
            Ok(rate) => return (rate, attempt, watch.millis()),
            Err(what) => eprintln!("{pair}: {what}, attempt {attempt}"),
        }
        std::thread::sleep(pause.mul_f64(0.5 + draw()));
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    eprintln!("{pair}: no answer after {ATTEMPTS} attempts");
    std::process::exit(1);
}
