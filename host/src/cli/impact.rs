//! `reel impact`: where a value went.

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::lineage;
use crate::lineage::impact;

/// Tell who was affected by a file or key: the runs that read its value, what they wrote after that, and so on
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel impact clinic:readings/weight@4
  reel impact main:/prices.csv --json

It is about the value as the version shows it, until somebody writes another one. Each run from there on is looked at, the oldest first.")]
pub struct Args {
    #[command(flatten)]
    lineage: lineage::Args,
}

/// Shows it.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let asked = args.lineage.asked(database)?;
    let progress = database.progress(io.look.err_terminal);
    progress.begin("looking forward");
    let mut seen = |runs: usize| {
        if runs.is_multiple_of(64) {
            progress.begin(&format!("looking forward: {runs} runs"));
        }
        database.is_asked_to_stop()
    };
    let bounds = args.lineage.bounds();
    let graph = impact(&database.store, &asked.at.space, asked.head, &asked.name, bounds, &mut seen);
    progress.finish();
    args.lineage.show(&asked, &graph.map_err(lineage::failed)?, "impact", io)
}
