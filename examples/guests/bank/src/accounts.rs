//! Accounts: two buckets.
//!
//! ```text
//! accounts    alice -> 950.00, after -50.00 to bob     the balance, and what made it so
//! names       alice ->                                 which accounts there are
//! ```
//!
//! Who wants to know which accounts there are reads `names`, which a transfer does not write. If names were looked up in `accounts`, every
//! transfer would have read every balance, and any two that meet would conflict.

use reel_guest::{Bucket, Range, savepoint};

use crate::Result;
use crate::cents::Cents;

/// The accounts of the space.
pub struct Accounts {
    accounts: Bucket,
    names: Bucket,
}

impl Accounts {
    /// Those that are there.
    pub fn open() -> Result<Self> {
        Ok(Self { accounts: Bucket::open("accounts")?, names: Bucket::open("names")? })
    }

    /// Makes an account.
    pub fn add(&self, name: &str, balance: Cents) -> Result {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase());
        if !plain || !(1..=12).contains(&name.len()) {
            return Err(format!("{name:?} is no name: 1 to 12 small letters").into());
        }
        if self.accounts.exists(name)? {
            return Err(format!("{name} has an account").into());
        }
        self.names.set(name, "")?;
        Ok(self.accounts.set(name, format!("{balance}, opened"))?)
    }

    /// Moves money. If it fails, it has moved nothing.
    pub fn transfer(&self, from: &str, to: &str, amount: Cents) -> Result {
        savepoint(|| {
            self.change(to, amount, &format!("from {from}"))?;
            self.change(from, amount.negated(), &format!("to {to}"))
        })
    }

    /// What an account holds.
    pub fn balance(&self, name: &str) -> Result<Cents> {
        let value = self.accounts.get(name)?.ok_or_else(|| format!("there is no account {name}"))?;
        balance_in(name, &value)
    }

    /// All names, in order.
    pub fn names(&self) -> Result<Vec<String>> {
        self.names.scan(&Range::all()).map(|entry| Ok(String::from_utf8(entry?.0)?)).collect()
    }

    /// All names and balances, in order.
    pub fn all(&self) -> Result<Vec<(String, Cents)>> {
        let entries = self.accounts.scan(&Range::all()).map(|entry| {
            let (name, value) = entry?;
            let name = String::from_utf8(name)?;
            let balance = balance_in(&name, &value)?;
            Ok((name, balance))
        });
        entries.collect()
    }

    fn change(&self, name: &str, by: Cents, why: &str) -> Result {
        let before = self.balance(name)?;
        let after = before.plus(by)?;
        if after < Cents::default() {
            return Err(format!("{name} has {before}, not {}", by.negated()).into());
        }
        Ok(self.accounts.set(name, format!("{after}, after {by:+} {why}"))?)
    }
}

fn balance_in(name: &str, value: &[u8]) -> Result<Cents> {
    let value = String::from_utf8_lossy(value);
    let (balance, _) = value.split_once(',').ok_or_else(|| format!("the account of {name} is damaged: {value}"))?;
    Ok(balance.parse()?)
}
