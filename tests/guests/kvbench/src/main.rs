//! Work on a bucket to be measured: `kvbench MODE COUNT`. A guest of its own, because a plain host has no buckets to compare the others with.

use std::hint::black_box;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mode = args.get(1).map_or("none", String::as_str);
    let count: u64 = args.get(2).and_then(|count| count.parse().ok()).unwrap_or(1);
    let bucket = reel_guest::Bucket::open("bench").expect("bucket");
    match mode {
        "none" => {}
        "get" => {
            for index in 0..count {
                black_box(bucket.get(key(index)).expect("get"));
            }
        }
        "set" => {
            for index in 0..count {
                bucket.set(key(index), [index as u8; 100]).expect("set");
            }
        }
        other => {
            eprintln!("no mode {other}");
            std::process::exit(2);
        }
    }
}

/// The keys that the benches fill a bucket with, in an order that is none.
fn key(index: u64) -> [u8; 8] {
    (index.wrapping_mul(7_919) % 1_000_000).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}
