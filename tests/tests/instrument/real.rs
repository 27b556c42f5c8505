//! What toolchains make can be captured, and goes on as before.

use std::fs;

use reel_host::engine::component::componentize;
use reel_host::engine::instrument::instrument;
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{Lab, Trial};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// Names of the outermost exports.
fn exports(component: &[u8]) -> Vec<String> {
    let (mut depth, mut names) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("valid") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentExportSection(section) if depth == 0 => {
                names.extend(section.into_iter().map(|export| export.expect("valid").name.name.to_owned()));
            }
            _ => {}
        }
    }
    names
}

/// Of the toolchain that is here: Rust for both versions of WASI.
#[test]
fn rust_guests_can_be_captured() {
    for target in [Target::P1, Target::P2] {
        let component = componentize(&fs::read(guest("chaos", target)).expect("guest")).expect("component");
        let done = instrument(&component).expect("capturable");
        Validator::new_with_features(WasmFeatures::all()).validate_all(&done.bytes).expect("valid");
        assert_eq!(done.plan.memories.len(), 1);
        assert!(done.plan.globals >= 1, "the stack pointer at least");
        let known: Vec<_> = done.plan.resources.iter().map(|resource| resource.name.as_str()).collect();
        for name in ["output-stream", "descriptor", "error", "pollable"] {
            assert_eq!(known.iter().filter(|known| **known == name).count(), 1, "{name} in {known:?}");
        }
        let (before, after) = (exports(&component), exports(&done.bytes));
        assert_eq!(after[..before.len()], before);
        assert!(after[before.len()..].iter().all(|name| name.starts_with("reel-")));
        assert!(done.bytes.len() < component.len() + 8192);
        assert_eq!(instrument(&component).expect("again").bytes, done.bytes, "the same every time");
    }
}

/// The same requests, output and end, and it can be replayed.
#[test]
fn an_instrumented_guest_does_what_it_did() {
    let script = "write a 20000 3\nmkdir d\nappend d/b 300 4\nread a\nlist .\nrename a d/c\nread d/c\ndraw\nstat d/c\nread nothing";
    for target in [Target::P1, Target::P2] {
        let component = componentize(&fs::read(guest("chaos", target)).expect("guest")).expect("component");
        let instrumented = instrument(&component).expect("capturable").bytes;
        let trial = Trial { seed: 5, stdin: script.into(), ..Trial::args(&["/"]) };
        let (plain, other) = (Lab::new(), Lab::new());
        let (report, printed) = plain.run(&component, &trial);
        let (again, printed_again) = other.run(&instrumented, &trial);
        assert!(!printed.is_empty());
        assert_eq!((&report.end.outcome, printed), (&again.end.outcome, printed_again.clone()));
        let (replayed, printed_in_replay) = other.replay(again.run);
        assert_eq!((replayed.verdict, printed_in_replay), (reel_host::runtime::Verdict::Same, printed_again));
    }
}
