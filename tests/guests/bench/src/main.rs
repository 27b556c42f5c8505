//! Work to be measured: `bench MODE COUNT`.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Seek, Write};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mode = args.get(1).map_or("hello", String::as_str);
    let count: u64 = args.get(2).and_then(|count| count.parse().ok()).unwrap_or(1);
    match mode {
        "hello" => println!("hello"),
        "clock" => {
            for _ in 0..count {
                black_box(wasip2::clocks::monotonic_clock::now());
            }
        }
        "wall" => {
            for _ in 0..count {
                black_box(wasip2::clocks::wall_clock::now().seconds);
            }
        }
        "random" => {
            for _ in 0..count {
                black_box(wasip2::random::random::get_random_bytes(16));
            }
        }
        "write" => write(count),
        "read" => read(count),
        "compute" => println!("{:016x}", compute(count)),
        "sleep" => std::thread::sleep(std::time::Duration::from_millis(count)),
        other => {
            eprintln!("no mode {other}");
            std::process::exit(2);
        }
    }
}

/// `count` blocks of 4 KiB, no two of them the same.
fn write(count: u64) {
    let mut block = noise();
    // Another run writes other bytes: equal ones would be kept once.
    let salt = wasip2::random::random::get_random_u64() | 1;
    let mut file = File::create("/bench.dat").expect("create");
    for index in 0..count {
        for chunk in block.chunks_exact_mut(256) {
            chunk[..8].copy_from_slice(&(index + 1).wrapping_mul(salt).to_le_bytes());
        }
        file.write_all(&block).expect("write");
    }
}

/// `count` reads of 4 KiB from a file of 1 MiB.
fn read(count: u64) {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open("/bench.dat").expect("open");
    let mut block = noise();
    for _ in 0..256 {
        file.write_all(&block).expect("write");
    }
    for index in 0..count {
        if index % 256 == 0 {
            file.rewind().expect("rewind");
        }
        file.read_exact(&mut block).expect("read");
        black_box(&block);
    }
}

fn noise() -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1u64;
    let step = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as u8
    };
    (0..4096).map(|_| step(&mut state)).collect()
}

/// Sorting, hashing and floating point, as ordinary programs mix them.
fn compute(count: u64) -> u64 {
    let mut digest = 0u64;
    let mut state = 1u64;
    for round in 0..count {
        let mut numbers: Vec<u64> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 20
            })
            .collect();
        numbers.sort_unstable();
        let mean = numbers.iter().map(|&number| number as f64).sum::<f64>() / numbers.len() as f64;
        let spread = numbers.iter().map(|&number| (number as f64 - mean).powi(2)).sum::<f64>().sqrt();
        digest = numbers.iter().fold(digest ^ spread.to_bits() ^ round, |hash, number| (hash ^ number).wrapping_mul(0x100_0000_01b3));
    }
    digest
}
