//! `reel queue put`, `retry` and `drop`

use std::path::PathBuf;

use reel_abi::id::SpaceName;
use reel_abi::limits::MESSAGE_BYTES;
use reel_abi::message::{MessageId, Place};
use serde::Serialize;

use super::is_meant;
use crate::cli::brought::Brought;
use crate::cli::database::Opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json;
use crate::cli::live;
use crate::cli::program::Program;
use crate::cli::residents::with_household;
use crate::cli::units::Span;
use crate::runtime::resident::cells::guest_of;
use crate::runtime::resident::queue::Lying;
use crate::txn::messages::Letter;
use crate::world::disk;

/// Send a message to a guest from outside
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel queue put mailer orders '{\"number\": 17}' --key customer-3
  reel queue put mailer orders @order.json
  make-order | reel queue put mailer orders -
It is durable when the command ends, and is delivered while `reel serve` runs.")]
pub struct PutArgs {
    /// The guest
    guest: SpaceName,
    /// A topic that it has subscribed to
    topic: String,
    /// What the message says; `@FILE` for what is in a file, `-` for standard input, `@@...` for a text that begins with @
    #[arg(allow_hyphen_values = true)]
    payload: String,
    /// Messages of the topic with the same key are delivered in their order
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Something that goes with it
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<HeaderArg>,
    /// Not to be delivered before so much time has passed. `500ms`, `30s`, `10m`
    #[arg(long, value_name = "TIME")]
    delay: Option<Span>,
}

#[derive(Debug, Clone)]
struct HeaderArg(String, String);

impl std::str::FromStr for HeaderArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no value: write NAME=VALUE"))?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// Put dead letters of a guest back, to be delivered as if they were new
#[derive(Debug, Clone, clap::Args)]
pub struct RetryArgs {
    /// The guest
    guest: SpaceName,
    /// Only these; without it, all
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// Only messages of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Take messages of a guest away, undelivered; earlier versions of its space still have them
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "dead", "all"]))]
pub struct DropArgs {
    /// The guest
    guest: SpaceName,
    /// These
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// All dead letters
    #[arg(long)]
    dead: bool,
    /// All messages
    #[arg(long)]
    all: bool,
    /// Only messages of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    messages: usize,
}

impl PutArgs {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        let path = match (self.payload.as_str(), self.payload.strip_prefix('@')) {
            ("-", _) => PathBuf::from("/dev/stdin"),
            (_, Some(path)) if !path.starts_with('@') => PathBuf::from(path),
            _ => return Ok(Brought::default()),
        };
        let bytes = disk::read_stream(&path, MESSAGE_BYTES as u64);
        let bytes = bytes.map_err(|error| Failure::file(Exit::UNFIT, "read", &path, &error))?;
        Ok(Brought::default().with(Some(Program { path, bytes })))
    }

    fn payload(&self, brought: &mut Brought) -> Vec<u8> {
        let text = self.payload.strip_prefix('@').filter(|rest| rest.starts_with('@')).unwrap_or(&self.payload);
        brought.program.take().map_or_else(|| text.as_bytes().to_vec(), |read| read.bytes)
    }
}

/// Sends the message.
pub fn put(args: &PutArgs, mut brought: Brought, database: &Opened, _: &mut Io<'_>) -> Result<Exit, Failure> {
    let headers = args.headers.iter().map(|HeaderArg(name, value)| (name.clone(), value.clone())).collect();
    let letter = Letter {
        topic: args.topic.clone(),
        key: args.key.clone().map(String::into_bytes),
        payload: args.payload(&mut brought),
        headers,
        delay_millis: args.delay.map_or(0, |delay| delay.millis),
    };
    letter.check().map_err(|fault| Failure::usage(fault.to_string()))?;
    let guest = guest_of(&database.store, &args.guest)?;
    let guest = guest.ok_or_else(|| Failure::not_found(format!("no guest was deployed as {}", args.guest)))?;
    if !guest.subscriptions.iter().any(|wanted| wanted.topic == letter.topic) {
        let what = format!("{} has not subscribed to {:?}", args.guest, letter.topic);
        return Err(Failure::not_found(what).hint("deploy it with --subscribe TOPIC"));
    }
    with_household(database, |household| live::block_on(household.put_message(&args.guest, &letter)))??;
    Ok(Exit::OK)
}

/// Puts dead letters back.
pub fn retry(args: &RetryArgs, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let chosen = |lying: &Lying| is_meant(&args.ids, args.topic.as_deref(), lying);
    let count = with_household(database, |household| live::block_on(household.put_back(&args.guest, &chosen)))??;
    report(&args.guest, count, &args.ids, args.json, io)
}

/// Takes messages away.
pub fn drop(args: &DropArgs, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let chosen = |lying: &Lying| {
        let state = !args.dead || matches!(lying.place, Place::Dead(_));
        state && is_meant(&args.ids, args.topic.as_deref(), lying)
    };
    let count = with_household(database, |household| live::block_on(household.drop_messages(&args.guest, &chosen)))??;
    report(&args.guest, count, &args.ids, args.json, io)
}

fn report(guest: &SpaceName, count: usize, ids: &[MessageId], as_json: bool, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if count < ids.len() {
        let what = format!("{} of these messages are not there", ids.len() - count);
        return Err(Failure::not_found(what).hint(format!("`reel queue show {guest}` shows those that lie there")));
    }
    match as_json {
        true => json::line(io.out, &Json { guest: guest.as_str(), messages: count })?,
        false => writeln!(io.out, "{count}")?,
    }
    Ok(Exit::OK)
}
