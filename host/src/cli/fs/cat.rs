//! `reel fs cat`

use reel_abi::types::NodeKind;

use super::{failed, files};
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::when::SpacePath;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Print files of a space
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN]:PATH, for example main@3:/reports/may.csv
    #[arg(required = true)]
    paths: Vec<SpacePath>,
}

/// Writes the bytes of the files, one after the other.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    for path in &args.paths {
        let mut files = files(path, database)?;
        let place = files.find(&path.path, true).map_err(|e| failed(path, &e))?;
        if files.kind(place).map_err(|e| failed(path, &e))? == NodeKind::Directory {
            return Err(
                Failure::not_found(format!("{path}: a directory")).hint(format!("to list it: reel fs ls {path}"))
            );
        }
        let mut offset = 0;
        loop {
            let bytes = files.read(place, offset, CHUNK_BYTES).map_err(|e| failed(path, &e))?;
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            io.out.write_all(&bytes)?;
        }
    }
    Ok(Exit::OK)
}
