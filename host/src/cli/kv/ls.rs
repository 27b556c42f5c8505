//! `reel kv ls`

use reel_abi::value::Value;
use serde::Serialize;

use super::{failed, in_hex, key, keys, no_such_bucket};
use crate::cli::database::Opened;
use crate::cli::escape::SafeBytes;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{self, Bytes};
use crate::cli::when::SpaceAt;
use crate::runtime::cells::length;
use crate::runtime::keys_at::KeysAt;

/// List the buckets of a space, or the keys of one of them
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE[@WHEN], for example main@3
    #[arg(value_name = "SPACE[@WHEN]")]
    at: SpaceAt,
    /// The bucket whose keys are wanted; without it, the buckets
    bucket: Option<String>,
    /// Only keys that begin with it
    #[arg(long, value_name = "TEXT", requires = "bucket")]
    prefix: Option<String>,
    /// Keys, and the prefix, in hexadecimal digits
    #[arg(long, requires = "bucket")]
    hex: bool,
    /// With the length of each value, in bytes
    #[arg(long, short, requires = "bucket")]
    long: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Bucket<'a> {
    bucket: &'a str,
}

#[derive(Serialize)]
struct Key<'a> {
    bucket: &'a str,
    key: Bytes,
    size: u64,
}

/// Lists what is asked for.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let keys = keys(&args.at, database)?;
    match &args.bucket {
        None => buckets(args, &keys, io),
        Some(bucket) => of_bucket(args, bucket, &keys, io),
    }
}

fn buckets(args: &Args, keys: &KeysAt, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut buckets = keys.buckets().map_err(|error| failed(&args.at, &error))?;
    buckets.sort();
    for bucket in buckets {
        match args.json {
            true => json::line(io.out, &Bucket { bucket: &String::from_utf8_lossy(&bucket) })?,
            false => writeln!(io.out, "{}", line(&bucket))?,
        }
    }
    Ok(Exit::OK)
}

fn of_bucket(args: &Args, bucket: &str, keys: &KeysAt, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let prefix = args.prefix.as_deref().map_or(Ok(Vec::new()), |prefix| key(prefix, args.hex))?;
    if !keys.is_bucket(bucket.as_bytes()).map_err(|error| failed(&args.at, &error))? {
        return Err(no_such_bucket(&args.at, bucket, keys));
    }
    let mut last = None;
    loop {
        let batch = keys.keys(bucket.as_bytes(), &prefix, last.as_deref()).map_err(|error| failed(&args.at, &error))?;
        let Some(newest) = batch.last() else { return Ok(Exit::OK) };
        last = Some(newest.key.clone());
        for found in &batch {
            let size = length(&found.value);
            if args.json {
                json::line(io.out, &Key { bucket, key: Bytes(Value::Bytes(found.key.clone())), size })?;
                continue;
            }
            let name = if args.hex { in_hex(&found.key) } else { line(&found.key) };
            match args.long {
                true => writeln!(io.out, "{size:>12}  {name}")?,
                false => writeln!(io.out, "{name}")?,
            }
        }
    }
}

/// A key on a line of its own.
fn line(key: &[u8]) -> String {
    SafeBytes(key).to_string().replace('\t', "\\t")
}
