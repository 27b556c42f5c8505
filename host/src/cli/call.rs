//! `reel call`: calls a function of a guest that was deployed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::SpaceName;
use reel_abi::outcome::Disposition;
use serde::Serialize;

use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::live;
use super::progress::Progress;
use super::residents::{farewell, interrupt, with_household};
use crate::port::Clock;
use crate::runtime::resident::{CallError, CallReport, CallRequest, Household};
use crate::world::clock::HostClock;

/// Call a function of a deployed guest, as a transaction: its memory, files and buckets change together, or nothing does
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel call counter add 5
  reel call session greet '\"Ada\"' '[1, 2]'
  reel call shop 'example:shop/cart.put' '{item: \"tea\", count: 2}'

WAVE values:
  5, -1.5, true, 'c', \"text\", [1, 2], (1, \"a\"), {name: \"x\"}, some(1), none, ok(1), err(\"no\")
  red (a case of an enum or variant), {read, write} (flags)

The result is printed on stdout, in WAVE; a function that gives nothing prints nothing. What the guest writes to its stdout and stderr is shown on stderr.

Exit codes:
  0         it returned, and its transaction is durable; also if it returned an err(..)
  2         no such function, or arguments that do not fit
  66        no such guest
  118       it aborted
  119       another transaction came first, or an earlier call sleeps
  121       the guest is stopped
  122, 124  it reached a limit, its deadline
  123       it trapped, or exited with 0 instead of returning
  125       the host failed, or the process that was asked has ended: it may have been done
  130       interrupted
  others    it exited with this code instead of returning
But for 0 and 125, nothing of it is committed.")]
pub struct Args {
    /// The guest
    name: SpaceName,
    /// The function; with its interface (`interface.function`) if several have one of this name
    function: String,
    /// Its arguments, as WAVE values
    #[arg(value_name = "WAVE", allow_negative_numbers = true)]
    args: Vec<String>,
    /// Print the result and the run as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    guest: &'a str,
    run: u64,
    outcome: String,
    version: Option<u64>,
    results: Option<&'a str>,
    attempts: u32,
}

/// Calls the function and prints what it gives, in WAVE.
pub fn execute(args: &Args, database: &Opened, flag: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
    database.deliver_rest(io)?;
    let request = CallRequest { name: args.name.clone(), function: args.function.clone(), args: args.args.clone() };
    let progress = Arc::new(database.progress(io.look.err_terminal));
    let report = with_household(database, |household| {
        live::block_on(async {
            let report = wait_for(household, &request, database, progress).await;
            household.rest().await;
            report
        })
    })??;
    let exit = farewell(&report, &args.name, flag, io)?;
    if args.json {
        let version = match &report.end.disposition {
            Disposition::Committed { version, .. } => Some(version.0),
            _ => None,
        };
        let line = Json {
            guest: args.name.as_str(),
            run: report.run.0,
            outcome: report.end.outcome.to_string(),
            version,
            results: report.results.as_deref(),
            attempts: report.attempts,
        };
        json::line(io.out, &line)?;
    } else if let Some(results) = report.results.as_deref().filter(|results| !results.is_empty()) {
        writeln!(io.out, "{results}")?;
    }
    Ok(exit)
}

/// Calls; and if the guest sleeps meanwhile, wakes it in time.
async fn wait_for(
    household: &Household,
    request: &CallRequest,
    database: &Opened,
    progress: Arc<Progress>,
) -> Result<CallReport, CallError> {
    let mut stop = pin!(interrupt(database, progress));
    if database.serving.is_none() {
        household.go_on(&request.name, stop.as_mut()).await?;
    }
    let newest = database.store.newest_run();
    let mut report = household.call(request, stop.as_mut()).await;
    while let Err(CallError::Asleep { run, until, .. }) = report
        && Some(run) > newest
    {
        let left = until.0.saturating_sub(HostClock::new().wall());
        tokio::select! {
            biased;
            () = stop.as_mut() => return report,
            () = tokio::time::sleep(Duration::from_nanos(left)) => {}
        }
        report = household.resume(run, stop.as_mut()).await;
    }
    report
}
