//! `reel sql`: questions to the log and all state, in SQL.

mod output;
mod parquet;
mod shell;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::{Io, Look};
use crate::sql::{Query, SqlError, View, schema};
use crate::world::disk;
pub use output::Mode;
use output::Output;
pub use shell::converse;

/// Ask the log and all state in SQL
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is asked; without it, questions are read from standard input, at a terminal with a prompt
    #[arg(value_name = "SQL")]
    text: Option<String>,
    /// One JSON object a line
    #[arg(long, conflicts_with_all = ["csv", "parquet"])]
    json: bool,
    /// Comma-separated values (RFC 4180, with plain line ends), the names of the columns first
    #[arg(long, conflicts_with = "parquet")]
    csv: bool,
    /// Apache Parquet: columns of one type each, compressed; into a file or a pipe
    #[arg(long, requires = "text")]
    parquet: bool,
    /// Write the answer to this file, which must not be there yet
    #[arg(long, value_name = "FILE", requires = "text")]
    out: Option<PathBuf>,
    /// Print the tables with the meaning of their columns, and answer nothing
    #[arg(long, conflicts_with_all = ["text", "out", "json", "csv", "parquet"])]
    schema: bool,
}

impl Args {
    /// A question and how it is to be answered.
    pub fn of(text: &str, mode: Mode) -> Self {
        let (json, csv, parquet) = (mode == Mode::Json, mode == Mode::Csv, mode == Mode::Parquet);
        Self { text: Some(text.to_owned()), json, csv, parquet, out: None, schema: false }
    }

    /// Whether questions are read one after the other.
    pub fn converses(&self) -> bool {
        self.text.is_none() && !self.schema
    }

    /// The same on a command line.
    pub fn said(&self) -> Vec<String> {
        let mode = match self.mode() {
            Mode::Table => None,
            Mode::Json => Some("--json"),
            Mode::Csv => Some("--csv"),
            Mode::Parquet => Some("--parquet"),
        };
        let text = self.text.iter().map(String::as_str);
        ["sql"].into_iter().chain(mode).chain(["--"]).chain(text).map(str::to_owned).collect()
    }

    /// Has the answer written where it was asked for.
    pub fn with_out(
        &self,
        io: &mut Io<'_>,
        answer: impl FnOnce(&mut Io<'_>) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let Some(path) = &self.out else { return answer(io) };
        let mut file = disk::create_new(path).map_err(|error| Failure::file(Exit::EXISTS, "write", path, &error))?;
        let look = Look { out_terminal: false, out_colour: false, ..io.look };
        let done = answer(&mut Io { out: &mut file, err: &mut *io.err, look });
        file.flush().map_err(|error| Failure::file(Exit::HOST, "write", path, &error))?;
        done
    }

    /// How answers are shown.
    pub fn mode(&self) -> Mode {
        match self {
            Self { json: true, .. } => Mode::Json,
            Self { csv: true, .. } => Mode::Csv,
            Self { parquet: true, .. } => Mode::Parquet,
            _ => Mode::Table,
        }
    }

    /// What needs no database.
    pub fn early(&self, io: &mut Io<'_>) -> Option<Result<Exit, Failure>> {
        if self.parquet && self.out.is_none() && io.look.out_terminal {
            let what = "Parquet is not for a terminal";
            return Some(Err(Failure::new(Exit::USAGE, what).hint("write it to a file: --out FILE")));
        }
        let written = |io: &mut Io<'_>| Ok(write!(io.out, "{}", schema()).map(|()| Exit::OK)?);
        self.schema.then(|| written(io))
    }
}

/// Answers one text.
pub fn execute(args: &Args, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let Some(text) = &args.text else {
        return Err(Failure::usage("there is nothing asked"));
    };
    database.catch_signals();
    let running = database.running.clone();
    let view = View::new(&database.store)?.with_running(move |run| running.has(run)).cancelled_by(database.stopper());
    let view = Arc::new(view);
    let progress = database.progress(io.look.err_terminal);
    progress.begin("asking");
    let query = Query::new(Arc::clone(&view))?;
    let mut output = Output::new(args.mode());
    let mut broken = None;
    let answered = query.answer(text, &mut |names, values| {
        let (done, total) = view.progress();
        progress.update(done, if done == 0 { 0 } else { total });
        if output.shows_now() {
            progress.finish();
        }
        output.row(names, values, io.out).map_err(|error| {
            broken = Some(error);
            SqlError::Cancelled
        })
    });
    progress.finish();
    if let Some(error) = broken {
        return Err(unwritten(error));
    }
    // What was found before an error is shown: it may have been waited for.
    output.finish(io.out).map_err(unwritten)?;
    answered?;
    Ok(Exit::OK)
}

/// An answer that cannot be written as it was asked for, or not at all.
fn unwritten(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => Failure::usage(error.to_string()),
        _ => error.into(),
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Wrong { ref what } => {
                let failure = Self::new(Exit::USAGE, format!("the question makes no sense: {what}"));
                match what.starts_with("no such table") || what.starts_with("no such column") {
                    true => failure.hint("`reel sql --schema` tells which tables and columns there are"),
                    false => failure,
                }
            }
            SqlError::Refused { .. } => Self::new(Exit::USAGE, error.to_string())
                .hint("what is stored is changed by guests alone; `reel fork` gives a copy to try things on"),
            SqlError::TooLarge { .. } => {
                Self::new(Exit::LIMIT, error.to_string()).hint("ask for less at once: a time, a space, fewer columns")
            }
            SqlError::Cancelled => Self::new(Exit::INTERRUPTED, error.to_string()),
            SqlError::Damaged { .. } => {
                Self::new(Exit::DATABASE, error.to_string()).hint("`reel verify` tells how far the damage goes")
            }
            SqlError::Look(error) => Self::new(Exit::DATABASE, error.to_string()),
            SqlError::Read(error) => error.into(),
        }
    }
}
