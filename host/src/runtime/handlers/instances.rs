//! The components of handlers, compiled and linked, on engines whose instances come from a pool: that is what a fresh instance costs little by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::id::Digest;
use reel_abi::resident::Guest;
use reel_abi::vocabulary::CallBegins;
use reel_store::Store;
use wasmtime::component::{Component, InstancePre};

use crate::calls::session::Session;
use crate::engine::cache::CompileError;
use crate::engine::config::Allocation;
use crate::engine::linking::linker;
use crate::runtime::engines::Engines;
use crate::runtime::prepare::{PrepareError, Prepared, compiled, kept};
use crate::runtime::target::Target;

/// Requests at once.
pub const INSTANCES: u32 = 1000;

/// Messages that handlers take at once, and calls of their timers, in all.
pub const OCCASIONS: u32 = 250;

/// Most of a memory that a handler can have, whatever its limits say: that much of the address space is set aside for each instance.
const MEMORY_BYTES: usize = 4 << 30;

/// See the module.
pub struct Instances {
    store: Store,
    engines: Mutex<BTreeMap<u64, Engines>>,
    ready: Mutex<BTreeMap<(Digest, u64), Arc<Linked>>>,
}

struct Linked {
    component: Component,
    linked: InstancePre<Session>,
    /// What answers requests, if it can.
    answers: Option<Arc<Prepared>>,
}

impl Instances {
    /// Of the handlers of a database.
    pub fn new(store: Store) -> Self {
        Self { store, engines: Mutex::default(), ready: Mutex::default() }
    }

    /// What of a handler answers requests.
    pub fn answering(&self, guest: &Guest) -> Result<(Engines, Arc<Prepared>), PrepareError> {
        let (engines, ready) = self.ready(guest)?;
        match &ready.answers {
            Some(answers) => Ok((engines, Arc::clone(answers))),
            None => Err(Target::handler(&engines, &ready.component).err().unwrap_or(PrepareError::NotAHandler(vec![]))),
        }
    }

    /// What of a handler is called for a message or timer.
    pub fn called(&self, guest: &Guest, call: CallBegins) -> Result<(Engines, Prepared), PrepareError> {
        let (engines, ready) = self.ready(guest)?;
        let target =
            Target::Function { linked: ready.linked.clone(), component: ready.component.clone(), call: Box::new(call) };
        Ok((engines, Prepared { digest: guest.component, content: guest.content, target }))
    }

    /// The component of a handler.
    pub fn component(&self, guest: &Guest) -> Result<(Engines, Component), PrepareError> {
        let (engines, ready) = self.ready(guest)?;
        Ok((engines, ready.component.clone()))
    }

    fn ready(&self, guest: &Guest) -> Result<(Engines, Arc<Linked>), PrepareError> {
        let stack = guest.limits.stack_bytes;
        let engines = self.engines(stack)?;
        let known = self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(&(guest.component, stack)).cloned();
        if let Some(known) = known {
            return Ok((engines, known));
        }
        let bytes = kept(&self.store, guest.component, guest.content)?;
        let component = compiled(&self.store, &engines, guest.component, &bytes, &|| ())?;
        let linked = linker(engines.engine(), &component).and_then(|linker| linker.instantiate_pre(&component));
        let linked = linked.map_err(|e| PrepareError::from(CompileError::Compile(format!("{e:#}"))))?;
        let (digest, content) = (guest.component, guest.content);
        let answers = Target::handler(&engines, &component).ok();
        let answers = answers.map(|target| Arc::new(Prepared { digest, content, target }));
        let made = Arc::new(Linked { component, linked, answers });
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((engines, Arc::clone(ready.entry((digest, stack)).or_insert(made))))
    }

    /// Lets go of what is compiled for others than these; runs under way keep theirs.
    pub fn keep_only(&self, components: &[Digest]) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|(component, _), _| components.contains(component));
    }

    /// The engines for a size of stack.
    pub fn engines(&self, stack: u64) -> Result<Engines, PrepareError> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = engines.get(&stack) {
            return Ok(engines.clone());
        }
        let allocation = Allocation::Pooled { instances: INSTANCES + OCCASIONS, memory_bytes: MEMORY_BYTES };
        let made = Engines::new(&allocation, stack).map_err(|error| PrepareError::engine(&error))?;
        Ok(engines.entry(stack).or_insert(made).clone())
    }
}
