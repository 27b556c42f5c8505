//! The component of a resident, compiled with what gets at its state.

use std::sync::Mutex;

use reel_abi::id::Digest;
use reel_store::Store;
use wasmtime::component::Component;

use super::instance::Ready;
use crate::engine::cache::{Cache, CompileError, compile};
use crate::engine::component::componentize;
use crate::engine::instrument::{INSTRUMENT_VERSION, Plan, instrument, survey};
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
    let name = Digest::of(&[b"instrumented".as_slice(), &INSTRUMENT_VERSION.to_le_bytes(), &digest.0].concat());
    let (component, known) = Cache::new(store).made(engines.engine(), name, || {
        on_compile();
        let binary = componentize(bytes)?;
        let plan = survey(&binary).map_err(|obstacles| obstacles.to_string());
        let component = match &plan {
            Ok(_) => compile(engines.engine(), &instrument(&binary).map_err(refused)?.bytes)?,
            Err(_) => compile(engines.engine(), &binary)?,
        };
        Ok((component, serde_json::to_vec(&plan).map_err(refused)?))
    })?;
    let plan = serde_json::from_slice(&known).map_err(|error| PrepareError::from(refused(error)))?;
    Ok((component, plan))
}

fn refused(error: impl std::fmt::Display) -> CompileError {
    CompileError::Compile(error.to_string())
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
