//! Accounts in key-value buckets.
//!
//! The program takes no locks and tries nothing twice. Each run is a transaction: what it reads stays as it is until it commits, or else it does not
//! commit, and the host executes it again.

mod accounts;
mod cents;
mod draw;

use std::error::Error;
use std::process::ExitCode;

use accounts::Accounts;
use cents::Cents;
use draw::Draw;

const USAGE: &str = "\
usage: bank open AMOUNT NAME...          open accounts, with so much in each
       bank transfer FROM TO AMOUNT      move money: all of it or, with a reason, nothing
       bank transfer --seed NUMBER       move some, between accounts that the number decides
       bank interest PERCENT             from the account `house` to each other one, each as a step that is committed by itself
       bank balance NAME
       bank total                        all accounts, and their sum";

/// How often a transfer with a seed is tried, each time with half the amount.
const TRIES: u32 = 4;

/// Who pays interest.
const HOUSE: &str = "house";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match command(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &[&str]) -> Result {
    let accounts = Accounts::open()?;
    match args {
        ["open", amount, names @ ..] if !names.is_empty() => {
            let amount = amount.parse()?;
            names.iter().try_for_each(|name| accounts.add(name, amount))
        }
        ["transfer", "--seed", number] => transfer_by_chance(&accounts, number.parse()?),
        ["transfer", from, to, amount] => {
            accounts.transfer(from, to, amount.parse()?).unwrap_or_else(|error| reel_guest::abort(error));
            println!("{amount} from {from} to {to}");
            Ok(())
        }
        ["interest", percent] => interest(&accounts, percent.parse()?),
        ["balance", name] => {
            println!("{}", accounts.balance(name)?);
            Ok(())
        }
        ["total"] => total(&accounts),
        _ => Err(USAGE.into()),
    }
}

/// Draws two accounts and an amount. If the first has not got that much, what was written so far is taken back, and half of it is tried.
fn transfer_by_chance(accounts: &Accounts, seed: u64) -> Result {
    let (mut draw, names) = (Draw::seeded(seed), accounts.names()?);
    if names.len() < 2 {
        return Err("there are not two accounts".into());
    }
    let from = draw.below(names.len() as u64) as usize;
    let to = (from + 1 + draw.below(names.len() as u64 - 1) as usize) % names.len();
    let (from, to) = (&names[from], &names[to]);
    let mut amount = Cents::of(1 + draw.below(40_000) as i64);
    for _ in 0..TRIES {
        match accounts.transfer(from, to, amount) {
            Err(error) => println!("{seed}: {error}"),
            Ok(()) => {
                println!("{seed}: {amount} from {from} to {to}");
                return Ok(());
            }
        }
        amount = amount.half();
    }
    Ok(())
}

/// A long command in many small transactions: other runs get in between, and if it is cut off, those that were paid are paid.
fn interest(accounts: &Accounts, percent: f64) -> Result {
    for name in accounts.names()?.iter().filter(|name| *name != HOUSE) {
        let (paid, version) = reel_guest::transaction(|| -> Result<Cents> {
            let interest = accounts.balance(name)?.percent(percent);
            accounts.transfer(HOUSE, name, interest)?;
            Ok(interest)
        })?;
        println!("{paid} to {name} in version {version}");
    }
    Ok(())
}

fn total(accounts: &Accounts) -> Result {
    let mut sum = Cents::default();
    for (name, balance) in accounts.all()? {
        println!("{name:<12}{balance:>12}");
        sum = sum.plus(balance)?;
    }
    println!("{:<12}{sum:>12}", "total");
    Ok(())
}
