//! What is executed: a command's `main`, the function by which a handler takes a request, or one of its functions that a message or timer is for.

use reel_abi::outcome::Outcome;
use reel_abi::types::Handle;
use reel_abi::vocabulary::{CallBegins, HttpRequest, RunBegins};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Resource};

use super::drive::Stop;
use super::engines::Engines;
use super::handlers::occasion;
use super::prepare::PrepareError;
use super::resident::enact::left;
use crate::calls::bindings::Command;
use crate::calls::handles::own;
use crate::calls::http::state::{Answer, IncomingRequest, ResponseOutparam};
use crate::calls::session::Session;
use crate::engine::cache::CompileError;
use crate::engine::linking::linker;
use crate::gate::{Gate, Halt};

/// The interface of those who answer requests, without its version.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// What of a component is executed.
#[derive(Clone)]
pub enum Target {
    /// `wasi:cli/run`.
    Command(Component),
    /// `wasi:http/incoming-handler`.
    Handler {
        /// The component with its imports.
        linked: InstancePre<Session>,
        /// The function.
        handle: ComponentExportIndex,
    },
    /// An exported function.
    Function {
        /// The component with its imports.
        linked: InstancePre<Session>,
        /// The component.
        component: Component,
        /// What it is called for.
        call: Box<CallBegins>,
    },
}

impl Target {
    /// The handler in a component; an error if it is none.
    pub fn handler(engines: &Engines, component: &Component) -> Result<Self, PrepareError> {
        let engine = engines.engine();
        let ty = component.component_type();
        let names: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let found = names.iter().find(|name| is_handler(name)).and_then(|name| {
            let interface = component.get_export_index(None, name)?;
            component.get_export_index(Some(&interface), "handle")
        });
        let Some(handle) = found else { return Err(PrepareError::NotAHandler(names)) };
        let linked = linker(engine, component).and_then(|linker| linker.instantiate_pre(component));
        let linked = linked.map_err(|e| PrepareError::from(CompileError::Compile(format!("{e:#}"))))?;
        Ok(Self::Handler { linked, handle })
    }

    /// What a component executes when it was called so, by nobody but the host.
    pub(super) fn function(engines: &Engines, component: Component, call: CallBegins) -> Result<Self, PrepareError> {
        let linked = linker(engines.engine(), &component).and_then(|linker| linker.instantiate_pre(&component));
        let linked = linked.map_err(|e| PrepareError::from(CompileError::Compile(format!("{e:#}"))))?;
        Ok(Self::Function { linked, component, call: Box::new(call) })
    }

    /// The first event of a run of it.
    pub(super) fn begin(&self, gate: &mut Gate) -> Result<(), Halt> {
        match self {
            Self::Command(_) | Self::Handler { .. } => gate.pass(RunBegins {}, |_, _| Ok(())),
            Self::Function { call, .. } => gate.pass((**call).clone(), |_, _| Ok(())),
        }
    }

    /// How it stopped that did not return. Whoever leaves a call has not done what it was called for.
    pub(super) fn stopped(&self, stop: Stop) -> Stop {
        match self {
            Self::Command(_) | Self::Handler { .. } => stop,
            Self::Function { .. } => left(stop),
        }
    }

    /// Instantiates it and lets it do its work; how it ended if it was not stopped.
    pub(super) async fn execute(&self, engines: &Engines, store: &mut Store<Session>) -> wasmtime::Result<Outcome> {
        match self {
            Self::Command(component) => {
                let linker = linker(engines.engine(), component)?;
                let command = Command::instantiate_async(&mut *store, component, &linker).await?;
                let result = command.wasi_cli_run().call_run(store).await?;
                Ok(Outcome::Exit { code: u32::from(result.is_err()) })
            }
            Self::Handler { linked, handle } => {
                let (request, out) = arrive(store.data_mut())?;
                let (request, out) = (own::<IncomingRequest>(request), own::<ResponseOutparam>(out));
                let instance = linked.instantiate_async(&mut *store).await?;
                let handle = instance.get_typed_func::<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>(
                    &mut *store,
                    handle,
                )?;
                handle.call_async(&mut *store, (request, out)).await?;
                Ok(judged(store.data_mut()))
            }
            Self::Function { linked, component, call } => {
                occasion::perform(engines, (linked, component), &call.entry, store).await
            }
        }
    }
}

/// Whether an export is the interface of those who answer requests.
pub fn is_handler(export: &str) -> bool {
    export.starts_with(HANDLER)
}

/// The request that is to be answered, and where the answer goes.
pub(super) fn arrive(session: &mut Session) -> Result<(Handle, Handle), Halt> {
    let arrived = session.http.request.clone();
    let head = session
        .gate
        .pass(HttpRequest {}, |_, _| arrived.ok_or_else(|| Halt::Host("there is no request to answer".into())))?;
    if session.http.incoming.is_empty() {
        // It is in the log, as far as it was read.
        session.http.incoming.push(None);
    }
    let request = session.handles.push(IncomingRequest { head: Box::new(head), body: Some(0) })?;
    Ok((request, session.handles.push(ResponseOutparam)?))
}

/// What the answer of a handler that has returned says of it: nothing is committed if it failed.
pub(super) fn judged(session: &mut Session) -> Outcome {
    let aborted = |reason: String| Outcome::Aborted { reason };
    match &session.http.answer {
        None => aborted("it returned without an answer".into()),
        Some(Answer { head: Err(fault), .. }) => aborted(format!("its answer is an error: {fault}")),
        Some(Answer { head: Ok(head), body }) => {
            let whole =
                body.is_none_or(|body| session.http.written.get(body as usize).is_some_and(|body| body.finished));
            match head.status {
                _ if !whole => aborted("it returned before the body of its answer was finished".into()),
                500.. => aborted(format!("it answered {}", head.status)),
                _ => Outcome::Exit { code: 0 },
            }
        }
    }
}
