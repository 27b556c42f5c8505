//! Components made by hand: several memories, globals of every type, and what cannot be captured.

use reel_host::runtime::resident::Habits;
use reel_host::runtime::{Engines, Verdict};

use super::side::Side;

/// Two core modules with memories and globals of their own; the second adds to those of both.
const TWO: &str = r#"(component
    (core module $a
        (memory (export "m") 1)
        (global (export "g") (mut i64) (i64.const 1)))
    (core module $b
        (import "a" "m" (memory $theirs 1)) (import "a" "g" (global $g (mut i64)))
        (memory $own 1 64) (memory $wide i64 1)
        (global $i (mut i32) (i32.const 1)) (global $f (mut f32) (f32.const 1)) (global $d (mut f64) (f64.const 1))
        (global $v (mut v128) (v128.const i64x2 1 1))
        (func (export "step") (param $n i64) (result i64)
            (global.set $g (i64.add (global.get $g) (local.get $n)))
            (global.set $i (i32.add (global.get $i) (i32.wrap_i64 (local.get $n))))
            (global.set $f (f32.add (global.get $f) (f32.convert_i64_s (local.get $n))))
            (global.set $d (f64.mul (global.get $d) (f64.const 1.5)))
            (global.set $v (i64x2.add (global.get $v) (i64x2.splat (local.get $n))))
            (drop (memory.grow $own (i32.const 1)))
            (drop (memory.grow $wide (i64.const 1)))
            (i64.store $theirs (i32.const 40000) (i64.add (i64.load $theirs (i32.const 40000)) (local.get $n)))
            (i64.store $own
                (i32.sub (i32.mul (memory.size $own) (i32.const 65536)) (i32.const 8))
                (i64.add (local.get $n) (i64.load $own (i32.const 65528))))
            (i64.store $wide
                (i64.sub (i64.mul (memory.size $wide) (i64.const 65536)) (i64.const 8)) (global.get $g))
            (i64.add (i64.add (global.get $g) (i64.extend_i32_u (global.get $i)))
                (i64.add (i64.add (i64.trunc_f32_s (global.get $f)) (i64.reinterpret_f64 (global.get $d)))
                    (i64.add (i64x2.extract_lane 1 (global.get $v))
                        (i64.add (i64.load $theirs (i32.const 40000)) (i64.load $own (i32.const 131064))))))))
    (core instance $x (instantiate $a))
    (core instance $y (instantiate $b (with "a" (instance $x))))
    (func (export "step") (param "n" s64) (result s64) (canon lift (core func $y "step"))))"#;

/// A table that is written at run time, which nobody but the engine can look at.
const TABLE: &str = r#"(component
    (core module $m
        (table $t 4 funcref)
        (global $calls (mut i32) (i32.const 0))
        (elem declare func $one $two)
        (type $f (func (result i32)))
        (func $one (result i32) (i32.const 1))
        (func $two (result i32) (i32.const 2))
        (func (export "set") (param i32)
            (table.set $t (i32.const 0) (ref.func $one))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (table.set $t (i32.const 0) (ref.func $two)))))
        (func (export "get") (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 10)))
            (i32.add (global.get $calls) (call_indirect $t (type $f) (i32.const 0)))))
    (core instance $i (instantiate $m))
    (func (export "set") (param "n" u32) (canon lift (core func $i "set")))
    (func (export "get") (result u32) (canon lift (core func $i "get"))))"#;

#[test]
fn memories_and_globals_of_several_modules_are_kept() {
    let two = wat::parse_str(TWO).expect("wat");
    let (mut tested, plain) = (Side::new(Habits::default()), Side::new(Habits::default()));
    tested.deploy("two", &two);
    plain.deploy("two", &two);
    for n in 1..12 {
        let n = n.to_string();
        assert_eq!(tested.call("two", &["step", &n]), plain.call("two", &["step", &n]));
        assert_eq!(tested.digest("two"), plain.digest("two"));
        tested.checkpoint("two");
        tested.renew();
        assert_eq!(tested.digest("two"), plain.digest("two"));
    }
    let woken = tested.try_call("two", &["step", "0"]).expect("called");
    assert_eq!(woken.woken, None, "it was woken by the digest");
    tested.renew();
    assert_eq!(tested.try_call("two", &["step", "0"]).expect("called").woken, Some(1));
}

#[test]
fn what_cannot_be_captured_is_replayed() {
    let engines = Engines::for_commands(1 << 20).expect("engine");
    let mut side = Side::new(Habits::default());
    side.deploy("t", &wat::parse_str(TABLE).expect("wat"));
    side.call("t", &["set", "2"]);
    assert_eq!(side.call("t", &["get"]), "12");
    side.hibernate("t");
    assert_eq!(side.call("t", &["get"]), "22");
    let refused = side.block_on(side.household().checkpoint(&"t".parse().expect("name")));
    assert!(refused.is_err());
    side.fork("t", "u");
    side.call("t", &["set", "1"]);
    side.renew();
    let report = side.try_call("t", &["get"]).expect("called");
    assert_eq!((report.results.as_deref(), report.woken), (Some("31"), Some(4)));
    assert_eq!(side.call("u", &["get"]), "32");
    assert_eq!(side.replay(&engines, report.run), Verdict::Same);
}
