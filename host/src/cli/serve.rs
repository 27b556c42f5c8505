//! `reel serve`: looks after the guests of a database: takes their calls, wakes those that sleep, lets idle ones sleep.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reel_abi::id::{RunId, SpaceName};
use reel_store::Store;
use tokio::sync::Semaphore;

use super::admin;
use super::database::{DatabaseArgs, Opened, Running};
use super::exit::Exit;
use super::failure::Failure;
use super::failure::plain;
use super::io::Io;
use super::live;
use super::residents::{handlers, household};
use super::serving::Serving;
use super::trace;
use super::units::Span;
use crate::runtime::RunReport;
use crate::runtime::handlers::{Handlers, INSTANCES};
use crate::runtime::resident::going_on::CutOff;
use crate::runtime::resident::timers::Timer;
use crate::runtime::resident::{CallError, Habits, Household};
use crate::server::health::{Health, Watched};
use crate::server::tally::Tally;
use crate::server::{Front, FrontError, FrontSettings};
use crate::world::certificates::{Certificates, CertificatesError};
use crate::world::{listening, process, signals};

/// How often it looks whether somebody is to be woken.
const TICK: Duration = Duration::from_millis(100);

/// Guests that take a message at once.
const RECEIVERS: usize = 64;

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
While it runs, all other commands on the database are done by it: `deploy`, `run` and `replay` as well as those that look. It takes no port for that: others \
reach it through `admin.sock` in the directory of the database, which only its owner can open.

It ends with exit code 0 at SIGINT or SIGTERM. Nothing is lost if it is killed instead: calls that were answered are durable; those under way are gone \
on with by the next `reel serve` if they slept or the guest was deployed with `--on-crash resume`, else rolled back.")]
pub struct Args {
    /// Listen for HTTP/1.1 and HTTP/2 at this address, for the guests that answer requests; repeat it for several
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<String>,
    /// Speak TLS at all these addresses, with the certificates in this PEM file: the server's own first, then those that it was signed by. SIGHUP has
    /// them read again
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen"])]
    tls_cert: Option<PathBuf>,
    /// The private key of the first of them, in a PEM file (PKCS#8, SEC1 or PKCS#1)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Answer `/healthz`, `/readyz` and `/metrics` (for Prometheus) at this address, to whoever can reach it, without TLS
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
    /// How notes and warnings are written to stderr; REEL_LOG=info has a line for each request
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: trace::Format,
    /// A resident that was not called for this long leaves memory; it comes back at its next call. `500ms`, `30s`, `10m`
    #[arg(long, value_name = "TIME", default_value = "60s")]
    idle: Span,
    /// Residents that are in memory at once; when others are called, those that were called longest ago leave it [default: 10000, or what the system's
    /// limit of mappings allows]
    #[arg(long, value_name = "N")]
    awake: Option<NonZeroUsize>,
    /// Requests under way at once; more are answered with 503 and `Retry-After`
    #[arg(long, value_name = "N", default_value_t = INSTANCES, value_parser = clap::value_parser!(u32).range(1..=i64::from(INSTANCES)))]
    at_once: u32,
    /// Say nothing on stderr but what goes wrong
    #[arg(long, short)]
    quiet: bool,
}

/// Serves until SIGINT or SIGTERM.
pub fn execute(args: &Args, database: &DatabaseArgs, io: &mut Io<'_>) -> Result<Exit, Failure> {
    trace::write_as(args.log_format);
    let certificates = args.certificates()?;
    let store = database.open_or(true, io, |_| None::<Store>)?;
    live::deliver_rest(&store, io)?;
    let standard = Habits::default();
    let habits = Habits { awake: args.awake.map_or(standard.awake, NonZeroUsize::get), ..standard };
    let household = Arc::new(household(&store, habits));
    let tally = Arc::new(Tally::default());
    let watched = Arc::new(Watched::new(&store, &household, &tally));
    let health = args.health(&watched)?;
    let handlers = Arc::new(handlers(&store, Some(Arc::clone(&household))));
    let from = store.newest_run().unwrap_or_default().next();
    let serving = Arc::new(Serving::new(Arc::clone(&household), Arc::clone(&handlers)));
    let opened = Opened { serving: Some(Arc::clone(&serving)), ..Opened::new(store.clone()) };
    let Some(server) = admin::serve(&opened) else {
        return Err(Failure::new(Exit::HOST, "the socket `admin.sock` of the database cannot be made")
            .hint("its path may be too long: choose a shorter --db"));
    };
    household.note_all_timers()?;
    household.note_all_messages()?;
    let left = household.cut_off(None)?;
    let requests = handlers.cut_off(from).map_err(|error| Failure::of(Exit::DATABASE, &error))?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let front = args.front(&serving, &store, certificates.clone(), &tally)?;
    for address in front.iter().flat_map(Front::addresses).filter(|_| !args.quiet) {
        writeln!(io.err, "listening at {scheme}://{address}")?;
    }
    for address in health.iter().flat_map(Health::addresses).filter(|_| !args.quiet) {
        writeln!(io.err, "metrics at http://{address}/metrics")?;
    }
    watched.ready();
    let served = live::block_on(async {
        // Whoever reads that it serves may send signals.
        signals::catch(i32::from(Exit::INTERRUPTED.0));
        let again = read_again(certificates.as_deref());
        if !args.quiet {
            writeln!(io.err, "serving {}; stop it with Ctrl-C", store.dir().display())?;
            if front.is_some() && serving.signposts.now().iter().next().is_none() {
                writeln!(
                    io.err,
                    "no guest has a route yet: requests get 404 until `reel deploy APP.wasm --as NAME --route /` gives one"
                )?;
            }
        }
        tokio::select! {
            () = tend(&household, left, (&handlers, requests), &opened.running, args.idle.millis) => {}
            () = again => {}
        }
        Ok::<_, std::io::Error>(())
    })?;
    watched.draining();
    if let Some(front) = front {
        front.stop();
    }
    drop(server);
    served?;
    live::block_on(household.rest())?;
    live::block_on(household.all_asleep())?;
    Ok(Exit::OK)
}

impl Args {
    /// What the server shows of itself, if it speaks TLS.
    fn certificates(&self) -> Result<Option<Arc<Certificates>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        Ok(Some(Arc::new(Certificates::read(certificate, key)?)))
    }

    /// Tells how it is, if that is wanted.
    fn health(&self, watched: &Arc<Watched>) -> Result<Option<Health>, Failure> {
        let Some(address) = &self.metrics else { return Ok(None) };
        let health = Health::new(bind(address)?, watched);
        health.map(Some).map_err(|error| Failure::of(Exit::HOST, &FrontError::from(error)))
    }

    /// Listens, if that is wanted.
    fn front(
        &self,
        serving: &Serving,
        store: &Store,
        certificates: Option<Arc<Certificates>>,
        tally: &Arc<Tally>,
    ) -> Result<Option<Front>, Failure> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let mut listeners = Vec::new();
        for address in &self.listen {
            listeners.extend(bind(address)?);
        }
        serving.look_again(store);
        let (threads, at_once, tally) = (process::cores(), self.at_once as usize, Arc::clone(tally));
        let signposts = serving.signposts.clone();
        let settings = FrontSettings { signposts, listeners, threads, at_once, certificates, tally };
        let front = Front::new(settings, &serving.handlers);
        front.map(Some).map_err(|error| Failure::of(Exit::HOST, &error))
    }
}

fn bind(address: &str) -> Result<Vec<std::net::TcpListener>, Failure> {
    listening::bind(address).map_err(|error| {
        let failure = Failure::new(Exit::HOST, format!("cannot listen at {address}: {}", plain(&error)));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("somebody listens there already; choose another port"),
            std::io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 are for the superuser"),
            std::io::ErrorKind::InvalidInput => failure.hint("write HOST:PORT, for example 127.0.0.1:8080"),
            _ => failure,
        }
    })
}

impl From<CertificatesError> for Failure {
    fn from(error: CertificatesError) -> Self {
        let failure = Self::of(Exit::HOST, &error);
        match error {
            CertificatesError::Missing { .. } => {
                failure.hint("both files are PEM: `-----BEGIN CERTIFICATE-----`, `-----BEGIN PRIVATE KEY-----`")
            }
            CertificatesError::Unfit { .. } => {
                failure.hint("the key has to be that of the first certificate in the file")
            }
            CertificatesError::Unreadable { .. } | CertificatesError::Pem { .. } => failure,
        }
    }
}

/// Reads the certificates again whenever that is asked for.
fn read_again(certificates: Option<&Certificates>) -> impl Future<Output = ()> {
    let hangups = certificates.map(|certificates| (certificates, signals::Hangups::caught()));
    async move {
        let Some((certificates, hangups)) = hangups else { return std::future::pending().await };
        let read = || match certificates.reread() {
            Ok(()) => tracing::info!("the certificates were read again"),
            Err(error) => tracing::error!(%error, "the certificates stay as they were"),
        };
        hangups.each(read).await;
    }
}

/// Does what is to be done in time, until the process is to stop.
async fn tend(
    household: &Arc<Household>,
    left: Vec<CutOff>,
    (handlers, requests): (&Arc<Handlers>, Vec<(SpaceName, RunId)>),
    running: &Running,
    idle_millis: u64,
) {
    let tasks = tokio::task::LocalSet::new();
    answer_the_rest(&tasks, handlers, requests, running);
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
            if let Err(error) = household.look_at_due_messages() {
                tracing::warn!(%error, "the messages cannot be read");
            }
            household.hibernate_idle(idle_millis).await;
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = stop => {}
        () = tasks.run_until(async { tokio::join!(work, deliver(&tasks, household)); }) => {}
    }
}

fn ring(tasks: &tokio::task::LocalSet, household: &Arc<Household>, name: SpaceName, timers: Vec<Timer>) {
    let household = Arc::clone(household);
    tasks.spawn_local(async move {
        for timer in timers {
            let why = match household.ring(&name, &timer).await {
                Ok(None) => continue,
                Ok(Some(report)) if report.end.outcome.is_success() && report.conflict.is_none() => continue,
                Err(CallError::NotSet) => continue,
                Err(CallError::Asleep { .. } | CallError::Stopped(_)) => {
                    household.let_timers_wait(&name, SOON);
                    break;
                }
                Ok(Some(report)) => format!("run {}: {}", report.run, report.end.outcome),
                Err(error) => error.to_string(),
            };
            tracing::warn!(guest = %name, timer = %String::from_utf8_lossy(&timer.name), why, "the call of a timer has failed");
            household.timer_failed(&name, &timer, AGAIN);
        }
        household.rang(&name);
    });
}

/// Delivers messages, to so many guests at once.
async fn deliver(tasks: &tokio::task::LocalSet, household: &Arc<Household>) {
    let seats = Arc::new(Semaphore::new(RECEIVERS));
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        let name = household.next_in_line().await;
        let household = Arc::clone(household);
        tasks.spawn_local(async move {
            household.deliver(&name).await;
            drop(seat);
        });
    }
}

/// Goes on with the requests that an earlier process has left, so many at once.
fn answer_the_rest(
    tasks: &tokio::task::LocalSet,
    handlers: &Arc<Handlers>,
    requests: Vec<(SpaceName, RunId)>,
    running: &Running,
) {
    let seats = Arc::new(Semaphore::new(RECEIVERS));
    for (name, run) in requests {
        let Some(resuming) = running.resume(run) else { continue };
        let (handlers, seats) = (Arc::clone(handlers), Arc::clone(&seats));
        tasks.spawn_local(async move {
            let _resuming = resuming;
            let _seat = seats.acquire().await;
            let report = handlers.resume(&name, run, std::future::pending()).await;
            let why = match report {
                Ok(report) if report.conflict.is_none() && report.end.outcome.is_success() => return,
                Ok(RunReport { conflict: Some(what), .. }) => format!("it was overtaken: {what}"),
                Ok(report) => report.end.outcome.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(guest = %name, %run, why, "a request that was cut off has not come to a good end");
        });
    }
}

fn go_on(tasks: &tokio::task::LocalSet, household: &Arc<Household>, run: RunId) {
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
