//! `reel kv`: the buckets of a space at any moment, to look at.

mod get;
mod ls;

use clap::Subcommand;

use super::database::Opened;
use super::escape::{Quoted, QuotedBytes};
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::near;
use super::when::SpaceAt;
use crate::runtime::files_at::LookError;
use crate::runtime::keys_at::KeysAt;

/// Look at the buckets of a space, their keys and values
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    Ls(ls::Args),
    Get(get::Args),
}

/// Does what is asked.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match &args.command {
        Command::Ls(args) => ls::execute(args, database, io),
        Command::Get(args) => get::execute(args, database, io),
    }
}

/// A key as it is written on the command line.
pub fn key(text: &str, hex: bool) -> Result<Vec<u8>, Failure> {
    if !hex {
        return Ok(text.as_bytes().to_vec());
    }
    let wrong =
        || Failure::usage(format!("{text:?} is no key in hexadecimal digits; write two for each byte, as in 00ff"));
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.starts_with('+') {
        return Err(wrong());
    }
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok().filter(|_| !text[at..].starts_with('+'));
    (0..text.len()).step_by(2).map(|at| digits(at).ok_or_else(wrong)).collect()
}

/// Two digits for each byte.
fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key or bucket in a sentence.
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => Quoted(text, usize::MAX).to_string(),
        Err(_) => QuotedBytes(bytes, usize::MAX).to_string(),
    }
}

/// The buckets at a moment.
fn keys(at: &SpaceAt, database: &Opened) -> Result<KeysAt, Failure> {
    KeysAt::new(&database.store, at.head(&database.store)?).map_err(|error| failed(at, &error))
}

/// An error with what it is about.
fn failed(at: &SpaceAt, error: &LookError) -> Failure {
    match error {
        LookError::Read(error) => error.clone().into(),
        other => {
            Failure::new(Exit::DATABASE, format!("{at}: {other}")).hint("`reel verify` tells how far the damage goes")
        }
    }
}

/// The page for a bucket without keys.
fn no_such_bucket(at: &SpaceAt, bucket: &str, keys: &KeysAt) -> Failure {
    let buckets = keys.buckets().unwrap_or_default();
    let names: Vec<String> = buckets.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let hint = near::hint(bucket, names.iter().map(String::as_str), &format!("`reel kv ls {at}` lists the buckets"));
    Failure::not_found(format!("there is no bucket {} in {at}", shown(bucket.as_bytes()))).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_hexadecimal_digits() {
        assert_eq!(key("00fF", true).ok(), Some(vec![0, 255]));
        assert_eq!(key("", true).ok(), Some(vec![]));
        assert_eq!(key("00ff", false).ok(), Some(b"00ff".to_vec()));
        assert_eq!(in_hex(&[0, 255]), "00ff");
        for bad in ["0", "0g", "+1", "00+1", "é", "-1", " 1"] {
            assert!(key(bad, true).is_err(), "{bad}");
        }
    }
}
