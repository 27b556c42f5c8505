//! What the commands for residents have in common.

use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::SpaceName;
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::resident::Guest;
use reel_store::Store;

use super::admin::Asker;
use super::database::Opened;
use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::grants;
use super::io::Io;
use super::live;
use super::near;
use super::progress::Progress;
use super::style::Paint;
use crate::calls::session::Console;
use crate::runtime::handlers::{DeployHandlerError, Handlers};
use crate::runtime::joined::Guests;
use crate::runtime::resident::cells::CellsError;
use crate::runtime::resident::checkpoint::CheckpointError;
use crate::runtime::resident::function::FunctionError;
use crate::runtime::resident::waking::WakeError;
use crate::runtime::resident::{CallError, CallReport, DeployError, Habits, Household};
use crate::runtime::{HttpWorld, Surroundings};
use crate::world::client::RealClient;
use crate::world::clock::HostClock;
use crate::world::console::HostError;
use crate::world::entropy::KernelEntropy;
use crate::world::net::HostNetwork;
use crate::world::signals;

/// How long calls of others may go on when this process is to stop.
const MOMENT: Duration = Duration::from_secs(1);

/// A household of the real world. What guests say goes to stderr: stdout is for the results of calls.
pub fn household(store: &Store, habits: Habits) -> Household {
    Household::with_habits(store.clone(), Arc::new(HostClock::new()), Box::new(world), habits)
}

/// The handlers of a database, in the real world.
pub fn handlers(store: &Store, residents: Option<Arc<Household>>) -> Handlers {
    Handlers::new(store.clone(), Box::new(world), residents)
}

/// Those whom a guest can call, in the real world.
pub fn callees(store: &Store) -> Arc<Guests> {
    Arc::new(Guests::new(store.clone(), Arc::new(world)))
}

/// Does something with the residents of a database: those that the process looks after, or else for this one time.
pub fn with_household<T>(database: &Opened, work: impl FnOnce(&Household) -> T) -> T {
    match database.household() {
        Some(household) => work(household),
        None => work(&household(&database.store, Habits::default())),
    }
}

/// Ends when whoever gave the command wants the guest to stop, or has left; when this process is to stop, those who are served have a moment left.
pub async fn interrupt(database: &Opened, progress: Arc<Progress>) {
    let Some(asker) = &database.asker else { return live::interrupt(progress).await };
    progress.finish();
    let stopped = async {
        signals::interrupt(i32::from(Exit::INTERRUPTED.0)).await;
        tokio::time::sleep(MOMENT).await;
    };
    tokio::select! {
        () = asker.stops() => {}
        () = stopped => {}
    }
}

/// The page for requests that somebody answers already.
pub fn route_taken(route: &str, name: &SpaceName) -> Failure {
    Failure::usage(format!("the requests to {route} are answered by {name} already"))
        .hint("name others with --route, for example --route /NAME")
}

fn world(guest: &Guest) -> Result<Surroundings, String> {
    let dirs = grants::open(&guest.dirs).map_err(|failure| failure.words().to_owned())?;
    let asker = Asker::served();
    let output = || -> Option<Box<dyn crate::port::Output>> {
        Some(match &asker {
            Some(asker) => asker.error_output(),
            None => Box::new(HostError),
        })
    };
    let console = Console { stdin: None, stdout: output(), stderr: output(), echo: false };
    Ok(Surroundings {
        clock: Arc::new(HostClock::new()),
        entropy: Box::new(KernelEntropy::new()),
        console,
        dirs,
        http: HttpWorld::asking(Arc::new(RealClient)),
        network: Arc::new(HostNetwork),
        callees: None,
    })
}

/// Says what became of a call that did not go well, and gives the code to end with.
pub fn farewell(report: &CallReport, name: &SpaceName, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if let Some(what) = &report.conflict {
        let what = format!("run {} in {name} was overtaken by another transaction: {what}", report.run);
        return Err(Failure::new(Exit::CONFLICT, what).hint("nothing of it is committed; call again"));
    }
    let outcome = &report.end.outcome;
    let mut exit = Exit::of(outcome);
    if !outcome.is_success() {
        let paint = Paint(io.look.err_colour);
        let run = report.run;
        let became = match &report.end.disposition {
            Disposition::Committed { .. } | Disposition::Partly { .. } => "committed",
            Disposition::Aborted | Disposition::Lost { .. } => "rolled back",
        };
        let words = paint.error(&Safe(&outcome.to_string()).to_string());
        let mut text = format!("run {run}: {words}; {became}, {name} is as it was before. ");
        text.push_str(&paint.dim(&format!("reel log {run}{flag} | reel replay {run}{flag}")));
        text.push('\n');
        if let Outcome::Trap { backtrace, .. } = outcome {
            text.push_str(&super::trapped::lines(backtrace));
        }
        drop(io.err.write_all(text.as_bytes()));
        // A guest that leaves the call with an exit code of 0 has still left it.
        exit = if exit == Exit::OK { Exit::TRAP } else { exit };
    }
    if let Some(undelivered) = &report.undelivered {
        Failure::of(Exit::HOST, undelivered).show(io);
        exit = if exit == Exit::OK { Exit::HOST } else { exit };
    }
    Ok(exit)
}

impl From<CellsError> for Failure {
    fn from(error: CellsError) -> Self {
        match error {
            CellsError::Read(error) => error.into(),
            CellsError::Damaged(_) => {
                Self::of(Exit::DATABASE, &error).hint("`reel verify` tells how far the damage goes")
            }
        }
    }
}

impl From<FunctionError> for Failure {
    fn from(error: FunctionError) -> Self {
        let failure = Self::usage(error.to_string());
        let own = |name: &str| name.rsplit(['#', '.', '/']).next().unwrap_or_default().to_owned();
        match error {
            FunctionError::Unknown { name, exports } => {
                let names: Vec<String> = exports.iter().map(|export| own(export)).collect();
                match near::hint(&own(&name), names.iter().map(String::as_str), "") {
                    hint if hint.is_empty() => failure,
                    hint => failure.hint(hint.trim_end()),
                }
            }
            FunctionError::Ambiguous { .. } => failure.hint("write its interface before it: `interface.function`"),
            FunctionError::Arguments { .. } => {
                failure.hint("arguments are WAVE values: 5, \"text\", [1, 2], {name: \"x\"}, some(1)")
            }
            FunctionError::NotSubscribed { topic } => failure.hint(format!("add --subscribe {topic}")),
            FunctionError::NoText { .. } | FunctionError::TooManyTimes { .. } => failure,
        }
    }
}

impl From<WakeError> for Failure {
    fn from(error: WakeError) -> Self {
        match error {
            WakeError::Cells(error) => error.into(),
            error => Self::of(Exit::NO_REPLAY, &error),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoSuchGuest(name) => Self::not_found(format!("no guest was deployed as {name}"))
                .hint(format!("`reel ps` lists them; `reel deploy APP.wasm --as {name}` makes one")),
            CallError::Stopped(name) => Self::new(Exit::UNFIT, format!("{name} is stopped"))
                .hint(format!("`reel start {name}` lets it take calls again")),
            CallError::Asleep { name, run, until } => {
                let until = super::dates::short(until.0);
                Self::new(Exit::CONFLICT, format!("{name} sleeps in run {run} until {until} (UTC)"))
                    .hint(format!(
                        "it takes calls again when that one is over; `reel serve` wakes it in time. To give that one up: reel stop {name} --abort; \
                         reel start {name}"
                    ))
            }
            CallError::NotResumable(..) | CallError::NotSet => Self::of(Exit::NO_REPLAY, &error),
            CallError::Unborn(_) | CallError::World(_) => Self::of(Exit::HOST, &error),
            CallError::Function(error) => error.into(),
            CallError::Cells(error) => error.into(),
            CallError::Wake(error) => error.into(),
            CallError::Prepare(error) => error.into(),
            CallError::Append(inner) | CallError::Checkpoint(CheckpointError::Append(inner)) => inner.into(),
            CallError::Checkpoint(CheckpointError::Read(inner)) => inner.into(),
            CallError::Checkpoint(CheckpointError::Capture(_)) => Self::of(Exit::UNFIT, &error)
                .hint("such a guest comes back by its calls; `reel inspect` tells beforehand"),
            CallError::Log(_) | CallError::Checkpoint(CheckpointError::Halt(_)) => Self::of(Exit::DATABASE, &error),
        }
    }
}

impl From<DeployError> for Failure {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::NothingToCall => Self::of(Exit::UNFIT, &error).hint("`reel inspect` lists what it exports"),
            DeployError::Call(error) => error.into(),
            DeployError::Keep(_) => Self::of(Exit::DATABASE, &error),
        }
    }
}

impl From<DeployHandlerError> for Failure {
    fn from(error: DeployHandlerError) -> Self {
        match error {
            DeployHandlerError::Prepare(error) => error.into(),
            DeployHandlerError::Cells(error) => error.into(),
            DeployHandlerError::Function(error) => error.into(),
            DeployHandlerError::Keep(_) => Self::of(Exit::DATABASE, &error),
            DeployHandlerError::Commit(CheckpointError::Append(error)) => error.into(),
            DeployHandlerError::Commit(_) => Self::of(Exit::DATABASE, &error),
        }
    }
}
