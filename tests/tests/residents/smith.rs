//! The law of residents on modules that nobody wrote: functions, globals, memories and tables of a random generator, every function called at random.

use arbitrary::Unstructured;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reel_abi::resident::OnCrash;
use reel_host::engine::tracker::Tracker;
use reel_host::runtime::resident::{Debt, Habits};
use reel_tests::script::cases;
use wasm_encoder::{CanonicalOption, ComponentBuilder, ComponentExportKind, ExportKind, ModuleArg, PrimitiveValType};
use wasm_smith::{Config, Module};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

use super::side::Side;

/// Heads of functions and loops that a module may pass before all it does is to trap.
const FUEL: u32 = 20_000;

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    /// A function is called.
    Call(prop::sample::Index, Vec<u64>),
    Checkpoint,
    Hibernate,
    Renew,
    /// The guest is forked, and only the fork is called from then on.
    Fork(bool),
}

/// A component of a random module, and the types of what it exports as `f0`, `f1`, ...
struct Made {
    component: Vec<u8>,
    functions: Vec<FuncType>,
}

fn config(with_references: bool) -> Config {
    Config {
        max_imports: 0,
        min_exports: 1,
        min_funcs: 3,
        max_funcs: 12,
        max_types: 12,
        min_globals: 2,
        min_memories: 1,
        max_memories: 3,
        max_memory32_bytes: 1 << 21,
        max_memory64_bytes: 1 << 21,
        max_tables: 2,
        max_table_elements: 100,
        max_values: 3,
        max_instructions: 300,
        memory_max_size_required: true,
        table_max_size_required: true,
        multi_value_enabled: true,
        export_everything: true,
        reference_types_enabled: with_references,
        bulk_memory_enabled: true,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        allow_start_export: true,
        ..Config::default()
    }
}

fn component_type(of: ValType) -> Option<PrimitiveValType> {
    Some(match of {
        ValType::I32 => PrimitiveValType::S32,
        ValType::I64 => PrimitiveValType::S64,
        ValType::F32 => PrimitiveValType::F32,
        ValType::F64 => PrimitiveValType::F64,
        ValType::V128 | ValType::Ref(_) => return None,
    })
}

fn is_lifted(ty: &FuncType) -> bool {
    let plain = ty.params().iter().chain(ty.results()).all(|ty| component_type(*ty).is_some());
    plain && ty.results().len() <= 1
}

/// The exported functions of a module that can be those of a component.
fn exported(module: &[u8]) -> Vec<(String, FuncType)> {
    let (mut types, mut functions, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(|ty| ty.expect("a type")));
            }
            Payload::ImportSection(section) => {
                let is_function = |ty: &TypeRef| matches!(ty, TypeRef::Func(_));
                assert!(!section.into_imports().any(|import| is_function(&import.expect("an import").ty)));
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map(|ty| ty.expect("a function")))
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().map(|export| export.expect("an export")) {
                    if export.kind == ExternalKind::Func {
                        let ty: &FuncType = &types[functions[export.index as usize] as usize];
                        found.push((export.name.to_owned(), ty.clone()));
                    }
                }
            }
            _ => {}
        }
    }
    found.retain(|(_, ty)| is_lifted(ty));
    found
}

/// Nothing if the bytes are too few, or none of its functions can be called.
fn made(bytes: &[u8], with_references: bool) -> Option<Made> {
    let mut module = Module::new(config(with_references), &mut Unstructured::new(bytes)).ok()?;
    module.ensure_termination(FUEL).ok()?;
    let module = module.to_bytes();
    let exported = exported(&module);
    let mut builder = ComponentBuilder::default();
    let inner = builder.core_module_raw(None, &module);
    let instance = builder.core_instantiate(None, inner, std::iter::empty::<(&str, ModuleArg)>());
    for (number, (name, ty)) in exported.iter().enumerate() {
        let (lifted, mut encoder) = builder.type_function(None);
        let names: Vec<String> = (0..ty.params().len()).map(|at| format!("p{at}")).collect();
        let params = names.iter().zip(ty.params());
        encoder.params(params.map(|(name, ty)| (name.as_str(), component_type(*ty).expect("plain"))));
        encoder.result(ty.results().first().map(|ty| component_type(*ty).expect("plain").into()));
        let core = builder.core_alias_export(None, instance, name, ExportKind::Func);
        let function = builder.lift_func(None, core, lifted, std::iter::empty::<CanonicalOption>());
        builder.export(format!("f{number}"), ComponentExportKind::Func, function, None);
    }
    let functions: Vec<_> = exported.into_iter().map(|(_, ty)| ty).collect();
    (!functions.is_empty()).then(|| Made { component: builder.finish(), functions })
}

fn arg(ty: ValType, bits: u64) -> String {
    match ty {
        ValType::I32 => (bits as i32).to_string(),
        ValType::I64 => (bits as i64).to_string(),
        _ if bits.is_multiple_of(7) => "nan".to_owned(),
        _ if bits.is_multiple_of(5) => "-inf".to_owned(),
        _ => format!("{}.5", bits as i16),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = prop_oneof![0..10u64, 60_000..70_000u64, any::<u64>()];
    let step = prop_oneof![
        12 => (any::<prop::sample::Index>(), prop::collection::vec(number, 20)).prop_map(|(at, args)| Step::Call(at, args)),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Hibernate),
        1 => Just(Step::Renew),
        1 => any::<bool>().prop_map(Step::Fork),
    ];
    prop::collection::vec(step, 1..25)
}

/// What was seen, so that a test that tries nothing is noticed.
#[derive(Debug, Default)]
struct Seen {
    guests: u32,
    captured: u32,
    returned: u32,
    trapped: u32,
}

fn run(sides: &mut (Side, Side), seen: &mut Seen, made: &Made, steps: &[Step]) -> Result<(), TestCaseError> {
    let (tested, plain) = sides;
    let mut name = format!("g{}", seen.guests);
    seen.guests += 1;
    let born = tested.deploy_as(&name, &made.component, OnCrash::Abort);
    let other = plain.deploy_as(&name, &made.component, OnCrash::Abort);
    prop_assert_eq!(&born.end.outcome, &other.end.outcome);
    if !born.end.outcome.is_success() {
        return Ok(());
    }
    for step in steps {
        match step {
            Step::Call(at, args) => {
                let at = at.index(made.functions.len());
                let args = made.functions[at].params().iter().zip(args).map(|(ty, bits)| arg(*ty, *bits));
                let call: Vec<String> = std::iter::once(format!("f{at}")).chain(args).collect();
                let call: Vec<&str> = call.iter().map(String::as_str).collect();
                let done = tested.try_call(&name, &call).map_err(|e| TestCaseError::fail(e.to_string()))?;
                let other = plain.try_call(&name, &call).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!(&done.end.outcome, &other.end.outcome, "{:?}", &call);
                prop_assert_eq!(&done.results, &other.results, "{:?}", &call);
                match done.end.outcome.is_success() {
                    true => seen.returned += 1,
                    false => seen.trapped += 1,
                }
            }
            Step::Checkpoint => seen.captured += u32::from(tested.try_checkpoint(&name)),
            Step::Hibernate => tested.hibernate(&name),
            Step::Renew => tested.renew(),
            Step::Fork(awake) => {
                let fork = format!("{name}-f");
                match awake {
                    true => tested.fork_awake(&name, &fork),
                    false => tested.fork(&name, &fork),
                }
                plain.fork(&name, &fork);
                name = fork;
            }
        }
        prop_assert_eq!(tested.digest(&name), plain.digest(&name), "after {:?}", step);
    }
    tested.hibernate(&name);
    prop_assert_eq!(tested.digest(&name), plain.digest(&name), "at last");
    Ok(())
}

fn same_whatever_happens(tracker: Tracker, standard: u32) {
    let felt = Debt { calls: 1, events: u64::MAX, nanos: u64::MAX };
    let fresh = || (Side::new(Habits { tracker, felt, ..Habits::default() }), Side::new(Habits::default()));
    let state = std::cell::RefCell::new((fresh(), Seen::default()));
    let mut config = cases(standard);
    config.max_shrink_iters = 100;
    let bytes = prop::collection::vec(any::<u8>(), 2000..12_000);
    TestRunner::new(config)
        .run(&(bytes, any::<bool>(), steps()), |(bytes, with_references, steps)| {
            let mut state = state.borrow_mut();
            let (sides, seen) = &mut *state;
            let Some(made) = made(&bytes, with_references) else { return Ok(()) };
            let result = run(sides, seen, &made, &steps);
            if result.is_err() {
                *sides = fresh();
            }
            result
        })
        .expect("law");
    let (sides, seen) = state.into_inner();
    println!("{seen:?}");
    assert!(seen.guests * 4 > standard && seen.captured * 8 > standard && seen.returned * 2 > standard, "{seen:?}");
    sides.0.is_sound();
}

#[test]
fn random_modules_are_what_they_were_told() {
    same_whatever_happens(Tracker::Best, 400);
}

#[test]
fn random_modules_are_what_they_were_told_where_pages_are_compared() {
    same_whatever_happens(Tracker::Compare, 200);
}
