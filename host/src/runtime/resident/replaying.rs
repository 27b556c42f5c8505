//! Executing one call of a resident again, from the log, on the guest as it was before.

use std::sync::Arc;

use reel_abi::id::RunId;
use reel_abi::outcome::RunBegin;
use reel_abi::resident::Life;
use reel_abi::vocabulary::CallBegins;
use reel_store::{Head, Store};
use wasmtime::component::Component;

use super::cells::lodging;
use super::instance::{Instance, Ready};
use super::waking::{Again, Relived, WakeError, wake};
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
        let Self { store, engines, component, plan, run, begin, call, clock, console, options } = self;
        let ready = Ready::new(engines, component, plan, Tracker::Best)
            .map_err(|error| WakeError::Engine(format!("{error:#}")))?;
        let (instance, born) = match before(store, &ready, begin, &call, clock).await? {
            Some((instance, life)) => (Some(instance), Some(life.born)),
            None => (None, None),
        };
        Again { store, run, born, clock, console, options }.relive(&ready, instance).await
    }
}

/// Brings a guest back as it was before a call, with its life until then; nothing before its birth.
pub(super) async fn before(
    store: &Store,
    ready: &Ready,
    begin: &RunBegin,
    call: &CallBegins,
    clock: &Arc<dyn Clock>,
) -> Result<Option<(Instance, Life)>, WakeError> {
    let Some(before) = call.after else { return Ok(None) };
    let head = Head { segment: begin.segment, version: begin.version };
    let lodging = lodging(store, head)?.ok_or(WakeError::Missing(before))?;
    let life = lodging.life.clone().filter(|life| life.last == before).ok_or(WakeError::Missing(before))?;
    let woken = wake(store, ready, &lodging, &life, clock).await?;
    Ok(Some((woken.instance, life)))
}
