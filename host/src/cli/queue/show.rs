//! `reel queue show`

use reel_abi::message::MessageId;
use reel_abi::value::Value;
use serde::Serialize;

use super::{each, is_meant, word};
use crate::cli::database::Opened;
use crate::cli::dates;
use crate::cli::escape::{Quoted, QuotedBytes, Safe};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{self, Bytes, Time};
use crate::cli::style::Paint;
use crate::cli::when::SpaceAt;
use crate::runtime::resident::queue::{Lying, STATES};

/// Bytes of a payload that are shown.
const SHOWN_BYTES: usize = 400;

/// Show the messages that lie with a guest: what they say, who sent them, and why they were not taken
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel queue show mailer
  reel queue show mailer --dead --json
  reel queue show mailer 812-0 --payload > message.bin
Dead letters come last. An id is the number of the commit that sent the message, and its place in it; a message keeps it.")]
pub struct Args {
    /// GUEST[@WHEN], for example mailer or mailer@17
    #[arg(value_name = "GUEST[@WHEN]")]
    at: SpaceAt,
    /// Only these
    #[arg(value_name = "ID")]
    ids: Vec<MessageId>,
    /// Only messages of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only dead letters
    #[arg(long)]
    dead: bool,
    /// No more than so many; 0 for all
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
    /// Write the payload of the one message to stdout, byte for byte
    #[arg(long, requires = "ids", conflicts_with = "json")]
    payload: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    id: String,
    state: &'static str,
    topic: &'a str,
    key: Option<Bytes>,
    payload: Bytes,
    headers: &'a [(String, String)],
    sender: &'a str,
    run: u64,
    sent: Time,
    due: Time,
    attempts: u32,
    error: Option<&'a str>,
}

/// Shows the messages in their order.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let view = database.store.view(args.at.head(&database.store)?)?;
    let states = if args.dead { &STATES[2..] } else { &STATES[..] };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut shown = 0;
    for state in states {
        each(&database.store, &view, *state, &mut |lying| {
            if !is_meant(&args.ids, args.topic.as_deref(), &lying) {
                return Ok(true);
            }
            if shown == limit {
                return Ok(false);
            }
            shown += 1;
            show(args, &lying, io)?;
            Ok(!args.payload)
        })?;
        if args.payload && shown > 0 {
            break;
        }
    }
    if shown == 0 && !args.ids.is_empty() {
        let hint =
            format!("`reel queue show {}` shows those that lie there; one that was taken is in `reel runs`", args.at);
        return Err(Failure::not_found(format!("there is no such message in {}", args.at)).hint(hint));
    }
    Ok(Exit::OK)
}

/// Bytes as text if they are one.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => Quoted(text, SHOWN_BYTES).to_string(),
        Err(_) => QuotedBytes(bytes, SHOWN_BYTES).to_string(),
    }
}

fn show(args: &Args, lying: &Lying, io: &mut Io<'_>) -> Result<(), Failure> {
    let Lying { place, message } = lying;
    if args.payload {
        return Ok(io.out.write_all(&message.payload)?);
    }
    if args.json {
        let line = Json {
            guest: args.at.space.as_str(),
            id: lying.id().to_string(),
            state: word(*place),
            topic: &message.topic,
            key: message.key.as_ref().map(|key| Bytes(Value::Bytes(key.0.clone()))),
            payload: Bytes(Value::Bytes(message.payload.0.clone())),
            headers: &message.headers,
            sender: message.sender.as_str(),
            run: message.run.0,
            sent: Time(message.sent.0),
            due: Time(message.due.0),
            attempts: message.attempts,
            error: message.error.as_deref(),
        };
        return Ok(json::line(io.out, &line)?);
    }
    let paint = Paint(io.look.out_colour);
    let key = message.key.as_ref().map(|key| format!(" key {}", shown(key)));
    writeln!(
        io.out,
        "{} {} {}{}  {}",
        paint.bold(&lying.id().to_string()),
        word(*place),
        Safe(&message.topic),
        key.unwrap_or_default(),
        paint.dim(&format!("sent by {} in run {} at {}", message.sender, message.run, dates::short(message.sent.0)))
    )?;
    for (name, value) in &message.headers {
        writeln!(io.out, "    {}: {}", Safe(name), Safe(value))?;
    }
    writeln!(io.out, "    {}", shown(&message.payload))?;
    if let Some(error) = &message.error {
        let tried = format!("tried {} times, the last in {error}", message.attempts);
        writeln!(io.out, "    {}", paint.error(&Safe(&tried).to_string()))?;
    }
    if let reel_abi::message::Place::Waiting(due, _) = place {
        writeln!(io.out, "    not before {}", dates::short(due.0))?;
    }
    Ok(())
}
