//! Components that mean harm, and runs that cannot be had.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn what_is_no_component_of_this_kind_is_refused() {
    let desk = desk("till", &[]);
    till(&desk, &["--", "pay 5"]);
    desk.file("text.wasm", "no component at all");
    desk.file("cut.wasm", &desk.bytes("till.wasm")[..1000]);
    desk.file("porter.wasm", std::fs::read(guest("porter", Target::P2)).expect("the guest"));
    desk.guest("asks.wasm", "(component (import \"nobody:has/this\" (func)))");
    desk.guest(
        "module.wasm",
        "(module (import \"env\" \"nothing\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))",
    );
    for (file, words) in [
        ("missing.wasm", "cannot read"),
        ("text.wasm", "text.wasm"),
        ("cut.wasm", ""),
        ("porter.wasm", "wasi:cli/run"),
        ("asks.wasm", ""),
        ("module.wasm", "env"),
    ] {
        let page = desk.reel(&["retry", "1", "--with", file]).fails(121);
        assert!(page.contains(words), "{file}: {page}");
    }
    // A core module for WASI is one, though, and does nothing here.
    desk.guest("nothing.wasm", "(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    assert_eq!(one(&desk, "1", "nothing.wasm")["verdict"], "effects");
}

#[test]
fn one_that_never_ends_has_a_deadline_and_one_that_takes_all_memory_a_limit() {
    let desk = desk("till", &["endless", "greedy"]);
    till(&desk, &["--", "pay 5"]);
    till(&desk, &["--deadline", "300ms", "--memory", "32MiB", "--", "pay 6"]);
    let begun = Instant::now();
    let retried = retry(&desk, &["1", "--deadline", "300ms", "--with", "till-endless.wasm"]);
    assert_eq!((retried.code, retried.verdicts()), (Some(11), vec!["cannot"]), "{:?}", retried.runs);
    assert!(retried.runs[0]["why"].as_str().is_some_and(|why| why.contains("no end in 300ms")), "{:?}", retried.runs);
    // Its own deadline is how the run would have ended.
    let own = one(&desk, "2", "till-endless.wasm");
    assert_eq!(own["verdict"], "broken", "{own}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let greedy = one(&desk, "2", "till-greedy.wasm");
    assert_eq!(greedy["verdict"], "broken", "{greedy}");
    assert!(greedy["is"].as_str().is_some_and(|is| is.contains("memory") || is.contains("trap")), "{greedy}");
}

#[test]
fn a_run_that_was_cut_off_is_the_same_as_far_as_it_came() {
    let desk = desk("till", &["ahead", "fee"]);
    let run = ["run", "till.wasm", "--quiet", "--space", "till", "--", "pay 5", "say begun", "wait 60000", "pay 6"];
    let mut child = desk.spawn(&mut desk.command(&run));
    let there = || desk.reel(&["runs", "--json", "--wait", "0"]).code;
    std::thread::sleep(Duration::from_millis(1500));
    assert_ne!(there(), None);
    child.kill().expect("killed");
    child.wait().expect("it has ended");
    let runs = desk.reel(&["runs"]).out;
    assert!(runs.contains("cut off"), "{runs}");
    assert_eq!(one(&desk, "1", "till.wasm")["verdict"], "same");
    // One that does something else before comes to an end that it never had.
    assert_eq!(one(&desk, "1", "till-fee.wasm")["verdict"], "fixed");
    assert_eq!(retry(&desk, &["--failed", "--with", "till.wasm"]).verdicts(), ["same"]);
}

#[test]
fn runs_of_a_guest_that_is_gone_are_had_as_long_as_their_versions_are() {
    let desk = desk("till", &["mended"]);
    till(&desk, &["--", "pay 5"]);
    till(&desk, &["--", "pay 300"]);
    assert_eq!(desk.reel(&["run", "till.wasm", "--quiet", "--space", "other", "--", "pay 1"]).code, Some(0));
    assert_eq!(desk.reel(&["spaces", "--remove", "till"]).code, Some(0));
    let run = one(&desk, "2", "till-mended.wasm");
    assert_eq!((&run["verdict"], &run["keys"][0]["is"]["text"]), (&"fixed".into(), &"305".into()), "{run}");
    desk.reel(&["gc", "--keep", "none", "--apply"]);
    // Whether anything of it is left or not: it is told, and no panic.
    let said = desk.reel(&["retry", "2", "--with", "till-mended.wasm", "--json"]);
    assert!([Some(66), Some(11), Some(13)].contains(&said.code), "{said:?}");
    assert!(!said.err.contains("panicked"), "{}", said.err);
    assert!(!said.out.contains("\"same\""), "{}", said.out);
}

#[test]
fn what_a_guest_says_reaches_no_terminal_as_it_is() {
    let desk = desk("till", &["loud"]);
    till(&desk, &["--", "say \u{1b}[31m\u{7}red"]);
    let page = desk.reel(&["retry", "1", "--with", "till-loud.wasm"]).out;
    assert!(!page.contains('\u{1b}') && !page.contains('\u{7}'), "{page:?}");
    let json = desk.reel(&["retry", "1", "--with", "till-loud.wasm", "--json"]).out;
    assert!(!json.contains('\u{1b}'), "{json:?}");
}

#[test]
fn a_run_of_another_database_is_executed_as_it_was_there() {
    let desk = desk("till", &["mended"]);
    till(&desk, &["--", "pay 5"]);
    till(&desk, &["--", "pay 300"]);
    assert_eq!(desk.reel(&["export", "2", "-o", "bug.reel"]).code, Some(0));
    let other = Desk::new();
    for file in ["till.wasm", "till-mended.wasm", "bug.reel"] {
        other.file(file, desk.bytes(file));
    }
    assert_eq!(other.reel(&["import", "bug.reel"]).code, Some(0));
    assert_eq!(one(&other, "1", "till.wasm")["verdict"], "same");
    let run = one(&other, "1", "till-mended.wasm");
    // It had not come to where it reads the sum, so that the file has none; and that is said.
    assert_eq!((&run["verdict"], &run["keys"][0]["is"]["text"]), (&"fixed".into(), &"300".into()), "{run}");
    assert!(run["notes"][0].as_str().is_some_and(|note| note.contains("was imported")), "{run}");
}

#[test]
fn an_interrupt_ends_it_and_says_how_far_it_came() {
    let desk = desk("till", &["endless"]);
    till(&desk, &["--copies", "20", "--", "say x"]);
    let args = ["retry", "--guest", "till", "--jobs", "2", "--deadline", "60s", "--with", "till-endless.wasm"];
    let child = desk.spawn(&mut desk.command(&args));
    std::thread::sleep(Duration::from_secs(3));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let begun = Instant::now();
    let said = reel_tests::reel::end(child);
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.err.contains("interrupted, 20 were not executed"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
