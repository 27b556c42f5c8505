//! One call, whatever the mode of its gate: live, replayed or resumed.

use std::future::Future;

use reel_abi::outcome::Outcome;
use reel_abi::resident::Entry;
use reel_abi::types::{DATA_INLINE_BYTES, Data};
use reel_abi::vocabulary::{CallBegins, CallReturns};

use super::function::{self, FunctionName};
use super::instance::{Instance, Ready};
use crate::calls::session::Session;
use crate::engine::memory::GuestMemories;
use crate::gate::Halt;
use crate::runtime::drive::{Bounds, Stop, stop_of};

/// A call that has stopped, before its end mark.
pub(super) struct Enacted {
    /// The guest as it is now, or what is left of one that was not even born.
    pub guest: Result<Instance, Box<Session>>,
    /// Its memories, also those of one that was not even born.
    pub memories: GuestMemories,
    /// How it stopped.
    pub stop: Stop,
    /// What the function gave, in WAVE; nothing for a birth.
    pub results: Option<String>,
}

impl Enacted {
    /// The host's side of the guest.
    pub fn session(&mut self) -> &mut Session {
        match &mut self.guest {
            Ok(instance) => instance.session(),
            Err(session) => session,
        }
    }
}

/// Enters a guest with a session of this call. Without an instance the call is its birth.
pub(super) async fn enact(
    ready: &Ready,
    instance: Option<Instance>,
    mut session: Session,
    call: CallBegins,
    bounds: Bounds<impl Future<Output = ()>>,
) -> Enacted {
    let stack = session.gate.limits().stack_bytes;
    let entry = call.entry.clone();
    let halted = |halt: Halt| stop_of(halt.into(), stack);
    let Some(mut instance) = instance else {
        if let Err(halt) = session.gate.pass(call, |_, _| Ok(())) {
            let (guest, memories) = (Err(Box::new(session)), GuestMemories::default());
            return Enacted { guest, memories, stop: halted(halt), results: None };
        }
        return match Instance::born(ready, session, bounds).await {
            Ok(instance) => {
                let (memories, stop) = (instance.memories().clone(), Stop::Outcome(Outcome::Exit { code: 0 }));
                Enacted { guest: Ok(instance), memories, stop, results: None }
            }
            Err((stop, session, memories)) => {
                Enacted { guest: Err(Box::new(session)), memories, stop: left(stop), results: None }
            }
        };
    };
    let memories = instance.memories().clone();
    instance.enter(session);
    if let Err(halt) = instance.session().gate.pass(call, |_, _| Ok(())) {
        return Enacted { guest: Ok(instance), memories, stop: halted(halt), results: None };
    }
    let (stop, results) = match invoke(ready, &mut instance, &entry, bounds).await {
        Ok(text) => match returns(instance.session(), &text) {
            Ok(()) => (Stop::Outcome(Outcome::Exit { code: 0 }), Some(text)),
            Err(halt) => (halted(halt), None),
        },
        Err(stop) => (left(stop), None),
    };
    Enacted { guest: Ok(instance), memories, stop, results }
}

/// A guest that leaves by an exit in the middle of a call leaves nothing that could be called again, whatever code it exits with.
fn left(stop: Stop) -> Stop {
    match stop {
        Stop::Outcome(Outcome::Exit { code: 0 }) => {
            let message = "it exited instead of returning from its call, with code 0".to_owned();
            Stop::Outcome(Outcome::Trap { message, backtrace: Vec::new() })
        }
        stop => stop,
    }
}

/// Calls the function and gives its results as text.
async fn invoke(
    ready: &Ready,
    instance: &mut Instance,
    entry: &Entry,
    bounds: Bounds<impl Future<Output = ()>>,
) -> Result<String, Stop> {
    let (name, args) = match entry {
        Entry::Birth => (String::new(), String::new()),
        Entry::Function { name, args } | Entry::Timer { name, args, .. } => (name.clone(), args.clone()),
        Entry::Forked { name } => (function::FORKED.to_owned(), format!("(\"{name}\")")),
    };
    let failed = |message: String| Stop::Outcome(Outcome::HostFailure { message });
    let name = FunctionName::parse(&name);
    let ty = function::exact(ready.engines.engine(), &ready.component, &name).map_err(|e| failed(e.to_string()))?;
    let args = function::arguments(&name, &ty, &args).map_err(|e| failed(e.to_string()))?;
    let values = instance.call(&name, ty.results().len(), &args, bounds).await?;
    function::results(&values).map_err(failed)
}

/// The event of a function's return.
fn returns(session: &mut Session, text: &str) -> Result<(), Halt> {
    let bytes = text.as_bytes();
    let results = if bytes.len() <= DATA_INLINE_BYTES {
        Data::Inline { bytes: bytes.to_vec().into() }
    } else {
        let kept = session.store.blobs().put(bytes.to_vec());
        Data::Blob { digest: kept.map_err(|e| Halt::host("keeping results", &e))?, len: bytes.len() as u64 }
    };
    session.gate.pass(CallReturns { results }, |_, _| Ok(()))
}
