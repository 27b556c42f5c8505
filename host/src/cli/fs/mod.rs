//! `reel fs`: the files of a space at any version, to look at, to take out and to put in.

mod cat;
mod export;
mod import;
mod ls;

use clap::Subcommand;

use super::brought::Brought;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::when::SpacePath;
use crate::runtime::files_at::{FilesAt, LookError};

/// Look at the files of a space, take them out, put some in
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    Ls(ls::Args),
    Cat(cat::Args),
    Export(export::Args),
    Import(import::Args),
}

impl Args {
    /// Whether it only looks.
    pub fn only_reads(&self) -> bool {
        matches!(self.command, Command::Ls(_) | Command::Cat(_))
    }

    /// Whether it makes the database if there is none.
    pub fn makes_database(&self) -> bool {
        matches!(self.command, Command::Import(_))
    }

    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        match &self.command {
            Command::Ls(_) | Command::Cat(_) => Ok(Brought::default()),
            Command::Export(_) => Brought::place(),
            Command::Import(args) => args.bring(),
        }
    }

    /// Does it.
    pub fn execute(&self, brought: &Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
        match &self.command {
            Command::Ls(args) => ls::execute(args, database, io),
            Command::Cat(args) => cat::execute(args, database, io),
            Command::Export(args) => export::execute(args, brought, database, io),
            Command::Import(args) => import::execute(args, brought, database, io),
        }
    }
}

/// The files that a path lies in.
fn files(path: &SpacePath, database: &Opened) -> Result<FilesAt, Failure> {
    let head = path.head(&database.store)?;
    Ok(FilesAt::new(&database.store, head)?)
}

/// An error with the path it is about.
fn failed(path: &SpacePath, error: &LookError) -> Failure {
    match error {
        LookError::Code(code) => Failure::not_found(format!("{path}: {}", words(*code))),
        LookError::Failed(what) => Failure::new(Exit::DATABASE, format!("{path}: {what}")),
        LookError::Read(error) => error.clone().into(),
    }
}

/// The words of a code that may come up while looking.
fn words(code: reel_abi::types::FsCode) -> &'static str {
    use reel_abi::types::FsCode;
    match code {
        FsCode::NoEntry => "no such file or directory",
        FsCode::NotDirectory => "not a directory",
        FsCode::IsDirectory => "a directory",
        FsCode::NotPermitted => "leads out of the space",
        FsCode::Loop => "too many symbolic links",
        FsCode::NameTooLong => "the name is too long",
        FsCode::Invalid => "not a path",
        other => other.word(),
    }
}
