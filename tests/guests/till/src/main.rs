//! Does what its arguments say, one after the other. Its variants do some of it differently.

#[path = "../../variant.rs"]
mod variant;

mod fetch;

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use reel_guest::{Bucket, Message};

fn main() {
    if variant::is("endless") {
        loop {
            std::hint::black_box(1);
        }
    }
    if variant::is("greedy") {
        let mut all = Vec::new();
        loop {
            all.push(vec![1u8; 1 << 20]);
        }
    }
    if variant::is("sleepy") {
        std::thread::sleep(Duration::from_secs(3600));
    }
    if variant::is("ahead") {
        eprintln!("ahead of all");
    }
    for line in std::env::args().skip(1) {
        step(&line.split(' ').collect::<Vec<_>>());
    }
}

fn step(words: &[&str]) {
    match *words {
        ["pay", cents] => pay(cents.parse().expect("cents")),
        ["say", text] => println!("{}", if variant::is("loud") { text.to_uppercase() } else { text.to_owned() }),
        ["write", path, text] => {
            let end = if variant::is("fee") { "!" } else { "" };
            std::fs::write(path, format!("{text}{end}")).expect("written");
        }
        ["send", topic, text] => {
            let text = if variant::is("fee") { format!("{text} and a fee") } else { text.to_owned() };
            Message::new(text).send(topic).expect("sent");
        }
        // What is outside, as it is now.
        ["look"] => {
            let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
            let chance = RandomState::new().hash_one(0);
            if variant::is("draws") {
                println!("{}", fetch::chance());
            }
            println!("{} {chance} {}", time.as_nanos(), fetch::chance());
        }
        ["read", path] => println!("{}", std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string())),
        ["stdin"] => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).expect("text");
            println!("{text}");
        }
        ["fetch", authority, path, body] => {
            if variant::is("dials") {
                println!("{:?}", TcpStream::connect(authority).map(drop));
            }
            if variant::is("mute") {
                return;
            }
            println!("{}", fetch::post(authority, path, body));
            match () {
                () if variant::is("asks") => println!("{}", fetch::post(authority, "/more", body)),
                () if variant::is("twice") => println!("{}", fetch::post(authority, path, body)),
                () => {}
            }
        }
        ["call", guest, function, argument] => {
            if variant::is("mute") {
                return;
            }
            let argument = if variant::is("asks") { format!("{argument}0") } else { argument.to_owned() };
            println!("{:?}", reel_guest::call(guest, function, &[&argument]).ok());
        }
        ["wait", millis] => {
            let begun = Instant::now();
            std::thread::sleep(Duration::from_millis(millis.parse().expect("milliseconds")));
            println!("{}", begun.elapsed() >= Duration::from_millis(millis.parse().expect("milliseconds")));
        }
        ["commit"] => drop(reel_guest::commit().expect("committed")),
        ["exit", code] => std::process::exit(code.parse().expect("a code")),
        _ => panic!("what is {words:?}?"),
    }
}

/// Takes money. What is too much ends badly.
fn pay(cents: i64) {
    let bucket = Bucket::open("till").expect("a bucket");
    assert!(cents <= 100 || variant::is("mended"), "there is no change for {cents}");
    let sum = bucket.increment("sum", cents).expect("a number");
    if variant::is("fee") {
        bucket.increment("fees", 1).expect("a number");
    }
    println!("{sum}");
}
