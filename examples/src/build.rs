//! Building what the tour needs, with the cargo that built the tour.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const WASM: &str = "wasm32-wasip2";

/// The workspace.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The workspace's target directory: the one that this program lies in.
pub fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("the tour lies in no target directory")?;
    Ok(target.to_owned())
}

/// Builds the command line program and says where it is.
pub fn reel(target: &Path) -> Result<PathBuf> {
    let mut cargo = cargo();
    // With the features that the whole workspace asks for, so that `cargo test --workspace` finds all of it built.
    cargo.args(["build", "--release", "--locked", "--workspace", "--bin", "reel", "--target-dir"]).arg(target);
    executable(cargo, "reel")
}

/// Builds a guest of `examples/guests` and says where it is.
pub fn guest(name: &str) -> Result<PathBuf> {
    add_target()?;
    let manifest = root().join("examples/guests").join(name).join("Cargo.toml");
    let mut cargo = cargo();
    // Flags for the processor of this machine are not for WebAssembly.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    cargo.args(["build", "--release", "--locked", "--target", WASM, "--manifest-path"]).arg(manifest);
    executable(cargo, name)
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a build and finds the executable among the messages of cargo.
fn executable(mut cargo: Command, name: &str) -> Result<PathBuf> {
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = cargo.spawn().context("cargo cannot be started")?.wait_with_output()?;
    ensure!(output.status.success(), "{name} could not be built");
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.filter(|message| message["target"]["name"] == name);
    let mut paths = built.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().with_context(|| format!("cargo does not say where it put {name}"))
}

/// Makes sure that Rust can compile to WebAssembly. rustup would install the target by itself, unless it was told not to.
fn add_target() -> Result<()> {
    let libraries =
        Command::new("rustc").current_dir(root()).args(["--print", "target-libdir", "--target", WASM]).output();
    let libraries = libraries.context("rustc cannot be started")?.stdout;
    if Path::new(String::from_utf8_lossy(&libraries).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("installing the target {WASM}: rustup target add {WASM}");
    match Command::new("rustup").current_dir(root()).args(["target", "add", WASM]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!(
            "Rust's target {WASM} is missing and could not be added; run `rustup target add {WASM}` and try again"
        ),
    }
}
