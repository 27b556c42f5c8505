//! Any bytes give an answer: no panic, and what is accepted is valid.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_host::engine::instrument::{NotInstrumented, instrument};
use reel_tests::guests::{Target, guest};
use reel_tests::script::cases;
use wasmparser::{Validator, WasmFeatures};

fn valid(bytes: &[u8]) -> bool {
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok()
}

/// What is not valid is refused, what is instrumented is valid. Nothing panics. (The validator does not notice that a module inside is cut
/// off between two of its sections.)
fn answers(bytes: &[u8]) {
    match instrument(bytes) {
        Ok(done) => assert!(valid(bytes) && valid(&done.bytes)),
        Err(NotInstrumented::Invalid(error)) => {
            assert!(!valid(bytes) || error == "it ends within a section", "{error}")
        }
        Err(NotInstrumented::Obstacles(found)) => assert!(valid(bytes) && !found.is_empty() && found.len() <= 100),
    }
}

#[test]
fn bytes_of_a_real_component_that_are_cut_or_flipped() {
    let component = fs::read(guest("kvbench", Target::P2)).expect("guest");
    answers(&component);
    let flips = prop::collection::vec((0..component.len(), 0u8..8), 1..4);
    TestRunner::new(cases(300))
        .run(&(flips, prop::option::of(0..component.len())), |(flips, cut)| {
            let mut bytes = component.clone();
            for (at, bit) in flips {
                bytes[at] ^= 1 << bit;
            }
            bytes.truncate(cut.unwrap_or(component.len()));
            answers(&bytes);
            Ok(())
        })
        .expect("an answer");
}

/// Small ones are flipped everywhere.
#[test]
fn every_bit_of_a_small_component() {
    let component = wat::parse_str(
        r#"(component
            (import "a:b/c" (instance (export "r" (type (sub resource))) (export "f" (func))))
            (core module $m (memory 1) (table 1 funcref) (global (mut f32) (f32.const 1)) (data "x") (elem func)
                (func $f (export "f") (param i32) (result i32) (call $f (local.get 0))))
            (core instance $i (instantiate $m))
            (component $n) (instance $ni (instantiate $n)) (export "n" (instance $ni))
            (func (export "f") (param "a" u32) (result u32) (canon lift (core func $i "f"))))"#,
    );
    let component = component.expect("wat");
    for at in 0..component.len() {
        for bit in 0..8 {
            let mut bytes = component.clone();
            bytes[at] ^= 1 << bit;
            answers(&bytes);
        }
        answers(&component[..at]);
    }
}
