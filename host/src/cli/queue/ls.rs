//! `reel queue ls`

use std::collections::BTreeMap;

use reel_abi::id::SpaceName;
use reel_store::{Head, View};
use serde::Serialize;

use super::each;
use crate::cli::database::Opened;
use crate::cli::dates;
use crate::cli::escape::Safe;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{self, Time};
use crate::cli::style::Paint;
use crate::cli::table::{Cell, Table};
use crate::cli::when::SpaceAt;
use crate::runtime::resident::queue::STATES;
use crate::runtime::subscribers::count;

/// List the topics of which messages lie somewhere, with how many
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
READY    are delivered as soon as `reel serve` comes to them, in their order
WAITING  were sent with a delay, or have failed and are tried again in time
DEAD     have failed too often: `reel queue show` says why, `reel queue retry` puts them back
OLDEST   when the one was sent that lies there the longest (UTC)")]
pub struct Args {
    /// GUEST[@WHEN], for example mailer or mailer@17; without it, all
    #[arg(value_name = "GUEST[@WHEN]")]
    at: Option<SpaceAt>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    topic: &'a str,
    ready: u64,
    waiting: u64,
    dead: u64,
    oldest: Time,
}

#[derive(Default)]
struct Counts {
    states: [u64; 3],
    oldest: u64,
}

/// Lists the topics by guest and name.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = &database.store;
    let spaces: Vec<(SpaceName, Head)> = match &args.at {
        Some(at) => vec![(at.space.clone(), at.head(store)?)],
        None => store.spaces()?,
    };
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[2, 3, 4]);
    let head = ["GUEST", "TOPIC", "READY", "WAITING", "DEAD", "OLDEST"];
    table.row(head.map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (space, head) in spaces {
        let view = store.view(head)?;
        if count(&view)? == 0 {
            continue;
        }
        for (topic, Counts { states: [ready, waiting, dead], oldest }) in topics(database, &view)? {
            if args.json {
                let (guest, topic, oldest) = (space.as_str(), topic.as_str(), Time(oldest));
                json::line(io.out, &Json { guest, topic, ready, waiting, dead, oldest })?;
                continue;
            }
            let painted = Cell::new(dead.to_string());
            table.row([
                Cell::new(space.as_str()),
                Cell::new(Safe(&topic).to_string()),
                Cell::new(ready.to_string()),
                Cell::new(waiting.to_string()),
                if dead > 0 { painted.painted(|t| paint.error(t)) } else { painted },
                Cell::new(dates::short(oldest)),
            ]);
        }
    }
    if !args.json && (table.len() > 1 || args.at.is_none()) {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}

fn topics(database: &Opened, view: &View) -> Result<BTreeMap<String, Counts>, Failure> {
    let mut topics = BTreeMap::<String, Counts>::new();
    for (index, state) in STATES.into_iter().enumerate() {
        each(&database.store, view, state, &mut |lying| {
            let sent = lying.message.sent.0;
            let counts =
                topics.entry(lying.message.topic).or_insert_with(|| Counts { oldest: sent, ..Counts::default() });
            counts.states[index] += 1;
            counts.oldest = counts.oldest.min(sent);
            Ok(true)
        })?;
    }
    Ok(topics)
}
