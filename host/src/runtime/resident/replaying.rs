//! Executing one call of a resident again, from the log, on the guest as it was before.

use std::sync::Arc;

use reel_abi::id::{Digest, RunId};
use reel_abi::outcome::RunBegin;
use reel_abi::resident::Life;
use reel_abi::vocabulary::CallBegins;
use reel_store::{Head, Store};
use wasmtime::component::Component;

use super::cells::{Lodging, lodging};
use super::instance::{Instance, Ready};
use super::waking::{Again, Relived, WakeError, again, since, wake};
use crate::calls::session::Console;
use crate::engine::instrument::Plan;
use crate::engine::tracker::Tracker;
use crate::port::Clock;
use crate::runtime::Engines;
use crate::runtime::run::GateOptions;

/// A call that is to be executed again.
pub(crate) struct CallReplay<'a> {
    pub store: &'a Store,
    pub engines: &'a Engines,
    pub component: Component,
    /// The digest of that component.
    pub digest: Digest,
    pub plan: Result<Plan, String>,
    pub run: RunId,
    pub begin: &'a RunBegin,
    pub call: CallBegins,
    pub clock: &'a Arc<dyn Clock>,
    pub console: Console,
    pub options: GateOptions,
}

impl CallReplay<'_> {
    /// Brings the guest back as it was before the call, and executes that.
    pub async fn replay(self) -> Result<Relived, WakeError> {
        let Self { store, engines, component, digest, plan, run, begin, call, clock, console, options } = self;
        let ready = Ready::new(engines, component, plan, Tracker::Best)
            .map_err(|error| WakeError::Engine(format!("{error:#}")))?;
        let (instance, born) = match before(store, &ready, digest, begin, &call, clock).await? {
            Some((instance, life)) => (Some(instance), Some(life.born)),
            None => (None, None),
        };
        Again { store, run, born, clock, console, options }.relive(&ready, instance).await
    }
}

/// Brings a guest back as it was before a call, with its life until then; nothing before its birth. `component` is the one that is `ready`.
pub(in crate::runtime) async fn before(
    store: &Store,
    ready: &Ready,
    component: Digest,
    begin: &RunBegin,
    call: &CallBegins,
    clock: &Arc<dyn Clock>,
) -> Result<Option<(Instance, Life)>, WakeError> {
    let Some((mut lodging, life)) = lodged(store, begin, call)? else { return Ok(None) };
    // Checkpoints are of the one that lives there.
    lodging.guest.component = component;
    let woken = wake(store, ready, &lodging, &life, clock).await?;
    Ok(Some((woken.instance, life)))
}

/// The calls of a life before one of its calls, the birth first; from the one after another one on, if that is given with its birth. Nothing if that is
/// none of them.
pub(in crate::runtime) fn calls_before(
    store: &Store,
    begin: &RunBegin,
    call: &CallBegins,
    from: Option<(RunId, RunId)>,
) -> Result<Option<Vec<RunId>>, WakeError> {
    let Some((_, life)) = lodged(store, begin, call)? else { return Ok(Some(Vec::new())) };
    let mut runs = Vec::new();
    match from {
        Some((birth, _)) if birth != life.birth => return Ok(None),
        Some((_, last)) if !since(store, &life, last, &mut runs)? => return Ok(None),
        Some(_) => {}
        None if !since(store, &life, life.birth, &mut runs)? => return Err(WakeError::Missing(life.birth)),
        None => runs.push(life.birth),
    }
    runs.reverse();
    Ok(Some(runs))
}

/// What lay in its space before a call, and the life until then; nothing before its birth.
fn lodged(store: &Store, begin: &RunBegin, call: &CallBegins) -> Result<Option<(Lodging, Life)>, WakeError> {
    let Some(before) = call.after else { return Ok(None) };
    let head = Head { segment: begin.segment, version: begin.version };
    let lodging = lodging(store, head)?.ok_or(WakeError::Missing(before))?;
    let life = lodging.life.clone().filter(|life| life.last == before).ok_or(WakeError::Missing(before))?;
    Ok(Some((lodging, life)))
}

/// A resident that has lived a part of a life again, so that the next part need not begin with its birth.
pub(in crate::runtime) struct Living {
    /// It, awake.
    pub instance: Instance,
    /// Its life until then.
    pub life: Life,
}

impl Living {
    /// Brings it to where it was before a call, if that comes later in its life; else it is given back as it is.
    pub async fn before(
        self,
        store: &Store,
        ready: &Ready,
        begin: &RunBegin,
        call: &CallBegins,
        clock: &Arc<dyn Clock>,
    ) -> Result<Result<Self, Self>, WakeError> {
        let Some((_, life)) = lodged(store, begin, call)? else { return Ok(Err(self)) };
        let mut runs = Vec::new();
        if life.birth != self.life.birth || !since(store, &life, self.life.last, &mut runs)? {
            return Ok(Err(self));
        }
        let mut instance = self.instance;
        for run in runs.iter().rev() {
            instance = again(store, ready, Some(instance), *run, Some(life.born), clock).await?;
        }
        Ok(Ok(Self { instance, life }))
    }
}
