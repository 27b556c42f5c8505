//! Which runs are meant.

use super::*;

#[test]
fn runs_are_named_counted_and_asked_for() {
    let desk = desk("till", &["mended"]);
    for step in ["pay 5", "pay 300", "say one", "say two", "pay 400"] {
        till(&desk, &["--", step]);
    }
    let runs = |args: &[&str]| -> Vec<u64> {
        let retried = retry(&desk, &[args, &["--with", "till.wasm"]].concat());
        retried.runs.iter().map(|run| run["run"].as_u64().expect("a number")).collect()
    };
    assert_eq!(runs(&["3"]), [3]);
    assert_eq!(runs(&["last"]), [5]);
    assert_eq!(runs(&["last:2"]), [4, 5]);
    assert_eq!(runs(&["last:99"]), [1, 2, 3, 4, 5]);
    assert_eq!(runs(&["2..3", "3", "1"]), [1, 2, 3]);
    assert_eq!(runs(&["--failed"]), [2, 5]);
    assert_eq!(runs(&["last:1", "--failed"]), [5]);
    assert_eq!(runs(&["1..3", "--failed"]), [2]);
    assert_eq!(runs(&["--where", "args LIKE '%say%' -- and nothing else"]), [3, 4]);
    assert_eq!(runs(&["--guest", "till", "--since", "1h"]), [1, 2, 3, 4, 5]);
    let with = ["--with", "till.wasm"];
    let fails = |args: &[&str], code: i32| desk.reel(&[&["retry"], args, &with].concat()).fails(code);
    assert!(fails(&[], 2).contains("which runs"));
    assert!(fails(&["0"], 2).contains("no runs"));
    assert!(fails(&["3..1"], 2).contains("no runs"));
    assert!(fails(&["99"], 66).contains("99"));
    assert!(fails(&["--since", "yesterday-ish", "1"], 2).contains("--since"));
    assert!(!fails(&["--where", "no such column = 1"], 2).is_empty());
    assert!(!fails(&["--where", "1); DELETE FROM runs; --"], 2).is_empty());
    // Nothing was mended where there was nothing.
    assert!(fails(&["--guest", "nobody", "--expect", "fixed"], 66).contains("no run"));
    // Others are not meant by chance.
    desk.guest("other.wasm", "(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    assert_eq!(desk.reel(&["run", "other.wasm", "--quiet", "--space", "elsewhere"]).code, Some(0));
    assert!(fails(&["last:99"], 2).contains("of several programs"));
    assert_eq!(runs(&["last:99", "--guest", "till"]), [1, 2, 3, 4, 5]);
    assert_eq!(desk.reel(&["retry", "1", "--allow", "x", "--with", "till.wasm"]).code, Some(2));
    assert_eq!(desk.reel(&["retry", "1", "--jobs", "0", "--with", "till.wasm"]).code, Some(2));
}

#[test]
fn many_at_once_are_told_in_their_order() {
    let desk = desk("till", &["mended"]);
    till(&desk, &["--copies", "60", "--", "say x"]);
    for jobs in ["1", "4", "60"] {
        let retried = retry(&desk, &["1..1000", "--jobs", jobs, "--with", "till-mended.wasm"]);
        let numbers: Vec<u64> = retried.runs.iter().map(|run| run["run"].as_u64().expect("a number")).collect();
        assert!(numbers.is_sorted() && numbers.len() >= 60, "{numbers:?}");
        assert_eq!(retried.code, Some(0));
    }
}
