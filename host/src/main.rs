//! The program `reel`.

use std::process::ExitCode;

/// Runs are made of many small pieces, and some threads give back what others have taken.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    reel_host::cli::main()
}
