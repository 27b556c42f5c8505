//! Putting a handler into a space. It has no birth: a version of the space that names it is all there is to it.

use std::sync::Arc;

use reel_abi::id::{Digest, RunId, WallTime};
use reel_abi::record::{Cell, CellValue, family};
use reel_abi::resident::{CHECKPOINT_KEY, GUEST_KEY, Guest, GuestKind, LIFE_KEY};
use reel_store::{AppendError, Head};
use thiserror::Error;

use super::answering::Handlers;
use crate::port::Clock;
use crate::runtime::prepare::{PrepareError, compiled};
use crate::runtime::resident::DeployRequest;
use crate::runtime::resident::cells::{CellsError, cell};
use crate::runtime::resident::checkpoint::{self, CheckpointError, page_keys};
use crate::runtime::resident::function::{FunctionError, functions};
use crate::runtime::resident::receiving::subscribed;
use crate::runtime::resident::schedule::{self, check};
use crate::runtime::target::Target;
use crate::txn::values::keep;

/// How often it is tried beside others who change the space.
const ATTEMPTS: u32 = 10;

/// Why a handler cannot be deployed.
#[derive(Debug, Error)]
pub enum DeployHandlerError {
    /// Its component cannot run here.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Messages or timers of it cannot be delivered: it has no such function.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The space cannot be read.
    #[error(transparent)]
    Cells(#[from] CellsError),
    /// The database cannot keep it.
    #[error("keeping the component: {0}")]
    Keep(#[from] AppendError),
    /// The version could not be made.
    #[error(transparent)]
    Commit(#[from] CheckpointError),
}

impl Handlers {
    /// Deploys a handler, or another component or configuration in its place. Returns the run that did it and the version of
    /// the space that it begins with, once that is durable.
    pub fn deploy(
        &self,
        request: &DeployRequest,
        clock: &Arc<dyn Clock>,
        on_compile: &dyn Fn(),
    ) -> Result<(RunId, Head), DeployHandlerError> {
        let digest = Digest::of(&request.bytes);
        let engines = self.instances.engines(request.limits.stack_bytes)?;
        let component = compiled(&self.store, &engines, digest, &request.bytes, on_compile)?;
        let answers = match Target::handler(&engines, &component) {
            Ok(_) => true,
            Err(error) if functions(engines.engine(), &component).is_empty() => return Err(error.into()),
            Err(_) => false,
        };
        let subscriptions = subscribed(request, engines.engine(), &component)?;
        check(request, engines.engine(), &component)?;
        let guest = Guest {
            kind: GuestKind::Handler,
            name: request.name.clone(),
            subscriptions,
            at: WallTime(clock.wall()),
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
        };
        if answers {
            // Before anybody can ask for it.
            self.instances.answering(&guest)?;
        }
        let mut attempt = 1;
        loop {
            let base = self.store.newest_or_new(&request.name).map_err(CellsError::from)?;
            let mut cells = vec![cell(self.store.blobs(), GUEST_KEY, &guest).map_err(CheckpointError::Halt)?];
            // What a resident was before, it is not any more.
            let gone = |family, key: Vec<u8>| Cell { family, key: key.into(), value: CellValue::Tombstone };
            cells.extend([LIFE_KEY, CHECKPOINT_KEY].map(|key| gone(family::RESIDENT, key.to_vec())));
            let view = self.store.view(base).map_err(CellsError::from)?;
            let pages = page_keys(&view).map_err(CellsError::from)?;
            cells.extend(pages.into_iter().map(|key| gone(family::PAGE, key)));
            let (timers, more) = schedule::cells(&self.store, &view, &request.schedules, guest.at)?;
            cells.extend(timers);
            let counters = if more == 0 { Vec::new() } else { vec![schedule::keys(more)] };
            cells.sort_by(|one, other| (one.family, &one.key.0).cmp(&(other.family, &other.key.0)));
            match checkpoint::commit_counted(&self.store, clock, "deploy", (&request.name, base), cells, counters) {
                Err(CheckpointError::Append(AppendError::Conflict { .. })) if attempt < ATTEMPTS => attempt += 1,
                made => {
                    let made = made?;
                    if let Some(residents) = &self.residents {
                        residents.is_deployed(&request.name);
                    }
                    return Ok(made);
                }
            }
        }
    }
}
