//! Generated scripts for the guest `chaos`.

use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use proptest::test_runner::{Config, RngSeed};

/// How many cases a law is tried on, and which: the same ones each time, unless `REEL_CASES` asks for more or `REEL_SEED` for others.
pub fn cases(standard: u32) -> Config {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("REEL_CASES").map_or(standard, |cases| cases as u32);
    let rng_seed = RngSeed::Fixed(number("REEL_SEED").unwrap_or(1));
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

/// A few names, so that operations meet; among them such as try to get out.
fn name() -> impl Strategy<Value = String> {
    let plain =
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("d/a"), Just("d/b"), Just("d/e"), Just("d/e/a")];
    let odd = prop_oneof![
        Just("a/"),
        Just("./b"),
        Just("d/../a"),
        Just("d//a"),
        Just("d/."),
        Just("nothing/a"),
        Just("a/b"),
        Just("\u{e9}\u{1f3b5}"),
        Just("."),
    ];
    prop_oneof![6 => plain, 1 => odd].prop_map(str::to_owned)
}

/// Sizes around the borders of blocks.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..200, Just(4096), 16_000u64..17_000, 32_000u64..33_000, 60_000u64..70_000, 100_000u64..140_000]
}

/// An operation whose result depends on the files alone.
fn file_operation() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (name(), size(), 0u64..250).prop_map(|(name, size, seed)| format!("write {name} {size} {seed}")),
        3 => (name(), size(), 0u64..250).prop_map(|(name, size, seed)| format!("append {name} {size} {seed}")),
        3 => (name(), size(), 0u64..40_000, 0u64..250).prop_map(|(name, at, len, seed)| format!("patch {name} {at} {len} {seed}")),
        4 => name().prop_map(|name| format!("read {name}")),
        2 => (name(), size(), size()).prop_map(|(name, at, len)| format!("part {name} {at} {len}")),
        2 => (name(), size()).prop_map(|(name, size)| format!("size {name} {size}")),
        2 => name().prop_map(|name| format!("stat {name}")),
        3 => name().prop_map(|name| format!("mkdir {name}")),
        1 => name().prop_map(|name| format!("rmdir {name}")),
        2 => name().prop_map(|name| format!("unlink {name}")),
        3 => (name(), name()).prop_map(|(from, to)| format!("rename {from} {to}")),
        1 => (name(), name()).prop_map(|(from, to)| format!("link {from} {to}")),
        2 => name().prop_map(|name| format!("list {name}")),
        1 => name().prop_map(|name| format!("unlinked {name}")),
    ]
}

/// An operation that two executions do differently.
fn chance_operation() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("time".to_owned()),
        Just("chance".to_owned()),
        Just("draw".to_owned()),
        (1u64..300).prop_map(|kib| format!("grow {kib} {kib}")),
        (1u64..50).prop_map(|micros| format!("nap {micros}")),
        "[a-z]{1,12}".prop_map(|word| format!("print {word}")),
    ]
}

/// Scripts of file operations only.
pub fn files() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(file_operation(), 1..40)
}

/// Scripts of everything, with the way they end.
pub fn everything() -> impl Strategy<Value = Vec<String>> {
    let operation = prop_oneof![2 => file_operation(), 1 => chance_operation()];
    let end = prop_oneof![4 => Just(""), 1 => Just("exit 3"), 1 => Just("trap")];
    (prop::collection::vec(operation, 1..40), end).prop_map(|(mut operations, end)| {
        operations.push(end.to_owned());
        operations
    })
}
