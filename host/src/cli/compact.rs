//! `reel compact`: gives space in the database's files back to the file system.

use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::style::Paint;
use super::table::{Cell, Table};
use super::units;

/// Give space that nothing needs any more back to the file system; forgets nothing
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "What `reel gc` has removed leaves holes in the files; this closes them.")]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    file: &'a str,
    before: u64,
    after: u64,
}

/// Compacts and says what it brought.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let progress = database.progress(io.look.err_terminal);
    progress.begin("compacting");
    let files = database.store.compact();
    progress.finish();
    let paint = Paint(io.look.out_colour);
    let mut table = Table::new(&[1, 2]);
    table.row(["FILE", "BEFORE", "AFTER"].map(|head| Cell::new(head).painted(|t| paint.bold(t))));
    for (file, before, after) in files? {
        match args.json {
            true => json::line(io.out, &Json { file: &file, before, after })?,
            false => table.row([Cell::new(file), Cell::new(units::bytes(before)), Cell::new(units::bytes(after))]),
        }
    }
    if !args.json {
        table.write(io.out)?;
    }
    Ok(Exit::OK)
}
