//! The guests of the tests: built from source by cargo, once a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Targets that guests are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A core module for WASI preview 1.
    P1,
    /// A component for WASI 0.2.
    P2,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::P1 => "wasm32-wasip1",
            Self::P2 => "wasm32-wasip2",
        }
    }
}

/// The path of the binary of package `name` in `tests/guests`, built for `target`.
pub fn guest(name: &str, target: Target) -> PathBuf {
    build(&Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name), name, target)
}

/// Builds the cargo package in `dir`, whose binary is called `name`.
pub fn build(dir: &Path, name: &str, target: Target) -> PathBuf {
    let _turn = turn();
    built(dir, name, target, "")
}

/// Builds the package for WASI 0.2 with these features, and copies what came of it, before somebody builds it with others.
pub fn build_as(dir: &Path, name: &str, features: &str, copy: &Path) {
    let _turn = turn();
    std::fs::copy(built(dir, name, Target::P2, features), copy).expect("the guest can be copied");
}

/// What stands in the data of a guest that has variants, before the name of the variant.
const VARIANT: &[u8] = b"variant of this guest: ";

/// Bytes of such a name.
const VARIANT_NAME_BYTES: usize = 9;

/// Another variant of a guest, as `tests/guests/variant.rs` knows it: a component with other bytes in its data.
pub fn variant(component: &[u8], name: &str) -> Vec<u8> {
    let mut places = (0..component.len()).filter(|at| component[*at..].starts_with(VARIANT));
    let (at, other) = (places.next().expect("a guest with variants") + VARIANT.len(), places.next());
    assert!(other.is_none() && name.len() <= VARIANT_NAME_BYTES, "the name of a variant is in one place, and short");
    let mut component = component.to_vec();
    component[at..at + VARIANT_NAME_BYTES].copy_from_slice(format!("{name:<VARIANT_NAME_BYTES$}").as_bytes());
    component
}

/// One build at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn built(dir: &Path, name: &str, target: Target, features: &str) -> PathBuf {
    let mut output = cargo(dir, target, features);
    if String::from_utf8_lossy(&output.stderr).contains("target may not be installed") {
        // The toolchain file names the target, but not every rustup installs by itself what a file names.
        let added = Command::new("rustup").args(["target", "add", target.triple()]).current_dir(dir).status();
        assert!(added.expect("rustup runs").success(), "adding the target {}", target.triple());
        output = cargo(dir, target, features);
    }
    assert!(
        output.status.success(),
        "building {name} for {}: {}",
        target.triple(),
        String::from_utf8_lossy(&output.stderr)
    );
    target_dir().join(target.triple()).join("release").join(format!("{name}.wasm"))
}

/// Where all guests are built, so that what several of them need is compiled once.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests")
}

fn cargo(dir: &Path, target: Target, features: &str) -> Output {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    // What the outer cargo has set up for its own build is not for this one.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    command.args(["build", "--release", "--quiet", "--locked", "--target", target.triple()]).current_dir(dir);
    command.args(["--features", features, "--target-dir"]).arg(target_dir());
    command.output().expect("cargo runs")
}
