//! Law 7, one door: nothing that a guest can call gets around the gate.
//!
//! Twice: in the source (every function of every host trait reaches a pass of the gate, and linkers are filled in two files only), and while guests
//! run (between any call of the engine into the host and its return, at least one event comes into being).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quote::ToTokens;
use reel_abi::id::Seq;
use reel_abi::limits::Limits;
use reel_abi::outcome::Outcome;
use reel_abi::vocabulary::{EventView, RunEnds};
use reel_abi::wire::Reader;
use reel_host::calls::bindings::Command;
use reel_host::calls::session::{Console, Session, Setup};
use reel_host::engine::linking::linker;
use reel_host::gate::recorder::{FrameSink, RawFrame, Recorder};
use reel_host::gate::{Gate, GateSettings, Halt, Mode};
use reel_host::net::grants::Grants;
use reel_host::port::Waiting;
use reel_host::txn::transaction::Transaction;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{BytesInput, KeptOutput, Lab, SeededEntropy, TickingClock};
use wasmtime::CallHook;
use wasmtime::component::Component;

fn sources(dir: &str) -> Vec<PathBuf> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir)];
    let mut files = Vec::new();
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).expect("source directory") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true => open.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                false => {}
            }
        }
    }
    files
}

/// A function of the sources: where it is from, its body as words, and whether it stands in a host trait.
struct Function {
    place: String,
    body: String,
    linked: bool,
}

fn functions() -> BTreeMap<String, Vec<Function>> {
    let mut found: BTreeMap<String, Vec<Function>> = BTreeMap::new();
    for path in sources("host/src/calls") {
        let text = std::fs::read_to_string(&path).expect("source");
        let file = syn::parse_file(&text).expect("Rust");
        let place = path.file_name().expect("name").to_string_lossy().into_owned();
        for item in file.items {
            let mut add = |name: String, body: String, linked: bool| {
                found.entry(name).or_default().push(Function { place: place.clone(), body, linked });
            };
            match item {
                syn::Item::Fn(function) => {
                    add(function.sig.ident.to_string(), function.block.to_token_stream().to_string(), false);
                }
                syn::Item::Impl(block) => {
                    let of = block
                        .trait_
                        .as_ref()
                        .map(|(_, path, _)| path.to_token_stream().to_string())
                        .unwrap_or_default();
                    let last = of.rsplit("::").next().unwrap_or_default().trim().to_owned();
                    let linked = last.starts_with("Host") || of.contains("ResourceLimiter");
                    for item in block.items {
                        if let syn::ImplItem::Fn(function) = item {
                            let name = function.sig.ident.to_string();
                            add(name, function.block.to_token_stream().to_string(), linked);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// Not functions of a linker: they turn one type into another, or hear of a failure after the question has passed the gate.
const CONVERSIONS: [&str; 4] =
    ["convert_error_code", "convert_stream_error", "memory_grow_failed", "table_grow_failed"];

#[test]
fn every_function_of_a_host_trait_reaches_the_gate() {
    let all = functions();
    let mut passing: BTreeSet<&str> = ["pass", "pass_async", "pass_commit"].into();
    loop {
        let before = passing.len();
        for (name, functions) in &all {
            let calls = |body: &str| {
                passing.iter().any(|callee| {
                    // A pass is a method of the gate; other functions are found by their name.
                    let method = format!(". {callee} (");
                    match *callee {
                        "pass" | "pass_async" | "pass_commit" => {
                            body.contains(&format!("gate{method}")) || body.contains(&format!("gate {method}"))
                        }
                        _ => body.contains(&method) || body.contains(&format!(" {callee} (")),
                    }
                })
            };
            if functions.iter().all(|function| calls(&function.body)) {
                passing.insert(name);
            }
        }
        if passing.len() == before {
            break;
        }
    }
    let mut checked = 0;
    for (name, functions) in &all {
        for function in functions.iter().filter(|function| function.linked && !CONVERSIONS.contains(&name.as_str())) {
            checked += 1;
            let reaches = passing.iter().any(|callee| function.body.contains(&format!("{callee} (")));
            assert!(reaches, "{name} in calls/{} does not pass the gate", function.place);
        }
    }
    assert!(checked >= 80, "only {checked} functions of host traits were found");
}

#[test]
fn linkers_are_filled_in_two_files_only() {
    let allowed = ["linking.rs", "refused.rs", "bindings.rs"];
    for path in sources("host/src") {
        let text = std::fs::read_to_string(&path).expect("source");
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        for word in ["func_wrap", "func_new", "add_to_linker", "Linker::new", ".instance(", "define_unknown"] {
            assert!(allowed.contains(&name.as_str()) || !text.contains(word), "{} uses {word}", path.display());
        }
    }
}

/// Counts the handles that were given back.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicU64>);

impl FrameSink for Drops {
    fn frame(&mut self, frame: RawFrame) -> Result<(), Halt> {
        let mut reader = Reader::new(&frame.bytes);
        for _ in 0..frame.count {
            let event = EventView::take(&mut reader).expect("event");
            self.0.fetch_add(u64::from(event.name == "handle.drop"), Ordering::Relaxed);
        }
        Ok(())
    }

    fn durable(&mut self) -> Waiting<'_, Result<(), Halt>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What was counted while a guest ran.
struct Crossings {
    calls: u64,
    /// Calls that returned without an event.
    silent: u64,
    events: u64,
    drops: u64,
}

/// Runs a guest with a hook at every crossing.
fn crossings(lab: &Lab, bytes: &[u8], args: &[&str], stdin: &str) -> Crossings {
    let engine = lab.engines.engine();
    let component = Component::new(engine, reel_host::engine::component::componentize(bytes).expect("component"))
        .expect("compiles");
    let clock = Arc::new(TickingClock::at(1));
    let settings = GateSettings { limits: Limits::default(), clock, until: None, keep_payload: false, hears: None };
    let drops = Drops::default();
    let gate = Gate::new(Mode::Live(Recorder::new(Seq(0), Box::new(drops.clone()))), settings);
    let head = lab.store.head_or_new(&"door".parse().expect("name")).expect("head");
    let (space, view) = ("door".parse().expect("name"), lab.store.view(head).expect("view"));
    let txn = Transaction::new(lab.store.clone(), space, view, Vec::new(), Vec::new(), 1 << 30);
    let args = std::iter::once("guest").chain(args.iter().copied()).map(str::to_owned).collect();
    let setup =
        Setup { args, env: Vec::new(), preopens: vec![Some("/".into())], net: Grants::default(), calls: Vec::new() };
    let console = Console {
        stdin: Some(Box::new(BytesInput(stdin.as_bytes().to_vec()))),
        stdout: Some(Box::new(KeptOutput::default())),
        stderr: Some(Box::new(KeptOutput::default())),
        echo: false,
    };
    let session = Session::new(gate, txn, setup, console, Some(Box::new(SeededEntropy(7))), lab.store.clone(), None);
    let mut store = wasmtime::Store::new(engine, session);
    store.limiter(|session| session);
    store.set_epoch_deadline(u64::MAX / 2);
    let (calls, entered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let silent = Arc::new(AtomicU64::new(0));
    let (counted, quiet) = (Arc::clone(&calls), Arc::clone(&silent));
    store.call_hook(move |context, hook| {
        let events = context.data().gate.usage().events;
        match hook {
            CallHook::CallingHost => entered.store(events, Ordering::Relaxed),
            CallHook::ReturningFromHost => {
                counted.fetch_add(1, Ordering::Relaxed);
                quiet.fetch_add(u64::from(events <= entered.load(Ordering::Relaxed)), Ordering::Relaxed);
            }
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(())
    });
    let linker = linker(engine, &component).expect("linker");
    let result = lab.block_on(async {
        let command = Command::instantiate_async(&mut store, &component, &linker).await?;
        command.wasi_cli_run().call_run(&mut store).await
    });
    if let Err(error) = result {
        assert!(matches!(error.downcast_ref(), Some(Halt::Exit(_))), "{error:?}");
    }
    let mut session = store.into_data();
    session.gate.finish(RunEnds { outcome: Outcome::Interrupted, memory: None }).expect("end");
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Crossings { calls: load(&calls), silent: load(&silent), events: session.gate.usage().events, drops: load(&drops.0) }
}

#[test]
fn no_call_returns_without_an_event() {
    let lab = Lab::new();
    let script = "mkdir d\nwrite d/a 40000 3\nappend d/a 10 1\npatch d/a 7 9 9\nread d/a\npart d/a 5 9\nsize d/a 99\nstat d/a\n\
                  rename d/a b\nlink b c\nlist .\nlist d\nunlink c\nrmdir d\nunlinked e\nprint x\ngrow 4000 1\ntime\nchance\ndraw\nnap 10\n\
                  read nothing\nwrite . 1 1\nrename b b/c\nexit 3";
    for target in [Target::P1, Target::P2] {
        let bytes = std::fs::read(guest("chaos", target)).expect("chaos");
        let Crossings { calls, silent, events, drops } = crossings(&lab, &bytes, &["/"], script);
        assert!(calls > 150, "only {calls} calls");
        assert!(events >= calls - silent, "{calls} calls, {events} events");
        // The engine takes a handle out of its own table, and then calls the host to drop it: two crossings, one event.
        assert_eq!(silent, drops, "{silent} calls without an event, {drops} drops");
    }
}
