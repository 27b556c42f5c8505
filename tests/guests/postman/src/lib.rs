//! See `wit/world.wit`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use exports::reel::guest::inbox::Message as Incoming;
use exports::test::postman::other_ways::Part;
use reel_guest::{Bucket, Message, messages, savepoint};

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "test:postman/postman" });

#[derive(Default)]
struct State {
    got: Vec<String>,
    balance: i64,
    /// The last payment to each.
    paid: BTreeMap<String, u64>,
    /// The last payment from each.
    from: BTreeMap<String, u64>,
    came: u64,
    wrong: u64,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

struct Postman;

fn told<T>(result: Result<T, messages::Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn message(key: Option<String>, text: String) -> Message {
    let message = Message::new(text).header("from", "a test");
    match key {
        Some(key) => message.key(key),
        None => message,
    }
}

/// A number between 0 and 99 that each attempt has for itself: what is in memory would be the same again after a failure.
fn chance(id: &str, attempt: u32) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.bytes().chain(attempt.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
    (hash >> 20) % 100
}

impl exports::test::postman::desk::Guest for Postman {
    fn send(topic: String, key: Option<String>, text: String, delay_millis: u64) -> Result<(), String> {
        told(message(key, text).delay(Duration::from_millis(delay_millis)).send(&topic))
    }
    fn burst(topic: String, key: Option<String>, n: u32) -> Result<(), String> {
        (0..n).try_for_each(|n| told(message(key.clone(), n.to_string()).send(&topic)))
    }
    fn burst_of(topic: String, key: Option<String>, text: String, n: u32) -> Result<(), String> {
        (0..n).try_for_each(|_| told(message(key.clone(), text.clone()).send(&topic)))
    }
    fn spread(topic: String, keys: u32, text: String, n: u32) -> Result<(), String> {
        (0..n).try_for_each(|n| told(message(Some((n % keys).to_string()), text.clone()).send(&topic)))
    }
    fn send_and_trap(topic: String) {
        message(None, "never".into()).send(&topic).expect("sent");
        panic!("as asked");
    }
    fn half(topic: String) -> Result<(), String> {
        let undone = savepoint(|| -> Result<(), Box<dyn std::error::Error>> {
            message(None, "undone".into()).send(&topic)?;
            Err("undone".into())
        });
        assert!(undone.is_err());
        told(message(None, "done".into()).send(&topic))
    }
    fn send_bytes(topic: String, bytes: u32) -> Result<(), String> {
        told(messages::send(&topic, vec![b'x'; bytes as usize]))
    }
    fn got() -> Vec<String> {
        state(|state| state.got.clone())
    }
    fn forget() {
        state(|state| state.got.clear());
    }
    fn pay(to: String, cents: i64, uncertain: u32) -> u64 {
        let number = state(|state| {
            state.balance -= cents;
            let number = state.paid.entry(to.clone()).or_default();
            *number += 1;
            *number
        });
        Message::new(format!("pay {cents} {number} {uncertain}")).key("payments").send(&to).expect("sent");
        number
    }
    fn balance() -> i64 {
        state(|state| state.balance)
    }
    fn came() -> (u64, u64) {
        state(|state| (state.came, state.wrong))
    }
}

impl exports::reel::guest::inbox::Guest for Postman {
    fn receive(message: Incoming) -> Result<(), String> {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            // Fails until it was tried so often.
            ["fails", times, ..] if message.attempt < times.parse().unwrap_or(u32::MAX) => {
                state(|state| state.got.push("it should not be here".into()));
                Bucket::open("taken").expect("bucket").set("wrong", "1").expect("set");
                return Err(format!("attempt {}", message.attempt));
            }
            ["traps", times, ..] if message.attempt < times.parse().unwrap_or(u32::MAX) => panic!("as asked"),
            ["pay", cents, number, uncertain] => {
                let (cents, number): (i64, u64) = (cents.parse().expect("cents"), number.parse().expect("number"));
                state(|state| {
                    let last = state.from.entry(message.sender.clone()).or_default();
                    state.wrong += u64::from(*last + 1 != number);
                    *last = number;
                    state.balance += cents;
                    state.came += 1;
                });
                let taken = Bucket::open("taken").expect("bucket");
                taken.increment(&message.sender, cents).expect("counted");
                if chance(&message.id, message.attempt) < uncertain.parse().unwrap_or(0) {
                    return Err("by chance".into());
                }
                return Ok(());
            }
            ["forward", topic, times] if *times != "0" => {
                let times: u64 = times.parse().expect("times");
                Message::new(format!("forward {topic} {}", times - 1)).send(topic).expect("sent");
            }
            ["idle"] => return Ok(()),
            // For ever.
            ["loop", topic] => Message::new(text.clone()).send(topic).expect("sent"),
            _ => {}
        }
        let key = message.key.map(|key| String::from_utf8_lossy(&key).into_owned()).unwrap_or_default();
        state(|state| state.got.push(format!("{}/{key}: {text}", message.topic)));
        Ok(())
    }
}

impl exports::test::postman::other_ways::Guest for Postman {
    fn as_text(text: String) -> Result<(), String> {
        state(|state| state.got.push(format!("text {text}")));
        Ok(())
    }
    fn as_bytes(bytes: Vec<u8>) {
        state(|state| state.got.push(format!("{} bytes", bytes.len())));
    }
    fn as_part(part: Part) -> Result<u32, String> {
        state(|state| state.got.push(format!("attempt {} of {}", part.attempt, part.sender)));
        Ok(7)
    }
    fn unfit(a: u32) -> u32 {
        a
    }
}

export!(Postman);
