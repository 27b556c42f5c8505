//! On generated databases, what SQL answers is what `reel runs`, `reel log`, `reel kv` and `reel fs` tell.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, prop};
use proptest::proptest;
use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::script::{cases, in_steps};
use serde_json::{Value, json};

use crate::{ask, lines};

/// A database in which scripts were executed, in two spaces and a fork.
fn desk(scripts: &[Vec<String>]) -> Desk {
    let desk = Desk::new();
    desk.file("chaos.wasm", std::fs::read(guest("chaos", Target::P2)).expect("guest"));
    for (index, script) in scripts.iter().enumerate() {
        let space = if index % 3 == 2 { "other" } else { "main" };
        desk.reel(&["run", "chaos.wasm", "--space", space, "--", "/", &script.join("\n")]);
        if index == scripts.len() / 2 {
            desk.reel(&["fork", "main", "twig"]);
            desk.reel(&["run", "chaos.wasm", "--space", "twig", "--", "/", &script.join("\n")]);
        }
    }
    desk.reel(&["rollback", "main", "1"]);
    desk
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 8, ..cases(5) })]

    #[test]
    fn answers_are_those_of_other_commands(scripts in prop::collection::vec(in_steps(), 4..9)) {
        let desk = desk(&scripts);
        runs(&desk);
        events(&desk);
        values(&desk);
        files(&desk);
        versions(&desk);
    }
}

/// The fields of both under the same names.
fn runs(desk: &Desk) {
    let mut told = lines(&desk.reel(&["runs", "--limit", "0", "--json"]).well());
    told.reverse();
    let asked = ask(desk, "SELECT * FROM runs ORDER BY run");
    assert_eq!(told.len(), asked.len());
    for (told, asked) in told.iter().zip(&asked) {
        for name in [
            "run",
            "program",
            "component",
            "space",
            "reads",
            "state",
            "outcome",
            "exit",
            "version",
            "again",
            "events",
            "trace",
            "logged_bytes",
            "written_bytes",
        ] {
            assert_eq!(told[name], asked[name], "{name} of {told}");
        }
        assert_eq!(told["commit"], asked["commit_no"]);
        assert_eq!((&told["begin"]["nanos"], &told["begin"]["time"]), (&asked["at_ns"], &asked["at"]));
        assert_eq!((&told["end"]["nanos"], &told["end"]["time"]), (&asked["ended_ns"], &asked["ended"]));
        assert_eq!(told["args"].to_string(), asked["args"].as_str().expect("text"));
        let one = ask(desk, &format!("SELECT * FROM runs WHERE run = {}", told["run"]));
        assert_eq!(one, std::slice::from_ref(asked));
        let since = ask(
            desk,
            &format!("SELECT run FROM runs WHERE at >= '{}' ORDER BY run", asked["at"].as_str().expect("text")),
        );
        let later = |other: &&Value| other["at_ns"].as_u64() >= asked["at_ns"].as_u64();
        assert_eq!(since.len(), self::later(desk, later));
    }
    let failed = lines(&desk.reel(&["runs", "--failed", "--limit", "0", "--json"]).well()).len();
    assert_eq!(ask(desk, "SELECT count(*) n FROM runs WHERE failed"), [json!({ "n": failed })]);
}

fn later(desk: &Desk, fits: impl Fn(&&Value) -> bool) -> usize {
    ask(desk, "SELECT at_ns FROM runs").iter().filter(|run| fits(run)).count()
}

/// What handles stand for, made of the log once more and otherwise.
#[derive(Default)]
struct Handles(BTreeMap<u64, (Option<String>, Option<String>)>);

impl Handles {
    /// Path and bucket of an event.
    fn of(&mut self, event: &Value) -> (Option<String>, Option<String>) {
        let (call, request, reply) = (event["call"].as_str().expect("a name"), &event["request"], &event["reply"]);
        let known =
            |name: &str| request[name].as_u64().and_then(|handle| self.0.get(&handle).cloned()).unwrap_or_default();
        let clean = |path: String| {
            let mut parts = Vec::new();
            for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
                if part == ".." {
                    parts.pop();
                } else {
                    parts.push(part);
                }
            }
            parts.join("/")
        };
        let (mut path, mut bucket) = (None, None);
        if call.starts_with("kv.") {
            bucket = known("bucket").1.or(known("cas").1);
            if call == "kv.open" {
                bucket = request["name"].as_str().map(str::to_owned);
            }
        } else if call.starts_with("fs.") {
            path = known("dir").0.or(known("file").0).or(known("stream").0);
            if let Some(below) = request["path"].as_str() {
                path = Some(clean(format!("{}/{below}", path.unwrap_or_default())));
            }
        } else if call.starts_with("stream.") {
            path = known("stream").0.or(known("from").0);
        }
        if call == "fs.preopens" {
            for pair in reply.as_array().expect("a list") {
                let root = clean(pair[1].as_str().expect("a path").to_owned());
                self.0.insert(pair[0].as_u64().expect("a handle"), (Some(root), None));
            }
        } else if call == "handle.drop" {
            self.0.remove(&request["handle"].as_u64().expect("a handle"));
        } else if gives_handle(call)
            && let Some(handle) = reply.as_u64()
        {
            self.0.insert(handle, (path.clone(), bucket.clone()));
        }
        (path, bucket)
    }
}

fn gives_handle(call: &str) -> bool {
    let fs = ["open", "read-stream", "write-stream", "append-stream", "read-directory"];
    call == "kv.open"
        || call == "kv.cas"
        || fs.iter().any(|name| call == format!("fs.{name}"))
        || call == "stream.subscribe"
        || call == "stdio.open"
}

fn events(desk: &Desk) {
    let all = ask(desk, "SELECT * FROM events ORDER BY run, seq");
    let mut left = all.as_slice();
    for run in ask(desk, "SELECT run, guest, space FROM runs ORDER BY run") {
        let told = lines(&desk.reel(&["log", &run["run"].to_string(), "--json"]).well());
        let (asked, others) = left.split_at(told.len());
        left = others;
        assert_eq!(ask(desk, &format!("SELECT * FROM events WHERE run = {} ORDER BY seq", run["run"])), asked);
        let mut handles = Handles::default();
        for (told, asked) in told.iter().zip(asked) {
            for name in ["run", "seq", "call", "class"] {
                assert_eq!(told[name], asked[name], "{told}");
            }
            assert_eq!((&asked["guest"], &asked["space"]), (&run["guest"], &run["space"]));
            let details: Value = serde_json::from_str(asked["details"].as_str().expect("text")).expect("JSON");
            assert_eq!(told["reply"], details["reply"], "{told}");
            if told["class"] != "mark" {
                assert_eq!(told["request"], details["request"], "{told}");
            }
            assert_eq!(told["reply"].get("error").is_none(), asked["ok"] == 1, "{told}");
            let (path, bucket) = handles.of(told);
            assert_eq!((json!(path), json!(bucket)), (asked["path"].clone(), asked["bucket"].clone()), "{told}");
            if let Some(text) = told["request"]["key"]["text"].as_str() {
                assert_eq!(asked["key"], text);
            }
        }
    }
    assert!(left.is_empty());
    windows(desk, &all);
    let count = |fits: &dyn Fn(&Value) -> bool| all.iter().filter(|event| fits(event)).count();
    for (condition, expected) in [
        ("call = 'kv.get'", count(&|event| event["call"] == "kv.get")),
        ("space = 'main'", count(&|event| event["space"] == "main")),
        ("space = 'main' AND class = 'stage'", count(&|event| event["space"] == "main" && event["class"] == "stage")),
        ("guest = 'chaos.wasm' AND run > 2 AND run <= 4", count(&|event| matches!(event["run"].as_u64(), Some(3 | 4)))),
        ("guest = 'CHAOS.wasm' COLLATE NOCASE", all.len()),
        (
            "run IN (1, 3) AND seq < 5",
            count(&|event| matches!(event["run"].as_u64(), Some(1 | 3)) && event["seq"].as_u64() < Some(5)),
        ),
        ("run = '2'", count(&|event| event["run"] == 2)),
        ("run = 2.5 OR run < -1 OR run = NULL", 0),
        ("run > 1.5 AND run < 2.5", count(&|event| event["run"] == 2)),
        ("bucket = 'a' AND key = 'ab'", count(&|event| event["bucket"] == "a" && event["key"] == "ab")),
        ("NOT ok", count(&|event| event["ok"] == 0)),
    ] {
        let asked = ask(desk, &format!("SELECT count(*) n FROM events WHERE {condition}"));
        assert_eq!(asked, [json!({ "n": expected })], "{condition}");
    }
}

/// Each window of time has the events that the whole has in it.
fn windows(desk: &Desk, all: &[Value]) {
    let mut times: Vec<(u64, &str)> =
        all.iter().filter_map(|event| Some((event["at_ns"].as_u64()?, event["at"].as_str()?))).collect();
    times.sort_unstable();
    times.dedup();
    let picked = [0, times.len() / 3, times.len() / 2, times.len() - 1].map(|index| times[index]);
    for (from, from_text) in picked {
        for (until, until_text) in picked {
            let within = |event: &&Value| event["at_ns"].as_u64().is_some_and(|at| from <= at && at < until);
            let expected = json!({ "n": all.iter().filter(within).count() });
            for condition in [
                format!("at_ns >= {from} AND at_ns < {until}"),
                format!("at >= '{from_text}' AND at < '{until_text}'"),
                format!("at >= '{from_text}' AND at_ns < {until}"),
                format!("at_ns BETWEEN {from} AND {until} - 1"),
            ] {
                assert_eq!(
                    ask(desk, &format!("SELECT count(*) n FROM events WHERE {condition}")),
                    std::slice::from_ref(&expected),
                    "{condition}"
                );
            }
        }
    }
    let day = &times[0].1[..10];
    let after = format!("SELECT count(*) n FROM events WHERE at >= '{day}'");
    assert_eq!(ask(desk, &after), [json!({ "n": all.len() })]);
}

type Keys = BTreeMap<(String, String), Value>;

fn keys(rows: &[Value]) -> Keys {
    let name = |row: &Value, field: &str| row[field].to_string();
    rows.iter().map(|row| ((name(row, "bucket"), name(row, "key")), row["value"].clone())).collect()
}

fn values(desk: &Desk) {
    for space in ["main", "other", "twig"] {
        // What the history says is what each version has that the newest has behind it without a rollback.
        let history = ask(desk, &format!("SELECT * FROM kv_history WHERE space = '{space}' ORDER BY version"));
        for row in &history {
            let version = &row["version"];
            assert_eq!(
                ask(
                    desk,
                    &format!(
                        "SELECT run FROM transactions WHERE space = {} AND version = {version}",
                        row["written_in"].to_string().replace('"', "'")
                    )
                ),
                [json!({ "run": row["run"] })]
            );
            if row["written_in"] != space {
                continue;
            }
            let at = |version: u64| {
                keys(&ask(desk, &format!("SELECT * FROM kv WHERE space = '{space}' AND version = {version}")))
            };
            let key = (row["bucket"].to_string(), row["key"].to_string());
            let number = version.as_u64().expect("a number");
            assert_eq!(at(number).get(&key).unwrap_or(&Value::Null), &row["value"], "{row}");
            assert_eq!(at(number - 1).get(&key).unwrap_or(&Value::Null), &row["previous"], "{row}");
            if let (Some(bucket), Some(key)) =
                (row["bucket"].as_str(), row["key"].as_str().filter(|key| !key.contains('\0')))
            {
                let one = format!(
                    "SELECT * FROM kv_history WHERE space = '{space}' AND bucket = '{bucket}' AND key = '{key}' AND version = {version}"
                );
                assert_eq!(ask(desk, &one), std::slice::from_ref(row));
            }
        }
        // The newest version by `reel kv`.
        let now = ask(desk, &format!("SELECT * FROM kv WHERE space = '{space}'"));
        let mut told = 0;
        for bucket in ask(desk, &format!("SELECT DISTINCT bucket FROM kv WHERE space = '{space}'")) {
            let bucket = bucket["bucket"].as_str().expect("buckets are text");
            told += lines(&desk.reel(&["kv", "ls", space, bucket, "--json"]).well()).len();
        }
        assert_eq!(told, now.len());
        for row in now {
            let (Some(bucket), Some(key), Some(value)) =
                (row["bucket"].as_str(), row["key"].as_str(), row["value"].as_str())
            else {
                continue;
            };
            if !key.is_empty() && !key.contains('\0') && !value.contains('\0') {
                assert_eq!(desk.reel(&["kv", "get", space, bucket, "--", key]).well(), value, "{bucket} {key}");
            }
        }
    }
}

fn files(desk: &Desk) {
    for space in ["main", "other", "twig"] {
        let mut told: Vec<(String, Value, Value)> =
            lines(&desk.reel(&["fs", "ls", "-R", "--json", &format!("{space}:/")]).well())
                .into_iter()
                .map(|line| {
                    (
                        line["path"].as_str().expect("a path").to_owned(),
                        line["modified"]["nanos"].clone(),
                        if line["target"].is_null() && line["kind"] != "directory" {
                            line["size"].clone()
                        } else {
                            Value::Null
                        },
                    )
                })
                .collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let asked = ask(desk, &format!("SELECT * FROM files WHERE space = '{space}' ORDER BY path"));
        let same: Vec<(String, Value, Value)> = asked
            .iter()
            .map(|row| {
                (row["path"].as_str().expect("text").to_owned(), row["modified_ns"].clone(), row["size"].clone())
            })
            .collect();
        assert_eq!(told, same);
        for row in &asked {
            let path = row["path"].as_str().expect("text");
            assert_eq!(
                ask(desk, &format!("SELECT * FROM files WHERE space = '{space}' AND path = '{path}'")),
                std::slice::from_ref(row)
            );
            if row["kind"] == "file" && row["content"].is_string() {
                assert_eq!(
                    desk.reel(&["fs", "cat", &format!("{space}:/{path}")]).well(),
                    row["content"].as_str().expect("text")
                );
            }
            let top = path.split('/').next().expect("a name");
            let below = ask(desk, &format!("SELECT path FROM files WHERE space = '{space}' AND path GLOB '{top}/*'"));
            let expected = asked
                .iter()
                .filter(|row| row["path"].as_str().is_some_and(|path| path.starts_with(&format!("{top}/"))))
                .count();
            assert_eq!(below.len(), expected);
        }
        for row in ask(desk, &format!("SELECT * FROM files_history WHERE space = '{space}'")) {
            let path = row["path"].as_str().expect("text");
            let at = |version: u64| {
                ask(
                    desk,
                    &format!(
                        "SELECT kind, size FROM files WHERE space = {} AND version = {version} AND path = '{path}'",
                        row["written_in"].to_string().replace('"', "'")
                    ),
                )
            };
            let version = row["version"].as_u64().expect("a number");
            let there = at(version);
            assert_eq!(there.is_empty(), row["change"] == "removed", "{row}");
            assert!(there.is_empty() || there == [json!({ "kind": row["kind"], "size": row["size"] })], "{row}");
            assert!(row["change"] != "made" || at(version - 1).is_empty(), "{row}");
            let by_path = format!(
                "SELECT * FROM files_history WHERE space = '{space}' AND path = '{path}' AND version = {version} AND written_in = {}",
                row["written_in"].to_string().replace('"', "'")
            );
            assert_eq!(ask(desk, &by_path), std::slice::from_ref(&row), "{row}");
        }
    }
}

fn versions(desk: &Desk) {
    for space in lines(&desk.reel(&["spaces", "--json"]).well()) {
        let name = space["space"].as_str().expect("a name");
        let asked = ask(desk, &format!("SELECT * FROM spaces WHERE space = '{name}'"));
        assert_eq!(asked.len(), 1);
        assert_eq!((&asked[0]["version"], &asked[0]["forked_from"]), (&space["version"], &space["fork_of"]));
        let count = ask(desk, &format!("SELECT count(*) n, max(version) v FROM transactions WHERE space = '{name}'"));
        let told = lines(&desk.reel(&["history", name, "--json", "--limit", "0"]).well());
        assert_eq!(count[0]["n"], told.len(), "{name}");
    }
}
