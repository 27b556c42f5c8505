//! The record of a patient, in key-value buckets. One patient, one space.
//!
//! The record has only what holds now: the newest reading of each kind, the orders that are in force. It keeps no history, since the space does.

mod entry;
mod moment;
mod record;

use std::error::Error;
use std::process::ExitCode;

use entry::Entry;
use record::Record;

const USAGE: &str = "\
usage: clinic --by WHO admit NAME BORN            begin the record
       clinic --by WHO reading KIND VALUE UNIT    note a reading: weight, pulse, ...; it takes the place of the one before
       clinic --by WHO order DRUG DOSE UNIT       order a drug, with the dose for each kilogram of weight
       clinic --by WHO note TEXT                  write a note
       clinic --by WHO correct NUMBER TEXT        write a note anew
       clinic --by WHO void NUMBER REASON         take a note back
       clinic show [--at VERSION]                 the record, as it is or was";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match command(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clinic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &[&str]) -> Result {
    let record = Record::open()?;
    match args {
        ["show"] => record.show(None),
        ["show", "--at", version] => record.show(Some(version.parse()?)),
        ["--by", who, write @ ..] => match *write {
            ["admit", name, born] => record.admit(&Entry::now(who, &format!("{name}, born {born}"))?),
            ["reading", kind, value, unit] => record.reading(kind, value.parse()?, unit, who),
            ["order", drug, dose, unit] => record.order(drug, dose.parse()?, unit, who),
            ["note", text] => record.note(&Entry::now(who, text)?),
            ["correct", number, text] => record.rewrite(number, &Entry::now(who, text)?),
            ["void", number, reason] => record.rewrite(number, &Entry::now(who, &format!("(void) {reason}"))?),
            _ => Err(USAGE.into()),
        },
        _ => Err(USAGE.into()),
    }
}
