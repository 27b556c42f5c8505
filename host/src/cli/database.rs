//! Getting at the database: opening it, waiting for it, or asking the process that has it open.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use reel_abi::id::{RunId, SpaceName};
use reel_store::{OpenError, Options, Store};

use super::admin::Asker;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::live;
use super::progress::Progress;
use super::serving::Serving;
use super::units::{Size, Span};
use crate::calls::session::Console;
use crate::port::{Input, Output};
use crate::runtime::resident::Household;
use crate::world::console::{HostError, HostInput, HostOutput};
use crate::world::{process, signals};

/// Standard input, if there is any, output and errors.
type ThreeStreams = (Option<Box<dyn Input>>, Box<dyn Output>, Box<dyn Output>);

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
    /// The most of the database that this process keeps in memory
    #[arg(long, global = true, value_name = "SIZE", value_parser = cache, default_value = "512MiB")]
    cache: Size,
}

/// The least room in memory for the pages of a database, in bytes: with less it would read the same ones again and again.
const LEAST_CACHE: u64 = 1 << 20;

fn cache(text: &str) -> Result<Size, String> {
    match text.parse::<Size>()? {
        Size(bytes) if bytes < LEAST_CACHE => Err(format!("it is less than {}", Size(LEAST_CACHE))),
        size => Ok(size),
    }
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
    /// What `reel serve` has beside it.
    pub serving: Option<Arc<Serving>>,
    /// The other process that is served.
    pub asker: Option<Arc<Asker>>,
}

impl Opened {
    /// A database that this process has just opened.
    pub fn new(store: Store) -> Self {
        let from = store.newest_run().unwrap_or_default().next();
        let running = Running { from: Some(from), resumed: Arc::default() };
        Self { store, running, serving: None, asker: None }
    }

    /// The residents that this process looks after, if it does.
    pub fn household(&self) -> Option<&Arc<Household>> {
        self.serving.as_ref().map(|serving| &serving.household)
    }

    /// Whether another process is served by one that has something else to do: nothing long is done for it, and nothing that compiles.
    pub fn is_busy(&self) -> bool {
        self.asker.is_some() && self.serving.is_none()
    }

    /// The timers of a guest may have changed, other than by its calls.
    pub fn look_at_timers(&self, name: &SpaceName) {
        if let Some(household) = self.household() {
            household.look_at_timers(name);
        }
    }

    /// Something was committed: messages to these, and other timers of those.
    pub fn has_committed(&self, posted: &[SpaceName], timed: &[SpaceName]) {
        if let Some(household) = self.household() {
            household.has_committed(posted, timed);
        }
    }

    /// Whether whoever gave the command wants it to stop, or this process is to.
    pub fn is_asked_to_stop(&self) -> bool {
        signals::asked() || self.asker.as_ref().is_some_and(|asker| asker.is_stopping())
    }

    /// From now on, the first signal does not end this process, or the one that asks, but is for the command: see [`Opened::is_asked_to_stop`].
    pub fn catch_signals(&self) {
        match &self.asker {
            Some(asker) => asker.listen_for_signals(),
            None => signals::catch(i32::from(Exit::INTERRUPTED.0)),
        }
    }

    /// What says so wherever it is asked; it holds no handle of the database.
    pub fn stopper(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let asker = self.asker.clone();
        move || signals::asked() || asker.as_ref().is_some_and(|asker| asker.is_stopping())
    }

    /// A line that tells whoever gave the command that it goes on.
    pub fn progress(&self, shown: bool) -> Progress {
        match &self.asker {
            _ if !shown => Progress::hidden(),
            Some(asker) => Progress::new(Box::new(asker.words())),
            None => Progress::here(true),
        }
    }

    /// The standard streams of whoever gave the command.
    pub fn console(&self) -> Console {
        let (stdin, stdout, stderr): ThreeStreams = match &self.asker {
            None => (Some(Box::new(HostInput::new())), Box::new(HostOutput), Box::new(HostError)),
            Some(asker) => (asker.input(), asker.output(), asker.error_output()),
        };
        Console { stdin, stdout: Some(stdout), stderr: Some(stderr), echo: false }
    }

    /// Carries out what an earlier process left in the outbox, and says what still cannot be. A server has done so when it began.
    pub fn deliver_rest(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        match &self.serving {
            Some(_) => Ok(()),
            None => live::deliver_rest(&self.store, io),
        }
    }
}

impl From<Store> for Opened {
    fn from(store: Store) -> Self {
        Self::new(store)
    }
}

/// Runs that this process has under way: without an end in the log, but not cut off.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// All from this on.
    from: Option<RunId>,
    /// Those that are resumed.
    resumed: Arc<Mutex<BTreeSet<RunId>>>,
}

impl Running {
    /// Whether a run without an end is under way.
    pub fn has(&self, run: RunId) -> bool {
        self.from.is_some_and(|from| run >= from) || self.resumed().contains(&run)
    }

    /// Takes a run that was cut off to go on with it; nothing if somebody is at it.
    pub fn resume(&self, run: RunId) -> Option<Resuming> {
        let taken = self.from.is_none_or(|from| run < from) && self.resumed().insert(run);
        taken.then(|| Resuming { running: self.clone(), run })
    }

    fn resumed(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a run is resumed, as long as this is there.
pub struct Resuming {
    running: Running,
    run: RunId,
}

impl Drop for Resuming {
    fn drop(&mut self) {
        self.running.resumed().remove(&self.run);
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

    /// Opens the database, or lets `ask` try each time that another process has it open. Makes it, if `create` says so and there is none.
    #[expect(clippy::disallowed_methods, reason = "how long it waits is measured on the process's own clock")]
    pub fn open_or<T: From<Store>>(
        &self,
        create: bool,
        io: &mut Io<'_>,
        mut ask: impl FnMut(&mut Io<'_>) -> Option<T>,
    ) -> Result<T, OpenError> {
        let (dir, owner, begun) = (self.dir(), process::description(), Instant::now());
        let limit = Duration::from_millis(self.wait.millis);
        let cache_bytes = usize::try_from(self.cache.0).unwrap_or(usize::MAX);
        let options = Options { create, cache_bytes, ..Options::default() };
        loop {
            match Store::open_with(&dir, &owner, &options) {
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
