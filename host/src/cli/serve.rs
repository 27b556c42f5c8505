//! `reel serve`: looks after the guests of a database: takes their calls, wakes those that sleep, lets idle ones sleep.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::SpaceName;

use super::admin;
use super::database::{DatabaseArgs, Opened, Running};
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::live;
use super::residents::household;
use super::units::Span;
use crate::runtime::resident::going_on::CutOff;
use crate::runtime::resident::timers::Timer;
use crate::runtime::resident::{CallError, Habits, Household};
use crate::world::signals;

/// How often it looks whether somebody is to be woken.
const TICK: Duration = Duration::from_millis(100);

/// When it looks again whether a guest takes calls.
const SOON: Duration = Duration::from_secs(1);

/// When it tries again to make the call of a timer that failed, or to go on with a call that could not be gone on with.
const AGAIN: Duration = Duration::from_secs(10);

/// Look after the guests of a database until interrupted: `reel call` of other processes is answered, calls that were cut off go on, sleepers wake
/// in time, idle residents leave memory
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel serve
  reel serve --quiet --idle 10m &
While it runs, `reel call` and the commands that look, `fork`, `rollback`, `tag`, `checkpoint`, `stop`, `start` and `memory` are done by it; all others \
wait for the database (--wait). It takes no port: others reach it through `admin.sock` in the directory of the database, which only its owner can open.

It ends with exit code 0 at SIGINT or SIGTERM. Nothing is lost if it is killed instead: calls that were answered are durable; those under way are gone \
on with by the next `reel serve` if they slept or the guest was deployed with `--on-crash resume`, else rolled back.")]
pub struct Args {
    /// A resident that was not called for this long leaves memory; it comes back at its next call. `500ms`, `30s`, `10m`
    #[arg(long, value_name = "TIME", default_value = "60s")]
    idle: Span,
    /// Residents that are in memory at once; when others are called, those that were called longest ago leave it [default: 10000, or what the system's
    /// limit of mappings allows]
    #[arg(long, value_name = "N")]
    awake: Option<NonZeroUsize>,
    /// Say nothing on stderr but what goes wrong
    #[arg(long, short)]
    quiet: bool,
}

/// Serves until SIGINT or SIGTERM.
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let store = database.create(io)?;
    live::deliver_rest(&store, io)?;
    let standard = Habits::default();
    let habits = Habits { awake: args.awake.map_or(standard.awake, NonZeroUsize::get), ..standard };
    let household = Arc::new(household(&store, habits));
    let from = store.newest_run().unwrap_or_default().next();
    let opened = Opened {
        store: store.clone(),
        running: Running { from: Some(from), resumed: None },
        served: true,
        household: Some(Arc::clone(&household)),
        asker: None,
    };
    let Some(server) = admin::serve_opened(opened) else {
        return Err(Failure::new(Exit::HOST, "the socket `admin.sock` of the database cannot be made")
            .hint("its path may be too long: choose a shorter --db"));
    };
    household.note_all_timers()?;
    let left = household.cut_off(None)?;
    if !args.quiet {
        writeln!(io.err, "serving {}; stop it with Ctrl-C", store.dir().display())?;
    }
    let served = live::block_on(tend(&household, left, args.idle.millis));
    drop(server);
    served?;
    live::block_on(household.rest())?;
    live::block_on(household.all_asleep())?;
    Ok(Exit::OK)
}

/// Does what is to be done in time, until the process is to stop.
async fn tend(household: &Arc<Household>, left: Vec<CutOff>, idle_millis: u64) {
    let tasks = tokio::task::LocalSet::new();
    for CutOff { run, name, until } in left {
        match until {
            Some(until) => household.sleeps(&name, run, until).await,
            None => go_on(&tasks, household, run),
        }
    }
    let stop = signals::interrupt(i32::from(Exit::INTERRUPTED.0));
    let work = async {
        loop {
            for run in household.due() {
                go_on(&tasks, household, run);
            }
            match household.due_timers() {
                Ok(due) => due.into_iter().for_each(|(name, timers)| ring(&tasks, household, name, timers)),
                Err(error) => tracing::warn!(%error, "the timers cannot be read"),
            }
            household.hibernate_idle(idle_millis).await;
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = stop => {}
        () = tasks.run_until(work) => {}
    }
}

fn ring(tasks: &tokio::task::LocalSet, household: &Arc<Household>, name: SpaceName, timers: Vec<Timer>) {
    let household = Arc::clone(household);
    tasks.spawn_local(async move {
        for timer in timers {
            let why = match household.call_for_timer(&name, &timer).await {
                Ok(report) if report.end.outcome.is_success() => continue,
                Err(CallError::NotSet) => continue,
                Err(CallError::Asleep { .. } | CallError::Stopped(_)) => {
                    household.let_timers_wait(&name, SOON);
                    break;
                }
                Ok(report) => format!("run {}: {}", report.run, report.end.outcome),
                Err(error) => error.to_string(),
            };
            tracing::warn!(guest = %name, timer = %String::from_utf8_lossy(&timer.name), why, "the call of a timer has failed");
            household.timer_failed(&name, &timer, AGAIN);
        }
        household.rang(&name);
    });
}

fn go_on(tasks: &tokio::task::LocalSet, household: &Arc<Household>, run: reel_abi::id::RunId) {
    let household = Arc::clone(household);
    tasks.spawn_local(async move {
        match household.resume(run, std::future::pending()).await {
            Ok(_) | Err(CallError::Asleep { .. }) => {}
            Err(CallError::Stopped(_)) => household.later(run, SOON).await,
            Err(CallError::NotResumable(..)) => household.forget(run).await,
            Err(error) => {
                tracing::warn!(%run, %error, "a call could not be gone on with");
                household.later(run, AGAIN).await;
            }
        }
    });
}
