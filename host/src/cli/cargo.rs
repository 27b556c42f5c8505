//! `reel run DIR`: builds a Cargo package for WebAssembly.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::exit::Exit;
use super::failure::Failure;
use crate::world::{disk, process};

/// What packages are built for.
const TARGET: &str = "wasm32-wasip2";

/// A line of `cargo build --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the package in `dir` and gives the path of its program.
pub fn build(dir: &Path, bin: Option<&str>, quiet: bool) -> Result<PathBuf, Failure> {
    if !disk::is_file(&dir.join("Cargo.toml")) {
        let what = format!("{} is a directory without a Cargo.toml", dir.display());
        return Err(Failure::new(Exit::UNFIT, what).hint("give a .wasm file, or the directory of a Cargo package"));
    }
    let mut args = vec!["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"];
    match bin {
        Some(bin) => args.extend(["--bin", bin]),
        None => args.push("--bins"),
    }
    if quiet {
        args.push("--quiet");
    }
    let cargo = process::env("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let finished = process::run(&cargo, &args, dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(Exit::UNFIT, format!("cannot build {}: there is no `cargo` here", dir.display()))
                .hint("install Rust from https://rustup.rs, or give a .wasm file that is built already")
        }
        _ => Failure::new(Exit::UNFIT, format!("cannot start `cargo`: {error}")),
    })?;
    if !finished.success {
        let failure = Failure::new(Exit::UNFIT, format!("`cargo build` failed in {}", dir.display()));
        return Err(match has_target(dir) {
            false => failure.hint(format!("the target is not installed: rustup target add {TARGET}")),
            true => failure,
        });
    }
    choose(programs(&finished.stdout), dir)
}

/// The programs that cargo says it has built, by name.
fn programs(messages: &[u8]) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for line in messages.split(|byte| *byte == b'\n') {
        let Ok(Message { reason, executable: Some(path), target: Some(target) }) = serde_json::from_slice(line) else {
            continue;
        };
        if reason == "compiler-artifact" && target.kind.iter().any(|kind| kind == "bin") {
            found.push((target.name, path));
        }
    }
    found
}

fn choose(mut programs: Vec<(String, PathBuf)>, dir: &Path) -> Result<PathBuf, Failure> {
    match (programs.pop(), programs.is_empty()) {
        (Some((_, path)), true) => Ok(path),
        (None, _) => {
            let what = format!("the package in {} has no program: it needs a src/main.rs", dir.display());
            Err(Failure::new(Exit::UNFIT, what))
        }
        (Some(last), false) => {
            let mut names: Vec<String> = programs.into_iter().chain([last]).map(|(name, _)| name).collect();
            names.sort();
            let what = format!("the package in {} has several programs: {}", dir.display(), names.join(", "));
            Err(Failure::usage(what).hint(format!("choose one: --bin {}", names[0])))
        }
    }
}

/// Whether the standard library for the target is there. Anything unclear counts as yes: cargo has said more by then.
fn has_target(dir: &Path) -> bool {
    let Ok(said) = process::run("rustc", &["--print", "target-libdir", "--target", TARGET], dir) else { return true };
    let path = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    !said.success || disk::is_dir(Path::new(&path))
}
