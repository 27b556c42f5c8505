//! The books: files that only ever grow.
//!
//! ```text
//! /books/ACCOUNT.csv    date,entry,debit,credit,balance,text     one line a booking
//! /journal.csv          entry,date,account,debit,credit,text     every booking, in the order of posting
//! /batches.csv          digest,name,entries,bookings,turnover    every batch that was posted
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::Path;

use crate::booking::{Account, Booking, COLUMNS, Cents, Date};
use crate::csv;

/// Directory of the accounts.
const ACCOUNTS: &str = "/books";
const ACCOUNT_COLUMNS: [&str; 6] = ["date", "entry", "debit", "credit", "balance", "text"];

const JOURNAL: &str = "/journal.csv";

const BATCHES: &str = "/batches.csv";
const BATCH_COLUMNS: [&str; 5] = ["digest", "name", "entries", "bookings", "turnover"];

/// The books, open for posting.
pub struct Books {
    journal: File,
    accounts: BTreeMap<Account, (File, Cents)>,
    entries: BTreeSet<String>,
}

/// A booking as it stands in an account.
pub struct Posted {
    /// When.
    pub date: Date,
    /// Number of its entry.
    pub entry: String,
    /// How much.
    pub amount: Cents,
    /// Balance of the account with it.
    pub balance: Cents,
    /// What for.
    pub text: String,
}

impl Books {
    /// Opens the books; makes them if there are none.
    pub fn open() -> Result<Self, String> {
        fs::create_dir_all(ACCOUNTS).map_err(|e| format!("{ACCOUNTS}: {e}"))?;
        let mut entries = BTreeSet::new();
        records(Path::new(JOURNAL), |fields| {
            entries.extend(fields.first().cloned());
            Ok(())
        })?;
        Ok(Self { journal: append(Path::new(JOURNAL), &COLUMNS)?, accounts: BTreeMap::new(), entries })
    }

    /// Whether an entry with that number was posted before.
    pub fn has_entry(&self, number: &str) -> bool {
        self.entries.contains(number)
    }

    /// Writes a booking into the journal and its account.
    pub fn post(&mut self, booking: &Booking) -> Result<(), String> {
        let Booking { entry, date, account, amount, text } = booking;
        let date = date.to_string();
        let (debit, credit) = (column(amount.debit()), column(amount.credit()));
        let line = csv::line(&[entry, &date, account.as_str(), &debit, &credit, text]);
        write(&mut self.journal, &line).map_err(|e| format!("{JOURNAL}: {e}"))?;
        if !self.accounts.contains_key(account) {
            let balance = account_lines(account)?.last().map_or(Cents(0), |posted| posted.balance);
            self.accounts.insert(account.clone(), (append(Path::new(&path(account)), &ACCOUNT_COLUMNS)?, balance));
        }
        if let Some((file, balance)) = self.accounts.get_mut(account) {
            *balance = balance.plus(*amount)?;
            let line = csv::line(&[&date, entry, &debit, &credit, &balance.to_string(), text]);
            write(file, &line).map_err(|e| format!("{}: {e}", path(account)))?;
        }
        self.entries.insert(entry.clone());
        Ok(())
    }

    /// The name of the batch with that digest, if it was posted before.
    pub fn batch(&self, digest: &str) -> Result<Option<String>, String> {
        let mut found = None;
        records(Path::new(BATCHES), |fields| {
            if fields.first().is_some_and(|known| known == digest) {
                found = fields.get(1).cloned();
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Notes that a batch was posted.
    pub fn note_batch(&self, fields: &[&str; 5]) -> Result<(), String> {
        let mut file = append(Path::new(BATCHES), &BATCH_COLUMNS)?;
        write(&mut file, &csv::line(fields)).map_err(|e| format!("{BATCHES}: {e}"))
    }
}

/// All accounts, in order of their names.
pub fn accounts() -> Result<Vec<Account>, String> {
    let names = match fs::read_dir(ACCOUNTS) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{ACCOUNTS}: {e}")),
    };
    let mut accounts = Vec::new();
    for name in names {
        let name = name.map_err(|e| format!("{ACCOUNTS}: {e}"))?.file_name();
        let account = name.to_str().and_then(|name| name.strip_suffix(".csv")).and_then(|name| name.parse().ok());
        accounts.push(account.ok_or_else(|| format!("{ACCOUNTS}/{} is no account", name.display()))?);
    }
    accounts.sort();
    Ok(accounts)
}

/// All bookings of an account, in the order of posting.
pub fn account_lines(account: &Account) -> Result<Vec<Posted>, String> {
    let mut lines = Vec::new();
    records(Path::new(&path(account)), |fields| {
        let [date, entry, debit, credit, balance, text] = fields else { return Err("it has not six fields".into()) };
        let amount = match credit.as_str() {
            "" => debit.parse::<Cents>()?,
            credit => Cents(-credit.parse::<Cents>()?.0),
        };
        let (entry, text) = (entry.clone(), text.clone());
        lines.push(Posted { date: date.parse()?, entry, amount, balance: balance.parse()?, text });
        Ok(())
    })?;
    Ok(lines)
}

/// The amount as a column shows it.
pub fn column(amount: Option<Cents>) -> String {
    amount.map_or(String::new(), |amount| amount.to_string())
}

fn path(account: &Account) -> String {
    format!("{ACCOUNTS}/{}.csv", account.as_str())
}

/// Shows the records of one of the books, without its heading. A book that does not exist yet has none.
fn records(path: &Path, mut show: impl FnMut(&[String]) -> Result<(), String>) -> Result<(), String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    let mut reader = csv::Reader::new(BufReader::new(file));
    let damaged = |(line, what): (usize, String)| format!("the books are damaged: {}:{line}: {what}", path.display());
    reader.next().map_err(damaged)?;
    while let Some(record) = reader.next().map_err(damaged)? {
        show(&record.fields).map_err(|what| damaged((record.line, what)))?;
    }
    Ok(())
}

/// Opens one of the books for appending; a new one gets its heading.
fn append(path: &Path, columns: &[&str]) -> Result<File, String> {
    let open = || -> io::Result<File> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        if file.metadata()?.len() == 0 {
            write(&mut file, &csv::line(columns))?;
        }
        Ok(file)
    };
    open().map_err(|e| format!("{}: {e}", path.display()))
}

fn write(file: &mut File, line: &str) -> io::Result<()> {
    file.write_all(line.as_bytes())
}
