//! Calls that another transaction gets ahead of.

use std::sync::Arc;

use reel_abi::record::family;
use reel_host::calls::session::Console;
use reel_host::runtime::Surroundings;
use reel_host::runtime::resident::{CallRequest, Habits, Household};
use reel_store::Store;
use reel_tests::lab::{SeededEntropy, TickingClock};

use super::side::{Side, keeper, space, write};

fn side() -> Side {
    let side = Side::new(Habits::default());
    side.deploy("k", &keeper());
    side
}

/// Somebody else's household calls the same guest.
fn add_elsewhere(store: &Store, n: u32) {
    let store = store.clone();
    let elsewhere = move || {
        let world = |_: &_| {
            Ok(Surroundings {
                clock: Arc::new(TickingClock::at(7)),
                entropy: Box::new(SeededEntropy(5)),
                console: Console::default(),
                dirs: Vec::new(),
                http: reel_host::runtime::HttpWorld::default(),
                network: Arc::new(reel_host::world::net::HostNetwork),
                callees: None,
            })
        };
        let household = Household::new(store, Arc::new(TickingClock::at(9)), Box::new(world));
        let request = CallRequest { name: space("k"), function: "add".into(), args: vec![n.to_string()] };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let report = runtime.block_on(household.call(&request, std::future::pending())).expect("called");
        assert!(report.end.outcome.is_success());
    };
    std::thread::spawn(elsewhere).join().expect("the other household calls");
}

#[test]
fn a_key_that_the_call_read() {
    let side = side();
    side.call("k", &["put", "\"a\"", "\"old\""]);
    side.call("k", &["put", "\"b\"", "\"new\""]);
    // The cells of the two keys, found by what they have.
    let view = side.store().view(side.head("k")).expect("view");
    let cells = view.scan(family::KEY_VALUE, b"", None, 10).expect("scan");
    // Before them comes the bucket.
    assert_eq!(cells.len(), 3, "{cells:?}");
    let ((key, _), (_, value)) = (cells[1].clone(), cells[2].clone());
    *side.meanwhile.lock().expect("nobody failed") =
        Some(Box::new(move |store| write(store, "k", family::KEY_VALUE, &key, value)));
    let report = side.try_call("k", &["get", "\"a\""]).expect("called");
    assert_eq!((report.results.as_deref(), report.attempts), (Some("some(\"new\")"), 2));
    // What the first attempt did to the memory is no part of the life.
    assert_eq!(side.call("k", &["add", "1"]), "1");
}

#[test]
fn another_call_of_the_same_guest() {
    let side = side();
    side.call("k", &["add", "1"]);
    *side.meanwhile.lock().expect("nobody failed") = Some(Box::new(|store| add_elsewhere(store, 10)));
    let report = side.try_call("k", &["add", "100"]).expect("called");
    assert_eq!((report.results.as_deref(), report.attempts, report.woken), (Some("111"), 2, Some(2)));
    assert_eq!(side.call("k", &["add", "0"]), "111");
    side.is_sound();
}

/// A checkpoint does not get in the way of a call, nor a call in that of a checkpoint.
#[test]
fn a_checkpoint_overtakes_nobody() {
    let side = side();
    side.call("k", &["add", "1"]);
    *side.meanwhile.lock().expect("nobody failed") = Some(Box::new(|store| {
        let family = family::RESIDENT;
        let value = reel_abi::record::CellValue::Inline { bytes: vec![1].into() };
        write(store, "k", family, reel_abi::resident::CHECKPOINT_KEY, value);
    }));
    let report = side.try_call("k", &["add", "1"]).expect("called");
    assert_eq!((report.results.as_deref(), report.attempts), (Some("2"), 1));
}
