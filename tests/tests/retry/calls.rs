//! Calls of residents, and of one guest by another.

use super::*;

fn call(desk: &Desk, args: &[&str]) -> Option<i32> {
    desk.reel(&[&["call", "k"], args].concat()).code
}

/// A resident that has lived a little: its birth, two calls, one that failed, and another call.
fn lived(desk: &Desk) {
    assert_eq!(desk.reel(&["deploy", "keeper.wasm", "--as", "k"]).code, Some(0));
    assert_eq!(call(desk, &["add", "5"]), Some(0));
    assert_eq!(call(desk, &["add", "6"]), Some(0));
    assert_ne!(call(desk, &["panics", "100"]), Some(0));
    assert_eq!(call(desk, &["remember", "\"a\"", "\"text\""]), Some(0));
    assert_eq!(call(desk, &["add", "7"]), Some(0));
}

#[test]
fn a_resident_is_called_with_the_memory_of_that_time() {
    let desk = desk("keeper", &["mended", "double"]);
    lived(&desk);
    for checkpoint in [false, true] {
        if checkpoint {
            // What a recorded component was like is of no use to another one.
            assert_eq!(desk.reel(&["checkpoint", "k"]).code, Some(0));
            assert_eq!(call(&desk, &["add", "8"]), Some(0));
            assert_ne!(call(&desk, &["panics", "200"]), Some(0));
        }
        let before = seen(&desk);
        let all = retry(&desk, &["--guest", "k", "--with", "keeper.wasm"]);
        let count = if checkpoint { 8 } else { 6 };
        assert_eq!((all.code, all.verdicts()), (Some(0), vec!["same"; count]), "{:?}", all.runs);
        let mended = retry(&desk, &["--guest", "k", "--with", "keeper-mended.wasm", "--allow", "fixed"]);
        let mut expected = vec!["same", "same", "same", "fixed", "same", "same", "same", "fixed"];
        expected.truncate(count);
        assert_eq!((mended.code, mended.verdicts()), (Some(0), expected), "{:?}", mended.runs);
        // 5 and 6 were in its memory, and no more.
        let run = &mended.runs[3];
        assert_eq!((&run["keys"][0]["key"]["text"], &run["keys"][0]["is"]["text"]), (&"mended".into(), &"111".into()));
        if checkpoint {
            assert_eq!(mended.runs[7]["keys"][0]["is"]["text"], "226", "{}", mended.runs[7]);
        }
        assert_eq!(seen(&desk), before);
    }
}

#[test]
fn a_life_goes_on_with_what_its_calls_become() {
    let desk = desk("keeper", &["double", "weak"]);
    lived(&desk);
    let memory = "its memory is what earlier calls of its life have made of it, and one of those is another one now";
    let noted = |run: &Value| run["notes"].as_array().is_some_and(|notes| notes.contains(&memory.into()));
    let gave = |run: &Value| {
        (run["results"]["was"].as_str().map(str::to_owned), run["results"]["is"].as_str().map(str::to_owned))
    };
    let some = |was: &str, is: &str| (Some(was.to_owned()), Some(is.to_owned()));
    for jobs in ["1", "4"] {
        let double = retry(&desk, &["--guest", "k", "--jobs", jobs, "--with", "keeper-double.wasm"]);
        let expected = ["same", "effects", "effects", "same", "same", "effects"];
        assert_eq!((double.code, double.verdicts()), (Some(13), expected.to_vec()), "{:?}", double.runs);
        assert_eq!(gave(&double.runs[1]), some("5", "10"));
        assert_eq!(gave(&double.runs[5]), some("18", "36"));
        assert!(!noted(&double.runs[1]) && noted(&double.runs[2]) && noted(&double.runs[5]), "{:?}", double.runs);
    }
    // Also if the calls before it are not among those that were asked for.
    let last = one(&desk, "last", "keeper-double.wasm");
    assert_eq!((gave(&last), noted(&last)), (some("18", "36"), true), "{last}");
    // A call that fails now leaves nothing behind, in memory neither.
    let weak = retry(&desk, &["--guest", "k", "--with", "keeper-weak.wasm"]);
    assert_eq!(weak.verdicts(), ["same", "same", "same", "same", "broken", "same"], "{:?}", weak.runs);
    assert!(noted(&weak.runs[5]));
    assert_eq!(call(&desk, &["recall", "\"a\""]), Some(0));
    let recalled = one(&desk, "last", "keeper-weak.wasm");
    assert_eq!((gave(&recalled), noted(&recalled)), (some("some(\"text\")", "none"), true), "{recalled}");
    // A new life knows nothing of it.
    assert_eq!(desk.reel(&["deploy", "keeper.wasm", "--as", "k"]).code, Some(0));
    assert_eq!(call(&desk, &["plain", "1"]), Some(0));
    let both = retry(&desk, &["--guest", "k", "--jobs", "1", "--with", "keeper-weak.wasm"]);
    assert_eq!(both.verdicts()[6..], ["effects", "same", "same"], "{:?}", both.runs);
    assert!(!noted(&both.runs[8]));
}

#[test]
fn calls_of_other_guests_are_answered_from_the_log_and_new_ones_are_not_made() {
    let desk = desk("till", &["ahead", "mute", "asks"]);
    desk.file("keeper.wasm", std::fs::read(guest("porter", Target::P2)).expect("the guest"));
    assert_eq!(desk.reel(&["deploy", "keeper.wasm", "--as", "p", "--kind", "handler"]).code, Some(0));
    let run = ["--call", "p", "--", "pay 5", "call p tick \"x\"", "pay 6"];
    assert_eq!(till(&desk, &run), Some(0));
    let number = "space = 'till'";
    let retried = |with: &str| retry(&desk, &["--where", number, "--with", with]);
    assert_eq!(retried("till.wasm").verdicts(), ["same"]);
    let ahead = retried("till-ahead.wasm");
    assert_eq!((ahead.verdicts(), &ahead.runs[0]["stdout"]), (vec!["output"], &Value::Null), "{:?}", ahead.runs);
    let mute = retried("till-mute.wasm");
    assert_eq!((mute.verdicts(), mute.runs[0]["unasked"].as_array().map(Vec::len)), (vec!["effects"], Some(1)));
    let asks = retried("till-asks.wasm");
    assert_eq!(asks.verdicts(), ["new-request"], "{:?}", asks.runs);
    assert!(asks.runs[0]["why"].as_str().is_some_and(|why| why.starts_with("guest.call p tick")), "{:?}", asks.runs);
    // The called one, too: it is a part of the transaction of another.
    let called = retry(&desk, &["--where", "space = 'p' AND args LIKE '%tick%'", "--with", "keeper.wasm"]);
    assert!(called.verdicts().iter().all(|verdict| *verdict == "same"), "{:?}", called.runs);
}
