//! Getting at the database: opening it, waiting for it, or asking the process that has it open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use reel_abi::id::{RunId, SpaceName};
use reel_store::{OpenError, Store};

use super::failure::Failure;
use super::io::Io;
use super::units::Span;
use crate::runtime::resident::Household;
use crate::world::process;
use crate::world::socket::Stream;

/// Where the database is, and how long to wait for it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// Directory of the database [env: REEL_DB] [default: .reel]
    #[arg(long, global = true, value_name = "DIR")]
    db: Option<PathBuf>,
    /// How long to wait while another process has the database open
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    wait: Span,
}

fn seconds(text: &str) -> Result<Span, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Span { millis: seconds.saturating_mul(1000) }),
        Err(_) => text.parse(),
    }
}

/// An open database, and what can be done with it here.
#[derive(Clone)]
pub struct Opened {
    /// The database.
    pub store: Store,
    /// What runs in it now.
    pub running: Running,
    /// Whether another process is served: nothing long is done for it, and nothing that compiles.
    pub served: bool,
    /// The residents that this process looks after, if it does.
    pub household: Option<Arc<Household>>,
    /// The other process that is served: it may leave.
    pub asker: Option<Arc<Stream>>,
}

impl Opened {
    /// The timers of a guest may have changed, other than by its calls.
    pub fn look_at_timers(&self, name: &SpaceName) {
        if let Some(household) = &self.household {
            household.look_at_timers(name);
        }
    }
}

impl From<Store> for Opened {
    fn from(store: Store) -> Self {
        Self { store, running: Running::default(), served: false, household: None, asker: None }
    }
}

/// Runs that this process has under way: without an end in the log, but not cut off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Running {
    /// All from this on.
    pub from: Option<RunId>,
    /// The one that is resumed.
    pub resumed: Option<RunId>,
}

impl Running {
    /// Whether a run without an end is under way.
    pub fn has(&self, run: RunId) -> bool {
        self.from.is_some_and(|from| run >= from) || self.resumed == Some(run)
    }
}

/// How often another process's lock is looked at.
const POLL: Duration = Duration::from_millis(25);

impl DatabaseArgs {
    /// The directory.
    pub fn dir(&self) -> PathBuf {
        let named = self.db.clone().or_else(|| process::env_os("REEL_DB").filter(|v| !v.is_empty()).map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from(".reel"))
    }

    /// What has to be added to a `reel` command so that it looks at the same database.
    pub fn flag(&self) -> String {
        match &self.db {
            Some(dir) => format!(" --db {}", quoted(dir)),
            None => String::new(),
        }
    }

    /// Opens the database for this process alone, and makes it if there is none.
    pub fn create(&self, io: &mut Io<'_>) -> Result<Store, Failure> {
        Ok(self.patiently(io, Store::open, |_| None::<Store>)?)
    }

    /// Opens the database for this process alone.
    pub fn open(&self, io: &mut Io<'_>) -> Result<Store, Failure> {
        Ok(self.try_open(io)?)
    }

    /// The same, for a command that knows what to do when it does not open.
    pub fn try_open(&self, io: &mut Io<'_>) -> Result<Store, OpenError> {
        self.patiently(io, Store::open_existing, |_| None)
    }

    /// Opens the database, or lets `ask` try each time that another process has it open.
    pub fn open_or<T: From<Store>>(
        &self,
        io: &mut Io<'_>,
        ask: impl FnMut(&mut Io<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        Ok(self.patiently(io, Store::open_existing, ask)?)
    }

    #[expect(clippy::disallowed_methods, reason = "how long it waits is measured on the process's own clock")]
    fn patiently<T: From<Store>>(
        &self,
        io: &mut Io<'_>,
        open: impl Fn(&Path, &str) -> Result<Store, OpenError>,
        mut ask: impl FnMut(&mut Io<'_>) -> Option<T>,
    ) -> Result<T, OpenError> {
        let (dir, owner, begun) = (self.dir(), process::description(), Instant::now());
        let limit = Duration::from_millis(self.wait.millis);
        loop {
            match open(&dir, &owner) {
                Ok(store) => return Ok(store.into()),
                Err(error @ OpenError::Locked { .. }) => {
                    if let Some(answer) = ask(io) {
                        return Ok(answer);
                    }
                    if begun.elapsed() >= limit {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(POLL.min(limit.saturating_sub(begun.elapsed())));
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '=' | ':' | ',' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
