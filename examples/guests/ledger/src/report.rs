//! What the books say.

use std::fmt::Write;

use crate::Failure;
use crate::booking::{Account, Cents, Date};
use crate::books::{account_lines, accounts, column};

/// Prints the trial balance: for each account the balance on its side, and that both sides are equal.
pub fn balance(until: Option<Date>) -> Result<(), Failure> {
    let (mut debits, mut credits) = (Cents(0), Cents(0));
    let mut page = String::new();
    let mut row = |name: &str, debit: &str, credit: &str| {
        let _ = writeln!(page, "{}", format!("{name:<16}{debit:>14}{credit:>14}").trim_end());
    };
    row("account", "debit", "credit");
    for account in accounts()? {
        let mut sum = Cents(0);
        let mut used = false;
        for posted in account_lines(&account)? {
            if until.is_none_or(|until| posted.date <= until) {
                sum = sum.plus(posted.amount)?;
                used = true;
            }
        }
        if !used {
            continue;
        }
        row(account.as_str(), &column(sum.debit()), &column(sum.credit()));
        debits = debits.plus(sum.debit().unwrap_or_default())?;
        credits = credits.plus(sum.credit().unwrap_or_default())?;
    }
    row("total", &debits.to_string(), &credits.to_string());
    print!("{page}");
    match debits == credits {
        true => Ok(()),
        false => Err(Failure::Refused("the books do not balance".into())),
    }
}

/// Prints one account.
pub fn account(name: &str) -> Result<(), Failure> {
    let account: Account = name.parse()?;
    let lines = account_lines(&account)?;
    if lines.is_empty() {
        return Err(Failure::Refused(format!("there is no account {name}")));
    }
    println!("{:<12}{:<14}{:>12}{:>14}  text", "date", "entry", "amount", "balance");
    for posted in lines {
        println!(
            "{:<12}{:<14}{:>12}{:>14}  {}",
            posted.date.to_string(),
            posted.entry,
            posted.amount,
            posted.balance,
            posted.text
        );
    }
    Ok(())
}
