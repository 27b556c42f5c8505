//! Double-entry books in plain CSV files.
//!
//! The program has no undo. It posts a batch booking by booking and ends with a failure at the first thing that is wrong. Whoever runs
//! it as a transaction (`reel run`) finds the books as they were before.

mod batch;
mod booking;
mod books;
mod csv;
mod report;

use std::process::ExitCode;

use booking::Date;
use books::Books;

const USAGE: &str = "\
usage: ledger post BATCH.csv...      post batches: all bookings, or (run as a transaction) none
       ledger balance [--at DATE]    trial balance, up to and including a date
       ledger account NAME           one account with its running balance

A batch has the columns entry,date,account,debit,credit,text. Lines with the same entry number form one entry and must balance.";

/// Why a command failed. Both end the program with exit code 1: WASI 0.2 knows no other code than success and failure.
pub enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// A batch is wrong, or the books are.
    Refused(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Refused(what)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match command(&args) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Refused(what)) => eprintln!("ledger: {what}"),
        Err(Failure::Usage(what)) => eprintln!("ledger: {what}\n{USAGE}"),
    }
    ExitCode::FAILURE
}

fn command(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["post", paths @ ..] if !paths.is_empty() => {
            let mut books = Books::open()?;
            for path in paths {
                println!("{}", batch::post(&mut books, path)?);
            }
            Ok(())
        }
        ["balance"] => report::balance(None),
        ["balance", "--at", date] => {
            report::balance(Some(date.parse::<Date>().map_err(|what| Failure::Usage(format!("{date:?}: {what}")))?))
        }
        ["account", name] => report::account(name),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        [] => Err(Failure::Usage("no command".into())),
        [first, ..] => Err(Failure::Usage(format!("{first:?} is no command, or its arguments are wrong"))),
    }
}
