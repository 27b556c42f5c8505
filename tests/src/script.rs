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

/// A few buckets; among them such as cannot be.
fn bucket() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("a"), 4 => Just("b"), 1 => Just("\u{e9}"), 1 => Just("l:255"), 1 => Just("l:256"), 1 => Just("-")]
}

/// Keys that are text, as the standard wants them.
fn text_key() -> impl Strategy<Value = &'static str> {
    let plain = prop_oneof![
        Just("a"),
        Just("ab"),
        Just("abc"),
        Just("b"),
        Just("c"),
        Just("\u{e9}"),
        Just("x:00"),
        Just("x:7f")
    ];
    prop_oneof![12 => plain, 1 => Just("-"), 1 => Just("l:4096"), 1 => Just("l:4097")]
}

/// Keys of any bytes, of which some are each other's beginning.
fn key() -> impl Strategy<Value = &'static str> {
    let bytes = prop_oneof![Just("x:61ff"), Just("x:ff"), Just("x:ffff"), Just("x:ff00"), Just("x:80")];
    prop_oneof![6 => text_key(), 1 => bytes]
}

/// Sizes of values: around the borders of what stands in the cell, in one payload, or in blocks.
fn value_size() -> impl Strategy<Value = u64> {
    let borders = prop_oneof![Just(0u64), Just(1), Just(4096), Just(4097), Just(16_256), Just(16_257), Just(1 << 20)];
    prop_oneof![2 => 1u64..200, 1 => borders]
}

/// A range: prefix, start, end and how many at once.
fn range() -> impl Strategy<Value = String> {
    let bound = || prop_oneof![2 => Just("."), 1 => Just("a"), 1 => key()];
    let limit = prop_oneof![Just(1u32), Just(2), Just(3), Just(1000)];
    (bound(), bound(), bound(), limit)
        .prop_filter("a bound is no longer than a key", |(a, b, c, _)| ![a, b, c].contains(&&"l:4097"))
        .prop_map(|(prefix, start, end, limit)| format!("{prefix} {start} {end} {limit}"))
}

/// An operation whose result depends on the buckets alone.
fn key_value_operation() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just(i64::MAX.to_string()),
        Just(i64::MIN.to_string()),
        Just("9223372036854775808".to_owned()),
        Just("one".to_owned()),
        (-100i64..100).prop_map(|number| number.to_string()),
    ];
    let delta = prop_oneof![4 => -100i64..100, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let keys = || prop::collection::vec(text_key(), 0..4).prop_map(|keys| keys.join(" "));
    prop_oneof![
        8 => (bucket(), key(), value_size(), 0u64..250).prop_map(|(b, k, size, seed)| format!("set {b} {k} {size} {seed}")),
        8 => (bucket(), key()).prop_map(|(b, k)| format!("get {b} {k}")),
        4 => (bucket(), key()).prop_map(|(b, k)| format!("delete {b} {k}")),
        2 => (bucket(), key()).prop_map(|(b, k)| format!("exists {b} {k}")),
        2 => (bucket(), key(), number).prop_map(|(b, k, number)| format!("set-number {b} {k} {number}")),
        4 => (bucket(), key(), delta).prop_map(|(b, k, delta)| format!("increment {b} {k} {delta}")),
        6 => (bucket(), range()).prop_map(|(b, range)| format!("scan {b} {range}")),
        2 => bucket().prop_map(|b| format!("keys {b}")),
        2 => (0u8..4, bucket(), key()).prop_map(|(past, b, k)| format!("get-past {past} {b} {k}")),
        2 => (0u8..4, bucket(), range()).prop_map(|(past, b, range)| format!("scan-past {past} {b} {range}")),
        1 => (bucket(), text_key(), value_size(), 0u64..250).prop_map(|(b, k, size, seed)| format!("swap {b} {k} {size} {seed}")),
        1 => (bucket(), text_key(), 1u64..5000, 0u64..250).prop_map(|(b, k, size, seed)| format!("swap-late {b} {k} {size} {seed}")),
        1 => (bucket(), keys()).prop_map(|(b, keys)| format!("get-many {b} {keys}")),
        1 => (bucket(), value_size(), 0u64..250, keys()).prop_map(|(b, size, seed, keys)| format!("set-many {b} {size} {seed} {keys}")),
        1 => (bucket(), keys()).prop_map(|(b, keys)| format!("delete-many {b} {keys}")),
    ]
}

/// An operation on the transaction as a whole.
fn savepoint_operation() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("save".to_owned()),
        2 => (0u8..4).prop_map(|nth| format!("back {nth}")),
        1 => (0u8..4).prop_map(|nth| format!("keep {nth}")),
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

/// What one transaction can do.
fn operation() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => file_operation(),
        4 => key_value_operation(),
        1 => savepoint_operation(),
        3 => chance_operation(),
    ]
}

/// The operations, and then one of the ways to end: well, with a failure, a trap or an abort.
fn ended(operations: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = Vec<String>> {
    let end = prop_oneof![4 => Just(""), 1 => Just("exit 3"), 1 => Just("trap"), 1 => Just("abort no more")];
    (operations, end).prop_map(|(mut operations, end)| {
        operations.push(end.to_owned());
        operations
    })
}

/// Scripts of everything that one transaction can do, with the way they end.
pub fn everything() -> impl Strategy<Value = Vec<String>> {
    ended(prop::collection::vec(operation(), 1..40))
}

/// The same in several transactions, of which each but the last commits.
pub fn in_steps() -> impl Strategy<Value = Vec<String>> {
    let steps = prop::collection::vec(prop::collection::vec(operation(), 1..20), 1..4);
    ended(steps.prop_map(|steps| steps.join(&"commit".to_owned())))
}

/// Scripts whose output depends on the space alone: files, buckets, savepoints, commits, with the way they end.
pub fn space() -> impl Strategy<Value = Vec<String>> {
    let operation = prop_oneof![
        4 => file_operation(),
        12 => key_value_operation(),
        3 => savepoint_operation(),
        1 => Just("commit".to_owned()),
    ];
    ended(prop::collection::vec(operation, 1..60))
}
