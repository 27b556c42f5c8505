//! One call of a guest by another, whatever the mode of its gate: live or replayed.

use std::time::Duration;

use reel_abi::outcome::Outcome;
use reel_abi::resident::Entry;
use reel_abi::vocabulary::CallBegins;
use wasmtime::component::{Component, InstancePre, Val};

use crate::calls::session::Session;
use crate::engine::cache::CompileError;
use crate::engine::linking::linker;
use crate::engine::memory::GuestMemories;
use crate::gate::Halt;
use crate::runtime::drive::{Bounds, Stop, bounded, new_store, stop_of};
use crate::runtime::engines::Engines;
use crate::runtime::prepare::PrepareError;
use crate::runtime::resident::enact::{left, returns};
use crate::runtime::resident::function::{self, FunctionName};

/// A component that can be called.
pub(crate) struct Callee {
    pub(super) engines: Engines,
    pub(super) component: Component,
    linked: InstancePre<Session>,
}

/// A call that has stopped, before its end mark.
pub(super) struct Executed {
    pub session: Session,
    pub stop: Stop,
    /// What the function returned, in WAVE; an error of its own is one here.
    pub returned: Option<Result<String, Option<String>>>,
    /// Digest of its memories, where it stopped at an instruction that a replay stops at too.
    pub memory: Option<u64>,
}

impl Callee {
    /// Links a component.
    pub(super) fn new(engines: &Engines, component: Component) -> Result<Self, PrepareError> {
        let linked = linker(engines.engine(), &component).and_then(|linker| linker.instantiate_pre(&component));
        let linked = linked.map_err(|e| PrepareError::from(CompileError::Compile(format!("{e:#}"))))?;
        Ok(Self { engines: engines.clone(), component, linked })
    }

    /// Makes a call on a fresh instance.
    pub(super) async fn execute(&self, session: Session, call: CallBegins, deadline: Option<Duration>) -> Executed {
        let memories = GuestMemories::default();
        let stack = session.gate.limits().stack_bytes;
        let mut store = new_store(&self.engines, session);
        let bounds = Bounds { deadline, interrupt: std::future::pending() };
        let result = bounded(&memories, bounds, self.enter(&mut store, call)).await;
        let (stop, returned) = match result {
            Ok(Ok(text)) => (Stop::Outcome(Outcome::Exit { code: 0 }), Some(Ok(text))),
            Ok(Err(error)) => {
                let words = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let reason = format!("it returned an error{words}");
                (Stop::Outcome(Outcome::Aborted { reason }), Some(Err(error)))
            }
            Err(error) => (left(stop_of(error, stack)), None),
        };
        let memory = match &stop {
            Stop::Outcome(outcome) if !outcome.is_cut() => memories.digest(),
            _ => None,
        };
        Executed { session: store.into_data(), stop, returned, memory }
    }

    async fn enter(
        &self,
        store: &mut wasmtime::Store<Session>,
        call: CallBegins,
    ) -> wasmtime::Result<Result<String, Option<String>>> {
        let failed = |what: &dyn std::fmt::Display| Halt::Host(format!("making the call: {what}"));
        let Entry::Joined { name, args, .. } = &call.entry else { return Err(failed(&"it is none").into()) };
        let (name, args) = (FunctionName::parse(name), args.clone());
        store.data_mut().gate.pass(call, |_, _| Ok(()))?;
        let ty = function::exact(self.engines.engine(), &self.component, &name).map_err(|e| failed(&e))?;
        let args = function::arguments(&name, &ty, &args).map_err(|e| failed(&e))?;
        let instance = self.linked.instantiate_async(&mut *store).await?;
        let export = match &name.interface {
            None => instance.get_export_index(&mut *store, None, &name.function),
            Some(interface) => instance
                .get_export_index(&mut *store, None, interface)
                .and_then(|index| instance.get_export_index(&mut *store, Some(&index), &name.function)),
        };
        let function = export.and_then(|export| instance.get_func(&mut *store, export));
        let function = function.ok_or_else(|| failed(&format!("the function {name} is gone")))?;
        let mut values = vec![Val::Bool(false); ty.results().len()];
        function.call_async(&mut *store, &args, &mut values).await?;
        let text = function::results(&values).map_err(|e| failed(&e))?;
        returns(store.data_mut(), &text)?;
        let inner = |value: &Option<Box<Val>>| {
            value.as_ref().map(|value| function::results(std::slice::from_ref(value))).transpose()
        };
        Ok(match values.as_slice() {
            [Val::Result(Ok(value))] => Ok(inner(value).map_err(|e| failed(&e))?.unwrap_or_default()),
            [Val::Result(Err(value))] => Err(inner(value).map_err(|e| failed(&e))?),
            _ => Ok(text),
        })
    }
}
