//! Answering a request.

use std::sync::Arc;

use reel_abi::http::{Fields, HttpCode, HttpFault, RequestHead, ResponseHead};
use reel_abi::id::{Digest, SpaceName};
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::resident::{Guest, GuestKind};
use reel_abi::trace::Trace;
use reel_store::Store;
use thiserror::Error;

use super::instances::Instances;
use super::known::{Known, Seen};
use crate::calls::http::state::{Answer, Http, Reply, Written};
use crate::port::Input;
use crate::runtime::joined::Guests;
use crate::runtime::prepare::PrepareError;
use crate::runtime::replay::ReplayError;
use crate::runtime::resident::cells::CellsError;
use crate::runtime::resident::household::{Household, World};
use crate::runtime::resident::{CallError, CallReport};
use crate::runtime::run::{HttpWorld, RunError, RunReport, RunRequest, attempt};

/// The handlers of a database.
pub struct Handlers {
    pub(super) store: Store,
    pub(super) world: Arc<World>,
    pub(super) callees: Arc<Guests>,
    /// Those among them that keep their memory.
    pub(super) residents: Option<Arc<Household>>,
    pub(super) known: Known,
    pub(super) instances: Arc<Instances>,
}

/// A request that has arrived.
pub struct Arrived {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: Box<dyn Input>,
    /// Where the answer goes that leaves before the end.
    pub reply: Box<dyn Reply>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

impl Arrived {
    /// Method and path, for people.
    pub fn line(&self) -> String {
        format!("{} {}", self.head.method, self.head.path.as_deref().unwrap_or_default())
    }
}

/// An answer that may leave.
#[derive(Debug)]
pub struct Answered {
    /// The run.
    pub report: RunReport,
    /// The head; nothing if it has left, or why there is none.
    pub head: Result<Option<ResponseHead>, HttpFault>,
    /// What of the body has not left.
    pub body: Vec<u8>,
    /// What follows the body.
    pub trailers: Fields,
}

/// Why a request has no run.
#[derive(Debug, Error)]
pub enum HandleError {
    /// Nothing was deployed under the name, or something that answers no requests by itself.
    #[error("no handler was deployed as {0}")]
    NoSuchHandler(SpaceName),
    /// It takes no requests.
    #[error("{0} is stopped")]
    Stopped(SpaceName),
    /// What lies in its space cannot be read.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// Its component cannot run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The world cannot be set up.
    #[error("{0}")]
    World(String),
    /// The resident cannot be called.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A request that was cut off cannot be gone on with.
    #[error(transparent)]
    Resume(#[from] ReplayError),
    /// The run failed, or its record.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Handlers {
    /// The handlers of a database.
    pub fn new(store: Store, world: Box<World>, residents: Option<Arc<Household>>) -> Self {
        let world: Arc<World> = world.into();
        let callees = Arc::new(Guests::new(store.clone(), Arc::clone(&world)));
        let instances = residents.as_ref().map(|residents| Arc::clone(&residents.instances));
        let instances = instances.unwrap_or_else(|| Arc::new(Instances::new(store.clone())));
        Self { store, world, callees, residents, known: Known::default(), instances }
    }

    /// Answers a request. Returns when the run, and all it committed, is durable.
    pub async fn handle(&self, name: &SpaceName, arrived: Arrived) -> Result<Answered, HandleError> {
        let nobody = || HandleError::NoSuchHandler(name.clone());
        let Seen { guest, stopped, .. } = self.known.guest(&self.store, name)?.ok_or_else(nobody)?;
        if stopped {
            return Err(HandleError::Stopped(name.clone()));
        }
        if guest.kind != GuestKind::Handler {
            let residents = self.residents.as_ref().ok_or_else(nobody)?;
            let line = arrived.line();
            let (report, http) = residents.answer(name, arrived).await?;
            let CallReport { run, end, undelivered, conflict, attempts, .. } = report;
            let (posted, timed) = Default::default();
            let rolled_back = !matches!(end.disposition, Disposition::Committed { .. });
            let escaped = if rolled_back { http.escaped() } else { Vec::new() };
            let report = RunReport { run, end, undelivered, conflict, attempts, posted, timed, escaped };
            warn(name, &line, &report);
            return Ok(answered(report, http).await);
        }
        let (engines, prepared) = self.instances.answering(&guest)?;
        let mut world = (self.world)(&guest).map_err(HandleError::World)?;
        let line = arrived.line();
        let Arrived { head, body, reply, trace } = arrived;

        world.callees = Some(Arc::clone(&self.callees));
        world.console.stdin = Some(body);
        let HttpWorld { client, .. } = world.http;
        world.http = HttpWorld { request: Some(head), reply: Some(reply), client, key: String::new(), trace };
        let request = RunRequest {
            bytes: Vec::new(),
            name: name.to_string(),
            args: vec![line.clone()],
            env: guest.env.clone(),
            dirs: guest.dirs.clone(),
            net: guest.net.clone(),
            calls: guest.calls.clone(),
            limits: guest.limits.clone(),
            space: name.clone(),
            commit_on_failure: false,
            hold_output: true,
        };
        let (report, http) = attempt(&self.store, &engines, &prepared, request, world, std::future::pending()).await?;
        self.known.executed(name, report.attempts);
        warn(name, &line, &report);
        if let Some(residents) = &self.residents {
            residents.has_committed(&report.posted, &report.timed);
        }
        Ok(answered(report, http).await)
    }

    /// Whether requests of a guest are better executed on one thread.
    pub fn crowds(&self, name: &SpaceName) -> bool {
        self.known.crowds(name)
    }

    /// Compiles and links a handler, so that its first request need not wait for that.
    pub fn prepare(&self, guest: &Guest) -> Result<(), HandleError> {
        Ok(self.instances.answering(guest).map(drop)?)
    }

    /// Lets go of what is compiled for others than these; requests under way keep theirs.
    pub fn keep_only(&self, components: &[Digest]) {
        self.instances.keep_only(components);
    }
}

/// Says that a request has failed, and what its run had asked of others before it was rolled back.
fn warn(name: &SpaceName, line: &str, report: &RunReport) {
    if !report.end.outcome.is_success() {
        // A reason is in the guest's words: as a field, it is escaped.
        let why = report.end.outcome.to_string();
        tracing::warn!(guest = %name, run = %report.run, request = line, why, "a request has failed");
    }
    for request in &report.escaped {
        tracing::warn!(guest = %name, run = %report.run, request, "rolled back, but this had left");
    }
}

/// What may leave of the answer. One that has begun to leave is ended here.
async fn answered(report: RunReport, mut http: Http) -> Answered {
    let said = match &report.end.outcome {
        Outcome::Exit { code: 0 } => report.conflict.is_none(),
        // It has answered and then failed in its own words.
        Outcome::Aborted { .. } => true,
        _ => false,
    };
    let Answer { head, body } = match http.answer.take() {
        Some(answer) if said => answer,
        _ => Answer { head: Err(HttpFault::of(HttpCode::InternalError)), body: None },
    };
    let written = body.and_then(|body| http.written(body).map(std::mem::take));
    let Written { bytes, finished, trailers, .. } =
        written.unwrap_or_else(|| Written { finished: true, ..Written::default() });
    let whole = head.is_ok() && finished;
    if let (true, Some(mut reply)) = (http.begun, http.reply.take()) {
        if whole {
            let _ = reply.send(None, bytes).await;
        }
        reply.end(whole.then_some(trailers)).await;
        return Answered { report, head: Ok(None), body: Vec::new(), trailers: Vec::new() };
    }
    let head = match head {
        Ok(_) if !whole => Err(HttpFault::of(HttpCode::HttpResponseIncomplete)),
        head => head.map(Some),
    };
    Answered { report, head, body: bytes, trailers }
}
