//! This process: its arguments, environment and place, and the programs it starts.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The arguments, this program's name first.
pub fn args() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// An environment variable, if it is set and text.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An environment variable, if it is set.
pub fn env_os(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The directory in which this process works.
pub fn here() -> io::Result<PathBuf> {
    std::env::current_dir()
}

/// The absolute form of a path, without looking at the disk.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// What this process is, for whoever finds the database locked.
pub fn description() -> String {
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!("pid {} ({})", std::process::id(), args.join(" "))
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Whether it ended with success.
    pub success: bool,
    /// All of its standard output.
    pub stdout: Vec<u8>,
}

/// Runs a program in a directory to its end. Its standard error is this process's, its standard input is empty.
pub fn run(program: &str, args: &[&str], dir: &Path) -> io::Result<Finished> {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = command.spawn()?.wait_with_output()?;
    Ok(Finished { success: output.status.success(), stdout: output.stdout })
}

/// How many threads can work at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Bytes of this process that are in memory; nothing where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Descriptors that this process has open; nothing where the system does not tell.
pub fn open_descriptors() -> Option<usize> {
    // One of them is for looking.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}
