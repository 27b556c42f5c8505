//! Globals, handles and memories through the exports that instrumenting adds.

use reel_host::engine::config::{Allocation, engine};
use reel_host::engine::instrument::{Instrumented, LOAD, SAVE, instrument};
use reel_host::engine::memory::{GuestMemories, VisibleMemories};
use wasmtime::component::{
    Component, ComponentNamedList, Instance, Lift, Linker, Lower, Resource, ResourceType, TypedFunc,
};
use wasmtime::{Engine, Store};

/// A handle's resource as the host has it.
struct Thing;

/// A component that was instrumented and instantiated. The store keeps what was dropped.
struct Bench {
    store: Store<Vec<u32>>,
    instance: Instance,
    instrumented: Instrumented,
    memories: GuestMemories,
}

impl Bench {
    fn new(component: &str) -> Self {
        let bytes = wat::parse_str(component).expect("wat");
        let instrumented = instrument(&bytes).expect("instrumented");
        let engine = visible();
        let component = Component::new(&engine, &instrumented.bytes).expect("component");
        let mut linker = Linker::new(&engine);
        for name in ["one", "two"] {
            let mut things = linker.instance(&format!("test:things/{name}")).expect("instance");
            let dropped = |mut store: wasmtime::StoreContextMut<'_, Vec<u32>>, rep| {
                store.data_mut().push(rep);
                Ok(())
            };
            things.resource(name, ResourceType::host::<Thing>(), dropped).expect("resource");
        }
        let mut store = Store::new(&engine, Vec::new());
        store.set_epoch_deadline(1000);
        let memories = GuestMemories::default();
        let instance = memories.collect(|| linker.instantiate(&mut store, &component)).expect("instance");
        Self { store, instance, instrumented, memories }
    }

    fn call<P, R>(&mut self, name: &str, params: P) -> R
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let function: TypedFunc<P, R> =
            self.instance.get_typed_func(&mut self.store, name).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        function.call(&mut self.store, params).unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    fn adopt(&mut self, resource: usize, rep: u32) -> u32 {
        let name = self.instrumented.plan.resources[resource].adopt.clone();
        self.call::<_, (u32,)>(&name, (Resource::<Thing>::new_own(rep),)).0
    }

    fn drop(&mut self, resource: usize, index: u32) {
        let name = self.instrumented.plan.resources[resource].drop.clone();
        self.call::<_, ()>(&name, (index,));
    }
}

fn visible() -> Engine {
    engine(&Allocation::Visible(std::sync::Arc::new(VisibleMemories)), 1 << 20).expect("engine")
}

/// Globals of every numeric type, all made from one number, and the sum of them as bits. Instantiated twice, with one global between the two.
const GLOBALS: &str = r#"(component
    (core module $m
        (memory 1)
        (global $a (mut i32) (i32.const 1)) (global $never i32 (i32.const 9)) (global $b (mut i64) (i64.const 2))
        (global $c (mut f32) (f32.const 3)) (global $d (export "d") (mut f64) (f64.const 4))
        (global $e (mut v128) (v128.const i64x2 5 6)) (global $f (mut funcref) (ref.null func))
        (func (export "set") (param i64)
            (global.set $a (i32.wrap_i64 (local.get 0)))
            (global.set $b (local.get 0))
            (global.set $c (f32.reinterpret_i32 (i32.wrap_i64 (local.get 0))))
            (global.set $d (f64.reinterpret_i64 (local.get 0)))
            (global.set $e (i64x2.replace_lane 1 (i64x2.splat (local.get 0)) (i64.xor (local.get 0) (i64.const -1)))))
        (func (export "get") (param i32) (result i64)
            (if (i32.eqz (local.get 0)) (then (return (i64.extend_i32_u (global.get $a)))))
            (if (i32.eq (local.get 0) (i32.const 1)) (then (return (global.get $b))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (return (i64.extend_i32_u (i32.reinterpret_f32 (global.get $c))))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (return (i64.reinterpret_f64 (global.get $d)))))
            (if (i32.eq (local.get 0) (i32.const 4)) (then (return (i64x2.extract_lane 0 (global.get $e)))))
            (i64x2.extract_lane 1 (global.get $e))))
    (core module $n (import "m" "d" (global $d (mut f64))) (global $own (mut i32) (i32.const 0)))
    (core instance $x (instantiate $m))
    (core instance $y (instantiate $m))
    (core instance (instantiate $n (with "m" (instance $x))))
    (type $set (func (param "n" u64))) (type $get (func (param "which" u32) (result u64)))
    (func (export "set-x") (type $set) (canon lift (core func $x "set")))
    (func (export "get-x") (type $get) (canon lift (core func $x "get")))
    (func (export "set-y") (type $set) (canon lift (core func $y "set")))
    (func (export "get-y") (type $get) (canon lift (core func $y "get"))))"#;

#[test]
fn globals_of_every_type_are_saved_and_loaded() {
    let mut bench = Bench::new(GLOBALS);
    assert_eq!(bench.instrumented.plan.globals, 11);
    let state = |bench: &mut Bench| -> Vec<u64> {
        ["get-x", "get-y"]
            .iter()
            .flat_map(|get| (0..6u32).map(move |i| (get, i)))
            .map(|(get, i)| bench.call::<_, (u64,)>(get, (i,)).0)
            .collect()
    };
    let begun = state(&mut bench);
    // The second is a signalling NaN, for both widths.
    for (x, y) in [(7, 8), (0x7ff0_0000_7fa0_0001, u64::MAX), (u64::MAX / 3, 0)] {
        bench.call::<_, ()>("set-x", (x,));
        bench.call::<_, ()>("set-y", (y,));
        let then = state(&mut bench);
        assert_eq!((then[1], then[5], then[7]), (x, !x, y));
        bench.call::<_, ()>(SAVE, ());
        bench.call::<_, ()>("set-x", (1u64,));
        bench.call::<_, ()>("set-y", (1u64,));
        assert_ne!(state(&mut bench), then);
        bench.call::<_, ()>(LOAD, ());
        assert_eq!(state(&mut bench), then);
        assert_ne!(then, begun);
    }
}

/// The keeper's memory is created after all of the guest's.
#[test]
fn memories_come_in_order() {
    let component = r#"(component
        (core module $a (memory 3) (memory (export "m") 1) (global (mut i32) (i32.const 0)))
        (core module $b (import "a" "m" (memory 1)) (memory 5 6) (memory i64 2))
        (core module $none)
        (core instance $a (instantiate $a)) (core instance (instantiate $none))
        (core instance (instantiate $b (with "a" (instance $a)))) (core instance (instantiate $a)))"#;
    let mut bench = Bench::new(component);
    let pages = |bench: &Bench| bench.memories.sizes().iter().map(|bytes| bytes >> 16).collect::<Vec<_>>();
    assert_eq!(pages(&bench), [3, 1, 5, 2, 3, 1, 1]);
    let plan = bench.instrumented.plan.clone();
    assert_eq!(
        plan.memories.iter().map(|memory| memory.memory64).collect::<Vec<_>>(),
        [false, false, false, true, false, false]
    );
    for (index, memory) in plan.memories.iter().enumerate() {
        let before = pages(&bench)[index];
        let answer = match memory.memory64 {
            true => bench.call::<_, (i64,)>(&memory.grow, (1u64,)).0,
            false => i64::from(bench.call::<_, (i32,)>(&memory.grow, (1u32,)).0),
        };
        assert_eq!(answer, before as i64);
    }
    assert_eq!(pages(&bench), [4, 2, 6, 3, 4, 2, 1]);
    assert_eq!(bench.call::<_, (i32,)>(&plan.memories[2].grow, (1u32,)).0, -1);
}

/// Without globals there is no keeper and no memory of it.
#[test]
fn a_guest_without_globals_gets_no_keeper() {
    let bench = Bench::new("(component (core module (memory 2)) (core instance (instantiate 0)))");
    assert_eq!((bench.instrumented.plan.globals, bench.memories.sizes()), (0, vec![2 << 16]));
    assert!(bench.instrumented.plan.resources.is_empty());
    let nothing = Bench::new("(component)");
    assert_eq!(nothing.instrumented.plan, reel_host::engine::instrument::Plan::default());
}

/// With exceptions anywhere in a component, the heap of wasmtime's collector is the very first memory, and one more than the plan says.
#[test]
fn the_heap_of_exceptions_comes_first() {
    let component = |code: &str| {
        format!(
            r#"(component
                (core module $a (memory 3))
                (core module $b (memory 4) (tag $t) (func (export "f") {code}) (global (mut i32) (i32.const 0)))
                (core instance (instantiate $a)) (core instance (instantiate $b)))"#
        )
    };
    let pages = |code| -> Vec<_> {
        let bench = Bench::new(&component(code));
        assert_eq!((bench.instrumented.plan.memories.len(), bench.instrumented.plan.globals), (2, 1));
        bench.memories.sizes().iter().map(|bytes| bytes >> 16).collect()
    };
    assert_eq!(pages(""), [3, 4, 1]);
    assert_eq!(pages("(throw $t)"), [0, 3, 4, 1]);
}

const HANDLES: &str = r#"(component
    (import "test:things/one" (instance $one (export "one" (type (sub resource)))))
    (alias export $one "one" (type $t))
    (import "test:things/two" (instance
        (alias outer 1 $t (type $same)) (export "same" (type (eq $same)))
        (export "two" (type (sub resource))))))"#;

/// A handle table as wasmtime has it: a free list, last in first out, from 1 on, of all types together.
#[test]
fn handles_are_adopted_and_dropped() {
    let mut bench = Bench::new(HANDLES);
    let names: Vec<_> =
        bench.instrumented.plan.resources.iter().map(|r| (r.interface.clone(), r.name.clone())).collect();
    let expected = [("test:things/one", "one"), ("test:things/two", "two")];
    assert_eq!(names, expected.map(|(interface, name)| (interface.to_owned(), name.to_owned())));

    let indices: Vec<u32> = (0..6).map(|n| bench.adopt(n as usize % 2, 100 + n)).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5, 6]);
    for index in [2, 5, 3] {
        bench.drop((index as usize - 1) % 2, index);
    }
    assert_eq!(*bench.store.data(), [101, 104, 102]);
    let again: Vec<u32> = (0..4).map(|n| bench.adopt(0, 200 + n)).collect();
    assert_eq!(again, [3, 5, 2, 7]);
}

/// A handle of another type, or none, is refused as it is to the guest.
#[test]
fn a_wrong_handle_is_not_dropped() {
    for index in [1u32, 2, u32::MAX] {
        let mut bench = Bench::new(HANDLES);
        bench.adopt(0, 7);
        let drop = bench.instrumented.plan.resources[1].drop.clone();
        let function = bench.instance.get_typed_func::<(u32,), ()>(&mut bench.store, &drop).expect("exported");
        assert!(function.call(&mut bench.store, (index,)).is_err());
        assert!(bench.store.data().is_empty());
    }
}
