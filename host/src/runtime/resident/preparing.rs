//! The component of a resident, compiled with what gets at its state.

use std::sync::Mutex;

use reel_abi::id::Digest;
use reel_store::Store;
use wasmtime::component::Component;

use super::instance::Ready;
use crate::engine::cache::{Cache, CompileError, compile};
use crate::engine::component::componentize;
use crate::engine::instrument::{INSTRUMENT_VERSION, NotInstrumented, Plan, instrument, survey};
use crate::engine::linking::linker;
use crate::engine::tracker::Tracker;
use crate::runtime::Engines;
use crate::runtime::prepare::{PrepareError, refuse_foreign};

/// Compiles a component, or takes it from the cache; also how its state is got at, or why it cannot be.
pub(crate) fn component(
    store: &Store,
    engines: &Engines,
    digest: Digest,
    bytes: &[u8],
    on_compile: &dyn Fn(),
) -> Result<(Component, Result<Plan, String>), PrepareError> {
    refuse_foreign(bytes)?;
    let binary = componentize(bytes).map_err(CompileError::from)?;
    let plan = survey(&binary).map_err(|obstacles| obstacles.to_string());
    let cache = Cache::new(store);
    if plan.is_err() {
        return Ok((cache.component(engines.engine(), digest, bytes, on_compile)?, plan));
    }
    let name = Digest::of(&[b"instrumented".as_slice(), &INSTRUMENT_VERSION.to_le_bytes(), &digest.0].concat());
    let component = cache.made(engines.engine(), name, || {
        on_compile();
        let refused = |error: NotInstrumented| CompileError::Compile(error.to_string());
        compile(engines.engine(), &instrument(&binary).map_err(refused)?.bytes)
    })?;
    Ok((component, plan))
}

impl Ready {
    /// The component linked.
    pub fn new(
        engines: &Engines,
        component: Component,
        plan: Result<Plan, String>,
        tracker: Tracker,
    ) -> wasmtime::Result<Self> {
        let linked = linker(engines.engine(), &component)?.instantiate_pre(&component)?;
        Ok(Self { engines: engines.clone(), component, linked, plan, tracker, births: Mutex::default() })
    }
}
