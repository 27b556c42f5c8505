//! What cannot be captured is recognised, with the place; what only looks like it is not.

use reel_host::engine::instrument::{NotInstrumented, Plan, instrument, survey};

/// What stands in the way of a component, in words.
fn obstacles(component: &str) -> Vec<String> {
    let bytes = wat::parse_str(component).unwrap_or_else(|error| panic!("{component}: {error}"));
    match instrument(&bytes) {
        Ok(_) => Vec::new(),
        Err(NotInstrumented::Obstacles(found)) => found.iter().map(ToString::to_string).collect(),
        Err(NotInstrumented::Invalid(error)) => panic!("{component}: {error}"),
    }
}

/// The same of a core module that is instantiated.
fn of_module(module: &str) -> Vec<String> {
    obstacles(&format!("(component (core module {module}) (core instance (instantiate 0)))"))
}

#[test]
fn tables_that_code_writes() {
    let with = |code: &str| of_module(&format!(r#"(table 4 funcref) (elem $e func) (func (export "f") {code})"#));
    for (code, by) in [
        ("(table.set (i32.const 0) (ref.null func))", "table.set"),
        ("(drop (table.grow (ref.null func) (i32.const 1)))", "table.grow"),
        ("(table.fill (i32.const 0) (ref.null func) (i32.const 1))", "table.fill"),
        ("(table.copy (i32.const 0) (i32.const 1) (i32.const 1))", "table.copy"),
        ("(table.init $e (i32.const 0) (i32.const 0) (i32.const 0))", "table.init"),
    ] {
        assert_eq!(with(code), [format!("function 0 of core module 0 writes a table ({by})")]);
    }
    assert!(with("(drop (table.get (i32.const 0)))").is_empty());
}

#[test]
fn what_only_the_start_function_does_is_done_in_every_instance() {
    let module = |more: &str| {
        format!(
            r#"(table $t 4 funcref) (memory 1) (data $d "data")
               (func $begin (call $fill) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)) (data.drop $d))
               (func $fill (table.set $t (i32.const 0) (ref.null func)))
               (start $begin) {more}"#
        )
    };
    assert!(of_module(&module("")).is_empty());
    for more in [
        r#"(export "f" (func $fill))"#,
        r#"(func (export "f") (call $fill))"#,
        r#"(func (export "f") (return_call $fill))"#,
        "(elem $t (i32.const 1) func $fill)",
        "(elem declare funcref (ref.func $fill))",
        "(global funcref (ref.func $fill))",
        "(table 1 funcref (ref.func $fill))",
    ] {
        assert_eq!(of_module(&module(more)), ["function 1 of core module 0 writes a table (table.set)"], "{more}");
    }
}

#[test]
fn segments_that_are_dropped_and_read() {
    let read = "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))";
    let with = |code: &str| of_module(&format!(r#"(memory 1) (data $d "data") (func (export "f") {code})"#));
    assert_eq!(
        with(&format!("{read} (data.drop $d)")),
        ["function 0 of core module 0 drops a segment that is also read (data.drop)"]
    );
    assert!(with("(data.drop $d)").is_empty());
    assert!(with(read).is_empty());
    let elements = "(type $a (array (mut funcref))) (elem $e func)
                    (func (export \"f\") (drop (array.new_elem $a $e (i32.const 0) (i32.const 0))) (elem.drop $e))";
    assert_eq!(of_module(elements), ["function 0 of core module 0 drops a segment that is also read (elem.drop)"]);
}

#[test]
fn references_that_are_kept() {
    let sets = "function 0 of core module 0 sets a global that holds a reference";
    let set = |ty: &str, heap: &str| {
        of_module(&format!(
            r#"(global $g (mut {ty}) (ref.null {heap})) (func (export "f") (global.set $g (ref.null {heap})))"#
        ))
    };
    for (ty, heap) in [("funcref", "func"), ("externref", "extern"), ("anyref", "any"), ("exnref", "exn")] {
        assert_eq!(set(ty, heap), [sets]);
    }
    assert!(of_module(r#"(global (export "g") (mut funcref) (ref.null func))"#).is_empty());
    assert!(of_module(r#"(func $f) (global funcref (ref.func $f)) (table 1 funcref (ref.func $f))"#).is_empty());
    let ty = "(type $s (struct (field (mut i32))))";
    for (what, holder) in [
        ("(global (ref $s) (struct.new_default $s))", "global"),
        ("(global externref (extern.convert_any (struct.new_default $s)))", "global"),
        ("(table 1 (ref $s) (struct.new_default $s))", "table"),
        ("(table 1 (ref null $s)) (elem (i32.const 0) (ref $s) (item struct.new_default $s))", "element segment"),
    ] {
        let expected = format!("core module 0 keeps a garbage-collected object in a {holder}");
        assert_eq!(of_module(&format!("{ty} {what}")), [expected]);
    }
    assert!(of_module("(global i31ref (ref.i31 (i32.const 1)))").is_empty());
}

/// A reference may be set by another module than the one that defines its global.
#[test]
fn references_that_others_set() {
    let component = r#"(component
        (core module $a (global (export "g") (mut funcref) (ref.null func)))
        (core module $b (import "a" "g" (global $g (mut funcref)))
            (func (export "f") (global.set $g (ref.null func))))
        (core instance $a (instantiate $a))
        (core instance (instantiate $b (with "a" (instance $a)))))"#;
    assert_eq!(obstacles(component), ["function 0 of core module 1 sets a global that holds a reference"]);
}

#[test]
fn what_is_shared_with_threads() {
    assert_eq!(of_module("(memory 1 1 shared)"), ["core module 0 has a memory that is shared with threads"]);
    assert_eq!(
        of_module("(global (shared mut i32) (i32.const 0))"),
        ["core module 0 has a global that is shared with threads"]
    );
    assert_eq!(
        of_module("(table shared 1 (ref null (shared func)))"),
        ["core module 0 has a table that is shared with threads"]
    );
}

#[test]
fn resource_types_of_its_own() {
    assert_eq!(
        obstacles("(component (type $r (resource (rep i32))))"),
        ["it defines a resource type of its own (type 0)"]
    );
}

#[test]
fn concurrency() {
    for (what, item) in [
        ("future", "(type (future u8))"),
        ("stream", "(type (stream u8))"),
        ("stream", r#"(import "i" (instance (type (stream)) (export "t" (type (eq 0)))))"#),
        ("error-context", r#"(type (record (field "a" error-context)))"#),
        ("error-context", r#"(import "f" (func (result error-context)))"#),
        ("task", "(core func (canon task.return))"),
        ("task", "(core func (canon task.cancel))"),
        ("context", "(core func (canon context.get i32 0))"),
        ("waitable-set", "(core func (canon waitable-set.new))"),
        ("backpressure", "(core func (canon backpressure.inc))"),
        ("subtask", "(core func (canon subtask.drop))"),
        ("thread", "(core func (canon thread.yield))"),
        ("error-context", "(core func (canon error-context.drop))"),
        (
            "async function",
            r#"(core module $m (memory (export "m") 1)) (core instance $i (instantiate $m))
               (import "f" (func $f async)) (core func (canon lower (func $f) async (memory (core memory $i "m"))))"#,
        ),
    ] {
        let expected = format!("it uses the component model's concurrency ({what})");
        assert_eq!(obstacles(&format!("(component {item})")), [expected], "{item}");
    }
}

#[test]
fn components_inside() {
    for (what, item) in [
        ("core modules", "(core module)"),
        ("core instances", "(core instance)"),
        ("lifted or lowered functions", r#"(import "f" (func $f)) (core func (canon lower (func $f)))"#),
        ("resource types", "(type (resource (rep i32)))"),
    ] {
        let expected = format!("component 0 in it has {what} of its own");
        assert_eq!(obstacles(&format!("(component (component {item}))")), [expected]);
    }
    let deep = "(component (component) (component (component (core module))))";
    assert_eq!(obstacles(deep), ["component 2 in it has core modules of its own"]);
    // What toolchains wrap around an exported interface: it gives things names and has nothing.
    let renaming = r#"(component
        (import "t" (type $t (sub resource))) (import "f" (func $f (param "t" (own $t))))
        (component $names
            (import "t" (type $t (sub resource))) (import "f" (func $f (param "t" (own $t))))
            (export $out "u" (type $t)) (export "g" (func $f) (func (param "t" (own $out)))))
        (instance $i (instantiate $names (with "t" (type $t)) (with "f" (func $f))))
        (export "a:b/c" (instance $i)))"#;
    assert!(obstacles(renaming).is_empty());
}

#[test]
fn code_and_values_from_outside() {
    assert_eq!(
        obstacles(r#"(component (import "m" (core module $m)) (core instance (instantiate $m)))"#),
        ["it imports m, a core module", "core instance 0 is of a module that it does not define"]
    );
    assert_eq!(obstacles(r#"(component (import "c" (component)))"#), ["it imports c, a component"]);
    assert_eq!(obstacles(r#"(component (import "v" (value u32)) (export "v" (value 0)))"#), ["it imports v, a value"]);
    assert_eq!(
        obstacles(r#"(component (import "i" (instance (export "c" (component)))))"#),
        ["it imports i#c, a component"]
    );
    assert_eq!(
        obstacles(r#"(component (import "i" (instance (export "j" (instance (export "r" (type (sub resource))))))))"#),
        ["it imports i with an instance in it that has resource types"]
    );
    assert_eq!(obstacles(r#"(component (import "f" (func $f)) (start $f))"#), ["it has a component start function"]);
}

/// A module that is exported or aliased is still the one that the component defines.
#[test]
fn a_module_by_another_name() {
    let component = r#"(component $c
        (core module $m (memory 1) (global (mut i32) (i32.const 0)))
        (export $e "m" (core module $m))
        (alias outer 0 0 (core module $a))
        (core instance (instantiate $e)) (core instance (instantiate $a)) (core instance (instantiate $m)))"#;
    assert_eq!(plan(component).globals, 3);
    assert_eq!(plan(component).memories.len(), 3);
}

fn plan(component: &str) -> Plan {
    let bytes = wat::parse_str(component).expect("wat");
    let plan = survey(&bytes).expect("capturable");
    assert_eq!(plan, instrument(&bytes).expect("instrumented").plan);
    plan
}

#[test]
fn names_that_are_taken() {
    let once = instrument(
        &wat::parse_str("(component (core module (memory 1)) (core instance (instantiate 0)))").expect("wat"),
    );
    let Err(NotInstrumented::Obstacles(found)) = instrument(&once.expect("instrumented").bytes) else {
        panic!("instrumented twice");
    };
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["reel:memory:0", "reel-grow-0"]
            .map(|name| format!("it already exports {name}, a name that the host takes for itself"))
    );
    let similar = r#"(component (import "f" (func $f)) (export "reel-saves" (func $f)) (export "reel" (func $f)))"#;
    assert!(obstacles(similar).is_empty());
}

#[test]
fn too_many() {
    let globals = "(global (mut i32) (i32.const 0))".repeat(20_000);
    let instances = "(core instance (instantiate 0))".repeat(6);
    let found = obstacles(&format!("(component (core module {globals}) {instances})"));
    assert_eq!(found, ["120000 mutable globals, at most 100000 are taken"]);
    let found =
        obstacles(&format!("(component (core module (memory 0)) {})", "(core instance (instantiate 0))".repeat(101)));
    assert_eq!(found, ["101 linear memories, at most 100 are taken"]);
    let types: String = (0..1001).map(|i| format!("(import \"r{i}\" (type (sub resource)))")).collect();
    assert_eq!(obstacles(&format!("(component {types})")), ["1001 resource types, at most 1000 are taken"]);
}

/// Beyond what is looked at one by one, everything is taken to matter: nothing hides behind a crowd.
#[test]
fn a_crowd_of_harmless_ones() {
    let drops: String = (0..500).map(|segment| format!("(data.drop {segment})")).collect();
    let functions = format!("(func {drops})").repeat(201);
    let module = format!(
        r#"(table 1 funcref) (memory 1) {} {functions} (func (export "f") (table.set (i32.const 0) (ref.null func)))"#,
        r#"(data "x")"#.repeat(500)
    );
    assert_eq!(of_module(&module).len(), 1);
}

/// Each memory takes two core instances more, and there may be a thousand.
#[test]
fn no_room() {
    let with = |instances: usize| {
        let empty = "(core instance (instantiate $e))".repeat(instances);
        obstacles(&format!(
            "(component (core module $m (memory 0)) (core module $e) {empty} (core instance (instantiate $m)))"
        ))
    };
    assert!(with(997).is_empty());
    assert_eq!(with(998).len(), 1);
    assert!(with(998)[0].starts_with("no room for more in it: "), "{:?}", with(998));
}

#[test]
fn all_reasons_are_given() {
    let component = r#"(component
        (type (resource (rep i32)))
        (core module (memory 1 1 shared) (table 1 funcref)
            (func (export "f") (table.set (i32.const 0) (ref.null func)))
            (func (export "g") (table.set (i32.const 0) (ref.null func))))
        (core instance (instantiate 0)))"#;
    assert_eq!(obstacles(component).len(), 3);
}

#[test]
fn not_a_component() {
    for (bytes, why) in [
        (b"".as_slice(), "unexpected end"),
        (b"\0asm\x01\0\0\0".as_slice(), "it is a core module"),
        (b"\0asm\x0d\0\x01\0\x01\x50".as_slice(), "it ends within a section"),
    ] {
        let Err(NotInstrumented::Invalid(found)) = instrument(bytes) else { panic!("{why}") };
        assert!(found.contains(why), "{found}");
    }
}
