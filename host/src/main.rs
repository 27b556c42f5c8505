//! The program `reel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    reel_host::cli::main()
}
