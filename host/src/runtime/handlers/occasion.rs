//! What a handler is called for beside requests: a message that lies in its space, or a timer that is due there. A fresh instance does it, and that it
//! is done is part of its transaction: the message is taken, the timer ends or is set to its next time, with all else that is committed.

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::message::Place;
use reel_abi::outcome::{Disposition, Outcome};
use reel_abi::record::family;
use reel_abi::resident::{Entry, GUEST_KEY, Guest, GuestKind, STOPPED_KEY};
use reel_abi::trace::Trace;
use reel_abi::vocabulary::CallBegins;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Val};

use super::known::Seen;
use crate::calls::session::Session;
use crate::gate::Halt;
use crate::runtime::engines::Engines;
use crate::runtime::landed::Landed;
use crate::runtime::resident::calling::arguments_of;
use crate::runtime::resident::enact::returns;
use crate::runtime::resident::function::{self, FunctionName};
use crate::runtime::resident::timers::{Deed, Timer};
use crate::runtime::resident::{CallError, CallReport, Household, receiving};
use crate::runtime::run::{RunError, RunReport, RunRequest, attempt_ordered};
use crate::txn::messages::message;

/// Whether a call was made on a fresh instance, for a message or a timer.
pub fn is_one(call: &CallBegins) -> bool {
    call.after.is_none() && matches!(call.entry, Entry::Message { .. } | Entry::Timer { .. })
}

/// Does what a fresh instance is called for, whatever the mode of the gate.
pub async fn perform(
    engines: &Engines,
    (linked, component): (&InstancePre<Session>, &Component),
    entry: &Entry,
    store: &mut Store<Session>,
) -> wasmtime::Result<Outcome> {
    let session = store.data_mut();
    session.occasion = true;
    // Another deployment, or a stop, overtakes it.
    for key in [GUEST_KEY, STOPPED_KEY] {
        session.txn.kept(family::RESIDENT, key)?;
    }
    let aborted = |reason: String| Ok(Outcome::Aborted { reason });
    let (Entry::Message { name, .. } | Entry::Timer { name, .. }) = entry else {
        return Err(Halt::Host("a handler was called for what it is not called for".into()).into());
    };
    let name = FunctionName::parse(name);
    let ty = match function::exact(engines.engine(), component, &name) {
        Ok(ty) => ty,
        Err(error) => return aborted(error.to_string()),
    };
    let mut post = None;
    let args = match entry {
        Entry::Message { cell, .. } => {
            let (Some(value), Some(place)) = (session.txn.kept(family::QUEUE, cell)?, Place::parse(cell)) else {
                return aborted("the message is not there any more".to_owned());
            };
            let message = message(session.store.blobs(), &value)?;
            session.txn.messages.take(place);
            if receiving::is_standard(&name) {
                post = Some(session.post(message)?);
                Ok(Vec::new())
            } else {
                receiving::arguments(&ty, place, &message)
            }
        }
        Entry::Timer { args, .. } => {
            let Some(timer) = Timer::of(entry) else { return aborted("it is no timer".to_owned()) };
            if !timer.holds(session)? {
                return aborted("the timer is not set any more".to_owned());
            }
            function::arguments(&name, &ty, args).map_err(|error| error.to_string())
        }
        _ => Ok(Vec::new()),
    };
    let mut args = match args {
        Ok(args) => args,
        Err(why) => return aborted(why),
    };
    let instance = linked.instantiate_async(&mut *store).await?;
    if let Some(post) = post {
        args.push(Val::Resource(post.try_into_resource_any(&mut *store)?));
    }
    let export = match &name.interface {
        None => instance.get_export_index(&mut *store, None, &name.function),
        Some(interface) => instance
            .get_export_index(&mut *store, None, interface)
            .and_then(|index| instance.get_export_index(&mut *store, Some(&index), &name.function)),
    };
    let function = export.and_then(|export| instance.get_func(&mut *store, export));
    let function = function.ok_or_else(|| Halt::Host(format!("the function {name} is gone")))?;
    let mut values = vec![Val::Bool(false); ty.results().len()];
    function.call_async(&mut *store, &args, &mut values).await?;
    if let Some(why) = receiving::refusal(&values) {
        return aborted(why);
    }
    let session = store.data_mut();
    if let Some(timer) = Timer::of(entry) {
        timer.settle(session, WallTime(session.gate.wall().0))?;
    }
    let text = function::results(&values).map_err(Halt::Host)?;
    returns(store.data_mut(), &text)?;
    Ok(Outcome::Exit { code: 0 })
}

impl Household {
    /// The handler of a space; nothing if a resident lives there, or nobody.
    pub(in crate::runtime) fn handler(&self, name: &SpaceName) -> Result<Option<Seen>, CallError> {
        let seen = self.seen.guest(&self.store, name)?;
        Ok(seen.filter(|seen| seen.guest.kind == GuestKind::Handler))
    }

    /// Returns when a run is durable, and has those looked at whom it has given something to do.
    pub(in crate::runtime) async fn landed(&self, landed: Landed) -> Result<RunReport, CallError> {
        let (report, _) = landed.durable(&self.store).await.map_err(failed)?;
        if matches!(report.end.disposition, Disposition::Committed { .. }) {
            self.has_committed(&report.posted, &report.timed);
        }
        Ok(report)
    }

    /// Makes the call of a timer of a handler that is due.
    pub(in crate::runtime) async fn call_handler_for_timer(
        &self,
        name: &SpaceName,
        seen: &Seen,
        timer: &Timer,
    ) -> Result<CallReport, CallError> {
        if seen.stopped {
            return Err(CallError::Stopped(name.clone()));
        }
        let head = self.store.head(name)?.ok_or_else(|| CallError::NoSuchGuest(name.clone()))?;
        if !timer.is_set(&self.store, &self.store.view(head)?)? {
            return Err(CallError::NotSet);
        }
        let (engines, component) = self.instances.component(&seen.guest)?;
        let Deed::Call { function, args } = &timer.deed else { return Err(CallError::NotSet) };
        let (function, ty) = function::find(engines.engine(), &component, function)?;
        let args = function::given(&function, &ty, std::slice::from_ref(args))?;
        let (key, text) = (timer.name.clone().into(), timer.text.clone());
        let entry = Entry::Timer { key, text, name: function.to_string(), args };
        let landed = self.call_afresh(name, &seen.guest, entry, None).await?;
        let RunReport { run, end, undelivered, conflict, attempts, .. } = self.landed(landed).await?;
        Ok(CallReport { run, end, results: None, undelivered, conflict, attempts, woken: None })
    }

    /// Calls a handler for what lies in its space. Returns when the run has its place in the log; one that was overtaken is executed again.
    pub(in crate::runtime) async fn call_afresh(
        &self,
        name: &SpaceName,
        guest: &Guest,
        entry: Entry,
        trace: Option<Trace>,
    ) -> Result<Landed, CallError> {
        // Instances are few, and requests have theirs.
        let _seat = self.occasions.acquire().await;
        let args = arguments_of(&entry);
        let (engines, prepared) = self.instances.called(guest, CallBegins { entry, after: None })?;
        let mut world = self.world_of(guest)?;
        world.http.trace = trace;
        let request = RunRequest {
            bytes: Vec::new(),
            name: name.to_string(),
            args,
            env: guest.env.clone(),
            dirs: guest.dirs.clone(),
            net: guest.net.clone(),
            calls: guest.calls.clone(),
            limits: guest.limits.clone(),
            space: name.clone(),
            commit_on_failure: false,
            hold_output: true,
        };
        let landed = attempt_ordered(&self.store, &engines, &prepared, request, world, std::future::pending()).await;
        landed.map_err(failed)
    }
}

fn failed(error: RunError) -> CallError {
    match error {
        RunError::Prepare(error) => error.into(),
        RunError::Read(error) => error.into(),
        RunError::Append(error) => error.into(),
        RunError::Log(halt) => CallError::Log(halt),
    }
}
