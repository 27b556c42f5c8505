//! Components as retries need them: compiled once for all runs and threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::id::{Digest, RunId, Seq};
use reel_abi::vocabulary::{Call, CallBegins, HttpRequest};
use reel_store::Store;

use super::case::Case;
use crate::engine::config::Allocation;
use crate::engine::tracker::Tracker;
use crate::runtime::engines::Engines;
use crate::runtime::prepare::{PrepareError, compiled, kept, ready, refuse_missing};
use crate::runtime::replay::events;
use crate::runtime::resident::instance::Ready;
use crate::runtime::resident::preparing::component;
use crate::runtime::target::Target;

/// Instances of handlers at once, in all threads.
pub(super) const INSTANCES: u32 = 64;

/// Most of a memory that a handler can have: that much of the address space is set aside for each instance.
const MEMORY_BYTES: usize = 4 << 30;

/// A binary.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its bytes, as they were given.
    pub bytes: Arc<Vec<u8>>,
    /// Their digest.
    pub digest: Digest,
}

impl Program {
    /// One that a user gave.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes), bytes: Arc::new(bytes) }
    }
}

/// What of a component a run executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Command,
    Handler,
    Function,
}

/// What is compiled.
pub(super) struct Programs {
    store: Store,
    engines: Mutex<BTreeMap<(u64, bool), Engines>>,
    targets: Mutex<BTreeMap<(Digest, u64, Part), Target>>,
    residents: Mutex<BTreeMap<(Digest, u64), Arc<Ready>>>,
    recorded: Mutex<BTreeMap<Digest, Program>>,
}

impl Programs {
    pub fn new(store: Store) -> Self {
        let (engines, targets, residents, recorded) = Default::default();
        Self { store, engines, targets, residents, recorded }
    }

    /// What of a component a run of a fresh instance executes.
    pub fn target(&self, case: &Case<'_>, program: &Program) -> Result<(Engines, Target), PrepareError> {
        let part = match &case.call {
            Some(_) => Part::Function,
            None if self.answers(case.record.run)? => Part::Handler,
            None => Part::Command,
        };
        let stack = case.there.begin.limits.stack_bytes;
        let engines = self.engines(stack, part != Part::Command)?;
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let target = match targets.get(&(program.digest, stack, part)) {
            Some(target) => target.clone(),
            None => {
                let target = self.make(&engines, program, part, case.call.as_ref())?;
                targets.entry((program.digest, stack, part)).or_insert(target).clone()
            }
        };
        let target = match (target, &case.call) {
            (Target::Function { linked, component, .. }, Some(call)) => {
                Target::Function { linked, component, call: Box::new(call.clone()) }
            }
            (target, _) => target,
        };
        Ok((engines, target))
    }

    /// A component as that of a resident.
    pub fn ready(&self, case: &Case<'_>, program: &Program) -> Result<Arc<Ready>, PrepareError> {
        let stack = case.there.begin.limits.stack_bytes;
        let engines = self.engines(stack, false)?;
        let mut residents = self.residents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = residents.get(&(program.digest, stack)) {
            return Ok(Arc::clone(ready));
        }
        let (component, plan) = component(&self.store, &engines, program.digest, &program.bytes, &|| ())?;
        refuse_missing(&engines, &component)?;
        let ready = Ready::new(&engines, component, plan, Tracker::Best);
        let ready = Arc::new(ready.map_err(|error| PrepareError::engine(&error))?);
        Ok(Arc::clone(residents.entry((program.digest, stack)).or_insert(ready)))
    }

    /// The engine for commands and residents with such a stack, or that for handlers, whose instances come from a pool.
    pub fn engines(&self, stack: u64, pooled: bool) -> Result<Engines, PrepareError> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = engines.get(&(stack, pooled)) {
            return Ok(engines.clone());
        }
        let made = match pooled {
            true => Engines::new(&Allocation::Pooled { instances: INSTANCES, memory_bytes: MEMORY_BYTES }, stack),
            false => Engines::for_commands(stack),
        };
        let made = made.map_err(|error| PrepareError::engine(&error))?;
        Ok(engines.entry((stack, pooled)).or_insert(made).clone())
    }

    /// The component that a run executed then.
    pub fn recorded(&self, case: &Case<'_>) -> Result<Program, PrepareError> {
        let begin = &case.there.begin;
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = recorded.get(&begin.component) {
            return Ok(program.clone());
        }
        let bytes = kept(&self.store, begin.component, begin.content)?;
        let program = Program { digest: begin.component, bytes: Arc::new(bytes) };
        Ok(recorded.entry(begin.component).or_insert(program).clone())
    }

    fn make(
        &self,
        engines: &Engines,
        program: &Program,
        part: Part,
        call: Option<&CallBegins>,
    ) -> Result<Target, PrepareError> {
        let Program { bytes, digest } = program;
        match (part, call) {
            (Part::Function, Some(call)) => {
                let component = compiled(&self.store, engines, *digest, bytes, &|| ())?;
                Target::function(engines, component, call.clone())
            }
            (Part::Handler, _) => Target::handler(engines, &compiled(&self.store, engines, *digest, bytes, &|| ())?),
            (Part::Command | Part::Function, _) => ready(&self.store, engines, *digest, bytes, &|| ()),
        }
    }

    /// Whether a run answers a request.
    fn answers(&self, run: RunId) -> Result<bool, PrepareError> {
        Ok(events(&self.store, run, Seq(1), 1)?.first().is_some_and(|(_, event)| event.code == HttpRequest::CODE))
    }
}
