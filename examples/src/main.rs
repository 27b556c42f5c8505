//! A tour of Reel, command by command. Builds `reel` and the guest `ledger`, runs a good and a bad batch of bookings, and shows what is left
//! of both. Ends with a failure if anything is not as it says.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the tour stands outside of the sandbox"
)]

mod build;
mod session;

use anyhow::{Context, Result, ensure};
use session::Session;

const POST: [&str; 6] = ["run", "ledger.wasm", "--dir", "batches::/in:ro", "--", "post"];
const BALANCE: [&str; 4] = ["run", "ledger.wasm", "--", "balance"];

fn main() -> Result<()> {
    let target = build::target_dir()?;
    let reel = build::reel(&target)?;
    let guest = build::guest("ledger")?;
    let tour = Session::begin(reel, target.join("tour"), &guest)?;

    tour.say("A batch of bank bookings is posted. The program ends with exit code 0, so its writes are committed.");
    tour.reel(&[&POST[..], &["/in/january.csv"]].concat())?.ends_with(0)?;
    let before = tour.reel(&BALANCE)?.ends_with(0)?.stdout;

    tour.say(
        "The next batch has a slip of the pen. The program notices halfway, when part of it is written, and gives up.",
    );
    tour.reel(&[&POST[..], &["/in/february.csv"]].concat())?.ends_with(1)?;
    tour.say("Nothing of it is left: the books are as they were.");
    let after = tour.reel(&BALANCE)?.ends_with(0)?.stdout;
    ensure!(before == after, "the rolled back batch has changed the books");

    tour.say("But it is known what happened. Every run has its record, the one that was rolled back too.");
    tour.reel(&["runs"])?.ends_with(0)?;
    tour.say("These are its writes to files, none of which took effect.");
    let writes = tour.reel(&["log", "3", "--family", "fs.stream-write"])?.ends_with(0)?.stdout;
    let last = writes.lines().last().and_then(|line| line.split_whitespace().next());
    tour.say("The last of them, with its bytes.");
    tour.reel(&["show", last.context("the log shows no writes")?])?.ends_with(0)?;

    tour.say("It can be executed again from the log alone, without the batch and without the program's file.");
    tour.mv(&["batches", "ledger.wasm"], "away")?;
    tour.reel(&["replay", "3"])?.ends_with(0)?;
    tour.mv(&["away/batches", "away/ledger.wasm"], ".")?;

    tour.say("The log is a chain of digests, and all of it can be checked.");
    tour.reel(&["verify"])?.ends_with(0)?;

    tour.farewell();
    Ok(())
}
