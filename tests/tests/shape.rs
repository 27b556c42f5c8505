//! The shape of the code, as ordinary tests: sizes, ranks, and where the dangerous things are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(dir: &str) -> Vec<(String, String)> {
    let (mut open, mut found) = (vec![root().join(dir)], Vec::new());
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("directory") {
            let path = entry.expect("entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("source")));
            }
        }
    }
    found
}

fn sources() -> Vec<(String, String)> {
    ["abi/src", "store/src", "host/src", "guest-sdk/src"].iter().flat_map(|dir| rust_files(dir)).collect()
}

/// A file that passes this wants to be two.
#[test]
fn files_stay_short() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{name} has {lines} lines");
    }
}

#[test]
fn unsafe_code_is_in_few_files() {
    let found: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("unsafe {") || text.contains("unsafe impl"))
        .map(|(name, _)| name)
        .collect();
    let engine = ["cache", "mapping", "memory", "pagemap"].map(|stem| format!("host/src/engine/{stem}.rs"));
    // The traits by which SQLite gets at a table are unsafe to implement.
    let mut allowed = BTreeSet::from(engine);
    allowed.insert("host/src/sql/vtab.rs".to_owned());
    assert_eq!(found, allowed);
}

/// Every unsafe block says why it may.
#[test]
fn unsafe_code_has_its_reason() {
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in
            lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {") || line.contains("unsafe impl"))
        {
            let before = &lines[index.saturating_sub(4)..=index];
            assert!(before.iter().any(|line| line.contains("SAFETY")), "{name}:{}: {line}", index + 1);
        }
    }
}

/// From low to high: a module of the host uses only what stands before it.
const RANKS: [&str; 14] = [
    "net", "port", "sockets", "gate", "txn", "world", "calls", "engine", "runtime", "sql", "lineage", "debug",
    "server", "cli",
];

#[test]
fn arrows_point_down() {
    for (name, text) in rust_files("host/src") {
        let module = name.trim_start_matches("host/src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        let Some(rank) = RANKS.iter().position(|ranked| *ranked == module) else { continue };
        for higher in &RANKS[rank + 1..] {
            let used = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(&format!("crate::{higher}::")));
            assert!(!used, "{name} uses {higher}, which stands above {module}");
        }
    }
}

#[test]
fn crates_depend_downwards() {
    let manifest = |dir: &str| std::fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("manifest");
    for (dir, forbidden) in [
        ("abi", ["reel-store", "reel-host", "redb", "wasmtime", "tokio"].as_slice()),
        ("store", ["reel-host", "wasmtime", "tokio"].as_slice()),
        ("guest-sdk", ["reel-abi", "reel-store", "reel-host"].as_slice()),
    ] {
        for name in forbidden {
            assert!(!manifest(dir).contains(name), "{dir} depends on {name}");
        }
    }
}

/// Wasmtime is spoken to in three places; whoever else needs it needs a name of ours.
#[test]
fn wasmtime_stays_in_its_rooms() {
    for (name, text) in rust_files("host/src") {
        let allowed =
            ["host/src/engine/", "host/src/calls/", "host/src/runtime/"].iter().any(|room| name.starts_with(room));
        let used = text.lines().any(|line| line.trim_start().starts_with("use wasmtime"));
        assert!(allowed || !used, "{name} uses wasmtime");
    }
}
