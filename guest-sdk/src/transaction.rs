//! The transaction that the guest runs in: the interface `reel:guest/transaction`.

use std::cell::Cell;
use std::fmt::{self, Display};

use crate::bindings::reel::guest::transaction as host;

/// Counts the committed transactions of a space.
pub type Version = u64;

/// How often [`transaction`] executes its closure before it gives up. Of any number of programs that meet, one gets through each time.
pub const ATTEMPTS: u32 = 16;

/// Why a step of a transaction failed.
///
/// ```
/// use reel_guest::transaction::Error;
///
/// assert_eq!(Error::Gone.to_string(), "the savepoint is gone");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Another transaction changed what this one had read. What this one wrote since the last commit is dropped; from now on the newest version
    /// is read.
    Conflict,
    /// Too many savepoints at once: more closures within each other than the host keeps places to go back to.
    TooManySavepoints,
    /// The savepoint that should be gone back to was dropped by something that does not go through this crate. Nothing was rolled back.
    Gone,
    /// A commit within the closure of a [`savepoint`] or [`transaction`], which could no longer be rolled back then. Nothing was done.
    Nested,
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "another transaction changed what this one had read",
            Self::TooManySavepoints => "too many savepoints",
            Self::Gone => "the savepoint is gone",
            Self::Nested => "a commit within a savepoint or another transaction",
        })
    }
}

impl std::error::Error for Error {}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::Conflict => Self::Conflict,
            host::Error::TooManySavepoints => Self::TooManySavepoints,
            host::Error::Gone => Self::Gone,
        }
    }
}

/// Executes a closure of which, if it fails, nothing stays: `Ok` keeps what it has written, `Err` takes it back, files too. They may stand within
/// each other.
///
/// Keeping is not committing: what it has written goes the way of the transaction it is in. What it has read counts as read in either case.
///
/// # Errors
///
/// That of the closure; else [`Error::TooManySavepoints`] before the closure is executed.
///
/// ```no_run
/// # use std::error::Error;
/// use reel_guest::{Bucket, savepoint};
///
/// fn pay(accounts: &Bucket, from: &str, to: &str, cents: i64) -> Result<(), Box<dyn Error>> {
///     savepoint(|| {
///         accounts.increment(to, cents)?;
///         match accounts.increment(from, -cents)? {
///             0.. => Ok(()),
///             less => Err(format!("{from} lacks {}", -less).into()), // and `to` has what it had
///         }
///     })
/// }
/// ```
pub fn savepoint<T, E: From<Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let _open = Open::within();
    undone_unless_ok(work)
}

/// Executes a closure as one committed step of a long program, and gives the version that the step made, beside what the closure gave.
///
/// 1. What came before is committed, so that it stays, whatever becomes of the step.
/// 2. The closure is executed. If it fails, what it has written is taken back, and the program goes on with its error.
/// 3. What it has written is committed. If another transaction was faster, the closure is **executed again**, on the newest version, up to
///    [`ATTEMPTS`] times. So it should do nothing beside the transaction that it would not do twice: what it prints is printed each time.
///
/// A program that is one step as a whole needs none of this. Its run is a transaction by itself.
///
/// # Errors
///
/// That of the closure. [`Error::Conflict`] if what came before could not be committed (the closure was not executed then), or if others were
/// faster each time; in both cases nothing is left of what could not be committed. [`Error::Nested`], with nothing done, within the closure of
/// another `transaction` or of a [`savepoint`]; a savepoint within a transaction is fine.
///
/// ```no_run
/// # use std::error::Error;
/// use reel_guest::{Bucket, transaction};
///
/// fn main() -> Result<(), Box<dyn Error>> {
///     let (orders, invoices) = (Bucket::open("orders")?, Bucket::open("invoices")?);
///     for number in 1..=1_000 {
///         let key = format!("{number:06}");
///         let (billed, version) = transaction(|| -> Result<bool, Box<dyn Error>> {
///             let Some(order) = orders.get(&key)? else { return Ok(false) };
///             invoices.set(&key, order)?;
///             orders.delete(&key)?;
///             Ok(true)
///         })?;
///         if billed {
///             println!("order {number} is billed in version {version}");
///         }
///     }
///     Ok(())
/// }
/// ```
pub fn transaction<T, E: From<Error>>(mut step: impl FnMut() -> Result<T, E>) -> Result<(T, Version), E> {
    commit()?;
    let _open = Open::within();
    for _ in 0..ATTEMPTS {
        let value = undone_unless_ok(&mut step)?;
        match host::commit() {
            Ok(version) => return Ok((value, version)),
            Err(host::Error::Conflict) => {}
            Err(error) => return Err(Error::from(error).into()),
        }
    }
    Err(Error::Conflict.into())
}

/// Commits what was done so far, and gives the version that the program reads from now on: it holds what was committed here and may hold what
/// others have committed. Where nothing was written, only that is new.
///
/// # Errors
///
/// [`Error::Conflict`]: what was done since the last commit is dropped, and the program reads the newest version. [`Error::Nested`], with nothing
/// done, within the closure of a [`savepoint`] or a [`transaction`].
///
/// ```no_run
/// # fn import(file: &str) {}
/// # fn main() -> Result<(), reel_guest::transaction::Error> {
/// for file in ["/in/january.csv", "/in/february.csv"] {
///     import(file);
///     println!("{file}: version {}", reel_guest::commit()?);
/// }
/// # Ok(())
/// # }
/// ```
pub fn commit() -> Result<Version, Error> {
    match Open::is() {
        true => Err(Error::Nested),
        false => Ok(host::commit()?),
    }
}

/// Drops the transaction and ends the program; the reason goes into the log. What was committed before stays.
///
/// ```no_run
/// let (debit, credit) = (100, 90);
/// if debit != credit {
///     reel_guest::abort(format_args!("the batch is off by {}", debit - credit));
/// }
/// ```
pub fn abort(reason: impl Display) -> ! {
    host::abort(&reason.to_string());
    unreachable!("the host has ended the program")
}

/// The version that the transaction reads.
///
/// ```no_run
/// let before = reel_guest::version();
/// let after = reel_guest::commit()?;
/// assert!(after >= before);
/// # Ok::<(), reel_guest::transaction::Error>(())
/// ```
pub fn version() -> Version {
    host::version()
}

/// Executes a closure behind a savepoint, and goes back to it if it fails.
fn undone_unless_ok<T, E: From<Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let before = host::set_savepoint().map_err(Error::from)?;
    let done = work();
    if done.is_err() {
        before.rollback().map_err(Error::from)?;
    }
    done
}

thread_local! {
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

/// A closure that is being executed, in which nothing may be committed.
struct Open;

impl Open {
    fn within() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }

    fn is() -> bool {
        OPEN.get() > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_within_a_closure_is_refused_without_asking_the_host() {
        let outer = Open::within();
        {
            let _inner = Open::within();
            assert_eq!(commit(), Err(Error::Nested));
        }
        assert_eq!(transaction(|| Ok::<(), Error>(())), Err(Error::Nested));
        drop(outer);
        assert!(!Open::is());
    }
}
