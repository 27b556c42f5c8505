//! The engine's side of one resident: its store, its instance, its memories.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reel_abi::types::Handle;
use wasmtime::AsContextMut;
use wasmtime::component::{Component, Instance as Instantiated, InstancePre, Resource, Val};

use super::function::FunctionName;
use crate::calls::named::Named;
use crate::calls::session::Session;
use crate::engine::image::{Image, ImageError};
use crate::engine::instrument::Plan;
use crate::engine::memory::GuestMemories;
use crate::engine::tracker::Tracker;
use crate::gate::Halt;
use crate::runtime::Engines;
use crate::runtime::drive::{Bounds, Stop, bounded, new_store, stop_of};

/// A component that residents can be made of.
pub(crate) struct Ready {
    /// The engines it was compiled for.
    pub engines: Engines,
    /// The compiled component.
    pub component: Component,
    /// The component with its imports.
    pub linked: InstancePre<Session>,
    /// How its state is got at; or why it cannot be, so that it is served by replay alone.
    pub plan: Result<Plan, String>,
    /// How the pages are found that one of them has changed.
    pub tracker: Tracker,
    /// What the memories of those born of it are like, if they are all alike: the digest and the content.
    pub births: Mutex<Option<(u64, Arc<Image>)>>,
}

/// A resident that is awake.
pub(crate) struct Instance {
    store: wasmtime::Store<Session>,
    instance: Instantiated,
    memories: GuestMemories,
    stack: u64,
}

impl Instance {
    /// Instantiates a component: the birth of a resident. What it does meanwhile passes the session's gate. An error has what is left of it.
    pub async fn born(
        ready: &Ready,
        session: Session,
        bounds: Bounds<impl Future<Output = ()>>,
    ) -> Result<Self, (Stop, Session, GuestMemories)> {
        let memories = GuestMemories::with_tracker(ready.tracker);
        let stack = session.gate.limits().stack_bytes;
        let mut store = new_store(&ready.engines, session);
        match bounded(&memories, bounds, ready.linked.instantiate_async(&mut store)).await {
            Ok(instance) => Ok(Self { store, instance, memories, stack }),
            Err(error) => Err((stop_of(error, stack), store.into_data(), memories)),
        }
    }

    /// Its side of the host.
    pub fn session(&mut self) -> &mut Session {
        self.store.data_mut()
    }

    /// The session of the next call in the place of that of the last one.
    pub fn enter(&mut self, session: Session) {
        let before = std::mem::replace(self.store.data_mut(), session);
        self.store.data_mut().inherit(before);
    }

    /// Calls an exported function. After an error the instance is of no use any more.
    pub async fn call(
        &mut self,
        name: &FunctionName,
        results: usize,
        args: &[Val],
        bounds: Bounds<impl Future<Output = ()>>,
    ) -> Result<Vec<Val>, Stop> {
        let Self { store, instance, memories, stack } = self;
        let export = match &name.interface {
            None => instance.get_export_index(&mut *store, None, &name.function),
            Some(interface) => instance
                .get_export_index(&mut *store, None, interface)
                .and_then(|index| instance.get_export_index(&mut *store, Some(&index), &name.function)),
        };
        let function = export.and_then(|export| instance.get_func(&mut *store, export));
        let Some(function) = function else {
            return Err(stop_of(Halt::Host(format!("the function {name} is gone")).into(), *stack));
        };
        let mut values = vec![Val::Bool(false); results];
        let work = function.call_async(&mut *store, args, &mut values);
        match bounded(memories, bounds, work).await {
            Ok(()) => Ok(values),
            Err(error) => Err(stop_of(error, *stack)),
        }
    }

    /// Calls a function that was added when the component was instrumented, which asks nothing of the host.
    pub async fn call_added(&mut self, name: &str, results: usize, args: &[Val]) -> Result<Vec<Val>, Stop> {
        let name = FunctionName { interface: None, function: name.to_owned() };
        self.call(&name, results, args, unbounded()).await
    }

    /// Hands a handle to the guest, by the function that takes those of its type; the number under which the guest has it.
    pub async fn adopt(&mut self, adopt: &str, named: &Named, number: u32) -> Result<u32, Stop> {
        let own = named.own(number, self.store.as_context_mut());
        let own = own.map_err(|error| stop_of(error, self.stack))?;
        match self.call_added(adopt, 1, &[Val::Resource(own)]).await?.first() {
            Some(Val::U32(index)) => Ok(*index),
            _ => Err(stop_of(Halt::Host("a handle was handed in, and no number came back".into()).into(), self.stack)),
        }
    }

    /// Something of the host's that the guest gets as an argument.
    pub fn hand_over<T: 'static>(&mut self, handle: Handle) -> Result<Val, Stop> {
        let any = Resource::<T>::new_own(handle.0).try_into_resource_any(&mut self.store);
        any.map(Val::Resource).map_err(|error| stop_of(error, self.stack))
    }

    /// Its memories.
    pub fn memories(&self) -> &GuestMemories {
        &self.memories
    }

    /// Lets its memories be a private view of the content that they have: the one of all that were born of the component, if it is the same.
    pub fn settle(&self, births: &Mutex<Option<(u64, Arc<Image>)>>) -> Result<(), ImageError> {
        let digest = self.memories.digest().unwrap_or_default();
        let mut known = births.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, image)) = &*known
            && *same == digest
        {
            return self.memories.adopt(image);
        }
        let image = self.memories.copy()?;
        self.memories.adopt(&image)?;
        *known = Some((digest, image));
        Ok(())
    }
}

/// No bounds but those that events know of: for what is replayed.
pub(crate) fn unbounded() -> Bounds<std::future::Pending<()>> {
    Bounds { deadline: None, interrupt: std::future::pending() }
}

/// The deadline of a run.
pub(in crate::runtime) fn deadline(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis))
}
