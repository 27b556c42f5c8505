//! `reel completions`: what shells complete.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::app::Cli;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;

/// Print a script that completes commands and flags in a shell
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn execute(args: &Args, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "reel", &mut script);
    io.out.write_all(&script)?;
    Ok(Exit::OK)
}
