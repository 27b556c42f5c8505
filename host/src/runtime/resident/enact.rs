//! One call, whatever the mode of its gate: live, replayed or resumed.

use std::future::Future;

use reel_abi::message::Place;
use reel_abi::outcome::Outcome;
use reel_abi::record::family;
use reel_abi::resident::Entry;
use reel_abi::types::{DATA_INLINE_BYTES, Data};
use reel_abi::vocabulary::{CallBegins, CallReturns};

use super::function::{self, FunctionName};
use super::instance::{Instance, Ready};
use super::receiving;
use crate::calls::handles::number;
use crate::calls::http::state::{IncomingRequest, ResponseOutparam};
use crate::calls::messaging::Post;
use crate::calls::session::Session;
use crate::engine::memory::GuestMemories;
use crate::gate::Halt;
use crate::runtime::drive::{Bounds, Stop, stop_of};
use crate::runtime::target::{arrive, is_handler, judged};
use crate::txn::messages::message;

/// A call that has stopped, before its end mark.
pub(in crate::runtime) struct Enacted {
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
pub(in crate::runtime) async fn enact(
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
pub(in crate::runtime) fn left(stop: Stop) -> Stop {
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
    let failed = |message: String| Stop::Outcome(Outcome::HostFailure { message });
    let (name, args) = match entry {
        Entry::Message { cell, name, .. } => return receive(ready, instance, (cell, name), bounds).await,
        Entry::Request { .. } => return answer(ready, instance, bounds).await,
        Entry::Birth => (String::new(), String::new()),
        Entry::Function { name, args } | Entry::Timer { name, args, .. } | Entry::Joined { name, args, .. } => {
            (name.clone(), args.clone())
        }
        Entry::Forked { name } => (function::FORKED.to_owned(), format!("(\"{name}\")")),
    };
    let name = FunctionName::parse(&name);
    let ty = function::exact(ready.engines.engine(), &ready.component, &name).map_err(|e| failed(e.to_string()))?;
    let args = function::arguments(&name, &ty, &args).map_err(|e| failed(e.to_string()))?;
    let values = instance.call(&name, ty.results().len(), &args, bounds).await?;
    function::results(&values).map_err(failed)
}

/// Lets the guest answer a request. One whose answer is a failure has failed.
async fn answer(
    ready: &Ready,
    instance: &mut Instance,
    bounds: Bounds<impl Future<Output = ()>>,
) -> Result<String, Stop> {
    let failed = |message: &str| Stop::Outcome(Outcome::HostFailure { message: message.to_owned() });
    let engine = ready.engines.engine();
    let interface =
        ready.component.component_type().exports(engine).map(|(name, _)| name.to_owned()).find(|name| is_handler(name));
    let interface = interface.ok_or_else(|| failed("it answers no requests"))?;
    let name = FunctionName { interface: Some(interface), function: "handle".to_owned() };
    let session = instance.session();
    let stack = session.gate.limits().stack_bytes;
    let (request, out) = arrive(session).map_err(|halt| stop_of(halt.into(), stack))?;
    let args = [instance.hand_over::<IncomingRequest>(request)?, instance.hand_over::<ResponseOutparam>(out)?];
    instance.call(&name, 0, &args, bounds).await?;
    match judged(instance.session()) {
        Outcome::Exit { code: 0 } => Ok(String::new()),
        outcome => Err(Stop::Outcome(outcome)),
    }
}

/// Calls the function that takes a message. What it gives instead of taking it rolls the call back.
async fn receive(
    ready: &Ready,
    instance: &mut Instance,
    (cell, name): (&[u8], &str),
    bounds: Bounds<impl Future<Output = ()>>,
) -> Result<String, Stop> {
    let failed = |message: String| Stop::Outcome(Outcome::HostFailure { message });
    let aborted = |reason: String| Stop::Outcome(Outcome::Aborted { reason });
    let session = instance.session();
    let value = session.txn.kept(family::QUEUE, cell).map_err(|halt| failed(halt.to_string()))?;
    let (Some(value), Some(place)) = (value, Place::parse(cell)) else {
        return Err(failed("the message is not there any more".to_owned()));
    };
    let message = message(session.store.blobs(), &value).map_err(|halt| failed(halt.to_string()))?;
    let name = FunctionName::parse(name);
    let ty = function::exact(ready.engines.engine(), &ready.component, &name).map_err(|e| aborted(e.to_string()))?;
    let args = if receiving::is_standard(&name) {
        let session = instance.session();
        let stack = session.gate.limits().stack_bytes;
        let post = session.post(message).map_err(|halt| stop_of(halt.into(), stack))?;
        vec![instance.hand_over::<Post>(number(&post))?]
    } else {
        receiving::arguments(&ty, place, &message).map_err(aborted)?
    };
    let values = instance.call(&name, ty.results().len(), &args, bounds).await?;
    match receiving::refusal(&values) {
        Some(why) => Err(aborted(why)),
        None => function::results(&values).map_err(failed),
    }
}

/// The event of a function's return.
pub(in crate::runtime) fn returns(session: &mut Session, text: &str) -> Result<(), Halt> {
    let bytes = text.as_bytes();
    let results = if bytes.len() <= DATA_INLINE_BYTES {
        Data::Inline { bytes: bytes.to_vec().into() }
    } else {
        let kept = session.store.blobs().put(bytes.to_vec());
        Data::Blob { digest: kept.map_err(|e| Halt::host("keeping results", &e))?, len: bytes.len() as u64 }
    };
    session.gate.pass(CallReturns { results }, |_, _| Ok(()))
}
