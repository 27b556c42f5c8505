//! What a command brings along from the place where it was given. It is read there, also if another process does the command.

use std::path::{Path, PathBuf};

use reel_abi::outcome::DirGrant;
use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::failure::Failure;
use super::grants::{self, DirArg, EnvArg};
use super::program::Program;
use crate::world::process;

/// What is there when a command begins, before anybody has the database.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Brought {
    /// The directory in which it was given.
    place: PathBuf,
    /// What a guest gets of the environment.
    pub env: Vec<(String, String)>,
    dirs: Vec<Dir>,
    /// The binary that it is about; it travels apart.
    #[serde(skip)]
    pub program: Option<Program>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Dir {
    host: String,
    guest: String,
    read_only: bool,
}

impl Brought {
    /// What a guest is given of the host: all of it is there, and may be given.
    pub fn grants(env: &[EnvArg], dirs: &[DirArg]) -> Result<Self, Failure> {
        let env = grants::environment(env)?;
        let dirs = grants::directories(dirs)?;
        grants::open(&dirs)?;
        let dirs = dirs.into_iter().map(|DirGrant { host, guest, read_only }| Dir { host, guest, read_only });
        Ok(Self { env, dirs: dirs.collect(), ..Self::default() })
    }

    /// The place, for paths that are looked at later.
    pub fn place() -> Result<Self, Failure> {
        let place = process::here().map_err(|error| {
            Failure::new(Exit::HOST, format!("the working directory: {}", super::failure::plain(&error)))
        })?;
        Ok(Self { place, ..Self::default() })
    }

    /// The same with a binary.
    pub fn with(self, program: Option<Program>) -> Self {
        Self { program, ..self }
    }

    /// A path as it was meant where the command was given.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.place.join(path)
    }

    /// The directories of the host, as they are recorded.
    pub fn dirs(&self) -> Vec<DirGrant> {
        let grant = |Dir { host, guest, read_only }: &Dir| {
            let (host, guest, read_only) = (host.clone(), guest.clone(), *read_only);
            DirGrant { host, guest, read_only }
        };
        self.dirs.iter().map(grant).collect()
    }

    /// The binary of a command that cannot be without one.
    pub fn take_program(&mut self) -> Result<Program, Failure> {
        self.program.take().ok_or_else(|| Failure::new(Exit::HOST, "the program did not come along"))
    }
}
