//! This process: its arguments, environment and place.

use std::path::{Path, PathBuf};

/// An environment variable, if it is set and text.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The absolute form of a path, without looking at the disk.
pub fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

/// What this process is, for whoever finds the database locked.
pub fn description() -> String {
    let args: Vec<String> = std::env::args().collect();
    format!("pid {} ({})", std::process::id(), args.join(" "))
}
