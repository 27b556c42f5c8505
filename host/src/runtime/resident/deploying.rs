//! Putting a guest into a space: its component, its configuration, and its birth.

use std::future::Future;
use std::pin::pin;

use reel_abi::id::{Digest, SpaceName, WallTime};
use reel_abi::limits::Limits;
use reel_abi::outcome::DirGrant;
use reel_abi::resident::{Entry, Guest, GuestKind, OnCrash};
use reel_store::AppendError;
use thiserror::Error;

use super::calling::{Attempt, Attempted, Beginning, CallError, CallReport, Over};
use super::function;
use super::household::{Awake, Household, finish};
use super::receiving::subscribed;
use super::schedule::{Schedule, check};
use crate::runtime::again::Streams;
use crate::runtime::prepare::PrepareError;
use crate::runtime::run::{ATTEMPTS, OPTIMISTIC_ATTEMPTS};
use crate::txn::values::keep;

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// The name of the guest, and of its space.
    pub name: SpaceName,
    /// The binary: a component, or a core module for WASI preview 1.
    pub bytes: Vec<u8>,
    /// What to call it.
    pub program: String,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Host directories.
    pub dirs: Vec<DirGrant>,
    /// Places in the network, each `HOST:PORT`.
    pub net: Vec<String>,
    /// Guests that it may call.
    pub calls: Vec<SpaceName>,
    /// Which requests it answers.
    pub routes: Vec<String>,
    /// Bounds of each call.
    pub limits: Limits,
    /// What becomes of a call that a crash cut off.
    pub on_crash: OnCrash,
    /// Which messages it takes.
    pub subscriptions: Vec<Wanted>,
    /// When it is called by itself.
    pub schedules: Vec<Schedule>,
}

/// That a guest is to take the messages of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The topic.
    pub topic: String,
    /// The function that takes them; nothing for that of `reel:guest/inbox`.
    pub function: Option<String>,
    /// How often one is tried before it is a dead letter.
    pub attempts: u32,
}

/// Why a guest cannot be deployed.
#[derive(Debug, Error)]
pub enum DeployError {
    /// It exports nothing that can be called.
    #[error("it exports no function, so that there is nothing to call")]
    NothingToCall,
    /// The component, or its birth.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The database cannot keep it.
    #[error("keeping the component: {0}")]
    Keep(#[from] AppendError),
}

impl From<PrepareError> for DeployError {
    fn from(error: PrepareError) -> Self {
        Self::Call(error.into())
    }
}

impl Household {
    /// Deploys a guest, or another component or configuration in its place: a new life begins, in the space as it is. Returns when its birth is
    /// durable, or has failed; then nothing has changed.
    pub async fn deploy(
        &self,
        request: &DeployRequest,
        interrupt: impl Future<Output = ()>,
        on_compile: &dyn Fn(),
    ) -> Result<CallReport, DeployError> {
        let digest = Digest::of(&request.bytes);
        let ready = self.ready_of(digest, &request.bytes, request.limits.stack_bytes, on_compile)?;
        if function::functions(ready.engines.engine(), &ready.component).is_empty() {
            return Err(DeployError::NothingToCall);
        }
        let subscriptions = subscribed(request, ready.engines.engine(), &ready.component).map_err(CallError::from)?;
        check(request, ready.engines.engine(), &ready.component).map_err(CallError::from)?;
        let guest = Guest {
            kind: GuestKind::Resident,
            at: WallTime(self.clock.wall()),
            component: digest,
            content: keep(self.store.blobs(), &request.bytes)?,
            program: request.program.clone(),
            env: request.env.clone(),
            dirs: request.dirs.clone(),
            net: request.net.clone(),
            calls: request.calls.clone(),
            routes: request.routes.clone(),
            limits: request.limits.clone(),
            on_crash: request.on_crash.clone(),
            name: request.name.clone(),
            subscriptions,
        };
        let room = self.room(&request.name);
        let mut room = room.lock().await;
        finish(&mut room);
        let mut interrupt = pin!(interrupt);
        let (mut run, mut attempt) = (self.store.next_run(), 1);
        let turn = ready.engines.turns().of(&request.name);
        loop {
            if attempt > OPTIMISTIC_ATTEMPTS {
                turn.give_back();
                turn.take().await;
            }
            // The calls before it may not be durable yet.
            let base = self.store.newest_or_new(&request.name).map_err(CallError::from)?;
            let mut world = self.world_of(&guest)?;
            let (streams, console) = Streams::new(std::mem::take(&mut world.console), true);
            world.console = console;
            let birth = Attempt {
                store: &self.store,
                ready: &ready,
                run,
                name: &request.name,
                base,
                guest: &guest,
                life: None,
                entry: Entry::Birth,
                turn: &turn,
                again: attempt < ATTEMPTS,
                body: None,
                sleeps_after: self.habits.sleeps_after,
                topics: self.topics(),
                beginning: Beginning::Fresh,
                schedules: &request.schedules,
            };
            match birth.make(world, None, interrupt.as_mut()).await? {
                Attempted::Over(over) => {
                    let Over { mut made, lives, .. } = *over;
                    made.streams = Some(streams);
                    if let Some((instance, life, head)) = lives {
                        if ready.plan_for(&instance).is_ok() {
                            instance.settle(&ready.births).map_err(|e| CallError::World(e.to_string()))?;
                        }
                        let (used, seat) = (self.clock.monotonic(), self.seat().await);
                        let (pages, debt, saving) = Default::default();
                        room.awake =
                            Some(Awake { instance, ready, guest, life, head, used, pages, debt, _seat: seat, saving });
                    }
                    let (report, _) = made.durable(self).await?;
                    self.is_deployed(&request.name);
                    return Ok(CallReport { attempts: attempt, ..report });
                }
                Attempted::Overtaken(next) => run = next,
                Attempted::Asleep(_) => return Err(CallError::NotResumable(run, "it is not born yet").into()),
            }
            attempt += 1;
        }
    }
}
