//! See `wit/world.wit`. Each message and each tick is a fresh instance: what is known of others lies in the bucket `porter`.

#[path = "../../variant.rs"]
mod variant;

use std::cell::Cell;

use exports::reel::guest::inbox::Message as Incoming;
use reel_guest::{Bucket, Message};

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "test:porter/porter" });

thread_local! {
    static ENTERED: Cell<u32> = const { Cell::new(0) };
}

struct Porter;

fn kept() -> Bucket {
    Bucket::open("porter").expect("bucket")
}

fn number(key: &str) -> i64 {
    let bytes = kept().get(key).expect("read").unwrap_or_default();
    String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn add(key: &str, delta: i64) -> i64 {
    kept().increment(key, delta).expect("counted")
}

/// A number between 0 and 99 that each attempt has for itself.
fn chance(id: &str, attempt: u32) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.bytes().chain(attempt.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
    (hash >> 20) % 100
}

impl exports::reel::guest::inbox::Guest for Porter {
    fn receive(message: Incoming) -> Result<(), String> {
        if ENTERED.replace(1) > 0 {
            add("not fresh", 1);
        }
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        if text == "idle" {
            return Ok(());
        }
        let words: Vec<&str> = text.split(' ').collect();
        let key = message.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
        match words.as_slice() {
            // Fails until it was tried so often.
            ["fails", times] if message.attempt < times.parse().unwrap_or(u32::MAX) => {
                add("it should not be here", 1);
                return Err(format!("attempt {}", message.attempt));
            }
            ["traps", times] if !variant::is("mended") && message.attempt < times.parse().unwrap_or(u32::MAX) => {
                add("it should not be here", 1);
                panic!("as asked");
            }
            ["exits"] => std::process::exit(0),
            ["commits"] => {
                reel_guest::commit().expect("committed");
            }
            ["waits", millis] => std::thread::sleep(std::time::Duration::from_millis(millis.parse().expect("millis"))),
            ["pay", cents, number, uncertain] => {
                let (cents, number): (i64, i64) = (cents.parse().expect("cents"), number.parse().expect("number"));
                let last = add(&format!("from {}", message.sender), 1);
                add("wrong", i64::from(last != number));
                add("balance", cents);
                add("came", 1);
                // Half of it goes back, in the same transaction.
                let back = cents / 2;
                add("balance", -back);
                let next = add(&format!("paid {}", message.sender), 1);
                let payment = Message::new(format!("pay {back} {next} {uncertain}")).key("payments");
                payment.send(&message.sender).expect("sent");
                if chance(&message.id, message.attempt) < uncertain.parse().unwrap_or(0) {
                    return Err("by chance".into());
                }
                return Ok(());
            }
            ["count"] => {
                add("count", if variant::is("double") { 2 } else { 1 });
                return Ok(());
            }
            // The next of its key, or it is out of order.
            [n] if n.parse::<i64>().is_ok() => {
                let last = add(&format!("key {key}"), 1);
                add("wrong", i64::from(n.parse() != Ok(last - 1)));
                return Ok(());
            }
            _ => {}
        }
        let at = add("got", 1);
        let line = format!("{}/{key}: {text}", message.topic);
        kept().set(&format!("got {at}"), line.as_bytes()).expect("set");
        Ok(())
    }
}

impl exports::test::porter::clock::Guest for Porter {
    fn tick(text: String) -> Result<u64, String> {
        let ticks = add(&format!("tick {text}"), 1);
        if let Some(times) = text.strip_prefix("fails ")
            && number("fail") < times.parse().unwrap_or(0)
        {
            return Err("as asked".into());
        }
        Ok(ticks as u64)
    }
}

export!(Porter);
