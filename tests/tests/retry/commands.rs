//! Commands: what they leave behind, and how they end.

use super::*;

#[test]
fn the_same_component_makes_every_run_the_same() {
    let desk = desk("till", &[]);
    let look = ["--", "pay 5", "look", "write /a.txt text", "wait 20", "look", "commit", "pay 6", "read /a.txt"];
    assert_eq!(till(&desk, &look), Some(0));
    assert_ne!(till(&desk, &["--", "pay 500"]), Some(0));
    assert_eq!(till(&desk, &["--", "say done", "exit 1"]), Some(1));
    assert_eq!(till(&desk, &["--commit-on-failure", "--", "pay 7", "exit 1"]), Some(1));
    assert_ne!(till(&desk, &["--deadline", "200ms", "--", "pay 8", "wait 60000", "pay 9"]), Some(0));
    assert_ne!(till(&desk, &["--memory", "2MiB", "--", "pay 9"]), None);
    assert_eq!(desk.reel_reading(&["run", "till.wasm", "--quiet", "--", "stdin"], b"a line").code, Some(0));
    let retried = retry(&desk, &["1..100", "--with", "till.wasm"]);
    assert_eq!((retried.code, retried.verdicts()), (Some(0), vec!["same"; 7]));
    assert_eq!((retried.sum["runs"].as_u64(), retried.sum["wrong"].as_u64()), (Some(7), Some(0)));
    // For a person only what is other is worth a line.
    let said = desk.reel(&["retry", "last:3", "--with", "till.wasm"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "3 runs: 3 same\n"), "{}", said.err);
}

#[test]
fn a_mended_bug_is_told_with_what_it_would_have_written() {
    let desk = desk("till", &["mended"]);
    for cents in ["pay 5", "pay 300", "pay 6", "pay 400"] {
        till(&desk, &["--", cents]);
    }
    let seen_before = seen(&desk);
    let bytes_before = bytes_of(&desk);
    let retried = retry(&desk, &["--guest", "till", "--with", "till-mended.wasm"]);
    assert_eq!((retried.code, retried.verdicts()), (Some(13), vec!["same", "fixed", "same", "fixed"]));
    // Each on the state of its time: no payment that failed then is in it.
    let sums: Vec<&Value> = retried.runs.iter().flat_map(|run| run["keys"].as_array().expect("keys")).collect();
    let texts: Vec<_> = sums.iter().map(|key| (key["was"]["text"].as_str(), key["is"]["text"].as_str())).collect();
    assert_eq!(texts, [(Some("5"), Some("305")), (Some("11"), Some("411"))], "{sums:?}");
    // What is asked in CI: does it mend all that failed, and change nothing else?
    let failed = ["--failed", "--guest", "till", "--with", "till-mended.wasm", "--expect", "fixed"];
    assert_eq!(retry(&desk, &failed).code, Some(0));
    assert_eq!(retry(&desk, &["--guest", "till", "--with", "till-mended.wasm", "--expect", "fixed"]).code, Some(13));
    assert_eq!(retry(&desk, &["--guest", "till", "--with", "till-mended.wasm", "--allow", "fixed"]).code, Some(0));
    assert_eq!(retry(&desk, &["--failed", "--with", "till.wasm", "--expect", "fixed"]).code, Some(13));
    // And for a person.
    let said = desk.reel(&["retry", "2", "--with", "till-mended.wasm"]);
    assert_eq!(said.code, Some(13));
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "run 2: fixed  till: \"till.wasm pay 300\"", "{}", said.out);
    assert!(lines[1].starts_with("  was ") && lines[1].contains("trap"), "{}", said.out);
    assert_eq!(lines[2], "  is  exit 0", "{}", said.out);
    assert!(said.out.contains("\"till\" \"sum\": \"5\" -> \"305\""), "{}", said.out);
    assert!(said.out.contains("it left the record at event 2@"), "{}", said.out);
    // Nothing of all this is anywhere: not a byte of the log and the payloads, no version and no run.
    let bytes_after = bytes_of(&desk);
    for (file, bytes) in &bytes_before {
        assert!(bytes_after.get(file) == Some(bytes), "{file} was written");
    }
    assert!(bytes_before.len() == bytes_after.len() && bytes_before.len() >= 2);
    assert_eq!(seen_before, seen(&desk));
}

#[test]
fn a_run_that_breaks_is_broken() {
    let desk = desk("till", &["mended"]);
    till(&desk, &["--", "pay 300"]);
    desk.file("as-it-was.wasm", desk.bytes("till.wasm"));
    desk.file("till.wasm", desk.bytes("till-mended.wasm"));
    till(&desk, &["--", "pay 300"]);
    let run = one(&desk, "2", "as-it-was.wasm");
    assert_eq!(run["verdict"], "broken");
    assert_eq!(run["was"], "exit 0");
    assert!(run["is"].as_str().is_some_and(|is| is.contains("trap")), "{run}");
    assert_eq!(run["keys"][0]["was"]["text"], "300");
    assert_eq!(run["keys"][0]["is"], Value::Null);
}

#[test]
fn what_is_written_said_and_sent_is_compared() {
    let desk = desk("till", &["fee", "loud", "ahead"]);
    desk.file("porter.wasm", std::fs::read(guest("porter", Target::P2)).expect("the guest"));
    let porter = ["deploy", "porter.wasm", "--as", "porter", "--kind", "handler", "--subscribe", "letters"];
    assert_eq!(desk.reel(&porter).code, Some(0));
    till(&desk, &["--", "pay 5", "write /a.txt text", "say hello", "send letters dear"]);
    let fee = one(&desk, "2", "till-fee.wasm");
    assert_eq!(fee["verdict"], "effects", "{fee}");
    assert_eq!(fee["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!((&fee["keys"][0]["key"]["text"], &fee["keys"][0]["is"]["text"]), (&"fees".into(), &"1".into()));
    assert_eq!((&fee["paths"][0]["path"], &fee["paths"][0]["is"]), (&"a.txt".into(), &5.into()), "{fee}");
    assert_eq!(fee["messages"]["was"][0]["payload"]["text"], "dear");
    assert_eq!(fee["messages"]["is"][0]["payload"]["text"], "dear and a fee");
    let page = desk.reel(&["retry", "2", "--with", "till-fee.wasm"]).out;
    assert!(page.contains("/a.txt: 4 B -> 5 B") && page.contains("sends to letters: \"dear and a fee\""), "{page}");
    let loud = one(&desk, "2", "till-loud.wasm");
    assert_eq!((&loud["verdict"], &loud["stdout"]["was"]), (&"output".into(), &8.into()), "{loud}");
    let page = desk.reel(&["retry", "2", "--with", "till-loud.wasm", "--allow", "output"]);
    assert!(page.out.contains("stdout \"hello\" -> \"HELLO\""), "{}", page.out);
    assert_eq!(page.code, Some(0));
    // It is another one from its first event on, and does the same all the way.
    let ahead = one(&desk, "2", "till-ahead.wasm");
    assert_eq!((&ahead["verdict"], &ahead["stdout"]), (&"output".into(), &Value::Null), "{ahead}");
    assert_eq!((&ahead["stderr"]["was"], &ahead["stderr"]["is"]), (&0.into(), &13.into()));
}

#[test]
fn commits_on_the_way_are_taken_from_the_log_and_no_others_are_made() {
    let desk = desk("till", &["fee", "loud", "ahead"]);
    till(&desk, &["--", "pay 5", "commit", "pay 6", "commit", "say done", "pay 7"]);
    // It is in step until it says something else, and all that can be compared is the last transaction.
    let loud = one(&desk, "1", "till-loud.wasm");
    assert_eq!((&loud["verdict"], &loud["keys"]), (&"output".into(), &Value::Array(Vec::new())), "{loud}");
    for with in ["till-fee.wasm", "till-ahead.wasm"] {
        let run = one(&desk, "1", with);
        assert_eq!(run["verdict"], "cannot", "{run}");
        assert!(run["why"].as_str().is_some_and(|why| why.contains("commits on its way")), "{run}");
    }
    assert_eq!(retry(&desk, &["1", "--with", "till-fee.wasm"]).code, Some(11));
    assert_eq!(retry(&desk, &["1", "--with", "till-fee.wasm", "--allow", "cannot"]).code, Some(0));
}

#[test]
fn directories_of_the_host_are_as_they_were_and_stay_as_they_are() {
    let desk = desk("till", &["ahead", "fee"]);
    desk.file("in/a.txt", "of the host");
    let dir = ["--dir", "in::/in", "--", "read /in/a.txt", "write /in/b.txt text"];
    assert_eq!(till(&desk, &dir), Some(0));
    desk.file("in/a.txt", "of another time");
    let ahead = one(&desk, "1", "till-ahead.wasm");
    assert_eq!((&ahead["verdict"], &ahead["stdout"]), (&"output".into(), &Value::Null), "{ahead}");
    let fee = one(&desk, "1", "till-fee.wasm");
    assert_eq!((&fee["verdict"], &fee["outbox"]), (&"effects".into(), &true.into()), "{fee}");
    assert_eq!(desk.bytes("in/b.txt"), b"text");
    let removed = desk.path().join("in");
    std::fs::remove_dir_all(removed).expect("removed");
    assert_eq!(one(&desk, "1", "till.wasm")["verdict"], "same");
}
