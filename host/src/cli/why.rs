//! `reel why`: where a value comes from.

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::lineage;
use crate::lineage::why;

/// Tell where a file or key has its value from: the run that wrote it, what that had read before, and so on back
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel why main:/report.csv
  reel why shop:stock/tea@17 --depth 5
  reel why shop:stock/tea --dot | dot -Tsvg > why.svg

That a run has read something before it wrote says that it may have gone by it, not that it did.")]
pub struct Args {
    #[command(flatten)]
    lineage: lineage::Args,
}

/// Shows it.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let asked = args.lineage.asked(database)?;
    let progress = database.progress(io.look.err_terminal);
    progress.begin("looking back");
    let stopped = || database.is_asked_to_stop();
    let graph = why(&database.store, &asked.at.space, asked.head, &asked.name, args.lineage.bounds(), &stopped);
    progress.finish();
    args.lineage.show(&asked, &graph.map_err(lineage::failed)?, "why", io)
}
