//! Finding the guest that `reel run` was asked for: a file, or a Cargo package that is built first.

use std::path::{Path, PathBuf};

use super::cargo;
use super::exit::Exit;
use super::failure::Failure;
use crate::engine::component::{BINARY_MAX_BYTES, kind};
use crate::world::disk;

/// A guest's binary.
#[derive(Debug)]
pub struct Program {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes: WebAssembly by its first bytes.
    pub bytes: Vec<u8>,
}

impl Program {
    /// What a guest finds as the first of its arguments.
    pub fn base_name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// What it is called in the log.
    pub fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// Reads a file, or builds the package in a directory and reads what came of it.
pub fn find(path: &Path, bin: Option<&str>, quiet: bool) -> Result<Program, Failure> {
    if disk::is_dir(path) {
        return load(&cargo::build(path, bin, quiet)?);
    }
    if bin.is_some() {
        return Err(Failure::usage(format!("--bin is for Cargo packages, and {} is no directory", path.display())));
    }
    load(path)
}

/// Reads a binary.
pub fn load(path: &Path) -> Result<Program, Failure> {
    let bytes = disk::read_bounded(path, BINARY_MAX_BYTES);
    let bytes = bytes.map_err(|e| Failure::file(Exit::UNFIT, "read", path, &e))?;
    kind(&bytes).map_err(|e| Failure::new(Exit::UNFIT, format!("{}: {e}", path.display())))?;
    Ok(Program { path: path.to_owned(), bytes })
}
