//! `reel kv get`

use super::{failed, key, keys, no_such_bucket, shown};
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::when::SpaceAt;

/// Write the value of a key to stdout, byte for byte
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN], for example main@3
    #[arg(value_name = "SPACE[@WHEN]")]
    at: SpaceAt,
    /// The bucket
    bucket: String,
    /// The key
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// KEY is written in hexadecimal digits
    #[arg(long)]
    hex: bool,
}

/// Writes the value.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let Args { at, bucket, .. } = args;
    let wanted = key(&args.key, args.hex)?;
    let keys = keys(at, database)?;
    let value = keys.get(bucket.as_bytes(), &wanted).map_err(|error| failed(at, &error))?;
    let Some(value) = value else {
        if !keys.is_bucket(bucket.as_bytes()).map_err(|error| failed(at, &error))? {
            return Err(no_such_bucket(at, bucket, &keys));
        }
        let what = format!("there is no key {} in bucket {} of {at}", shown(&wanted), shown(bucket.as_bytes()));
        return Err(Failure::not_found(what).hint(format!("`reel kv ls {at} {bucket}` lists the keys")));
    };
    io.out.write_all(&value)?;
    Ok(Exit::OK)
}
